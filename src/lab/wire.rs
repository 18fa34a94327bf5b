//! A TCP proxy that can misbehave: the network between two servers, or between a server and pgvigil.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};

use super::{LabError, port};

const CHUNK: usize = 16 * 1024;
/// Chunks under way in one direction; more are left to the sockets' own buffers.
const UNDER_WAY: usize = 64;
const REBIND_PAUSE: Duration = Duration::from_millis(20);

/// What the proxy does with what passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WireMode {
    /// Forwards.
    #[default]
    Pass,
    /// Closes every connection and refuses new ones.
    Cut,
    /// Keeps connections open, accepts new ones, and forwards nothing; what was sent arrives once it passes again.
    BlackHole,
    /// Forwards requests and holds back replies.
    BlackHoleReplies,
    /// Holds back requests and forwards replies.
    BlackHoleRequests,
    /// Forwards after this time, in each direction.
    Delay(Duration),
    /// Forwards replies no faster than so many bytes a second.
    Throttle(u32),
    /// Forwards, and lets the server report this version at each new login.
    Version(&'static str),
}

#[derive(Clone, Copy)]
enum Direction {
    Request,
    Reply,
}

impl WireMode {
    fn holds(self, direction: Direction) -> bool {
        match direction {
            Direction::Request => matches!(self, Self::BlackHole | Self::BlackHoleRequests),
            Direction::Reply => matches!(self, Self::BlackHole | Self::BlackHoleReplies),
        }
    }
}

/// A proxy on a free port of 127.0.0.1. Dropping it closes every connection.
pub struct Wire {
    port: u16,
    mode: watch::Sender<WireMode>,
    listening: watch::Receiver<bool>,
    task: JoinHandle<()>,
}

impl Wire {
    /// Opens a wire to this port of 127.0.0.1.
    pub async fn to(upstream: u16) -> Result<Self, LabError> {
        let port = port::free()?;
        let (mode, modes) = watch::channel(WireMode::Pass);
        let (listens, listening) = watch::channel(false);
        let task = tokio::spawn(run(port, upstream, modes, listens));
        let wire = Self { port, mode, listening, task };
        wire.settle(true).await?;
        Ok(wire)
    }

    /// The port to connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Changes what the wire does; when this returns, it does so.
    pub async fn set(&self, mode: WireMode) -> Result<(), LabError> {
        self.mode.send_replace(mode);
        self.settle(mode != WireMode::Cut).await
    }

    async fn settle(&self, listens: bool) -> Result<(), LabError> {
        let what = format!("the wire on port {} to change", self.port);
        super::wait_until(what, Duration::from_secs(10), async || {
            let now = *self.listening.borrow();
            if now == listens { Ok(()) } else { Err(format!("listening: {now}")) }
        })
        .await
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(port: u16, upstream: u16, mut modes: watch::Receiver<WireMode>, listens: watch::Sender<bool>) {
    loop {
        // A closed listener is the only one that refuses.
        let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await else {
            sleep(REBIND_PAUSE).await;
            continue;
        };
        listens.send_replace(true);
        let mut connections = JoinSet::new();
        let shared = modes.clone();
        loop {
            tokio::select! {
                accepted = listener.accept() => if let Ok((client, _)) = accepted {
                    connections.spawn(forward(client, upstream, shared.clone()));
                },
                Some(_) = connections.join_next() => {}
                cut = modes.wait_for(|mode| *mode == WireMode::Cut) => {
                    if cut.is_err() { return }
                    break;
                }
            }
        }
        drop(listener);
        connections.shutdown().await;
        listens.send_replace(false);
        if modes.wait_for(|mode| *mode != WireMode::Cut).await.is_err() {
            return;
        }
    }
}

async fn forward(client: TcpStream, upstream: u16, mut modes: watch::Receiver<WireMode>) {
    // A black hole swallows the handshake with the server too.
    if modes.wait_for(|mode| !mode.holds(Direction::Request)).await.is_err() {
        return;
    }
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, upstream)).await else {
        return;
    };
    // Small messages must not wait for each other.
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let (client_reader, client_writer) = client.into_split();
    let (server_reader, server_writer) = server.into_split();
    let requests = pump(client_reader, server_writer, modes.clone(), Direction::Request);
    let replies = pump(server_reader, client_writer, modes, Direction::Reply);
    // Either end closes both: no PostgreSQL client half-closes.
    tokio::select! {
        () = requests => {}
        () = replies => {}
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    modes: watch::Receiver<WireMode>,
    direction: Direction,
) {
    let (send, mut receive) = mpsc::channel::<(Instant, Vec<u8>)>(UNDER_WAY);
    let mut watched = modes.clone();
    let read = async move {
        let mut buffer = vec![0; CHUNK];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            let delay = match *modes.borrow() {
                WireMode::Delay(delay) => delay,
                _ => Duration::ZERO,
            };
            let mut chunk = buffer.get(..length).unwrap_or_default().to_vec();
            if let (WireMode::Version(version), Direction::Reply) = (*modes.borrow(), direction) {
                pretend(&mut chunk, version);
            }
            if send.send((Instant::now() + delay, chunk)).await.is_err() {
                return;
            }
        }
    };
    let write = async move {
        while let Some((due, chunk)) = receive.recv().await {
            sleep_until(due).await;
            if watched.wait_for(|mode| !mode.holds(direction)).await.is_err() {
                return;
            }
            let rate = match (*watched.borrow(), direction) {
                (WireMode::Throttle(rate), Direction::Reply) => rate.max(1),
                _ => u32::MAX,
            };
            // In pieces of a tenth of a second, so that what is read at the other end comes evenly.
            for piece in chunk.chunks(usize::try_from(rate / 10).unwrap_or(CHUNK).clamp(1, CHUNK)) {
                if to.write_all(piece).await.is_err() {
                    return;
                }
                if rate != u32::MAX {
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    };
    // What was read before the end still goes out; a writer that cannot go on ends both.
    tokio::select! {
        () = write => {}
        () = async { read.await; std::future::pending().await } => {}
    }
}

/// Writes `version` over the one that the server reports in what it says after a login, with blanks for what is left of it, so that
/// every length stays true.
fn pretend(chunk: &mut [u8], version: &str) {
    const NAME: &[u8] = b"server_version\0";
    let Some(at) = chunk.windows(NAME.len()).position(|window| window == NAME) else { return };
    let value = chunk.iter_mut().skip(at + NAME.len()).take_while(|byte| **byte != 0);
    for (byte, new) in value.zip(version.bytes().chain(std::iter::repeat(b' '))) {
        *byte = new;
    }
}
