//! The HTTP door: pages and JSON from memory. No request touches a database, and nothing changes by GET.

pub mod access;
mod alertmanager;
mod api;
mod checks;
mod connection;
pub mod door;
mod events;
mod handshake;
mod health;
mod layout;
mod maintenance;
mod metrics;
mod openapi;
mod page;
mod rate;
mod refusal;
mod reload;
mod routing;
mod rules;
mod run_pages;
mod runbooks;
mod runs;
mod sd;
mod seen;
mod seldom;
mod status;
mod tls;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use axum_server::Handle;
use tokio::sync::watch;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;

pub use door::Door;
pub use page::OwnSource;
pub use reload::Reload;
pub use runbooks::Runbooks;

use crate::config::NativeHistograms;
use crate::observe::fleet::Hubs;
use crate::observe::maintenance::Maintainer;
use crate::runbook::engine;
use crate::runbook::intake::Intake;
use connection::Doorkeeper;
use page::Pages;

/// A client that takes longer to send its request's head is cut off; so is one that keeps its connection and asks nothing.
const HEAD_DEADLINE: Duration = Duration::from_secs(5);
/// All answers come from memory: one that takes longer is stuck.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);
/// How long requests under way may take when we stop.
const STOP_DEADLINE: Duration = Duration::from_secs(2);
/// No request's head is longer.
const HEAD_LIMIT: u32 = 32 * 1024;
/// No request's body is longer, but that of Alertmanager's webhook.
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

/// Streams of one HTTP/2 connection at one time.
const MOST_STREAMS: u32 = 32;

/// What the answers are made from, and whom the requests that change something reach.
pub struct Sources {
    /// Each cluster.
    pub hubs: Hubs,
    /// This process.
    pub own: OwnSource,
    /// Whether native histograms are there for those who ask for them.
    pub native_histograms: watch::Receiver<NativeHistograms>,
    /// Takes in the config anew.
    pub reload: Reload,
    /// Begins and ends maintenance.
    pub maintainer: Maintainer,
    /// The runbooks in force.
    pub runbooks: Arc<Runbooks>,
    /// Takes in what Alertmanager hands in.
    pub intake: Arc<Intake>,
    /// What people ask of runs goes to.
    pub engine: engine::Parts,
}

/// Answers until `stop` is done; requests under way get a little longer.
pub async fn serve(
    listener: TcpListener,
    sources: Sources,
    door: Arc<Door>,
    stop: impl Future<Output = ()>,
) -> Result<(), HttpError> {
    let handle = Handle::new();
    let server = axum_server::from_tcp(listener)?.handle(handle.clone());
    let server = match door.offers_http2() {
        // The first bytes tell HTTP/1 and HTTP/2 apart, and they must come in time.
        true => server.first_request_timeout(HEAD_DEADLINE),
        false => server.http1_only(),
    };
    let mut server = server.acceptor(Doorkeeper::new(door.clone())).accept_error_handler(connection::tell_refusals());
    server.http_builder().http1().header_read_timeout(HEAD_DEADLINE).max_buf_size(HEAD_LIMIT as usize);
    server.http_builder().http2().max_header_list_size(HEAD_LIMIT).max_concurrent_streams(MOST_STREAMS);
    let (leave, leaving) = watch::channel(false);
    let routes = router(sources, door.clone(), leaving)?;
    let mut serving = std::pin::pin!(server.serve(routes.into_make_service()));
    let mut keeping = std::pin::pin!(door.keep());
    tokio::select! {
        result = &mut serving => return Ok(result?),
        () = stop => {
            // Pages that are open end at once: they would never end by themselves.
            leave.send_replace(true);
            handle.graceful_shutdown(Some(STOP_DEADLINE));
        }
        never = &mut keeping => match never {},
    }
    Ok(serving.await?)
}

fn router(sources: Sources, door: Arc<Door>, leaving: watch::Receiver<bool>) -> io::Result<Router> {
    let Sources { hubs, own, native_histograms, reload, maintainer, runbooks, intake, engine } = sources;
    let webhook = alertmanager::route(intake.clone(), hubs.clone());
    let pages = Arc::new(Pages::new(hubs, own, native_histograms)?);
    let routes = Router::new()
        .route("/metrics", get(metrics::metrics))
        .route("/-/healthy", get(health::healthy))
        .route("/-/ready", get(health::ready))
        .route("/-/reload", reload::route(reload))
        .route("/api/v1/clusters", get(api::clusters))
        .route("/api/v1/clusters/{cluster}", get(api::cluster))
        .route("/api/v1/clusters/{cluster}/checks", get(api::checks))
        .route("/api/v1/maintenance", maintenance::route(Arc::new(maintainer)))
        .route("/api/v1/openapi.yaml", get(openapi::page))
        .route("/sd", get(sd::targets))
        .route(routing::PATH, routing::route())
        .merge(runbooks::routes(runbooks))
        .merge(checks::routes())
        .merge(status::routes(engine.clone()))
        .merge(events::routes(engine.clone(), leaving))
        .merge(run_pages::routes(engine.clone()))
        .merge(runs::routes(engine))
        .fallback(nowhere)
        .with_state(pages)
        .layer(RequestBodyLimitLayer::new(BODY_LIMIT))
        // Behind it, because it has a limit of its own.
        .route(alertmanager::PATH, webhook)
        .layer(from_fn_with_state(door, access::admit))
        .layer(CatchPanicLayer::new())
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, ANSWER_DEADLINE))
        .layer(from_fn_with_state(intake, alertmanager::count));
    Ok(routes)
}

async fn nowhere() -> (StatusCode, &'static str) {
    (StatusCode::NOT_FOUND, "There is no such page; / leads to those that there are.\n")
}
