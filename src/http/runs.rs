//! `/api/v1/runs`: what runbooks did and do, and what people say to that.

use axum::extract::rejection::JsonRejection;
use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::{Caller, guarded};
use crate::clock::{Moment, Wall};
use crate::config::Role;
use crate::runbook::engine::{Parts, Person, Refused};
use crate::runbook::run::Run;

/// So many runs that are over are listed, the newest.
const MOST_LISTED: usize = 100;
const USAGE: &str =
    "send a JSON object such as {\"plan\": \"1f0a…\", \"comment\": \"checked with the application team\"}";

/// What a person says to a run.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Word {
    /// The hash of the plan that is approved.
    plan: Option<String>,
    comment: String,
}

/// A run that a person asks for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Start {
    cluster: String,
    runbook: String,
}

/// The switch for all runs.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Switch {
    paused: bool,
    #[serde(default)]
    comment: String,
}

/// The routes.
pub(super) fn routes<S: Clone + Send + Sync + 'static>(parts: Parts) -> Router<S> {
    Router::new()
        .route("/api/v1/runs", get(list).merge(guarded(Role::Approver, post(start))))
        .route("/api/v1/runs/{id}", get(show))
        .route("/api/v1/runs/{id}/approve", guarded(Role::Approver, post(approve)))
        .route("/api/v1/runs/{id}/reject", guarded(Role::Approver, post(reject)))
        .route("/api/v1/runs/{id}/abort", guarded(Role::Approver, post(abort)))
        .route("/api/v1/runs/{id}/ack", guarded(Role::Approver, post(acknowledge)))
        .route("/api/v1/runbooks", get(books).merge(guarded(Role::Approver, post(switch))))
        .route("/api/v1/clusters/{cluster}/plans/{runbook}", guarded(Role::Viewer, get(plan)))
        .with_state(parts)
}

async fn list(State(parts): State<Parts>) -> Json<Value> {
    let runs = parts.intake.runs();
    let ended = runs.ended().rev().take(MOST_LISTED);
    let runs: Vec<Value> = runs.open().chain(ended).map(|run| view(run, false)).collect();
    Json(json!({ "now": Wall::now().as_seconds(), "runs": runs }))
}

async fn show(State(parts): State<Parts>, Path(id): Path<String>) -> Response {
    match parts.intake.runs().get(&id) {
        Some(run) => Json(view(run, true)).into_response(),
        None => refused(StatusCode::NOT_FOUND, &format!("there is no run {id}: /api/v1/runs lists them")),
    }
}

async fn books(State(parts): State<Parts>) -> Json<Value> {
    let shelf = (parts.books)();
    let books = shelf.entries().into_iter().map(|entry| {
        let book = &entry.book;
        let steps: Vec<_> = book.steps.iter().map(|step| step.kind()).collect();
        json!({ "name": book.name, "class": book.class.as_str(), "mode": book.mode.as_str(), "steps": steps })
    });
    let books: Vec<Value> = books.collect();
    let runs = parts.intake.runs();
    Json(json!({ "paused": runs.paused(), "runbooks": books }))
}

/// What a run would do now. Nothing is written and nothing is done.
async fn plan(State(parts): State<Parts>, Path((cluster, runbook)): Path<(String, String)>) -> Response {
    match parts.preview(&cluster, &runbook).await {
        Ok(plan) => Json(json!({ "now": Wall::now().as_seconds(), "plan": plan })).into_response(),
        Err(error) => answer_refused(&error),
    }
}

async fn start(
    State(parts): State<Parts>,
    Extension(caller): Extension<Caller>,
    asked: Result<Json<Start>, JsonRejection>,
) -> Response {
    let Ok(Json(asked)) = asked else {
        return refused(
            StatusCode::BAD_REQUEST,
            "send {\"cluster\": \"orders\", \"runbook\": \"PostgresPrimaryUnreachable\"}",
        );
    };
    let person = Person::new(&parts, &caller.name, "");
    match person.start(&asked.cluster, &asked.runbook).await {
        Ok(()) => {
            (StatusCode::ACCEPTED, Json(json!({ "cluster": asked.cluster, "runbook": asked.runbook }))).into_response()
        }
        Err(error) => answer_refused(&error),
    }
}

async fn switch(
    State(parts): State<Parts>,
    Extension(caller): Extension<Caller>,
    asked: Result<Json<Switch>, JsonRejection>,
) -> Response {
    let Ok(Json(asked)) = asked else {
        return refused(StatusCode::BAD_REQUEST, "send {\"paused\": true, \"comment\": \"storage migration\"}");
    };
    match Person::new(&parts, &caller.name, &asked.comment).pause(asked.paused).await {
        Ok(()) => Json(json!({ "paused": parts.intake.runs().paused() })).into_response(),
        Err(error) => answer_refused(&error),
    }
}

async fn approve(
    State(parts): State<Parts>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
    word: Result<Json<Word>, JsonRejection>,
) -> Response {
    let Ok(Json(Word { plan: Some(plan), comment })) = word else { return refused(StatusCode::BAD_REQUEST, USAGE) };
    answer(Person::new(&parts, &caller.name, &comment).approve(&id, &plan).await)
}

async fn reject(
    State(parts): State<Parts>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
    word: Result<Json<Word>, JsonRejection>,
) -> Response {
    let Ok(Json(word)) = word else { return refused(StatusCode::BAD_REQUEST, USAGE) };
    answer(Person::new(&parts, &caller.name, &word.comment).reject(&id).await)
}

async fn abort(
    State(parts): State<Parts>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
    word: Result<Json<Word>, JsonRejection>,
) -> Response {
    let Ok(Json(word)) = word else { return refused(StatusCode::BAD_REQUEST, USAGE) };
    answer(Person::new(&parts, &caller.name, &word.comment).abort(&id).await)
}

async fn acknowledge(
    State(parts): State<Parts>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
    word: Result<Json<Word>, JsonRejection>,
) -> Response {
    let Ok(Json(word)) = word else { return refused(StatusCode::BAD_REQUEST, USAGE) };
    answer(Person::new(&parts, &caller.name, &word.comment).acknowledge(&id).await)
}

fn answer(done: Result<Run, Refused>) -> Response {
    match done {
        Ok(run) => Json(view(&run, true)).into_response(),
        Err(error) => answer_refused(&error),
    }
}

fn answer_refused(error: &Refused) -> Response {
    refused(status_of(error), &error.to_string())
}

/// The status that says why.
pub(super) const fn status_of(error: &Refused) -> StatusCode {
    match error {
        Refused::Unknown(_) => StatusCode::NOT_FOUND,
        Refused::Conflict(_) => StatusCode::CONFLICT,
        Refused::Journal(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn refused(status: StatusCode, why: &str) -> Response {
    (status, Json(json!({ "error": why }))).into_response()
}

/// A run as JSON; `whole`: with its plan and what the guards saw.
fn view(run: &Run, whole: bool) -> Value {
    let seconds = |at: Moment| at.wall.as_seconds();
    let mut view = json!({
        "id": run.id,
        "cluster": run.plan.episode.cluster,
        "runbook": run.plan.runbook,
        "mode": run.plan.mode,
        "phase": run.phase.as_str(),
        "outcome": run.outcome().map(|outcome| outcome.as_str()),
        "plan": run.plan.plan,
        "primary": run.plan.episode.primary,
        "candidate": run.plan.candidate,
        "loss_bytes": run.plan.loss_bytes,
        "step": run.current().map(|_| run.plan.name_of(run.step)),
        "steps_done": run.step,
        "steps": run.plan.steps.len(),
        "fenced": run.fenced,
        "promoted": run.promoted,
        "report": run.report,
        "began": seconds(run.began),
        "changed": seconds(run.changed),
        "ended": run.ended.map(seconds),
        "until": run.until.map(seconds),
        "approved_by": run.approved_by,
        "acknowledged_by": run.acknowledged_by,
        "unacknowledged": run.is_unacknowledged(),
    });
    if whole && let Value::Object(view) = &mut view {
        view.insert("guards".to_owned(), json!(run.judged.1));
        view.insert("judged_before".to_owned(), json!(run.judged.0));
        view.insert("commands".to_owned(), json!(run.plan.commands()));
        view.insert("left_out".to_owned(), json!(run.left_out));
    }
    view
}
