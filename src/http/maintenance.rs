//! `POST /api/v1/maintenance`: starts or ends maintenance, for whoever may decide.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, post};
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::{Caller, guarded};
use super::refusal::{refused, status_of};
use crate::clock::Wall;
use crate::cluster::maintenance::{lasts, reason};
use crate::config::Role;
use crate::observe::maintenance::{Change, Maintainer, Refused, Which};

const USAGE: &str = "send a JSON object such as {\"action\": \"start\", \"clusters\": [\"orders\"], \"for\": \"30m\", \
                     \"reason\": \"minor upgrade\"} or {\"action\": \"end\", \"all\": true}";

/// What is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    action: Action,
    clusters: Option<Vec<String>>,
    #[serde(default)]
    all: bool,
    #[serde(rename = "for")]
    lasts: Option<String>,
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Start,
    End,
}

impl Asked {
    fn which(&self) -> Result<Which, String> {
        match (&self.clusters, self.all) {
            (Some(_), true) => Err("clusters and all are both set: keep one".to_owned()),
            (Some(names), false) if names.is_empty() => Err("clusters is empty: name some, or say all".to_owned()),
            (Some(names), false) => Ok(Which::Named(names.clone())),
            (None, true) => Ok(Which::All),
            (None, false) => Ok(Which::TheOnly),
        }
    }

    fn change(&self) -> Result<Change, String> {
        match (&self.action, &self.lasts) {
            (Action::Start, None) => Err("for is missing: maintenance has an end, such as 30m".to_owned()),
            (Action::Start, Some(text)) => {
                let lasts = lasts(text).map_err(|why| format!("for {why}"))?;
                let reason = self.reason.as_deref().map(reason).transpose();
                Ok(Change::Start { lasts, reason: reason.map_err(|why| format!("reason {why}"))? })
            }
            (Action::End, None) if self.reason.is_none() => Ok(Change::End),
            (Action::End, _) => Err("an end takes neither for nor reason".to_owned()),
        }
    }
}

/// The route.
pub(super) fn route<S>(maintainer: Arc<Maintainer>) -> MethodRouter<S> {
    guarded(Role::Approver, post(change)).with_state(maintainer)
}

async fn change(
    State(maintainer): State<Arc<Maintainer>>,
    Extension(caller): Extension<Caller>,
    asked: Result<Json<Asked>, JsonRejection>,
) -> Response {
    // What was sent is shown to nobody: it may be anything.
    let Json(asked) = match asked {
        Ok(asked) => asked,
        Err(rejection) => return refused(status_of(&rejection), USAGE),
    };
    let (which, change) = match asked.which().and_then(|which| Ok((which, asked.change()?))) {
        Ok(good) => good,
        Err(why) => return refused(StatusCode::BAD_REQUEST, &why),
    };
    match maintainer.change(&which, &change, &caller.name).await {
        Ok((clusters, not_kept)) => {
            let clusters = clusters.into_iter().map(|(name, now)| json!({ "name": name, "maintenance": now }));
            Json(json!({
                "now": Wall::now().as_seconds(),
                "kept": not_kept.is_none(),
                "note": not_kept.map(|why| why.to_string()),
                "clusters": clusters.collect::<Vec<Value>>(),
            }))
            .into_response()
        }
        Err(why @ Refused::NoCluster(_)) => refused(StatusCode::NOT_FOUND, &why.to_string()),
        Err(why @ Refused::WhichOne(_)) => refused(StatusCode::BAD_REQUEST, &why.to_string()),
    }
}
