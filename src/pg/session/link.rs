//! One connection to a server, from its name to the login, and why it ended. What is asked over it is for others.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::future::poll_fn;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_postgres::error::{DbError, Severity};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{AsyncMessage, Client, Config, Connection};

use super::startup::{Startup, StartupTls};
use super::wire::{Allowance, Wire};
use crate::pg::connect_error::{failure_of, failure_of_answer};
use crate::pg::dsn::Target;
use crate::pg::failure::{Cause, Failure, classify_io};
use crate::pg::lookup::{self, Place};
use crate::pg::tls::Connector;
use crate::pg::version::{SUPPORTED, ServerVersion};

/// One connection.
pub(in crate::pg) struct Link {
    pub(in crate::pg) client: Client,
    /// Ends with the connection, and says why it ended.
    driver: Driver,
    /// Why it ended, once it has.
    end: Option<Failure>,
    pub(in crate::pg) version: ServerVersion,
    /// The address of ours that it comes from; `None`: a unix socket.
    pub(super) from: Option<IpAddr>,
    /// How it was reached, for a cancel to go the same way.
    way: Way,
    allowance: Allowance,
}

/// A way to a server.
#[derive(Clone)]
struct Way {
    place: Place,
    config: Config,
    tls: Connector,
    /// Whether the session is one of the replication protocol.
    replicates: bool,
}

type Stream = Startup<Wire>;
type TlsStream = Startup<<Connector as MakeTlsConnect<Stream>>::Stream>;
type TlsConnect = StartupTls<<Connector as MakeTlsConnect<Stream>>::TlsConnect>;

/// Why one way led nowhere.
enum Lost {
    /// No connection was made.
    Connect(io::Error),
    /// One was made, from this address of ours, and no session.
    Login(tokio_postgres::Error, Option<IpAddr>),
    /// TLS cannot be spoken with this name.
    Name(String),
}

impl Lost {
    fn failure(&self) -> Failure {
        match self {
            Self::Connect(error) => classify_io(error.kind(), error.raw_os_error(), None),
            Self::Login(error, _) => failure_of(error, None),
            Self::Name(why) => Failure::new(Cause::Tls, why),
        }
    }

    /// The address of ours that was refused.
    fn from(&self) -> Option<IpAddr> {
        match self {
            Self::Login(_, from) => *from,
            Self::Connect(_) | Self::Name(_) => None,
        }
    }
}

impl Way {
    async fn open(&self, allowance: Allowance) -> Result<(Wire, TlsConnect), Lost> {
        let wire = Wire::open(&self.place, &self.config, allowance).await.map_err(Lost::Connect)?;
        let mut tls = self.tls.clone();
        let tls = MakeTlsConnect::<Stream>::make_tls_connect(&mut tls, lookup::host_name(&self.config));
        let tls = tls.map_err(|error| Lost::Name(error.to_string()))?;
        Ok((wire, StartupTls { tls, replicates: self.replicates }))
    }

    /// `connect_timeout` bounds all of it, as in libpq: a server may accept the connection and then say nothing.
    async fn log_in(&self, allowance: Allowance) -> Result<Made, Lost> {
        let logging_in = async {
            let (wire, tls) = self.open(allowance).await?;
            let from = wire.from();
            let made = self.config.connect_raw(Startup::new(wire, self.replicates), tls).await;
            let (client, connection) = made.map_err(|error| Lost::Login(error, from))?;
            Ok(Made { client, connection, from })
        };
        match self.config.get_connect_timeout() {
            Some(within) => timeout(*within, logging_in)
                .await
                .unwrap_or_else(|_| Err(Lost::Connect(io::ErrorKind::TimedOut.into()))),
            None => logging_in.await,
        }
    }
}

/// A session.
struct Made {
    client: Client,
    connection: Connection<Stream, TlsStream>,
    /// The address of ours that it comes from; `None`: a unix socket.
    from: Option<IpAddr>,
}

/// Tries each way in turn; if none leads to a session, why the last did not.
async fn first_of(ways: impl Iterator<Item = Way>) -> Result<(Made, Way, Allowance), Lost> {
    let mut lost = Lost::Connect(io::ErrorKind::AddrNotAvailable.into());
    for way in ways {
        let allowance = Allowance::new();
        match way.log_in(allowance.clone()).await {
            Ok(made) => return Ok((made, way, allowance)),
            Err(error) => lost = error,
        }
    }
    Err(lost)
}

impl Link {
    /// Connects and logs in, all within `deadline`: the name's lookup, TCP, TLS and the login. `options` (`-c name=value …`) come
    /// after those of the target.
    pub(in crate::pg) async fn dial(
        target: &Target,
        tls: &Connector,
        deadline: Duration,
        options: &str,
    ) -> Result<Self, Failure> {
        Self::dial_telling(target, tls, deadline, options).await.map_err(|(failure, _)| failure)
    }

    /// The same; with a failure comes the address of ours that was refused, if it came to that.
    pub(super) async fn dial_telling(
        target: &Target,
        tls: &Connector,
        deadline: Duration,
        options: &str,
    ) -> Result<Self, (Failure, Option<IpAddr>)> {
        let end = Instant::now() + deadline;
        // Apart from the rest: a resolver that says nothing is not a server that says nothing.
        let places = match timeout_at(end, lookup::addresses(&target.config)).await {
            Ok(addresses) => lookup::places(&target.config, &addresses.map_err(|failure| (failure, None))?),
            Err(_) => {
                return Err((Failure::new(Cause::Dns, &format!("no answer to a lookup within {deadline:?}")), None));
            }
        };
        match timeout_at(end, Self::dial_unbounded(target, tls, &places, options)).await {
            Ok(link) => link,
            Err(_) => Err((Failure::new(Cause::Timeout, &format!("no answer to a login within {deadline:?}")), None)),
        }
    }

    async fn dial_unbounded(
        target: &Target,
        tls: &Connector,
        places: &[Place],
        options: &str,
    ) -> Result<Self, (Failure, Option<IpAddr>)> {
        let replicates = target.replicates;
        let ways = |config: Config| {
            let (config, tls) = (bounded(config, options), tls.clone());
            let way =
                move |place: &Place| Way { place: place.clone(), config: config.clone(), tls: tls.clone(), replicates };
            places.iter().map(way)
        };
        let connected = match first_of(ways(target.config.clone())).await {
            Err(Lost::Login(error, from)) => match target.second_try(&error) {
                Some(config) => first_of(ways(config)).await,
                None => Err(Lost::Login(error, from)),
            },
            connected => connected,
        };
        let (made, way, allowance) = connected.map_err(|lost| (lost.failure(), lost.from()))?;
        let Made { client, connection, from } = made;
        let version = connection.parameter("server_version").and_then(parse_version);
        let driver = Driver(tokio::spawn(drive(connection)));
        let Some(version) = version else {
            return Err((Failure::new(Cause::NotPostgres, "the server reported no version that can be read"), from));
        };
        if !version.is_supported() {
            return Err((Failure::new(Cause::Unsupported, &format!("it is PostgreSQL {version}; {SUPPORTED}")), from));
        }
        Ok(Self { client, driver, end: None, version, from, way, allowance })
    }

    /// A new question: the server may say as much again as it may for one.
    pub(in crate::pg) fn renew(&self) {
        self.allowance.renew();
    }

    /// Waits until the connection has ended, and says why.
    pub(in crate::pg) async fn ended(&mut self) -> Failure {
        if let Some(end) = &self.end {
            return end.clone();
        }
        let end = (&mut self.driver.0).await.unwrap_or_else(|_| closed());
        self.end.insert(end).clone()
    }

    /// Says goodbye, for which the server has until `deadline`: it logs the end of a session that is just gone.
    pub(super) async fn close(self, deadline: Duration) {
        let Self { client, mut driver, .. } = self;
        drop(client);
        let _ = timeout(deadline, &mut driver.0).await;
    }

    /// Asks the server to stop what this session waits for. Best effort, bounded by `deadline`.
    pub(in crate::pg) fn cancel(&self, deadline: Duration) -> impl Future<Output = ()> + Send + 'static {
        let (token, way) = (self.client.cancel_token(), self.way.clone());
        async move {
            let cancelling = async {
                let (wire, tls) = way.open(Allowance::new()).await.ok()?;
                token.cancel_query_raw(Startup::new(wire, false), tls).await.ok()
            };
            // A server that does not answer a login does not answer this either: the caller goes on with the silence itself.
            let _ = timeout(deadline, cancelling).await;
        }
    }

    /// A statement's error in a sentence, or the failure of the whole session.
    pub(in crate::pg) async fn refusal(&mut self, error: &tokio_postgres::Error) -> Result<String, Failure> {
        match error.as_db_error() {
            Some(refused) if !is_fatal(refused) => {
                Ok(format!("{} (SQLSTATE {})", refused.message(), refused.code().code()))
            }
            Some(_) => Err(failure_of(error, None)),
            None if error.is_closed() => Err(self.ended().await),
            None => Err(failure_of(error, None)),
        }
    }
}

/// The task that carries a connection; without anybody who waits for it, it ends.
struct Driver(JoinHandle<Failure>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Says at the login what the session is to be.
fn bounded(mut config: Config, more: &str) -> Config {
    if !more.is_empty() {
        let options = config.get_options().unwrap_or_default().to_owned();
        config.options(format!("{options} {more}"));
    }
    config
}

/// Carries the connection to its end. A server that stops at once says why in a warning just before it closes the socket.
async fn drive<S, T>(mut connection: Connection<S, T>) -> Failure
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut last_words: Option<DbError> = None;
    loop {
        match poll_fn(|context| connection.poll_message(context)).await {
            Some(Ok(AsyncMessage::Notice(notice))) if notice.code().code().starts_with("57P") => {
                last_words = Some(notice)
            }
            Some(Ok(_)) => {}
            Some(Err(error)) if error.as_db_error().is_some() => return failure_of(&error, None),
            Some(Err(error)) => return last_words.as_ref().map_or_else(|| failure_of(&error, None), said),
            None => return last_words.as_ref().map_or_else(closed, said),
        }
    }
}

fn said(last_words: &DbError) -> Failure {
    failure_of_answer(last_words, None)
}

fn closed() -> Failure {
    Failure::new(Cause::Closed, "")
}

fn is_fatal(error: &DbError) -> bool {
    matches!(error.parsed_severity(), Some(Severity::Fatal | Severity::Panic)) || error.code().code().starts_with("57P")
}

/// `server_version` as the server reports it at login: "16.14 (Debian …)", "18beta1", "9.6.24".
fn parse_version(text: &str) -> Option<ServerVersion> {
    let digits = |text: &str| -> Option<u32> {
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        text[..end].parse().ok()
    };
    let mut parts = text.split_whitespace().next()?.split('.');
    let major = digits(parts.next()?)?;
    let minor = parts.next().and_then(digits).unwrap_or(0);
    Some(ServerVersion(major.checked_mul(10_000)?.checked_add(minor)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_versions_that_servers_report() {
        for (text, number) in [
            ("15.18 (Debian 15.18-0+deb12u1)", Some(150_018)),
            ("18.4", Some(180_004)),
            ("18beta1", Some(180_000)),
            ("9.6.24", Some(90_006)),
            ("EnterpriseDB", None),
            ("", None),
        ] {
            assert_eq!(parse_version(text).map(|version| version.0), number, "{text}");
        }
    }
}
