//! The door's connections: so many at most, and none that waits for ever. A client that does not send its request's head is cut off
//! by the HTTP layer; here one that does not read its answer is.

use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum_server::accept::Accept;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// Connections at one time. One more is closed at once: descriptors are needed for the servers that we watch.
const MOST: usize = 256;
/// A client that takes nothing of its answer for so long is cut off.
const TAKE_DEADLINE: Duration = Duration::from_secs(10);
/// Connections that could not be taken are told of at most so often.
const TELL_EACH: Duration = Duration::from_secs(60);

/// Lets connections in while there is room.
#[derive(Clone)]
pub(super) struct Doorkeeper {
    room: Arc<Semaphore>,
}

impl Doorkeeper {
    pub(super) fn new() -> Self {
        Self { room: Arc::new(Semaphore::new(MOST)) }
    }
}

impl<S> Accept<TcpStream, S> for Doorkeeper {
    type Stream = Guest;
    type Service = S;
    type Future = Ready<io::Result<(Guest, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let Ok(place) = self.room.clone().try_acquire_owned() else {
            return ready(Err(io::Error::other(format!("{MOST} connections are open"))));
        };
        // The last piece of a long page must not wait for the client's acknowledgement.
        ready(stream.set_nodelay(true).map(|()| (Guest { stream, stuck: None, _place: place }, service)))
    }
}

/// A connection that was let in. It gives its place back when it is dropped.
pub(super) struct Guest {
    stream: TcpStream,
    /// Runs while the client takes nothing.
    stuck: Option<Pin<Box<Sleep>>>,
    _place: OwnedSemaphorePermit,
}

impl Guest {
    fn within_deadline<T>(
        &mut self,
        context: &mut Context<'_>,
        step: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(result) = step(Pin::new(&mut self.stream), context) {
            self.stuck = None;
            return Poll::Ready(result);
        }
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(sleep(TAKE_DEADLINE)));
        stuck.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Guest {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
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
    let told: Mutex<Option<Instant>> = Mutex::new(None);
    move |_, error| {
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|at| at.elapsed() >= TELL_EACH) {
            *told = Some(Instant::now());
            tracing::warn!(
                "an HTTP connection could not be taken: {error}; see who holds them (`ss -tnp`), or raise `ulimit -n`"
            );
        }
    }
}
