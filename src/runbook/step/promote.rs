//! Makes a standby the primary, and proves it: by its role, by its timeline, and by a commit.

use std::fmt;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::node::{NoAdmin, Node, left};
use super::server;
use crate::cluster::assess::Verdict;
use crate::pg::admin::{AdminSession, StatementError};
use crate::pg::failure::Failure;
use crate::pg::lsn::{Lsn, Timeline};
use crate::runbook::evidence::Server;

/// A request that comes while the walreceiver is dying may be slept over for `wal_retrieve_retry_interval`; the next one wakes.
const AGAIN: Duration = Duration::from_millis(200);
/// Between two questions whether it is out of recovery.
const ASK_EACH: Duration = Duration::from_millis(10);
/// For a login, and for the canary, where the step's own deadline is further away.
const ONE: Duration = Duration::from_secs(5);
/// What a server answers that is no standby any more.
const NOT_IN_RECOVERY: &str = "55000";

/// A standby that became the primary.
#[derive(Clone, Debug, PartialEq)]
pub struct Promoted {
    /// The node.
    pub node: String,
    /// The timeline that it writes.
    pub timeline: Timeline,
    /// Where its timeline left the one before.
    pub fork: Option<Lsn>,
    /// How often it was asked; 0: it was promoted already.
    pub asked: u32,
    /// From the first request until it was out of recovery.
    pub took: Duration,
    /// Whether it commits.
    pub canary: Result<Duration, StatementError>,
}

/// Why a standby is not the primary, or why nobody knows.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PromoteError {
    /// There is no session to ask by. Nothing was asked.
    #[error(transparent)]
    NoAdmin(#[from] NoAdmin),
    /// It did not say what it is. Nothing was asked.
    #[error("{node} did not say whether it is a standby, and was not promoted: {failure}")]
    Silent {
        /// The node.
        node: String,
        /// Why.
        failure: Failure,
    },
    /// It writes, and on no newer timeline.
    #[error("{node} is no standby: it writes timeline {timeline} already, on which the old primary wrote {from}")]
    Writes {
        /// The node.
        node: String,
        /// What it writes.
        timeline: Timeline,
        /// What the old primary wrote.
        from: Timeline,
    },
    /// It refused to be promoted.
    #[error("{node} would not be promoted: {why}")]
    Refused {
        /// The node.
        node: String,
        /// Its words.
        why: StatementError,
    },
    /// It was asked, and is not known to be out of recovery: it may be promoted yet.
    #[error("{node} was asked {asked} times to promote and is not out of recovery within {timeout:?}: {last}")]
    TooLong {
        /// The node.
        node: String,
        /// How often it was asked.
        asked: u32,
        /// The step's deadline.
        timeout: Duration,
        /// What it said last.
        last: String,
    },
}

impl fmt::Display for Promoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, timeline, asked, took, .. } = self;
        match asked {
            0 => write!(f, "{node} is the primary already, on timeline {timeline}")?,
            1 => write!(f, "{node} was promoted within {took:.1?} to timeline {timeline}")?,
            _ => write!(f, "{node} was asked {asked} times and promoted within {took:.1?} to timeline {timeline}")?,
        }
        if let Some(fork) = self.fork {
            write!(f, ", which begins at {fork}")?;
        }
        match &self.canary {
            Ok(took) => write!(f, "; it committed within {took:.1?}"),
            Err(why) => write!(f, "; it did not commit: {why}"),
        }
    }
}

/// Promotes `node`, whose old primary wrote the timeline `from`. Asks again until it is out of recovery. `run` stands in the canary.
pub async fn promote(node: &Node, from: Timeline, run: &str, timeout: Duration) -> Result<Promoted, PromoteError> {
    let (begun, end) = (Instant::now(), Instant::now() + timeout);
    let name = || node.name().to_owned();
    let mut session = node.open_admin(end.min(begun + ONE)).await?;
    let silent = |failure| PromoteError::Silent { node: name(), failure };
    let before = server::read(&mut session, end.min(begun + ONE)).await.map_err(silent)?;
    if !before.in_recovery && before.timeline <= from {
        return Err(PromoteError::Writes { node: name(), timeline: before.timeline, from });
    }
    let mut asked = 0;
    let begun = Instant::now();
    let mut server = before;
    while server.in_recovery {
        let (after, why) = match ask_once(&mut session, end, &mut asked, begun).await {
            Ok(after) => (after, String::new()),
            Err(why @ StatementError::Refused { .. }) => return Err(PromoteError::Refused { node: name(), why }),
            Err(why) => (None, why.to_string()),
        };
        match after {
            Some(after) if !after.in_recovery && after.timeline <= from => {
                return Err(PromoteError::Writes { node: name(), timeline: after.timeline, from });
            }
            Some(after) => server = after,
            // The session is lost or of no more use; the request stands.
            None => {
                if let Ok(new) = node.open_admin(end.min(Instant::now() + ONE)).await {
                    session = new;
                }
            }
        }
        if server.in_recovery {
            if Instant::now() >= end {
                let last = if why.is_empty() { "it is still in recovery".to_owned() } else { why };
                return Err(PromoteError::TooLong { node: name(), asked, timeout, last });
            }
            sleep(ASK_EACH).await;
        }
    }
    let took = if asked == 0 { Duration::ZERO } else { begun.elapsed() };
    let canary = canary(&mut session, "local", run, ONE).await;
    Ok(Promoted { node: name(), timeline: server.timeline, fork: server_fork(&mut session).await, asked, took, canary })
}

/// Asks for the promotion if it is time to, and then what the server is. `None`: it did not say.
async fn ask_once(
    session: &mut AdminSession,
    end: Instant,
    asked: &mut u32,
    begun: Instant,
) -> Result<Option<Server>, StatementError> {
    if begun.elapsed() >= AGAIN * *asked {
        *asked += 1;
        match session.statement("SELECT pg_promote(false)::text", &[], left(end).min(ONE)).await {
            Err(StatementError::Refused { sqlstate, .. }) if sqlstate == NOT_IN_RECOVERY => {}
            answer => drop(answer?),
        }
    }
    Ok(server::read(session, end.min(Instant::now() + ONE)).await.ok())
}

/// Where the timeline of a promoted server left the one before: it keeps the end of its replay.
async fn server_fork(session: &mut AdminSession) -> Option<Lsn> {
    let records = session.statement("SELECT pg_last_wal_replay_lsn()::text AS fork", &[], ONE).await.ok()?;
    records.single().ok()?.lsn("fork").ok()?
}

/// Commits a message that no table holds. With `synchronous_commit` of `local` no standby is waited for; otherwise the server waits
/// without bound, and only our deadline ends that.
pub(super) async fn canary(
    session: &mut AdminSession,
    synchronous_commit: &str,
    run: &str,
    deadline: Duration,
) -> Result<Duration, StatementError> {
    let (begun, end) = (Instant::now(), Instant::now() + deadline);
    session.statement("BEGIN", &[], left(end)).await?;
    let set = "SELECT set_config('synchronous_commit', $1::text, true)";
    session.statement(set, &[synchronous_commit], left(end)).await?;
    let emit = "SELECT pg_logical_emit_message(true, 'pgvigil', $1::text)::text";
    session.statement(emit, &[run], left(end)).await?;
    session.statement("COMMIT", &[], left(end)).await?;
    Ok(begun.elapsed())
}

/// Whether `node` is out of recovery on a timeline after `from`: what a promotion would have made it.
pub async fn probe_promoted(node: &Node, from: Timeline, deadline: Duration) -> (Verdict, String) {
    let name = node.name();
    match server::ask(node, deadline).await {
        Err(failure) => (Verdict::Unknown, format!("{name} does not say what it is: {failure}")),
        Ok(Server { in_recovery: true, .. }) => (Verdict::No, format!("{name} is a standby still")),
        Ok(Server { timeline, .. }) if timeline > from => {
            (Verdict::Yes, format!("{name} is the primary of timeline {timeline}"))
        }
        Ok(Server { timeline, .. }) => (
            Verdict::No,
            format!("{name} writes timeline {timeline}, and was never promoted after the old primary wrote {from}"),
        ),
    }
}
