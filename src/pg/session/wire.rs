//! The bytes of a connection. A server may send so much for one question and no more: what answers at an address may be anything, and
//! its messages are gathered in our memory.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};

use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_postgres::Config;

use crate::pg::lookup::Place;

/// What a server may send for one question: a reading of thousands of slots and walsenders has less than a quarter of it.
const MOST_BYTES: usize = 4 << 20;

/// What a server may still send.
#[derive(Clone, Debug)]
pub(super) struct Allowance(Arc<AtomicUsize>);

impl Allowance {
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicUsize::new(MOST_BYTES)))
    }

    /// A new question: the server may say as much again.
    pub(super) fn renew(&self) {
        self.0.store(MOST_BYTES, Relaxed);
    }

    /// Takes `bytes` from it; whether there was so much.
    fn takes(&self, bytes: usize) -> bool {
        self.0.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }
}

/// A connection to a server.
pub(super) struct Wire {
    stream: Stream,
    allowance: Allowance,
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Wire {
    /// Connects to `place`, with the timings of `config`.
    pub(super) async fn open(place: &Place, config: &Config, allowance: Allowance) -> io::Result<Self> {
        let connecting = async {
            Ok::<_, io::Error>(match place {
                Place::Network(address) => Stream::Tcp(TcpStream::connect(address).await?),
                Place::Socket(path) => Stream::Unix(UnixStream::connect(path).await?),
            })
        };
        let stream = match config.get_connect_timeout() {
            Some(within) => {
                timeout(*within, connecting).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?
            }
            None => connecting.await?,
        };
        if let Stream::Tcp(stream) = &stream {
            set_options(stream, config)?;
        }
        Ok(Self { stream, allowance })
    }

    /// The address of ours that it comes from; `None`: a unix socket.
    pub(super) fn from(&self) -> Option<IpAddr> {
        match &self.stream {
            Stream::Tcp(stream) => stream.local_addr().ok().map(|address| address.ip().to_canonical()),
            Stream::Unix(_) => None,
        }
    }
}

fn set_options(stream: &TcpStream, config: &Config) -> io::Result<()> {
    stream.set_nodelay(true)?;
    if let Some(within) = config.get_tcp_user_timeout() {
        sockopt::set_tcp_user_timeout(stream, u32::try_from(within.as_millis()).unwrap_or(u32::MAX))?;
    }
    if config.get_keepalives() {
        sockopt::set_socket_keepalive(stream, true)?;
        sockopt::set_tcp_keepidle(stream, config.get_keepalives_idle())?;
        if let Some(interval) = config.get_keepalives_interval() {
            sockopt::set_tcp_keepintvl(stream, interval)?;
        }
        if let Some(retries) = config.get_keepalives_retries() {
            sockopt::set_tcp_keepcnt(stream, retries)?;
        }
    }
    Ok(())
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
        };
        if self.allowance.takes(buffer.filled().len() - before) {
            return result;
        }
        let why = format!("it sent more than {} MiB for one question", MOST_BYTES >> 20);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Stream::Unix(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_is_for_one_question() {
        let allowance = Allowance::new();
        assert!(allowance.takes(MOST_BYTES - 1) && allowance.takes(1) && allowance.takes(0));
        assert!(!allowance.takes(1));
        allowance.renew();
        assert!(allowance.takes(MOST_BYTES));
    }
}
