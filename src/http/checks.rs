//! `/checks/`: the pages of the doctor's checks, for those who follow a link of the status page.

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use maud::{PreEscaped, html};

use super::layout;
use super::runbooks::{HTML, answer};
use crate::doctor::check::CHECKS;
use crate::doctor::page as text;
use crate::nearest::nearest;
use crate::runbook::markdown;

/// The routes.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/checks", get(|| async { Redirect::permanent("/checks/") }))
        .route("/checks/", get(list))
        .route("/checks/{name}", get(page))
}

async fn list(headers: HeaderMap) -> Response {
    let body = html! {
        h1 { "Checks" }
        table {
            thead { tr { th { "check" } th { "severity" } th { "all is well when" } } }
            tbody {
                @for check in CHECKS {
                    tr {
                        td { a href=(check.id) { (check.id) } }
                        td { (check.severity.as_str()) }
                        td { (check.title) }
                    }
                }
            }
        }
        p { a href="/" { "pgvigil" } }
    };
    answer(HTML, layout::page("Checks", body).into_string(), &headers)
}

async fn page(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let Some(check) = CHECKS.iter().find(|check| check.id == name) else { return nowhere(&name) };
    let Ok(article) = markdown::render(&text::of(check)) else { return nowhere(&name) };
    let body = html! {
        article { (PreEscaped(article.html)) }
        p { a href="/checks/" { "all checks" } " · " a href="/" { "pgvigil" } }
    };
    answer(HTML, layout::page(check.id, body).into_string(), &headers)
}

fn nowhere(name: &str) -> Response {
    let body = html! {
        h1 { "There is no such check" }
        @if let Some(near) = nearest(name, CHECKS.iter().map(|check| check.id)) {
            p { "Did you mean " a href={ "/checks/" (near) } { (near) } "?" }
        }
        p { a href="/checks/" { "all checks" } }
    };
    let page = layout::page("No such check", body).into_string();
    (StatusCode::NOT_FOUND, answer(HTML, page, &HeaderMap::new())).into_response()
}
