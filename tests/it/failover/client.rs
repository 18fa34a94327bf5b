//! A client that appends rows through everything, and remembers which were acknowledged, when, and by which server.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pgvigil::lab::{LabError, Role, Server, wait_until};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client as Session, Config, NoTls};

const CONNECT: Duration = Duration::from_secs(1);
const ANSWER: Duration = Duration::from_secs(2);
const BETWEEN: Duration = Duration::from_millis(5);
const MORE_WITHIN: Duration = Duration::from_secs(40);

/// A row that a server acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acked {
    pub id: i64,
    pub by: String,
    pub at: Instant,
}

/// The client. Dropping it ends it.
pub struct Client {
    acked: Arc<Mutex<Vec<Acked>>>,
    task: JoinHandle<()>,
}

impl Client {
    /// Begins to write; `servers`: wherever a primary may be.
    pub async fn start(primary: &Server, servers: &[&Server]) -> Self {
        primary.sql("CREATE TABLE appended (id bigint PRIMARY KEY, by text NOT NULL)").await.expect("a table");
        let servers: Vec<_> = servers.iter().map(|one| (one.name().to_owned(), one.dsn(Role::Superuser))).collect();
        let acked = Arc::<Mutex<Vec<Acked>>>::default();
        let task = tokio::spawn(write(servers, acked.clone()));
        Self { acked, task }
    }

    /// What was acknowledged so far.
    pub fn acked(&self) -> Vec<Acked> {
        self.acked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// When this server acknowledged its first row.
    pub fn first_by(&self, server: &str) -> Option<Instant> {
        self.acked().into_iter().find(|acked| acked.by == server).map(|acked| acked.at)
    }

    /// Waits for so many more rows.
    pub async fn wait_more(&self, rows: usize) -> Result<(), LabError> {
        let goal = self.acked().len() + rows;
        wait_until(format!("{rows} more rows"), MORE_WITHIN, async || match self.acked().len() {
            now if now >= goal => Ok(()),
            now => Err(format!("{now} of {goal}")),
        })
        .await
    }

    /// Acknowledged rows that this server does not have, and ends the client.
    pub async fn lost_on(self, server: &Server) -> Vec<Acked> {
        self.task.abort();
        let rows = server.query("SELECT id FROM appended").await.expect("the rows");
        let kept: std::collections::BTreeSet<i64> =
            rows.into_iter().filter_map(|row| row.into_iter().next()??.parse().ok()).collect();
        self.acked().into_iter().filter(|acked| !kept.contains(&acked.id)).collect()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn write(servers: Vec<(String, String)>, acked: Arc<Mutex<Vec<Acked>>>) {
    let mut id = 0;
    loop {
        for (name, dsn) in &servers {
            let Some(session) = writable(dsn).await else { continue };
            loop {
                id += 1;
                let insert = format!("INSERT INTO appended VALUES ({id}, '{name}')");
                match timeout(ANSWER, session.batch_execute(&insert)).await {
                    Ok(Ok(())) => {
                        let row = Acked { id, by: name.clone(), at: Instant::now() };
                        acked.lock().unwrap_or_else(PoisonError::into_inner).push(row);
                    }
                    _ => break,
                }
                sleep(BETWEEN).await;
            }
        }
        sleep(BETWEEN).await;
    }
}

/// A session on a server that takes writes.
async fn writable(dsn: &str) -> Option<Session> {
    let config: Config = dsn.parse().expect("a DSN");
    let (session, connection) = timeout(CONNECT, config.connect(NoTls)).await.ok()?.ok()?;
    tokio::spawn(connection);
    let row = timeout(CONNECT, session.query_one("SELECT pg_is_in_recovery()", &[])).await.ok()?.ok()?;
    (!row.get::<_, bool>(0)).then_some(session)
}
