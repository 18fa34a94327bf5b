//! The description of the API, for programs that are made from it. Written by hand; the tests hold the answers against it.

use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

/// The description.
pub(super) const OPENAPI: &str = include_str!("openapi.yaml");

pub(super) async fn page() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/yaml")], OPENAPI)
}
