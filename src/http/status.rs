//! The status page: `/`, `/clusters/{c}`, and what they are made of beside their words.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use maud::{Markup, html};

use crate::clock::Moment;
use crate::observe::Hub;
use crate::page::frame::{Frame, ICON, SCRIPT, STYLE, page};
use crate::page::view::{Told, View};
use crate::page::{Section, overview, sections};
use crate::runbook::engine::Parts;

/// What is not ours is not fetched, and nothing that stands in the page itself is run.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
                      base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// The routes.
pub(super) fn routes<S: Clone + Send + Sync + 'static>(parts: Parts) -> Router<S> {
    let file = |kind: &'static str, text: &'static str| get(async move |headers: HeaderMap| file(kind, text, &headers));
    Router::new()
        .route("/", get(start))
        .route("/clusters/{cluster}", get(cluster))
        .with_state(parts)
        .route("/page/page.css", file("text/css; charset=utf-8", STYLE))
        .route("/page/page.js", file("text/javascript; charset=utf-8", SCRIPT))
        .route("/page/icon.svg", file("image/svg+xml", ICON))
}

/// The only cluster whole, or all at a glance.
async fn start(State(parts): State<Parts>) -> Response {
    let hubs = parts.hubs.now();
    match &*hubs {
        [only] => whole(&parts, only, None),
        _ => {
            let made = Moment::now();
            let frame = Frame { title: "all clusters", back: None, events: "/events", made: made.wall };
            answer(StatusCode::OK, page(&frame, &overview_of(&parts)))
        }
    }
}

async fn cluster(State(parts): State<Parts>, Path(name): Path<String>) -> Response {
    let hubs = parts.hubs.now();
    match find(&hubs, &name) {
        Some(hub) => whole(&parts, hub, Some(("all clusters", "/"))),
        None => nowhere("There is no such cluster", &html! { p { a href="/" { "All clusters" } } }),
    }
}

fn whole(parts: &Parts, hub: &Hub, back: Option<(&str, &str)>) -> Response {
    let view = view(parts, hub);
    let events = format!("/events?cluster={}", view.cluster);
    let frame = Frame { title: &view.cluster, back, events: &events, made: view.now.wall };
    answer(StatusCode::OK, page(&frame, &sections(&view)))
}

/// The cluster of this name.
pub(super) fn find<'a>(hubs: &'a [Arc<Hub>], name: &str) -> Option<&'a Arc<Hub>> {
    hubs.iter().find(|hub| hub.cluster().layout().name == name)
}

/// All clusters at a glance.
pub(super) fn overview_of(parts: &Parts) -> Vec<Section> {
    let views: Vec<_> = parts.hubs.now().iter().map(|hub| view(parts, hub)).collect();
    overview::sections(&views)
}

/// A cluster as it is now.
pub(super) fn view(parts: &Parts, hub: &Hub) -> View {
    let name = hub.cluster().layout().name.clone();
    let told = Told::of(&parts.intake.runs(), &name);
    View::of(&hub.cluster(), told, Moment::now())
}

/// A page that is made for whoever asks.
pub(super) fn answer(status: StatusCode, page: Markup) -> Response {
    let head = [
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (REFERRER_POLICY, HeaderValue::from_static("same-origin")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (status, head, page.into_string()).into_response()
}

/// The page that says that there is none.
pub(super) fn nowhere(title: &str, body: &Markup) -> Response {
    let body = html! { section.whole id="nowhere" { h2 { (title) } (body) } };
    let made = Moment::now();
    let frame = Frame { title, back: None, events: "", made: made.wall };
    answer(StatusCode::NOT_FOUND, page(&frame, &[Section::new("nowhere", body)]))
}

/// A file that is as it is until another pgvigil runs.
fn file(kind: &'static str, text: &'static str, headers: &HeaderMap) -> Response {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    let hex: String = digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let tag = format!("\"{hex}\"");
    let is_known = headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let head = [
        (CONTENT_TYPE, kind.to_owned()),
        (X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (CACHE_CONTROL, "no-cache".to_owned()),
        (ETAG, tag),
    ];
    match is_known {
        true => (StatusCode::NOT_MODIFIED, head).into_response(),
        false => (head, text).into_response(),
    }
}
