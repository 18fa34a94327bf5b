//! A stream that can ask for the replication protocol: the library has no word for it, so its startup message is given one more
//! parameter on the way out, under TLS too. All else passes as it is.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

/// The version in a startup message: 3.0.
const PROTOCOL: [u8; 4] = [0, 3, 0, 0];
/// Physical replication, as a walreceiver asks for it.
const PARAMETER: &[u8] = b"replication\0true\0";

/// A stream, or TLS over one.
pub(super) struct Startup<S> {
    stream: S,
    state: State,
}

/// What becomes of what is written.
#[derive(Debug, PartialEq, Eq)]
enum State {
    /// It passes.
    Plain,
    /// The startup message is still to come.
    Waiting,
    /// This goes in the place of so many bytes, and so much of it is gone.
    Sending { message: Vec<u8>, sent: usize, instead_of: usize },
}

impl<S> Startup<S> {
    pub(super) fn new(stream: S, replicates: bool) -> Self {
        Self { stream, state: if replicates { State::Waiting } else { State::Plain } }
    }
}

impl State {
    /// Looks at what is about to be written: is it the startup message?
    fn look(&mut self, bytes: &[u8]) {
        if *self == Self::Waiting
            && let Some(message) = with_parameter(bytes)
        {
            *self = Self::Sending { message, sent: 0, instead_of: bytes.len() };
        }
    }
}

/// A startup message with one more parameter; `None`: it is something else, such as the question for TLS.
fn with_parameter(bytes: &[u8]) -> Option<Vec<u8>> {
    let length = u32::from_be_bytes(*bytes.first_chunk()?);
    let is_whole = usize::try_from(length) == Ok(bytes.len()) && bytes.get(4..8)? == PROTOCOL;
    let (end, parameters) = bytes.get(8..)?.split_last()?;
    let longer = length.checked_add(u32::try_from(PARAMETER.len()).ok()?)?;
    (is_whole && *end == 0).then(|| [&longer.to_be_bytes(), &PROTOCOL[..], parameters, PARAMETER, &[0]].concat())
}

impl<S: AsyncRead + Unpin> AsyncRead for Startup<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Startup<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        this.state.look(bytes);
        let State::Sending { message, sent, instead_of } = &mut this.state else {
            return Pin::new(&mut this.stream).poll_write(context, bytes);
        };
        while *sent < message.len() {
            match ready!(Pin::new(&mut this.stream).poll_write(context, &message[*sent..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                more => *sent += more,
            }
        }
        let written = *instead_of;
        this.state = State::Plain;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S: TlsStream + Unpin> TlsStream for Startup<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.stream.channel_binding()
    }
}

/// Speaks TLS over a stream, and asks for replication inside it.
pub(super) struct StartupTls<C> {
    pub(super) tls: C,
    pub(super) replicates: bool,
}

impl<S, C> TlsConnect<S> for StartupTls<C>
where
    C: TlsConnect<S>,
    C::Future: Send + 'static,
    C::Stream: 'static,
    C::Error: 'static,
{
    type Stream = Startup<C::Stream>;
    type Error = C::Error;
    type Future = BoxFuture<'static, Result<Self::Stream, Self::Error>>;

    fn connect(self, stream: S) -> Self::Future {
        let replicates = self.replicates;
        self.tls.connect(stream).map(move |made| Ok(Startup::new(made?, replicates))).boxed()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    const STARTUP: &[u8] = b"\0\0\0\x19\0\x03\0\0user\0replicator\0\0";

    #[test]
    fn only_a_whole_startup_message_gets_the_parameter() {
        let with = with_parameter(STARTUP).unwrap();
        assert_eq!(with, b"\0\0\0\x2a\0\x03\0\0user\0replicator\0replication\0true\0\0");
        let tls_request = b"\0\0\0\x08\x04\xd2\x16\x2f";
        let hello = b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\0";
        for other in [&tls_request[..], hello, &STARTUP[..20], b"", b"\0\0\0\x08\0\x03\0\0"] {
            assert_eq!(with_parameter(other), None, "{other:?}");
        }
    }

    #[tokio::test]
    async fn the_first_startup_message_is_changed_however_the_stream_takes_it_and_nothing_else() {
        // A stream that takes seven bytes at a time.
        let (ours, mut theirs) = tokio::io::duplex(7);
        let reading = tokio::spawn(async move {
            let mut all = Vec::new();
            tokio::io::AsyncReadExt::read_to_end(&mut theirs, &mut all).await.map(|_| all)
        });
        let mut stream = Startup::new(ours, true);
        let request = b"\0\0\0\x08\x04\xd2\x16\x2f";
        for bytes in [&request[..], STARTUP, STARTUP] {
            stream.write_all(bytes).await.unwrap();
        }
        drop(stream);
        let expected = [&request[..], &with_parameter(STARTUP).unwrap(), STARTUP].concat();
        assert_eq!(reading.await.unwrap().unwrap(), expected);
    }
}
