//! Who takes writes, asked again and again of every server.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pgvigil::lab::{LabError, Role, Server, wait_until};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_postgres::{Config, NoTls};

const CONNECT: Duration = Duration::from_secs(2);
const ANSWER: Duration = Duration::from_secs(30);
const BETWEEN: Duration = Duration::from_millis(10);

/// A server said that it is not in recovery.
#[derive(Clone, Debug)]
struct Said {
    server: String,
    asked: Instant,
    answered: Instant,
}

/// Asks until it is dropped.
pub struct Writable {
    said: Arc<Mutex<Vec<Said>>>,
    _asking: JoinSet<()>,
}

impl Writable {
    /// Begins to ask, and has an answer.
    pub async fn watch(servers: &[&Server]) -> Result<Self, LabError> {
        let said = Arc::<Mutex<Vec<Said>>>::default();
        let mut asking = JoinSet::new();
        for server in servers {
            asking.spawn(ask(server.name().to_owned(), server.dsn(Role::Superuser), said.clone()));
        }
        wait_until("a server that takes writes", ANSWER, async || {
            let said = said.lock().unwrap_or_else(PoisonError::into_inner);
            if said.is_empty() { Err("none".to_owned()) } else { Ok(()) }
        })
        .await?;
        Ok(Self { said, _asking: asking })
    }

    /// Panics if two servers took writes at once: one that was asked after another had said that it does said so too, and the other
    /// did so again after that. Returns who did, in order.
    pub fn never_two(&self) -> Vec<String> {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner).clone();
        assert!(!said.is_empty(), "no server ever took writes");
        said.sort_by_key(|one| one.answered);
        let mut order: Vec<String> = said.iter().map(|one| one.server.clone()).collect();
        order.dedup();
        for first in &said {
            let late = said.iter().find(|other| other.server == order[0] && other.asked > first.answered);
            assert!(first.server == order[0] || late.is_none(), "two took writes at once: {first:?} and {late:?}");
        }
        let mut names = order.clone();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), order.len(), "two took writes in turn: {order:?}");
        println!("took writes: {}; {} answers", order.join(", then "), said.len());
        order
    }
}

async fn ask(server: String, dsn: String, said: Arc<Mutex<Vec<Said>>>) {
    let config: Config = dsn.parse().expect("a DSN");
    loop {
        sleep(BETWEEN).await;
        let Ok(Ok((session, connection))) = timeout(CONNECT, config.connect(NoTls)).await else { continue };
        let connection = tokio::spawn(connection);
        loop {
            let asked = Instant::now();
            let Ok(Ok(row)) = timeout(ANSWER, session.query_one("SELECT pg_is_in_recovery()", &[])).await else {
                break;
            };
            if !row.get::<_, bool>(0) {
                let one = Said { server: server.clone(), asked, answered: Instant::now() };
                said.lock().unwrap_or_else(PoisonError::into_inner).push(one);
            }
            sleep(BETWEEN).await;
        }
        connection.abort();
    }
}
