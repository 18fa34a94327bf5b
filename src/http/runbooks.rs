//! `/runbooks/`: the pages that alerts lead to, as HTML for people and as the files that they are.

use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use maud::{Markup, PreEscaped, html};

use super::layout;
use crate::runbook::book::Book;
use crate::runbook::shelf::{Shelf, Source};

pub(super) const HTML: &str = "text/html; charset=utf-8";
const MARKDOWN: &str = "text/markdown; charset=utf-8";
/// Nothing is run and nothing is fetched, whatever a page says.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The runbooks in force.
pub struct Runbooks(RwLock<Arc<Shelf>>);

impl Runbooks {
    /// Serves these.
    pub fn new(shelf: Shelf) -> Self {
        Self(RwLock::new(Arc::new(shelf)))
    }

    /// Serves these from now on.
    pub fn take_in(&self, shelf: Shelf) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(shelf);
    }

    /// Those of this moment.
    pub fn now(&self) -> Arc<Shelf> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The routes.
pub(super) fn routes<S: Clone + Send + Sync + 'static>(runbooks: Arc<Runbooks>) -> Router<S> {
    Router::new()
        .route("/runbooks", get(|| async { Redirect::permanent("/runbooks/") }))
        .route("/runbooks/", get(list))
        .route("/runbooks/{name}", get(page))
        .with_state(runbooks)
}

async fn list(State(runbooks): State<Arc<Runbooks>>, headers: HeaderMap) -> Response {
    let shelf = runbooks.now();
    let entries = shelf.entries();
    let body = html! {
        h1 { "Runbooks" }
        @if entries.is_empty() {
            p { "There are none." }
        } @else {
            table {
                thead { tr { th { "runbook" } th { "class" } th { "mode" } th { "from" } } }
                tbody {
                    @for entry in entries {
                        tr {
                            td { a href=(entry.book.name) { (entry.book.name) } }
                            td { (entry.book.class.as_str()) }
                            td { (entry.book.mode.as_str()) }
                            td { (from(&entry.source)) }
                        }
                    }
                }
            }
        }
        p { a href="/" { "pgvigil" } }
    };
    answer(HTML, layout::page("Runbooks", body).into_string(), &headers)
}

async fn page(
    State(runbooks): State<Arc<Runbooks>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let shelf = runbooks.now();
    let Some(entry) = shelf.find(&name) else { return nowhere(&shelf, &name) };
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if asks_raw(query.as_deref().unwrap_or_default()) || prefers_markdown(accept) {
        return answer(MARKDOWN, entry.book.text.clone(), &headers);
    }
    let body = html! {
        (front(&entry.book, &entry.source))
        article { (PreEscaped(&entry.book.article.html)) }
        p {
            a href="/runbooks/" { "all runbooks" } " · "
            a href={ (entry.book.name) "?raw" } { "the file" } " · "
            a href="/" { "pgvigil" }
        }
    };
    answer(HTML, layout::page(&entry.book.name, body).into_string(), &headers)
}

/// What the front matter says, as far as a reader needs it.
fn front(book: &Book, source: &Source) -> Markup {
    html! {
        table {
            thead { tr { th { "class" } th { "mode" } th { "steps" } th { "alerts" } th { "from" } } }
            tbody {
                tr {
                    td { (book.class.as_str()) }
                    td { (book.mode.as_str()) }
                    td {
                        @if book.steps.is_empty() {
                            "none"
                        } @else {
                            (book.steps.iter().map(|step| step.kind()).collect::<Vec<_>>().join(", "))
                        }
                    }
                    td { (book.alerts.join(", ")) }
                    td { (from(source)) }
                }
            }
        }
    }
}

/// Where it comes from; a path of the machine is for nobody who only looks.
fn from(source: &Source) -> &'static str {
    match source {
        Source::BuiltIn => "pgvigil",
        Source::File(_) => "runbook_dirs",
    }
}

fn nowhere(shelf: &Shelf, name: &str) -> Response {
    let body = html! {
        h1 { "There is no such runbook" }
        @if let Some(near) = shelf.nearest(name) {
            p { "Did you mean " a href={ "/runbooks/" (near) } { (near) } "?" }
        }
        p { a href="/runbooks/" { "all runbooks" } }
    };
    let mut response = answer(HTML, layout::page("No such runbook", body).into_string(), &HeaderMap::new());
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

/// The text, or the word that the asker has it already.
pub(super) fn answer(content_type: &'static str, text: String, headers: &HeaderMap) -> Response {
    let tag = tag(&text);
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|known| known.to_str().ok());
    let is_known = known.flat_map(|known| known.split(',')).any(|known| {
        let known = known.trim();
        known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag
    });
    let head = [
        (CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (VARY, HeaderValue::from_static("Accept")),
    ];
    let tag = [(ETAG, tag)];
    match is_known {
        true => (StatusCode::NOT_MODIFIED, head, tag).into_response(),
        false => (head, tag, text).into_response(),
    }
}

fn tag(text: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    let hex: String = digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
}

fn asks_raw(query: &str) -> bool {
    query.split('&').any(|part| part == "raw" || part.starts_with("raw="))
}

/// Whether `Accept` likes Markdown better than HTML; what takes anything gets HTML.
fn prefers_markdown(accept: &str) -> bool {
    let quality = |media: &str| {
        let qualities = accept.split(',').filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let is_it = parts.next().is_some_and(|range| range.eq_ignore_ascii_case(media));
            let quality = parts.find_map(|part| part.strip_prefix("q="));
            is_it.then(|| quality.map_or(Some(1.0), |quality| quality.parse::<f32>().ok()))?
        });
        qualities.fold(0.0, f32::max)
    };
    quality("text/markdown") > quality("text/html")
}

#[cfg(test)]
mod tests;
