//! Collector `replay_wait`: what the startup process, which replays WAL on a standby, waits for by the row of it in `pg_stat_activity`.

use serde::Serialize;

use super::snapshot::{Exchange, Fact, NodeView, Snapshot};
use super::{CollectError, Pace};
use crate::metric::family::{Family, Kind, Observers, Unit};
use crate::metric::sample::Samples;
use crate::pg::records::{DecodeError, Record, Records};
use crate::pg::version::VersionedSql;

/// The row of the startup process in `pg_stat_activity`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReplayWait {
    /// `pg_is_in_recovery()`: on a primary there is no startup process.
    pub in_recovery: bool,
    /// Whether there is a row whose `backend_type` is startup.
    pub found: bool,
    /// `wait_event_type`.
    pub wait_event_type: Option<String>,
    /// `wait_event`: its names differ between versions.
    pub wait_event: Option<String>,
}

impl ReplayWait {
    /// Whether a query of the standby is in the way of replay.
    pub fn is_conflict(&self) -> bool {
        state(self, true) == "conflict"
    }

    /// Whether all WAL that there is was replayed, and more is to come by a stream.
    pub fn awaits_stream(&self) -> bool {
        self.in_recovery && self.wait_event.as_deref() == Some("RecoveryWalStream")
    }

    /// Whether all WAL that there is was replayed, and no source had more.
    pub fn retries(&self) -> bool {
        self.in_recovery && self.wait_event.as_deref() == Some("RecoveryRetrieveRetryInterval")
    }
}

/// Older servers give the events other names, and none to a conflict nor to a pause.
static SQL: VersionedSql = VersionedSql(&[(13, include_str!("sql/replay_wait.13.sql"))]);

/// The first major version that says so when its startup process runs `restore_command`.
const TELLS_RESTORE: u32 = 15;

static WAIT: Family = Family {
    name: "pgvigil_replay_wait",
    help: "What replay on a standby waits for at the moment of the reading, 1 for the present state. retrying: no source has more WAL, \
           so it rests for wal_retrieve_retry_interval; conflict: a query of the standby is in its way.",
    kind: Kind::Gauge,
    unit: Unit::None,
    labels: &["cluster", "node", "state"],
    observers: Observers::Max,
};

static FAMILIES: [&Family; 1] = [&WAIT];

const STATES: &[&str] = &[
    "replaying",
    "waiting_for_wal",
    "retrying",
    "restore_command",
    "apply_delay",
    "paused",
    "conflict",
    "not_in_recovery",
    "unknown",
];

/// The collector.
#[derive(Debug)]
pub struct Collector;

impl super::Collector for Collector {
    fn name(&self) -> &'static str {
        "replay_wait"
    }

    fn pace(&self) -> Pace {
        Pace::Slow
    }

    fn sql(&self) -> &'static VersionedSql {
        &SQL
    }

    fn source(&self) -> &'static str {
        "pg_stat_activity"
    }

    fn grant(&self) -> Option<&'static str> {
        Some("pg_monitor")
    }

    fn families(&self) -> &'static [&'static Family] {
        &FAMILIES
    }

    fn store(&self, records: &Records, snapshot: &mut Snapshot, exchange: Exchange) -> Result<(), CollectError> {
        let row = records.single()?;
        if !row.need_boolean("allowed")? {
            return Err(CollectError::MissingGrant("pg_monitor"));
        }
        let value = decode(&row)?;
        snapshot.replay_wait = Some(Fact { value, seen: exchange.received });
        Ok(())
    }

    fn samples(&self, view: &NodeView<'_>, samples: &mut Samples) {
        let Some(state) = replaying(view) else { return };
        samples.states(&WAIT, &view.labels(), STATES, state);
    }
}

/// What replay on a node does, as in the label `state` of `replay_wait`; `None` where no fresh reading tells.
pub fn replaying(view: &NodeView<'_>) -> Option<&'static str> {
    let wait = view.fresh(&view.snapshot.replay_wait, Pace::Slow)?;
    let major = view.snapshot.version.map_or(0, |version| version.major());
    let settings = view.fresh(&view.snapshot.settings, Pace::Slow);
    // Where a restore_command that runs looks like replay, only a standby without one is known to replay.
    let silent = major < TELLS_RESTORE && settings.is_none_or(|settings| settings.restore_command_set);
    Some(state(wait, silent))
}

fn decode(row: &Record<'_>) -> Result<ReplayWait, DecodeError> {
    Ok(ReplayWait {
        in_recovery: row.need_boolean("in_recovery")?,
        found: row.need_boolean("found")?,
        wait_event_type: row.text("wait_event_type")?.map(str::to_owned),
        wait_event: row.text("wait_event")?.map(str::to_owned),
    })
}

/// What the wait event means. `silent`: whether the process may run a command without saying so.
fn state(wait: &ReplayWait, silent: bool) -> &'static str {
    if !wait.in_recovery {
        return "not_in_recovery";
    }
    if !wait.found {
        return "unknown";
    }
    let Some(kind) = wait.wait_event_type.as_deref() else {
        return if silent { "unknown" } else { "replaying" };
    };
    match (kind, wait.wait_event.as_deref().unwrap_or_default()) {
        (_, "RecoveryWalStream") => "waiting_for_wal",
        (_, "RecoveryRetrieveRetryInterval") => "retrying",
        (_, "RestoreCommand") => "restore_command",
        (_, "RecoveryApplyDelay") => "apply_delay",
        (_, "RecoveryPause") => "paused",
        (_, "RecoveryConflictSnapshot" | "RecoveryConflictTablespace") => "conflict",
        // Replay takes no lock and no pin that another process holds but against queries of the standby.
        ("Lock" | "BufferPin", _) => "conflict",
        // Reading, writing and short waits inside the server belong to the work.
        ("IO" | "LWLock", _) => "replaying",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(event: Option<(&str, &str)>) -> ReplayWait {
        let (kind, name) = event.unzip();
        let [wait_event_type, wait_event] = [kind, name].map(|word| word.map(str::to_owned));
        ReplayWait { in_recovery: true, found: true, wait_event_type, wait_event }
    }

    #[test]
    fn silence_is_replay_only_where_a_command_would_be_told() {
        assert_eq!(state(&wait(None), false), "replaying");
        assert_eq!(state(&wait(None), true), "unknown");
        assert_eq!(state(&ReplayWait { found: false, ..wait(None) }, false), "unknown");
        assert_eq!(state(&ReplayWait { in_recovery: false, found: false, ..wait(None) }, true), "not_in_recovery");
    }

    #[test]
    fn work_is_told_from_waiting_and_from_what_nobody_knows() {
        assert_eq!(state(&wait(Some(("IO", "DataFileRead"))), true), "replaying");
        assert_eq!(state(&wait(Some(("Lock", "relation"))), false), "conflict");
        assert_eq!(state(&wait(Some(("BufferPin", "BufferPin"))), false), "conflict");
        assert_eq!(state(&wait(Some(("Timeout", "OfTomorrow"))), false), "unknown");
        assert!(wait(Some(("BufferPin", "BufferPin"))).is_conflict() && !wait(None).is_conflict());
    }
}
