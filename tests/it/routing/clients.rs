//! Clients that reconnect for ever, through one port: one appends rows, one reads. What was answered, when, and by which server.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pgvigil::lab::{LabError, Role, Server, wait_until};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client as Session, Config, NoTls, SimpleQueryMessage};

const CONNECT: Duration = Duration::from_secs(1);
const ANSWER: Duration = Duration::from_secs(2);
const BETWEEN: Duration = Duration::from_millis(5);
/// As a pool does after a failure.
const BEFORE_NEXT: Duration = Duration::from_millis(20);
const MORE_WITHIN: Duration = Duration::from_secs(40);

/// A statement that was answered.
#[derive(Clone, Debug)]
pub struct Answered {
    pub id: i64,
    /// The server's port.
    pub by: u16,
    pub at: Instant,
    /// The number of the session.
    pub session: usize,
}

/// A client. Dropping it ends it.
pub struct Client {
    answered: Arc<Mutex<Vec<Answered>>>,
    task: JoinHandle<()>,
}

impl Client {
    /// Appends rows; `primary` gets the table.
    pub async fn writing(primary: &Server, through: u16) -> Result<Self, LabError> {
        primary.sql("CREATE TABLE IF NOT EXISTS appended (id bigint PRIMARY KEY)").await?;
        let port = "SELECT current_setting('port')";
        Ok(Self::start(through, move |id| format!("INSERT INTO appended VALUES ({id}); {port}")))
    }

    /// Reads.
    pub fn reading(through: u16) -> Self {
        Self::start(through, |_| "SELECT current_setting('port')".to_owned())
    }

    fn start(through: u16, statement: impl Fn(i64) -> String + Send + 'static) -> Self {
        let answered = Arc::<Mutex<Vec<Answered>>>::default();
        let task = tokio::spawn(go_on(through, statement, answered.clone()));
        Self { answered, task }
    }

    pub fn answered(&self) -> Vec<Answered> {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The last answer of this server.
    pub fn last_by(&self, server: &Server) -> Option<Answered> {
        self.answered().into_iter().rfind(|one| one.by == server.port())
    }

    /// How long after `since` this server answered first.
    pub async fn first_by(&self, server: &Server, since: Instant) -> Result<Duration, LabError> {
        wait_until(format!("an answer of {}", server.name()), MORE_WITHIN, async || {
            let answered = self.answered();
            let first = answered.iter().find(|one| one.by == server.port() && one.at > since);
            first.map(|one| one.at - since).ok_or_else(|| format!("the last: {:?}", answered.last()))
        })
        .await
    }

    /// Waits for so many more answers.
    pub async fn more(&self, answers: usize) -> Result<(), LabError> {
        let goal = self.answered().len() + answers;
        wait_until(format!("{answers} more answers"), MORE_WITHIN, async || match self.answered().len() {
            now if now >= goal => Ok(()),
            now => Err(format!("{now} of {goal}")),
        })
        .await
    }

    /// Waits until there was no answer for `quiet`, and tells when the last one came.
    pub async fn silence(&self, quiet: Duration) -> Result<Instant, LabError> {
        wait_until("no more answers", MORE_WITHIN, async || {
            let last = self.answered().last().map(|one| one.at).ok_or("none at all")?;
            if last.elapsed() >= quiet { Ok(last) } else { Err(format!("{:?} ago", last.elapsed())) }
        })
        .await
    }

    /// The longest time without an answer since `since`.
    pub fn longest_gap(&self, since: Instant) -> Duration {
        let times = self.answered().into_iter().map(|one| one.at).filter(|at| *at > since);
        let times: Vec<_> = times.chain([Instant::now()]).collect();
        times.windows(2).map(|two| two[1] - two[0]).max().unwrap_or_default()
    }

    /// Panics unless the servers that answered did so one after the other, and none came back. Who did, in order.
    pub fn in_turn(&self, servers: &[&Server]) -> Vec<String> {
        let mut order: Vec<u16> = self.answered().iter().map(|one| one.by).collect();
        order.dedup();
        let distinct: BTreeSet<_> = order.iter().collect();
        assert_eq!(distinct.len(), order.len(), "writes went back and forth: {order:?}");
        let name = |port| servers.iter().find(|one| one.port() == port).map_or("?", |one| one.name()).to_owned();
        order.into_iter().map(name).collect()
    }

    /// Acknowledged rows that this server does not have. Ends the client.
    pub async fn lost_on(self, server: &Server) -> Result<Vec<Answered>, LabError> {
        self.task.abort();
        let rows = server.query("SELECT id FROM appended").await?;
        let kept: BTreeSet<i64> = rows.into_iter().filter_map(|row| row.into_iter().next()??.parse().ok()).collect();
        Ok(self.answered().into_iter().filter(|one| !kept.contains(&one.id)).collect())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn go_on(through: u16, statement: impl Fn(i64) -> String, answered: Arc<Mutex<Vec<Answered>>>) {
    let dsn = Server::dsn_through(through, Role::Superuser);
    let mut id = 0;
    for session in 0.. {
        if let Some(connected) = connect(&dsn).await {
            loop {
                id += 1;
                let statement = statement(id);
                let Ok(Ok(messages)) = timeout(ANSWER, connected.simple_query(&statement)).await else { break };
                let row = messages.into_iter().find_map(|message| match message {
                    SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
                    _ => None,
                });
                let Some(by) = row else { break };
                let one = Answered { id, by, at: Instant::now(), session };
                answered.lock().unwrap_or_else(PoisonError::into_inner).push(one);
                sleep(BETWEEN).await;
            }
        }
        sleep(BEFORE_NEXT).await;
    }
}

async fn connect(dsn: &str) -> Option<Session> {
    let config: Config = dsn.parse().expect("a DSN");
    let (session, connection) = timeout(CONNECT, config.connect(NoTls)).await.ok()?.ok()?;
    tokio::spawn(connection);
    Some(session)
}
