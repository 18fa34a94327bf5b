//! The only place that speaks to PostgreSQL. A session is one connection with its statements prepared; it hands out text.

mod together;
mod wire;

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join, join_all, poll_fn};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_postgres::error::{DbError, Severity, SqlState};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{AsyncMessage, Client, Config, Connection, Row, Statement};

use crate::collector::{Collector, Pace};
use crate::pg::connect_error::{failure_of, failure_of_answer};
use crate::pg::dsn::Target;
use crate::pg::failure::{Cause, Failure, classify_io};
use crate::pg::lookup::{self, Place};
use crate::pg::records::Records;
use crate::pg::tls::Connector;
use crate::pg::version::{SUPPORTED, ServerVersion};
use wire::{Allowance, Wire};

/// Kernel probes on an idle connection, so that a dead host is noticed even where no query is under way.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;
/// How long sent bytes may stay unacknowledged by the other host's kernel.
const UNACKNOWLEDGED: Duration = Duration::from_secs(20);

/// Compiling is for long queries, and the first major version that has it.
const FIRST_WITH_JIT: u32 = 11;

/// One connection.
pub struct Session {
    client: Client,
    /// Ends with the connection, and says why it ended.
    driver: JoinHandle<Failure>,
    /// Why it ended, once it has.
    end: Option<Failure>,
    version: ServerVersion,
    /// How it was reached, for a cancel to go the same way.
    way: Way,
    allowance: Allowance,
    statements: Vec<Prepared>,
    /// Those of the fast pace as one statement, unless the server refused it.
    together: Option<Statement>,
    /// By what the server bounds each statement, and whether it knows.
    bound: (Duration, bool),
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

    async fn log_in(&self, allowance: Allowance) -> Result<(Client, Connection<Wire, TlsStream>), Lost> {
        let (wire, tls) = self.open(allowance).await?;
        self.config.connect_raw(wire, tls).await.map_err(Lost::Login)
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

struct Prepared {
    collector: &'static dyn Collector,
    statement: Result<(Statement, Arc<[String]>), String>,
}

impl Prepared {
    fn columns(&self) -> Option<&[String]> {
        self.statement.as_ref().ok().map(|(_, columns)| &**columns)
    }
}

/// What each collector's statement gave: its records, or a sentence that says why there are none.
pub type Answers = Vec<(&'static dyn Collector, Result<Records, String>)>;

/// How long the server took for the statement of each collector, by name.
pub type Costs = Vec<(&'static str, Duration)>;

impl Session {
    /// Connects and logs in, all within `deadline`: the name's lookup, TCP, TLS and the login. A frozen server accepts TCP and
    /// then says nothing. Every transaction of the session is read-only and bounded on the server by `query_timeout`.
    pub async fn connect(
        target: &Target,
        tls: &Connector,
        deadline: Duration,
        query_timeout: Duration,
    ) -> Result<Self, Failure> {
        let end = Instant::now() + deadline;
        // Apart from the rest: a resolver that says nothing is not a server that says nothing.
        let places = match timeout_at(end, lookup::addresses(&target.config)).await {
            Ok(addresses) => lookup::places(&target.config, &addresses?),
            Err(_) => return Err(Failure::new(Cause::Dns, &format!("no answer to a lookup within {deadline:?}"))),
        };
        match timeout_at(end, Self::connect_unbounded(target, tls, &places, query_timeout)).await {
            Ok(session) => session,
            Err(_) => Err(Failure::new(Cause::Timeout, &format!("no answer to a login within {deadline:?}"))),
        }
    }

    async fn connect_unbounded(
        target: &Target,
        tls: &Connector,
        places: &[Place],
        query_timeout: Duration,
    ) -> Result<Self, Failure> {
        let ways = |config: Config| {
            let (config, tls) = (bounded(config, query_timeout), tls.clone());
            places.iter().map(move |place| Way { place: place.clone(), config: config.clone(), tls: tls.clone() })
        };
        let connected = match first_of(ways(target.config.clone())).await {
            Err(Lost::Login(error)) => match target.plaintext_after(&error) {
                Some(plaintext) => first_of(ways(plaintext)).await,
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
        Ok(Self {
            client,
            driver,
            end: None,
            version,
            way,
            allowance,
            statements: Vec::new(),
            together: None,
            bound: (query_timeout, true),
        })
    }

    /// The server's version.
    pub const fn version(&self) -> ServerVersion {
        self.version
    }

    /// Prepares the statements of `collectors`: planned once a connection, since planning is most of an unprepared reading's cost.
    /// A statement that the server refuses is remembered as such and costs the others nothing.
    pub async fn prepare(&mut self, collectors: &[&'static dyn Collector]) -> Result<(), Failure> {
        self.allowance.renew();
        // Not among the options of the login: a server that does not know one of those refuses it.
        if self.version.major() >= FIRST_WITH_JIT
            && let Err(error) = self.client.batch_execute("SET jit = off").await
        {
            self.refusal(&error).await?;
        }
        for collector in collectors {
            let statement = match collector.sql().pick(self.version) {
                None => Err(too_old(self.version)),
                Some(sql) => match self.client.prepare(sql).await {
                    Ok(statement) => {
                        let columns = statement.columns().iter().map(|column| column.name().to_owned()).collect();
                        Ok((statement, columns))
                    }
                    Err(error) => Err(self.refusal(&error).await?),
                },
            };
            self.statements.push(Prepared { collector: *collector, statement });
        }
        self.join().await
    }

    /// Prepares the statements of the fast pace as one: it is the pace that costs.
    async fn join(&mut self) -> Result<(), Failure> {
        let parts = self.statements.iter().enumerate().filter_map(|(number, prepared)| {
            let sql = prepared.collector.sql().pick(self.version)?;
            let fast = prepared.collector.pace() == Pace::Fast;
            fast.then(|| Some(together::Part { number, sql, columns: prepared.columns()?.len() })).flatten()
        });
        let parts: Vec<_> = parts.collect();
        if parts.len() > 1 {
            self.together = match self.client.prepare(&together::union(&parts)).await {
                Ok(statement) => Some(statement),
                Err(error) => self.refusal(&error).await.map(|_| None)?,
            };
        }
        Ok(())
    }

    /// Runs the statement of `collector` once, without keeping it prepared. `Err`: the session is over.
    pub async fn read_once(&mut self, collector: &'static dyn Collector) -> Result<Result<Records, String>, Failure> {
        let Some(sql) = collector.sql().pick(self.version) else { return Ok(Err(too_old(self.version))) };
        self.allowance.renew();
        match self.client.query(sql, &[]).await {
            Ok(rows) => {
                let columns = rows.first().map(Row::columns).unwrap_or_default();
                let columns = columns.iter().map(|column| column.name().to_owned()).collect();
                Ok(Ok(Records::new(columns, rows.iter().map(whole_row).collect())))
            }
            Err(error) => Ok(Err(self.refusal(&error).await?)),
        }
    }

    /// From the next reading on the server bounds each statement by `query_timeout`.
    pub fn bound_by(&mut self, query_timeout: Duration) {
        if self.bound.0 != query_timeout {
            self.bound = (query_timeout, false);
        }
    }

    /// Tells the server what it bounds statements by, if that was changed.
    async fn tell_bound(&mut self) -> Result<(), Failure> {
        let (query_timeout, is_told) = self.bound;
        if !is_told {
            let millis = query_timeout.as_millis();
            let sql = format!("SET statement_timeout = {millis}; SET lock_timeout = {millis}");
            if let Err(error) = self.client.batch_execute(&sql).await {
                self.refusal(&error).await?;
            }
            self.bound.1 = true;
        }
        Ok(())
    }

    /// Runs all prepared statements in one round trip. `Err`: the session is over.
    pub async fn read(&mut self) -> Result<Answers, Failure> {
        self.allowance.renew();
        self.tell_bound().await?;
        if let Some(statement) = &self.together {
            match self.client.query(statement, &[]).await {
                Ok(rows) => return Ok(self.joined(&rows)),
                Err(error) => {
                    self.refusal(&error).await?;
                    // One by one, each answers for itself. A cancelled statement is no reason to stay with that.
                    if error.code() != Some(&SqlState::QUERY_CANCELED) {
                        self.together = None;
                    }
                }
            }
        }
        Ok(self.read_each(|_| true).await?.0)
    }

    /// Runs the statements of the collectors of these names in one round trip. `Err`: the session is over.
    pub async fn read_these(&mut self, names: &[&'static str]) -> Result<(Answers, Costs), Failure> {
        self.allowance.renew();
        self.tell_bound().await?;
        self.read_each(|name| names.contains(&name)).await
    }

    /// The answers that the rows of the joined statement are.
    fn joined(&self, rows: &[Row]) -> Answers {
        let widths: Vec<_> = self.statements.iter().map(|prepared| prepared.columns().map_or(0, <[_]>::len)).collect();
        let answer = |(prepared, rows): (&Prepared, _)| match &prepared.statement {
            Ok((_, columns)) => (prepared.collector, Ok(Records::new(columns.clone(), rows))),
            Err(refusal) => (prepared.collector, Err(refusal.clone())),
        };
        self.statements.iter().zip(together::split(rows, &widths)).map(answer).collect()
    }

    async fn read_each(&mut self, wanted: impl Fn(&'static str) -> bool) -> Result<(Answers, Costs), Failure> {
        let client = &self.client;
        // Way and waiting are no cost of a statement. The server answers in turn, so each is charged from the answer before its own;
        // an empty query goes ahead.
        let ahead = async { client.simple_query("").await.map(|_| Instant::now()) };
        let wanted: Vec<_> = self.statements.iter().filter(|prepared| wanted(prepared.collector.name())).collect();
        let queries = wanted.iter().map(|prepared| async move {
            match &prepared.statement {
                Ok((statement, columns)) => {
                    let answer = client.query(statement, &[]).await;
                    let answer =
                        answer.map(|rows| Ok(Records::new(columns.clone(), rows.iter().map(whole_row).collect())));
                    (answer, Some(Instant::now()))
                }
                Err(refusal) => (Ok(Err(refusal.clone())), None),
            }
        });
        let (ahead, results) = join(ahead, join_all(queries)).await;
        let collectors: Vec<_> = wanted.iter().map(|prepared| prepared.collector).collect();
        let ends: Vec<_> = ahead.into_iter().chain(results.iter().filter_map(|(_, end)| *end)).collect();
        let mut answers = Answers::with_capacity(results.len());
        let mut costs = Costs::with_capacity(results.len());
        for (collector, (answer, end)) in collectors.into_iter().zip(results) {
            let before = end.and_then(|end| ends.iter().copied().filter(|other| *other < end).max());
            if let Some((end, before)) = end.zip(before) {
                costs.push((collector.name(), end.duration_since(before)));
            }
            let answer = match answer {
                Ok(answer) => answer,
                Err(error) => Err(self.refusal(&error).await?),
            };
            answers.push((collector, answer));
        }
        Ok((answers, costs))
    }

    /// Waits until the connection has ended, and says why.
    pub async fn ended(&mut self) -> Failure {
        if let Some(end) = &self.end {
            return end.clone();
        }
        let end = (&mut self.driver).await.unwrap_or_else(|_| closed());
        self.end.insert(end).clone()
    }

    /// Asks the server to stop what this session waits for. Best effort, bounded by `deadline`.
    pub fn cancel(&self, deadline: Duration) -> impl Future<Output = ()> + Send + 'static {
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
    async fn refusal(&mut self, error: &tokio_postgres::Error) -> Result<String, Failure> {
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

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Bounds what a session may do to the server, and how long a dead network goes unnoticed.
fn bounded(mut config: Config, query_timeout: Duration) -> Config {
    let millis = query_timeout.as_millis();
    let options = config.get_options().unwrap_or_default().to_owned();
    config
        .options(format!(
            "{options} -c default_transaction_read_only=on -c statement_timeout={millis} -c lock_timeout={millis} \
             -c search_path=pg_catalog -c client_min_messages=error"
        ))
        .keepalives_idle(KEEPALIVE_IDLE)
        .keepalives_interval(KEEPALIVE_INTERVAL)
        .keepalives_retries(KEEPALIVE_RETRIES)
        .tcp_user_timeout(UNACKNOWLEDGED);
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

fn too_old(version: ServerVersion) -> String {
    format!("PostgreSQL {} is too old for it", version.major())
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

fn whole_row(row: &Row) -> Vec<Option<String>> {
    cells(row, 0..row.len())
}

/// All columns are cast to text by the statements; a cell of another type reads as NULL and the collector says so.
fn cells(row: &Row, columns: Range<usize>) -> Vec<Option<String>> {
    columns.map(|index| row.try_get::<_, Option<&str>>(index).ok().flatten().map(str::to_owned)).collect()
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
    fn the_login_names_no_option_that_the_oldest_server_does_not_know() {
        let config = bounded(Config::new(), Duration::from_secs(2));
        let options = config.get_options().unwrap();
        let named: Vec<_> = options.split(" -c ").skip(1).filter_map(|option| option.split('=').next()).collect();
        // All of these are older than 9.6.
        let known = ["default_transaction_read_only", "statement_timeout", "lock_timeout", "search_path"];
        assert!(named.iter().all(|name| known.contains(name) || *name == "client_min_messages"), "{options}");
    }

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
