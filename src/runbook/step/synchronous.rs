//! Whether commits that wait for synchronous standbys go on, tried after the standbys were repointed.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use super::node::{Node, left};
use super::promote::canary;
use crate::pg::admin::{AdminSession, StatementError};

/// For a login, and to ask who is there.
const ONE: Duration = Duration::from_secs(2);

/// What a synchronous commit came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Synchronous {
    /// No standby is to be waited for.
    Off,
    /// It was confirmed within this.
    Confirmed(Duration),
    /// It waits: why, and who is there. Clients' commits wait too.
    Degraded(String),
    /// It could not be tried.
    Unknown(String),
}

impl fmt::Display for Synchronous {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("synchronous_standby_names is empty: no commit waits"),
            Self::Confirmed(took) => write!(f, "a synchronous commit was confirmed within {took:.1?}"),
            Self::Degraded(why) | Self::Unknown(why) => f.write_str(why),
        }
    }
}

/// Tries a synchronous commit on the new primary. One that waits is cancelled after `deadline`; its message stands there all the same.
pub async fn try_commit(primary: &Node, run: &str, deadline: Duration) -> Synchronous {
    let unknown = |why: &dyn fmt::Display| {
        Synchronous::Unknown(format!("no synchronous commit could be tried on {}: {why}", primary.name()))
    };
    let mut session = match primary.open_admin(Instant::now() + deadline.max(ONE)).await {
        Ok(session) => session,
        Err(error) => return unknown(&error),
    };
    let sql = "SELECT current_setting('synchronous_standby_names') AS names";
    let names = match session.statement(sql, &[], ONE).await {
        Ok(records) => records.single().and_then(|row| row.need_text("names").map(str::to_owned)).unwrap_or_default(),
        Err(error) => return unknown(&error),
    };
    if names.is_empty() {
        return Synchronous::Off;
    }
    let begun = Instant::now();
    match canary(&mut session, "on", run, deadline).await {
        Ok(took) => Synchronous::Confirmed(took),
        Err(StatementError::Late(_)) => {
            let there = match primary.open(Instant::now() + ONE).await {
                Ok(mut session) => connected(&mut session).await,
                Err(failure) => failure.to_string(),
            };
            Synchronous::Degraded(format!(
                "a synchronous commit on {} waited {:.1?} and was cancelled: synchronous_standby_names is {names:?}, and streaming are {there}",
                primary.name(),
                begun.elapsed(),
            ))
        }
        Err(error) => unknown(&error),
    }
}

async fn connected(session: &mut AdminSession) -> String {
    let sql = "SELECT coalesce(string_agg(application_name || ' (' || sync_state || ')', ', ' ORDER BY application_name), 'none')::text AS names
                 FROM pg_stat_replication WHERE state = 'streaming'";
    let records = session.statement(sql, &[], left(Instant::now() + ONE)).await;
    let names = records.ok().and_then(|records| Some(records.single().ok()?.need_text("names").ok()?.to_owned()));
    names.unwrap_or_else(|| "not known".to_owned())
}
