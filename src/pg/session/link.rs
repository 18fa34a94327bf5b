//! One connection to a server, from its name to the login, and why it ended. What is asked over it is for others.

use std::io;
use std::time::Duration;

use futures_util::future::poll_fn;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_postgres::error::{DbError, Severity};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{AsyncMessage, Client, Config, Connection};

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
    driver: JoinHandle<Failure>,
    /// Why it ended, once it has.
    end: Option<Failure>,
    pub(in crate::pg) version: ServerVersion,
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
}

type TlsStream = <Connector as MakeTlsConnect<Wire>>::Stream;
type TlsConnect = <Connector as MakeTlsConnect<Wire>>::TlsConnect;

/// Why one way led nowhere.
enum Lost {
    /// No connection was made.
    Connect(io::Error),
    /// One was made, and no session.
    Login(tokio_postgres::Error),
    /// TLS cannot be spoken with this name.
    Name(String),
}

impl Lost {
    fn failure(&self) -> Failure {
        match self {
            Self::Connect(error) => classify_io(error.kind(), error.raw_os_error(), None),
            Self::Login(error) => failure_of(error, None),
            Self::Name(why) => Failure::new(Cause::Tls, why),
        }
    }
}

impl Way {
    async fn open(&self, allowance: Allowance) -> Result<(Wire, TlsConnect), Lost> {
        let wire = Wire::open(&self.place, &self.config, allowance).await.map_err(Lost::Connect)?;
        let mut tls = self.tls.clone();
        let tls = MakeTlsConnect::<Wire>::make_tls_connect(&mut tls, lookup::host_name(&self.config));
        Ok((wire, tls.map_err(|error| Lost::Name(error.to_string()))?))
    }

    /// `connect_timeout` bounds all of it, as in libpq: a server may accept the connection and then say nothing.
    async fn log_in(&self, allowance: Allowance) -> Result<(Client, Connection<Wire, TlsStream>), Lost> {
        let logging_in = async {
            let (wire, tls) = self.open(allowance).await?;
            self.config.connect_raw(wire, tls).await.map_err(Lost::Login)
        };
        match self.config.get_connect_timeout() {
            Some(within) => timeout(*within, logging_in)
                .await
                .unwrap_or_else(|_| Err(Lost::Connect(io::ErrorKind::TimedOut.into()))),
            None => logging_in.await,
        }
    }
}

/// Tries each way in turn; if none leads to a session, why the last did not.
async fn first_of(
    ways: impl Iterator<Item = Way>,
) -> Result<(Client, Connection<Wire, TlsStream>, Way, Allowance), Lost> {
    let mut lost = Lost::Connect(io::ErrorKind::AddrNotAvailable.into());
    for way in ways {
        let allowance = Allowance::new();
        match way.log_in(allowance.clone()).await {
            Ok((client, connection)) => return Ok((client, connection, way, allowance)),
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
        let end = Instant::now() + deadline;
        // Apart from the rest: a resolver that says nothing is not a server that says nothing.
        let places = match timeout_at(end, lookup::addresses(&target.config)).await {
            Ok(addresses) => lookup::places(&target.config, &addresses?),
            Err(_) => return Err(Failure::new(Cause::Dns, &format!("no answer to a lookup within {deadline:?}"))),
        };
        match timeout_at(end, Self::dial_unbounded(target, tls, &places, options)).await {
            Ok(link) => link,
            Err(_) => Err(Failure::new(Cause::Timeout, &format!("no answer to a login within {deadline:?}"))),
        }
    }

    async fn dial_unbounded(
        target: &Target,
        tls: &Connector,
        places: &[Place],
        options: &str,
    ) -> Result<Self, Failure> {
        let ways = |config: Config| {
            let (config, tls) = (bounded(config, options), tls.clone());
            places.iter().map(move |place| Way { place: place.clone(), config: config.clone(), tls: tls.clone() })
        };
        let connected = match first_of(ways(target.config.clone())).await {
            Err(Lost::Login(error)) => match target.second_try(&error) {
                Some(config) => first_of(ways(config)).await,
                None => Err(Lost::Login(error)),
            },
            connected => connected,
        };
        let (client, connection, way, allowance) = connected.map_err(|lost| lost.failure())?;
        let version = connection.parameter("server_version").and_then(parse_version);
        let driver = tokio::spawn(drive(connection));
        let Some(version) = version else {
            return Err(Failure::new(Cause::NotPostgres, "the server reported no version that can be read"));
        };
        if !version.is_supported() {
            return Err(Failure::new(Cause::Unsupported, &format!("it is PostgreSQL {version}; {SUPPORTED}")));
        }
        Ok(Self { client, driver, end: None, version, way, allowance })
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
        let end = (&mut self.driver).await.unwrap_or_else(|_| closed());
        self.end.insert(end).clone()
    }

    /// Asks the server to stop what this session waits for. Best effort, bounded by `deadline`.
    pub(in crate::pg) fn cancel(&self, deadline: Duration) -> impl Future<Output = ()> + Send + 'static {
        let (token, way) = (self.client.cancel_token(), self.way.clone());
        async move {
            let cancelling = async {
                let (wire, tls) = way.open(Allowance::new()).await.ok()?;
                token.cancel_query_raw(wire, tls).await.ok()
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

impl Drop for Link {
    fn drop(&mut self) {
        self.driver.abort();
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
