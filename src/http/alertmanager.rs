//! `POST /alertmanager`: Alertmanager's webhook. What is new is in the journal and on disk before the answer; what becomes of it is
//! never told by the status.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Extension, Request, State};
use axum::http::header::{CONTENT_LENGTH, RETRY_AFTER};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, post};
use futures_util::StreamExt;

use super::access::{Caller, guarded};
use super::seldom::Seldom;
use crate::alertmanager::Payload;
use crate::clock::Mono;
use crate::config::Role;
use crate::observe::fleet::Hubs;
use crate::runbook::intake::{Intake, IntakeError};
use crate::runbook::record::Entry;
use crate::runbook::seen::Outcome;

/// Where it is.
pub(super) const PATH: &str = "/alertmanager";
/// No body is longer.
const BODY_LIMIT: usize = 1 << 20;

/// What the route needs.
#[derive(Clone)]
struct Receiver {
    intake: Arc<Intake>,
    hubs: Hubs,
    refusals: Arc<Seldom>,
}

/// The route.
pub(super) fn route<S>(intake: Arc<Intake>, hubs: Hubs) -> MethodRouter<S> {
    guarded(Role::Ingest, post(take)).with_state(Receiver { intake, hubs, refusals: Arc::default() })
}

/// Counts and times what is asked of the route, whoever answers it.
pub(super) async fn count(State(intake): State<Arc<Intake>>, request: Request, next: Next) -> Response {
    if request.uri().path() != PATH || request.method() != Method::POST {
        return next.run(request).await;
    }
    let began = Mono::now();
    let response = next.run(request).await;
    intake.answered(response.status().as_u16(), Mono::now().since(began).as_secs_f64());
    response
}

async fn take(State(receiver): State<Receiver>, Extension(caller): Extension<Caller>, request: Request) -> Response {
    let length = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > BODY_LIMIT) {
        return receiver.refuse(StatusCode::PAYLOAD_TOO_LARGE, TOO_LARGE);
    }
    let place = match receiver.intake.place().await {
        Ok(place) => place,
        Err(error) => return receiver.unavailable(&error),
    };
    let body = match read(request.into_body()).await {
        Ok(body) => body,
        Err((status, why)) => return receiver.refuse(status, why),
    };
    let payload = match Payload::parse(&body) {
        Ok(payload) => payload,
        Err(error) => return receiver.refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let entries = receiver.entries(&payload, &caller);
    if entries.is_empty() {
        return answer(&[]);
    }
    match place.take(entries, body.len()).await {
        Ok(outcomes) => answer(&outcomes),
        Err(error) => receiver.unavailable(&error),
    }
}

const TOO_LARGE: &str = "the body is larger than 1 MiB: set max_alerts in the webhook_config";

async fn read(body: Body) -> Result<Vec<u8>, (StatusCode, &'static str)> {
    let mut pieces = body.into_data_stream();
    let mut all = Vec::new();
    while let Some(piece) = pieces.next().await {
        let piece: Bytes =
            piece.map_err(|_| (StatusCode::BAD_REQUEST, "the body did not come whole: send it again"))?;
        if all.len() + piece.len() > BODY_LIMIT {
            return Err((StatusCode::PAYLOAD_TOO_LARGE, TOO_LARGE));
        }
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

impl Receiver {
    fn entries(&self, payload: &Payload, caller: &Caller) -> Vec<Entry> {
        let hubs = self.hubs.now();
        let clusters: BTreeSet<String> = hubs.iter().map(|hub| hub.cluster().layout().name.clone()).collect();
        let entry = |alert| Entry::of(payload, alert, &caller.name, |name| clusters.contains(name));
        payload.alerts.iter().map(entry).collect()
    }

    /// Alertmanager comes again with the same: somebody has to look.
    fn refuse(&self, status: StatusCode, why: &str) -> Response {
        if let Some(left_out) = self.refusals.tell(Mono::now()) {
            tracing::warn!(left_out = (left_out > 0).then_some(left_out), "alerts were refused: {why}");
        }
        (status, format!("{why}\n")).into_response()
    }

    fn unavailable(&self, why: &IntakeError) -> Response {
        let mut response = match why {
            IntakeError::Late | IntakeError::TooLarge(_) => {
                self.refuse(StatusCode::SERVICE_UNAVAILABLE, &why.to_string())
            }
            // Whoever writes the journal has said it.
            IntakeError::Journal(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
        };
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        response
    }
}

fn answer(outcomes: &[Outcome]) -> Response {
    let count = |wanted: fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| wanted(outcome)).count();
    let new = count(|outcome| *outcome == Outcome::New);
    let known = count(|outcome| *outcome == Outcome::Duplicate);
    let ignored = count(|outcome| matches!(outcome, Outcome::Ignored(_)));
    let status = if new > 0 { StatusCode::ACCEPTED } else { StatusCode::OK };
    let text = format!("{new} recorded, {known} known before, {ignored} ignored (the log says why)\n");
    (status, text).into_response()
}
