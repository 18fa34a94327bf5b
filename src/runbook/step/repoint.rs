//! Lets a standby follow the new primary: its slot there first, then host and port alone in its `primary_conninfo`, then a reload,
//! which is enough from 13 on. One that cannot follow is told of and holds nobody up.

use std::fmt;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use super::node::{Node, left};
use super::stream::{self, Following, Stream, Upstream};
use super::write_conninfo;
use crate::cluster::assess::Verdict;
use crate::pg::admin::{AdminSession, StatementError};

/// For a login or one statement.
const ONE: Duration = Duration::from_secs(5);
/// Between two looks.
const ASK_EACH: Duration = Duration::from_millis(100);
/// The server retries a stream at each `wal_retrieve_retry_interval`, 5 s unless set: to give a standby up for diverged, two tries.
const DIVERGED_AFTER: Duration = Duration::from_secs(11);
/// A slot of this name exists.
const DUPLICATE: &str = "42710";

/// What became of one standby.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repointed {
    /// The standby.
    pub node: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What is left to be put right by a person, beside the outcome.
    pub left: Option<String>,
}

/// How it ended for one standby.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It streams from the new primary; `changed`: its `primary_conninfo` led elsewhere before.
    Streams {
        /// Whether anything was changed.
        changed: bool,
        /// How long it took.
        took: Duration,
    },
    /// It has WAL that the new primary lacks: it must be rewound or made anew.
    Diverged(String),
    /// It does not stream, and why.
    Failed(String),
}

impl fmt::Display for Repointed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = &self.node;
        match &self.outcome {
            Outcome::Streams { changed: true, took } => {
                write!(f, "{node} was repointed and streams from the new primary within {took:.1?}")?;
            }
            Outcome::Streams { changed: false, .. } => write!(f, "{node} streams from the new primary already")?,
            Outcome::Diverged(why) => write!(f, "{node} has diverged and must be rewound or made anew: {why}")?,
            Outcome::Failed(why) => write!(f, "{node} does not follow the new primary: {why}")?,
        }
        self.left.as_ref().map_or(Ok(()), |left| write!(f, "; {left}"))
    }
}

/// Repoints `standbys` to `primary`, which they reach at `to`, all at once, each within `timeout`.
pub async fn repoint(standbys: &[&Node], primary: &Node, to: &Upstream, timeout: Duration) -> Vec<Repointed> {
    let each = standbys.iter().map(async |standby| {
        let mut left = None;
        let outcome = repoint_one(standby, primary, to, timeout, &mut left).await.unwrap_or_else(Outcome::Failed);
        Repointed { node: standby.name().to_owned(), outcome, left }
    });
    join_all(each).await
}

async fn repoint_one(
    standby: &Node,
    primary: &Node,
    to: &Upstream,
    timeout: Duration,
    left_over: &mut Option<String>,
) -> Result<Outcome, String> {
    let (begun, end) = (Instant::now(), Instant::now() + timeout);
    let soon = || end.min(Instant::now() + ONE);
    let mut session = standby.open_admin(soon()).await.map_err(|error| error.to_string())?;
    let mut upstream = primary.open_admin(soon()).await.map_err(|error| error.to_string())?;
    let mut following = stream::following(&mut session, end).await?;
    if following.conninfo.option("host").is_none() && following.conninfo.option("user").is_none() {
        return Err("it has no primary_conninfo: it does not stream".to_owned());
    }
    make_slot(&mut upstream, &following.slot).await?;
    let changed = !following.conninfo.leads_to(&to.host, to.port);
    if changed {
        let new = following.conninfo.at(&to.host, to.port);
        let (written, remains) = write_conninfo::write(&mut session, &new, end).await;
        *left_over = remains;
        written.map_err(|error| error.to_string())?;
        following.conninfo = new;
    }
    let written = Instant::now();
    let mut last = Stream::Not("it was not asked".to_owned());
    loop {
        match stream::stands(&mut session, &mut upstream, standby, &following, to, end).await {
            Ok(Stream::Streams) => return Ok(Outcome::Streams { changed, took: begun.elapsed() }),
            Ok(stands) => last = stands,
            Err(_) if left(end).is_zero() => {}
            Err(failure) => {
                last = Stream::Not(failure.to_string());
                if let Ok(new) = standby.open_admin(soon()).await {
                    session = new;
                }
            }
        }
        match last {
            Stream::Beyond(why) if written.elapsed() >= DIVERGED_AFTER || left(end).is_zero() => {
                return Ok(Outcome::Diverged(why));
            }
            Stream::Not(why) if left(end).is_zero() => return Err(format!("{why}, after {timeout:?}")),
            _ => sleep(ASK_EACH.min(left(end))).await,
        }
    }
}

/// Makes the slot that the standby uses, if it uses one. It keeps WAL from now on, so that none is lost until the standby comes. A slot
/// that nobody uses would keep WAL for ever, so none is made for a standby without.
async fn make_slot(primary: &mut AdminSession, slot: &str) -> Result<(), String> {
    if slot.is_empty() {
        return Ok(());
    }
    let sql = "SELECT pg_create_physical_replication_slot($1::text::name, true)::text";
    match primary.statement(sql, &[slot], ONE).await {
        Ok(_) => Ok(()),
        Err(StatementError::Refused { sqlstate, .. }) if sqlstate == DUPLICATE => Ok(()),
        Err(error) => Err(format!("its slot {slot} could not be made on the new primary: {error}")),
    }
}

/// Whether `standby` streams from `primary`: what a repoint would have brought about.
pub async fn follows(standby: &Node, primary: &Node, to: &Upstream, deadline: Duration) -> (Verdict, String) {
    let end = Instant::now() + deadline;
    let name = standby.name();
    match both(standby, primary, to, end).await {
        Ok(Stream::Streams) => (Verdict::Yes, format!("{name} streams from {}", primary.name())),
        Ok(Stream::Not(why) | Stream::Beyond(why)) => {
            (Verdict::No, format!("{name} does not follow {}: {why}", primary.name()))
        }
        Err(why) => (Verdict::Unknown, format!("whether {name} follows {} is not known: {why}", primary.name())),
    }
}

async fn both(standby: &Node, primary: &Node, to: &Upstream, end: Instant) -> Result<Stream, String> {
    let mut session = standby.open_admin(end).await.map_err(|error| error.to_string())?;
    let mut upstream = primary.open(end).await.map_err(|failure| failure.to_string())?;
    let following: Following = stream::following(&mut session, end).await?;
    let stands = stream::stands(&mut session, &mut upstream, standby, &following, to, end).await;
    stands.map_err(|failure| failure.to_string())
}
