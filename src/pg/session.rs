//! A session is one connection with its statements prepared; it hands out text. Beside it only [`super::admin`] speaks to PostgreSQL.

pub(in crate::pg) mod link;
mod pooled;
pub mod replication;
mod startup;
mod together;
mod wire;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join, join_all};
use tokio::time::Instant;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Row, Statement};

use crate::collector::{Collector, Pace};
use crate::pg::dsn::Target;
use crate::pg::failure::Failure;
use crate::pg::records::Records;
use crate::pg::tls::Connector;
use crate::pg::version::{ServerVersion, VersionedSql};
use link::Link;

/// Compiling is for long queries, and the first major version that has it.
const FIRST_WITH_JIT: u32 = 11;

/// One connection.
pub struct Session {
    link: Link,
    statements: Vec<Prepared>,
    /// Those of the fast pace as one statement, unless the server refused it.
    together: Option<Statement>,
    /// By what the server bounds each statement, and whether it knows.
    bound: (Duration, bool),
    /// Instead of `statements`, if each transaction may be another session of the server.
    pooled: Option<Vec<&'static dyn Collector>>,
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
    /// then says nothing. Every transaction of the session is read-only and bounded on the server by `query_timeout`. Through a pooler
    /// (`Target::pooled`) nothing is prepared, and each transaction sets these bounds for itself.
    pub async fn connect(
        target: &Target,
        tls: &Connector,
        deadline: Duration,
        query_timeout: Duration,
    ) -> Result<Self, Failure> {
        let options = if target.pooled { String::new() } else { options(query_timeout) };
        let link = Link::dial(target, tls, deadline, &options).await?;
        let pooled = target.pooled.then(Vec::new);
        Ok(Self { link, statements: Vec::new(), together: None, bound: (query_timeout, true), pooled })
    }

    /// The server's version.
    pub const fn version(&self) -> ServerVersion {
        self.link.version
    }

    /// Prepares the statements of `collectors`: planned once a connection, since planning is most of an unprepared reading's cost.
    /// A statement that the server refuses is remembered as such and costs the others nothing.
    pub async fn prepare(&mut self, collectors: &[&'static dyn Collector]) -> Result<(), Failure> {
        self.link.renew();
        if let Some(pooled) = &mut self.pooled {
            pooled.extend(collectors);
            return Ok(());
        }
        // Not among the options of the login: a server that does not know one of those refuses it.
        if self.link.version.major() >= FIRST_WITH_JIT
            && let Err(error) = self.link.client.batch_execute("SET jit = off").await
        {
            self.link.refusal(&error).await?;
        }
        for collector in collectors {
            let statement = match collector.sql().pick(self.link.version) {
                None => Err(too_old(self.link.version)),
                Some(sql) => match self.link.client.prepare(sql).await {
                    Ok(statement) => {
                        let columns = statement.columns().iter().map(|column| column.name().to_owned()).collect();
                        Ok((statement, columns))
                    }
                    Err(error) => Err(self.link.refusal(&error).await?),
                },
            };
            self.statements.push(Prepared { collector: *collector, statement });
        }
        self.join().await
    }

    /// Prepares the statements of the fast pace as one: it is the pace that costs.
    async fn join(&mut self) -> Result<(), Failure> {
        let parts = self.statements.iter().enumerate().filter_map(|(number, prepared)| {
            let sql = prepared.collector.sql().pick(self.link.version)?;
            let fast = prepared.collector.pace() == Pace::Fast;
            fast.then(|| Some(together::Part { number, sql, columns: prepared.columns()?.len() })).flatten()
        });
        let parts: Vec<_> = parts.collect();
        if parts.len() > 1 {
            self.together = match self.link.client.prepare(&together::union(&parts)).await {
                Ok(statement) => Some(statement),
                Err(error) => self.link.refusal(&error).await.map(|_| None)?,
            };
        }
        Ok(())
    }

    /// Runs the statement of `collector` once, without keeping it prepared. `Err`: the session is over.
    pub async fn read_once(&mut self, collector: &'static dyn Collector) -> Result<Result<Records, String>, Failure> {
        self.ask(collector.sql()).await
    }

    /// Runs one statement whose columns are all text, once. `Err`: the session is over.
    pub async fn ask(&mut self, sql: &VersionedSql) -> Result<Result<Records, String>, Failure> {
        let Some(sql) = sql.pick(self.link.version) else { return Ok(Err(too_old(self.link.version))) };
        self.link.renew();
        if self.pooled.is_some() {
            return match pooled::ask(&self.link, sql, self.bound.0).await {
                Ok(records) => Ok(Ok(records)),
                Err(error) => Ok(Err(self.link.refusal(&error).await?)),
            };
        }
        match self.link.client.query(sql, &[]).await {
            Ok(rows) => {
                let columns = rows.first().map(Row::columns).unwrap_or_default();
                let columns = columns.iter().map(|column| column.name().to_owned()).collect();
                Ok(Ok(Records::new(columns, rows.iter().map(whole_row).collect())))
            }
            Err(error) => Ok(Err(self.link.refusal(&error).await?)),
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
            if let Err(error) = self.link.client.batch_execute(&sql).await {
                self.link.refusal(&error).await?;
            }
            self.bound.1 = true;
        }
        Ok(())
    }

    /// Runs all prepared statements in one round trip. `Err`: the session is over.
    pub async fn read(&mut self) -> Result<Answers, Failure> {
        self.link.renew();
        if self.pooled.is_some() {
            return Ok(self.read_pooled(|_| true).await?.0);
        }
        self.tell_bound().await?;
        if let Some(statement) = &self.together {
            match self.link.client.query(statement, &[]).await {
                Ok(rows) => return Ok(self.joined(&rows)),
                Err(error) => {
                    self.link.refusal(&error).await?;
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
        self.link.renew();
        if self.pooled.is_some() {
            return self.read_pooled(|name| names.contains(&name)).await;
        }
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
        let client = &self.link.client;
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
                Err(error) => Err(self.link.refusal(&error).await?),
            };
            answers.push((collector, answer));
        }
        Ok((answers, costs))
    }

    /// The same through a pooler: each statement is a message of its own, sent without waiting for the one before.
    async fn read_pooled(&mut self, wanted: impl Fn(&'static str) -> bool) -> Result<(Answers, Costs), Failure> {
        let (link, within) = (&self.link, self.bound.0);
        let all = self.pooled.iter().flatten().copied().filter(|collector| wanted(collector.name()));
        let questions = all.map(|collector| async move {
            let answer = match collector.sql().pick(link.version) {
                Some(sql) => pooled::ask(link, sql, within).await.map(Ok),
                None => Ok(Err(too_old(link.version))),
            };
            (collector, answer, Instant::now())
        });
        let mut before = Instant::now();
        let (mut answers, mut costs) = (Answers::new(), Costs::new());
        for (collector, answer, end) in join_all(questions).await {
            // Some of it is the pooler's.
            costs.push((collector.name(), end.saturating_duration_since(before)));
            before = before.max(end);
            let answer = match answer {
                Ok(answer) => answer,
                Err(error) => Err(self.link.refusal(&error).await?),
            };
            answers.push((collector, answer));
        }
        Ok((answers, costs))
    }

    /// Waits until the connection has ended, and says why.
    pub async fn ended(&mut self) -> Failure {
        self.link.ended().await
    }

    /// Asks the server to stop what this session waits for. Best effort, bounded by `deadline`.
    pub fn cancel(&self, deadline: Duration) -> impl Future<Output = ()> + Send + 'static {
        self.link.cancel(deadline)
    }
}

/// Bounds what a session may do to the server.
fn options(query_timeout: Duration) -> String {
    let millis = query_timeout.as_millis();
    format!(
        "-c default_transaction_read_only=on -c statement_timeout={millis} -c lock_timeout={millis} \
         -c search_path=pg_catalog -c client_min_messages=error"
    )
}

fn too_old(version: ServerVersion) -> String {
    format!("PostgreSQL {} is too old for it", version.major())
}

pub(in crate::pg) fn whole_row(row: &Row) -> Vec<Option<String>> {
    cells(row, 0..row.len())
}

/// All columns are cast to text by the statements; a cell of another type reads as NULL and the collector says so.
fn cells(row: &Row, columns: Range<usize>) -> Vec<Option<String>> {
    columns.map(|index| row.try_get::<_, Option<&str>>(index).ok().flatten().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_login_names_no_option_that_the_oldest_server_does_not_know() {
        let options = format!(" {}", options(Duration::from_secs(2)));
        let named: Vec<_> = options.split(" -c ").skip(1).filter_map(|option| option.split('=').next()).collect();
        // All of these are older than 9.6.
        let known = ["default_transaction_read_only", "statement_timeout", "lock_timeout", "search_path"];
        assert!(named.iter().all(|name| known.contains(name) || *name == "client_min_messages"), "{options}");
    }
}
