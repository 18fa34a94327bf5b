//! `/clusters/{c}/nodes/{n}/{question}`: where a load balancer may send clients, by the status alone; the body says why in one line.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, Uri};
use axum::routing::{MethodRouter, get};

use super::page::Pages;
use crate::clock::Moment;
use crate::cluster::routing::{Limit, Question};

/// Where it stands.
pub(super) const PATH: &str = "/clusters/{cluster}/nodes/{node}/{question}";

type Answer = (StatusCode, String);

/// By GET, HEAD and OPTIONS, which are what load balancers send.
pub(super) fn route() -> MethodRouter<Arc<Pages>> {
    get(answer).options(answer)
}

async fn answer(
    State(pages): State<Arc<Pages>>,
    Path((cluster, node, question)): Path<(String, String, String)>,
    uri: Uri,
) -> Answer {
    let found = || {
        let question = Question::named(&question)?;
        let hubs = pages.hubs();
        let hub = hubs.iter().find(|hub| hub.name() == cluster)?;
        let held = hub.cluster();
        let index = held.layout().index_of(&node)?;
        let now = Moment::now();
        Some(limit(&uri).map(|limit| held.evidence(now).route(index, question, limit)))
    };
    match found() {
        None => {
            let questions = "primary, replica, read-only, sync, async";
            (StatusCode::NOT_FOUND, format!("there is no such cluster, node or question ({questions})\n"))
        }
        Some(Err(wrong)) => (StatusCode::BAD_REQUEST, format!("{wrong}\n")),
        Some(Ok(Err(closed))) => (StatusCode::SERVICE_UNAVAILABLE, format!("{node}: {closed}\n")),
        Some(Ok(Ok(()))) => (StatusCode::OK, format!("{node}: yes\n")),
    }
}

/// What `?lag=` asks for. A misspelt parameter must not be taken for none.
fn limit(uri: &Uri) -> Result<Option<Limit>, String> {
    let given = Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|_| "the query cannot be read".to_owned())?;
    match given.0.as_slice() {
        [] => Ok(None),
        [(name, value)] if name == "lag" => Limit::parse(value).map(Some),
        _ => Err("the only parameter is lag, once".to_owned()),
    }
}
