//! The door's connections: so many at most, and none that waits for ever. A client that does not send its request's head is cut off
//! by the HTTP layer; here are those that do not read their answers, and those that hold a connection and ask nothing.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum_server::accept::Accept;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::door::Door;
use super::handshake::{Attended, HandshakeError, Line, Peer, secure};
use super::seldom::Seldom;
use crate::clock::Mono;

/// Connections at one time. One more is closed at once: descriptors are needed for the servers that we watch.
const MOST: usize = 256;
/// A client that takes nothing of its answer for so long is cut off.
const TAKE_DEADLINE: Duration = Duration::from_secs(10);
/// A connection on which no request came for so long is cut off, whatever else comes: longer than between two scrapes as people have
/// them, which HTTP/2 sends over one connection.
const IDLE_DEADLINE: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 90 });

/// Lets connections in while there is room.
#[derive(Clone)]
pub(super) struct Doorkeeper {
    room: Arc<Semaphore>,
    door: Arc<Door>,
}

impl Doorkeeper {
    pub(super) fn new(door: Arc<Door>) -> Self {
        Self { room: Arc::new(Semaphore::new(MOST)), door }
    }
}

impl<S: Send + 'static> Accept<TcpStream, S> for Doorkeeper {
    type Stream = Line;
    type Service = Attended<S>;
    type Future = BoxFuture<'static, io::Result<(Line, Attended<S>)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let place = self.room.clone().try_acquire_owned();
        let rules = self.door.rules();
        Box::pin(async move {
            let Ok(place) = place else {
                return Err(io::Error::other(format!("{MOST} connections are open")));
            };
            // The last piece of a long page must not wait for the client's acknowledgement.
            stream.set_nodelay(true)?;
            let (from, activity) = (stream.peer_addr().ok(), Activity::default());
            let guest = Guest { stream, stuck: None, idle: None, activity: activity.clone(), _place: place };
            let verified = rules.web.tls.as_ref().is_some_and(|tls| tls.client_auth.verifies());
            let (line, peer) = match rules.tls.clone() {
                Some(tls) => secure(guest, tls, verified).await.map_err(io::Error::other)?,
                None => (Box::new(guest) as Line, Peer::default()),
            };
            activity.stamp();
            Ok((line, Attended { service, peer, from, activity }))
        })
    }
}

/// When the last request of a connection came.
#[derive(Clone)]
pub(super) struct Activity(Arc<(Instant, AtomicU64)>);

impl Default for Activity {
    fn default() -> Self {
        Self(Arc::new((Instant::now(), AtomicU64::new(0))))
    }
}

impl Activity {
    pub(super) fn stamp(&self) {
        let since = u64::try_from(self.0.0.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.1.store(since, Ordering::Relaxed);
    }

    fn idle_at(&self) -> Instant {
        self.0.0 + Duration::from_millis(self.0.1.load(Ordering::Relaxed)) + IDLE_DEADLINE
    }
}

/// A connection that was let in. It gives its place back when it is dropped.
pub(super) struct Guest {
    stream: TcpStream,
    /// Runs while the client takes nothing.
    stuck: Option<Pin<Box<Sleep>>>,
    /// Runs until the connection has been idle for too long.
    idle: Option<Pin<Box<Sleep>>>,
    activity: Activity,
    _place: OwnedSemaphorePermit,
}

impl Guest {
    /// The first byte that the client sends, which stays to be read.
    pub(super) async fn first_byte(&self) -> io::Result<u8> {
        let mut first = [0];
        match self.stream.peek(&mut first).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(first[0]),
        }
    }

    fn within_deadline<T>(
        &mut self,
        context: &mut Context<'_>,
        step: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(result) = step(Pin::new(&mut self.stream), context) {
            self.stuck = None;
            return Poll::Ready(result);
        }
        if self.is_idle(context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(sleep(TAKE_DEADLINE)));
        stuck.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Whether no request came for too long; if not, `context` is woken when that may be.
    fn is_idle(&mut self, context: &mut Context<'_>) -> bool {
        loop {
            let idle_at = self.activity.idle_at();
            let idle = self.idle.get_or_insert_with(|| Box::pin(sleep_until(idle_at)));
            if idle.as_mut().poll(context).is_pending() {
                return false;
            }
            if idle_at <= Instant::now() {
                return true;
            }
            self.idle = None;
        }
    }
}

impl AsyncRead for Guest {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Asked first, for a client that always sends a little more must not escape it.
        if self.is_idle(context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Guest {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.within_deadline(context, |stream, context| stream.poll_write(context, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.within_deadline(context, |stream, context| stream.poll_flush(context))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.within_deadline(context, |stream, context| stream.poll_shutdown(context))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.within_deadline(context, |stream, context| stream.poll_write_vectored(context, pieces))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Tells that connections cannot be taken, now and then.
pub(super) fn tell_refusals() -> impl Fn(Option<&std::net::SocketAddr>, &io::Error) + Send + Sync + 'static {
    let (full, handshakes) = (Seldom::default(), Seldom::default());
    move |from, error| {
        let is_handshake = error.get_ref().is_some_and(|inner| inner.is::<HandshakeError>());
        if is_handshake {
            if let Some(left_out) = handshakes.tell(Mono::now()) {
                let from = from.map_or_else(|| "an unknown address".to_owned(), |from| from.ip().to_string());
                tracing::warn!(left_out, "a TLS handshake with {from} came to nothing: {error}");
            }
        } else if let Some(left_out) = full.tell(Mono::now()) {
            tracing::warn!(
                left_out,
                "an HTTP connection could not be taken: {error}; see who holds them (`ss -tnp`), or raise `ulimit -n`"
            );
        }
    }
}

#[cfg(test)]
mod tests;
