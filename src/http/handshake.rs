//! From a connection that was let in to one that speaks HTTP: TLS, if it is spoken here, within a deadline; and who is at the other end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::Request;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower_service::Service;

use super::connection::{Activity, Guest};
use super::tls::names_of;

/// A client that takes longer for its part of the handshake is cut off.
const DEADLINE: Duration = Duration::from_secs(5);
/// What a TLS handshake begins with.
const HANDSHAKE: u8 = 22;
const NO_TLS: &[u8] = b"HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n\
                        This door speaks TLS: ask by https.\n";

/// What a connection says of the other end. By default it is plain and says nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Peer {
    names: Arc<[String]>,
    over_tls: bool,
}

impl Peer {
    /// The subject alternative names; none without a verified certificate.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether it speaks TLS with us.
    pub(super) fn is_over_tls(&self) -> bool {
        self.over_tls
    }
}

/// A TLS handshake came to nothing.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct HandshakeError(String);

/// Speaks TLS. `verified`: whether a certificate that was let in says who the client is.
pub(super) async fn secure(
    mut guest: Guest,
    config: Arc<ServerConfig>,
    verified: bool,
) -> Result<(Line, Peer), HandshakeError> {
    let late = |_| HandshakeError("the client took too long".to_owned());
    let shake = async {
        if !matches!(guest.first_byte().await, Ok(HANDSHAKE)) {
            // A word for those who forgot the s of https; whoever hears it or not is gone.
            let _ = guest.write_all(NO_TLS).await;
            let _ = guest.shutdown().await;
            return Err(HandshakeError("the client does not speak TLS".to_owned()));
        }
        TlsAcceptor::from(config).accept(guest).await.map_err(|error| HandshakeError(error.to_string()))
    };
    let stream = timeout(DEADLINE, shake).await.map_err(late)??;
    let shown = stream.get_ref().1.peer_certificates().filter(|_| verified).and_then(<[_]>::first);
    let peer = Peer { names: shown.map(names_of).unwrap_or_default().into(), over_tls: true };
    Ok((Box::new(stream), peer))
}

/// What bytes go over.
pub(super) trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// A connection that speaks HTTP, by TLS or plain.
pub(super) type Line = Box<dyn Wire>;

/// The service of one connection: tells each request who sent it, and the connection that there was one.
#[derive(Clone)]
pub(super) struct Attended<S> {
    pub(super) service: S,
    pub(super) peer: Peer,
    pub(super) from: Option<SocketAddr>,
    pub(super) activity: Activity,
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for Attended<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        self.activity.stamp();
        request.extensions_mut().insert(self.peer.clone());
        request.extensions_mut().insert(self.activity.clone());
        if let Some(from) = self.from {
            request.extensions_mut().insert(axum::extract::ConnectInfo(from));
        }
        self.service.call(request)
    }
}
