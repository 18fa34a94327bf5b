//! `/sd`: Prometheus HTTP service discovery. Each cluster is a target of its own, so that a cluster's series come with its own `up`,
//! and pgvigil's own process is one more.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::HOST;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::page::Pages;

/// The targets, at the address by which the asker reached us. There is no label `cluster`: the series have it.
pub(super) async fn targets(State(pages): State<Arc<Pages>>, headers: HeaderMap) -> Response {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    let Some(host) = host.filter(|host| !host.as_str().contains('@')) else {
        let error = json!({ "error": "the request has no Host header that names us" });
        return (StatusCode::BAD_REQUEST, Json(error)).into_response();
    };
    let own = json!({ "targets": [host.as_str()], "labels": { "__param_self": "1", "instance": host.as_str() } });
    let hubs = pages.hubs();
    let clusters = hubs.iter().map(|hub| {
        let name = hub.cluster().layout().name.clone();
        json!({ "targets": [host.as_str()], "labels": { "__param_cluster": name, "instance": format!("{host}/{name}") } })
    });
    Json(clusters.chain([own]).collect::<Vec<Value>>()).into_response()
}
