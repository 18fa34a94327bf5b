//! `/metrics`: OpenMetrics, Prometheus text or protobuf by `Accept`, gzip by `Accept-Encoding`; `?cluster=` shows one cluster, `?self=1` pgvigil's
//! own process, both together the two.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use serde::Deserialize;

use super::page::{PageError, Pages, Scope};
use crate::metric::exposition::negotiate;

const USAGE: &str = "ask for /metrics, /metrics?cluster=NAME, /metrics?self=1 or both";

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    cluster: Option<String>,
    #[serde(rename = "self")]
    own: Option<String>,
}

impl Asked {
    fn scope(self) -> Result<Scope, &'static str> {
        match (self.cluster, self.own.as_deref()) {
            (None, None) => Ok(Scope::All),
            (Some(cluster), None) => Ok(Scope::Cluster(cluster)),
            (Some(cluster), Some("1")) => Ok(Scope::ClusterAndOwn(cluster)),
            (None, Some("1")) => Ok(Scope::Own),
            (_, Some(_)) => Err("self can only be 1"),
        }
    }
}

pub(super) async fn metrics(
    State(pages): State<Arc<Pages>>,
    asked: Result<Query<Asked>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let scope = match asked.map_err(|_| USAGE).and_then(|Query(asked)| asked.scope()) {
        Ok(scope) => scope,
        Err(why) => return (StatusCode::BAD_REQUEST, format!("{why}\n")).into_response(),
    };
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let format = negotiate(header(ACCEPT), pages.native_histograms());
    let gzip = header(ACCEPT_ENCODING).is_some_and(accepts_gzip);
    match pages.get(scope, format, gzip).await {
        Ok(page) => {
            let common = [(CONTENT_TYPE, format.content_type()), (VARY, "Accept, Accept-Encoding")];
            match gzip {
                true => (common, [(CONTENT_ENCODING, "gzip")], page).into_response(),
                false => (common, page).into_response(),
            }
        }
        Err(error @ PageError::NoCluster) => (StatusCode::NOT_FOUND, format!("{error}\n")).into_response(),
        Err(error) => {
            pages.tell(&error);
            (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response()
        }
    }
}

/// Whether `Accept-Encoding` lists gzip, and not with a weight of 0.
fn accepts_gzip(accept_encoding: &str) -> bool {
    accept_encoding.split(',').any(|entry| {
        let mut parts = entry.split(';').map(str::trim);
        let named = parts.next().is_some_and(|coding| coding.eq_ignore_ascii_case("gzip"));
        let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok());
        named && weight.is_none_or(|weight| weight > 0.0)
    })
}

#[cfg(test)]
mod tests {
    use super::accepts_gzip;

    #[test]
    fn gzip_is_sent_to_those_who_ask() {
        for (header, accepted) in [
            ("gzip", true),
            ("deflate, gzip;q=0.5", true),
            ("GZIP", true),
            ("gzip;q=0", false),
            ("identity", false),
            ("", false),
            ("br", false),
        ] {
            assert_eq!(accepts_gzip(header), accepted, "{header}");
        }
    }
}
