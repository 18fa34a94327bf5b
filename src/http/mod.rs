//! The HTTP door: pages and JSON from memory. No request touches a database, and nothing changes by GET.

mod api;
mod connection;
mod health;
mod metrics;
mod openapi;
mod page;
mod sd;
mod start;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use axum_server::Handle;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;

pub use page::OwnSource;

use crate::observe::fleet::Hubs;
use connection::Doorkeeper;
use page::Pages;

/// A client that takes longer to send its request's head is cut off; so is one that keeps its connection and asks nothing.
const HEAD_DEADLINE: Duration = Duration::from_secs(5);
/// All answers come from memory: one that takes longer is stuck.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);
/// How long requests under way may take when we stop.
const STOP_DEADLINE: Duration = Duration::from_secs(2);
/// No request's head is longer.
const HEAD_LIMIT: usize = 32 * 1024;
/// No request has a body yet.
const BODY_LIMIT: usize = 64 * 1024;

/// Why the door cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; {}", listen_hint(.source))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The reason.
        source: io::Error,
    },
    /// The listener broke.
    #[error("the HTTP server stopped: {0}")]
    Serve(#[from] io::Error),
}

fn listen_hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AddrInUse => "stop the process that has it (`ss -ltnp` names it), or set another listen address",
        io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege: set another listen address",
        io::ErrorKind::AddrNotAvailable => "this machine has no such address: set another listen address",
        _ => "set another listen address",
    }
}

/// Takes the address, so that a port in use is known before anything else starts.
pub fn listen(address: SocketAddr) -> Result<TcpListener, HttpError> {
    let listener = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    listener.map_err(|source| HttpError::Listen { address, source })
}

/// Answers until `stop` is done; requests under way get a little longer.
pub async fn serve(
    listener: TcpListener,
    hubs: Hubs,
    own: OwnSource,
    stop: impl Future<Output = ()>,
) -> Result<(), HttpError> {
    let handle = Handle::new();
    // Without HTTP/2 nothing waits, without a deadline, for the first bytes to tell the two apart.
    let server = axum_server::from_tcp(listener)?.http1_only().handle(handle.clone());
    let mut server = server.acceptor(Doorkeeper::new()).accept_error_handler(connection::tell_refusals());
    server.http_builder().http1().header_read_timeout(HEAD_DEADLINE).max_buf_size(HEAD_LIMIT);
    let pages = Arc::new(Pages::new(hubs, own));
    let mut serving = std::pin::pin!(server.serve(router(pages).into_make_service()));
    tokio::select! {
        result = &mut serving => return Ok(result?),
        () = stop => handle.graceful_shutdown(Some(STOP_DEADLINE)),
    }
    Ok(serving.await?)
}

fn router(pages: Arc<Pages>) -> Router {
    Router::new()
        .route("/", get(start::page))
        .route("/metrics", get(metrics::metrics))
        .route("/-/healthy", get(health::healthy))
        .route("/-/ready", get(health::ready))
        .route("/api/v1/clusters", get(api::clusters))
        .route("/api/v1/clusters/{cluster}", get(api::cluster))
        .route("/api/v1/openapi.yaml", get(openapi::page))
        .route("/sd", get(sd::targets))
        .fallback(nowhere)
        .with_state(pages)
        .layer(CatchPanicLayer::new())
        .layer(RequestBodyLimitLayer::new(BODY_LIMIT))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, ANSWER_DEADLINE))
}

async fn nowhere() -> (StatusCode, &'static str) {
    (StatusCode::NOT_FOUND, "There is no such page; / leads to those that there are.\n")
}
