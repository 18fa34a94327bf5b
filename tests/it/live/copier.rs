//! What `pg_basebackup` and `pg_receivewal` do on the wire, for servers that come without them: replication connections that are no
//! standbys. What they report is what the real ones do, how far they wrote and, with a slot, flushed, and never a replayed position.

use std::io;

use pgvigil::clock::Wall;
use pgvigil::lab::{LabError, Server};
use pgvigil::pg::lsn::Lsn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

const PROTOCOL: i32 = 196_608;
/// When the clock of the protocol begins, in seconds since the Unix epoch.
const YEAR_2000: f64 = 946_684_800.0;

/// A physical replication connection, closed when it is dropped.
pub struct Copier {
    stream: UnixStream,
    /// The walsender's.
    pid: i32,
}

/// A connection that is read and answered for as long as this lives.
pub struct Copying(JoinHandle<io::Result<()>>);

impl Drop for Copying {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Copier {
    /// Connects as the superuser under this application name.
    pub async fn connect(server: &Server, application_name: &str) -> io::Result<Self> {
        let socket = server.socket_dir().join(format!(".s.PGSQL.{}", server.port()));
        let mut copier = Self { stream: UnixStream::connect(socket).await?, pid: 0 };
        let words = ["user", "postgres", "replication", "true", "application_name", application_name];
        let words: Vec<u8> = words.iter().flat_map(|word| word.bytes().chain([0])).chain([0]).collect();
        let length = i32::try_from(8 + words.len()).unwrap();
        copier.stream.write_all(&[&length.to_be_bytes()[..], &PROTOCOL.to_be_bytes(), &words].concat()).await?;
        loop {
            match copier.message().await? {
                (b'K', body) => copier.pid = i32::from_be_bytes(body[..4].try_into().unwrap()),
                (b'Z', _) => return Ok(copier),
                _ => {}
            }
        }
    }

    /// Asks for a base backup that takes for ever: it sends what fits into the socket, and waits.
    pub async fn backup(mut self, server: &Server) -> io::Result<Self> {
        let command = match server.major() {
            ..=14 => "BASE_BACKUP LABEL 'lab' PROGRESS FAST NOWAIT MAX_RATE 32",
            _ => "BASE_BACKUP (LABEL 'lab', PROGRESS, CHECKPOINT 'fast', WAIT 0, MAX_RATE 32)",
        };
        self.ask(command).await?;
        // What comes first is where it begins; the files follow in the server's own time.
        self.until(b'T').await?;
        Ok(self)
    }

    /// Streams WAL from where the server is now; `passing`: from a slot that goes with the connection, as `pg_basebackup` makes one.
    pub async fn stream(mut self, server: &Server, passing: bool) -> Result<Copying, LabError> {
        let here =
            "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END";
        let from: Lsn = server.value(here).await?.and_then(|lsn| lsn.parse().ok()).unwrap_or_default();
        let slot = format!("pg_basebackup_{}", self.pid);
        let started = async {
            // Older servers do not stream before they were asked.
            self.ask("IDENTIFY_SYSTEM").await?;
            self.until(b'Z').await?;
            if passing {
                self.ask(&format!("CREATE_REPLICATION_SLOT {slot} TEMPORARY PHYSICAL RESERVE_WAL")).await?;
                self.until(b'Z').await?;
            }
            let slot = if passing { format!("SLOT {slot} ") } else { String::new() };
            self.ask(&format!("START_REPLICATION {slot}PHYSICAL {from}")).await?;
            self.until(b'W').await
        };
        started.await.unwrap_or_else(|error| panic!("no stream from {}: {error}", server.name()));
        Ok(Copying(tokio::spawn(self.report(from, passing))))
    }

    /// Reports after each message, as the real ones do at their interval.
    async fn report(mut self, mut written: Lsn, flushes: bool) -> io::Result<()> {
        loop {
            let flushed = if flushes { written } else { Lsn(0) };
            let micros = (Wall::now().as_seconds() - YEAR_2000) * 1e6;
            let mut report = vec![b'r'];
            for number in [written.0, flushed.0, 0, micros as u64] {
                report.extend(number.to_be_bytes());
            }
            report.push(0);
            self.send(b'd', &report).await?;
            let (_, body) = self.message().await?;
            let number = |at: usize| u64::from_be_bytes(body[at..at + 8].try_into().unwrap());
            if body.first() == Some(&b'w') {
                written = Lsn(number(1) + (body.len() - 25) as u64);
            }
        }
    }

    async fn ask(&mut self, command: &str) -> io::Result<()> {
        self.send(b'Q', &[command.as_bytes(), &[0]].concat()).await
    }

    async fn send(&mut self, kind: u8, body: &[u8]) -> io::Result<()> {
        let length = i32::try_from(body.len() + 4).unwrap();
        self.stream.write_all(&[&[kind][..], &length.to_be_bytes(), body].concat()).await
    }

    async fn until(&mut self, kind: u8) -> io::Result<()> {
        while self.message().await?.0 != kind {}
        Ok(())
    }

    async fn message(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let kind = self.stream.read_u8().await?;
        let length = self.stream.read_i32().await?;
        let mut body = vec![0; usize::try_from(length - 4).unwrap()];
        self.stream.read_exact(&mut body).await?;
        match kind {
            b'E' => Err(io::Error::other(String::from_utf8_lossy(&body).replace('\0', " "))),
            _ => Ok((kind, body)),
        }
    }
}
