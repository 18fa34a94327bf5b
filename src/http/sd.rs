//! `/sd`: Prometheus HTTP service discovery. Each cluster is a target of its own, so that a cluster's series come with its own `up`,
//! and pgvigil's own process is one more.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::HOST;
use axum::http::uri::Authority;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::handshake::Peer;
use super::page::Pages;

/// The targets, at the address and by the scheme by which the asker reached us; whoever asks without TLS may have come through
/// something that speaks it, and knows better. There is no label `cluster`: the series have it.
pub(super) async fn targets(State(pages): State<Arc<Pages>>, request: Request) -> Response {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    // HTTP/2 names the host in the request's line.
    let host = host.or_else(|| request.uri().authority().cloned());
    let Some(host) = host.filter(|host| !host.as_str().contains('@')) else {
        let error = json!({ "error": "the request has no host that names us" });
        return (StatusCode::BAD_REQUEST, Json(error)).into_response();
    };
    let over_tls = request.extensions().get::<Peer>().is_some_and(Peer::is_over_tls);
    let target = |mut labels: Value| {
        if over_tls {
            labels["__scheme__"] = "https".into();
        }
        json!({ "targets": [host.as_str()], "labels": labels })
    };
    let hubs = pages.hubs();
    let clusters = hubs.iter().map(|hub| {
        let name = hub.name();
        target(json!({ "__param_cluster": name, "instance": format!("{host}/{name}") }))
    });
    let own = target(json!({ "__param_self": "1", "instance": host.as_str() }));
    Json(clusters.chain([own]).collect::<Vec<Value>>()).into_response()
}
