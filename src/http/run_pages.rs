//! `/runs/{id}`: the page of a run, and the forms by which a person says a word to it. They ask of the engine what `/api/v1/runs` asks.

use axum::extract::rejection::FormRejection;
use axum::extract::{Extension, Form, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Router, routing::MethodRouter};
use maud::html;
use serde::Deserialize;

use super::access::{Caller, guarded};
use super::runs::status_of;
use super::status::{answer, nowhere};
use crate::clock::Wall;
use crate::config::Role;
use crate::page::Section;
use crate::page::frame::{Frame, page};
use crate::page::run::{RunView, sections};
use crate::runbook::engine::{Parts, Person, Refused};

/// What a form sends.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Word {
    /// The hash of the plan that is approved.
    plan: String,
    comment: String,
}

/// Which of the words it is.
#[derive(Clone, Copy)]
enum Verb {
    Approve,
    Reject,
    Abort,
    Acknowledge,
}

/// The routes.
pub(super) fn routes<S: Clone + Send + Sync + 'static>(parts: Parts) -> Router<S> {
    Router::new()
        .route("/runs/{id}", get(show))
        .route("/runs/{id}/approve", said(Verb::Approve))
        .route("/runs/{id}/reject", said(Verb::Reject))
        .route("/runs/{id}/abort", said(Verb::Abort))
        .route("/runs/{id}/ack", said(Verb::Acknowledge))
        .with_state(parts)
}

/// Whether whoever asks may decide.
pub(super) fn may_decide(caller: Option<&Caller>) -> bool {
    caller.is_some_and(|caller| caller.role.includes(Role::Approver))
}

/// A run with what happened to it.
pub(super) fn view(parts: &Parts, id: &str, may_decide: bool) -> Option<RunView> {
    let runs = parts.intake.runs();
    let run = runs.get(id)?.clone();
    Some(RunView { run, story: runs.story(id).to_vec(), may_decide })
}

async fn show(State(parts): State<Parts>, Path(id): Path<String>, caller: Option<Extension<Caller>>) -> Response {
    let may_decide = may_decide(caller.as_deref());
    let Some(view) = view(&parts, &id, may_decide) else {
        return nowhere("There is no such run", &html! { p { a href="/" { "All clusters" } } });
    };
    let (cluster, events) = (&view.run.plan.episode.cluster, format!("/events?run={}", view.run.id));
    let (title, back) = (format!("run {}", view.run.id), format!("/clusters/{cluster}"));
    let frame = Frame { title: &title, back: Some((cluster, &back)), events: &events, made: Wall::now() };
    answer(StatusCode::OK, page(&frame, &sections(&view)))
}

fn said(verb: Verb) -> MethodRouter<Parts> {
    let handler =
        async move |State(parts): State<Parts>,
                    Path(id): Path<String>,
                    Extension(caller): Extension<Caller>,
                    word: Result<Form<Word>, FormRejection>| { say(verb, &parts, &id, &caller, word).await };
    guarded(Role::Approver, post(handler))
}

async fn say(
    verb: Verb,
    parts: &Parts,
    id: &str,
    caller: &Caller,
    word: Result<Form<Word>, FormRejection>,
) -> Response {
    let Ok(Form(word)) = word else {
        let why = Refused::Conflict("This is not what the form of a run sends: open its page again.".to_owned());
        return refused(StatusCode::BAD_REQUEST, id, &why);
    };
    let person = Person::new(parts, &caller.name, &word.comment);
    let done = match verb {
        Verb::Approve => person.approve(id, &word.plan).await,
        Verb::Reject => person.reject(id).await,
        Verb::Abort => person.abort(id).await,
        Verb::Acknowledge => person.acknowledge(id).await,
    };
    match done {
        Ok(run) => Redirect::to(&format!("/runs/{}", run.id)).into_response(),
        Err(error) => refused(status_of(&error), id, &error),
    }
}

/// Why nothing came of it, and the way back.
fn refused(status: StatusCode, id: &str, why: &Refused) -> Response {
    let words = html! {
        section.whole id="refused" {
            h2 { "Nothing was done" }
            p.bad role="alert" { (why) }
            p { a href={ "/runs/" (id) } { "Look at the run as it is now" } }
        }
    };
    let frame = Frame { title: "nothing was done", back: None, events: "", made: Wall::now() };
    answer(status, page(&frame, &[Section::new("refused", words)]))
}
