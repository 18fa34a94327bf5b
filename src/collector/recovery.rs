//! Collector `recovery`: the recovery information functions. Is this node a primary, where does its WAL stand, is replay paused.

use serde::Serialize;

use super::snapshot::{Exchange, Fact, NodeView, Snapshot};
use super::{CollectError, Pace};
use crate::clock::Moment;
use crate::clock::Wall;
use crate::metric::family::{Family, Kind, Observers, Unit};
use crate::metric::sample::Samples;
use crate::pg::lsn::{Lsn, Timeline};
use crate::pg::records::{DecodeError, Record, Records};
use crate::pg::version::VersionedSql;

/// One row of the recovery functions: is this node a primary, and where does its WAL stand.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recovery {
    /// `pg_is_in_recovery()`: the only safe test of the role.
    pub in_recovery: bool,
    /// On a primary the timeline that it writes, from the WAL file name of its own position
    /// (`pg_control_checkpoint` is stale after a promotion); `None` on a standby.
    pub timeline: Option<Timeline>,
    /// `pg_current_wal_insert_lsn()`, primary only; runs ahead of `flush_lsn` even when idle.
    pub insert_lsn: Option<Lsn>,
    /// `pg_current_wal_flush_lsn()`, primary only: what a crash keeps, and what lag is measured against.
    pub flush_lsn: Option<Lsn>,
    /// `pg_last_wal_receive_lsn()`; NULL if it never streamed. After a restart it begins at a segment's start, before `replay_lsn`.
    /// On a promoted node it keeps its last value.
    pub receive_lsn: Option<Lsn>,
    /// `pg_last_wal_replay_lsn()`. On a promoted node it keeps its last value: where the new timeline forked off.
    pub replay_lsn: Option<Lsn>,
    /// `pg_get_wal_replay_pause_state()` (14+) or `pg_is_wal_replay_paused()`; `None` on a primary.
    pub pause: Option<ReplayPause>,
    /// `pg_last_xact_replay_timestamp()`: the server's clock of the primary at the last replayed commit.
    pub last_xact_replay: Option<Wall>,
    /// `clock_timestamp()` of this server.
    pub server_time: Wall,
    /// Server clock less ours, in seconds, by the midpoint of the exchange; off by half the round trip at most.
    pub clock_offset_seconds: f64,
    /// `pg_postmaster_start_time()`.
    pub started_at: Wall,
}

/// Whether replay is paused by command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplayPause {
    /// Not paused.
    Running,
    /// Pause requested, not yet reached (14+).
    Requested,
    /// Paused.
    Paused,
}

static SQL: VersionedSql =
    VersionedSql(&[(10, include_str!("sql/recovery.10.sql")), (14, include_str!("sql/recovery.14.sql"))]);

static IN_RECOVERY: Family = Family {
    name: "pgvigil_node_in_recovery",
    help: "1 on a standby, 0 on a primary, as pg_is_in_recovery() says.",
    kind: Kind::Gauge,
    unit: Unit::None,
    labels: &["cluster", "node"],
    observers: Observers::Min,
};

static TIMELINE: Family = Family {
    name: "pgvigil_node_timeline",
    help: "Timeline that a primary writes, or that a standby's walreceiver receives; absent on a standby without one.",
    kind: Kind::Gauge,
    unit: Unit::None,
    labels: &["cluster", "node"],
    observers: Observers::Max,
};

static CLOCK_OFFSET: Family = Family {
    name: "pgvigil_node_clock_offset_seconds",
    help: "Clock of the server less the clock of pgvigil's machine; off by half a round trip at most.",
    kind: Kind::Gauge,
    unit: Unit::Seconds,
    labels: &["cluster", "node"],
    observers: Observers::Own,
};

static START_TIME: Family = Family {
    name: "pgvigil_node_start_time_seconds",
    help: "When the server started, on its own clock, since the Unix epoch.",
    kind: Kind::Gauge,
    unit: Unit::Seconds,
    labels: &["cluster", "node"],
    observers: Observers::Max,
};

static POSITION: Family = Family {
    name: "pgvigil_wal_position_bytes",
    help: "WAL position: current is what a primary has flushed; received and replayed are a standby's. \
           Positions of different timelines do not compare.",
    kind: Kind::Gauge,
    unit: Unit::Bytes,
    labels: &["cluster", "node", "stage"],
    observers: Observers::Max,
};

static REPLAY_STATE: Family = Family {
    name: "pgvigil_replay_state",
    help: "Whether a standby replays or is paused by command, 1 for the present state.",
    kind: Kind::Gauge,
    unit: Unit::None,
    labels: &["cluster", "node", "state"],
    observers: Observers::Max,
};

static LAST_COMMIT: Family = Family {
    name: "pgvigil_replay_last_commit_timestamp_seconds",
    help: "When the last transaction that a standby replayed had ended, on the primary's clock, since the Unix epoch. \
           Stands still while the primary is idle, so its age is no lag.",
    kind: Kind::Gauge,
    unit: Unit::Seconds,
    labels: &["cluster", "node"],
    observers: Observers::Max,
};

static BACKLOG: Family = Family {
    name: "pgvigil_replay_backlog_bytes",
    help: "WAL that a standby has received by streaming and not replayed; absent where it has not streamed since it started, as what lies \
           in its pg_wal is not told.",
    kind: Kind::Gauge,
    unit: Unit::Bytes,
    labels: &["cluster", "node"],
    observers: Observers::Max,
};

static FAMILIES: [&Family; 8] =
    [&IN_RECOVERY, &TIMELINE, &CLOCK_OFFSET, &START_TIME, &POSITION, &REPLAY_STATE, &LAST_COMMIT, &BACKLOG];

const REPLAY_STATES: &[&str] = &["running", "pause_requested", "paused", "not_in_recovery", "unknown"];

impl Recovery {
    /// How far a standby has WAL: what was streamed or what was replayed, whichever is further. After a restart the former begins
    /// anew at a segment's start, and on a standby fed from the archive alone there is none.
    pub fn received(&self) -> Option<Lsn> {
        self.receive_lsn.max(self.replay_lsn)
    }

    /// How far this node has WAL to send: what a primary has flushed, what a standby has received.
    pub fn sendable(&self) -> Option<Lsn> {
        if self.in_recovery { self.received() } else { self.flush_lsn }
    }
}

/// The collector.
#[derive(Debug)]
pub struct Collector;

impl super::Collector for Collector {
    fn name(&self) -> &'static str {
        "recovery"
    }

    fn pace(&self) -> Pace {
        Pace::Fast
    }

    fn sql(&self) -> &'static VersionedSql {
        &SQL
    }

    fn source(&self) -> &'static str {
        "pg_is_in_recovery() and the WAL position functions"
    }

    fn grant(&self) -> Option<&'static str> {
        None
    }

    fn families(&self) -> &'static [&'static Family] {
        &FAMILIES
    }

    fn store(&self, records: &Records, snapshot: &mut Snapshot, exchange: Exchange) -> Result<(), CollectError> {
        let value = decode(&records.single()?, exchange)?;
        snapshot.recovery = Some(Fact { value, seen: exchange.received });
        Ok(())
    }

    fn samples(&self, view: &NodeView<'_>, samples: &mut Samples) {
        let recovery = view.fresh(&view.snapshot.recovery, Pace::Fast);
        let labels = view.labels();
        samples.states(&REPLAY_STATE, &labels, REPLAY_STATES, replay_state(recovery));
        let Some(recovery) = recovery else { return };

        samples.flag(&IN_RECOVERY, &labels, recovery.in_recovery);
        samples.known(&TIMELINE, &labels, timeline(view, recovery).map(|timeline| f64::from(timeline.0)));
        samples.number(&CLOCK_OFFSET, &labels, recovery.clock_offset_seconds);
        samples.number(&START_TIME, &labels, recovery.started_at.as_seconds());
        let stages = if recovery.in_recovery {
            [("received", recovery.received()), ("replayed", recovery.replay_lsn)]
        } else {
            [("current", recovery.flush_lsn), ("current", None)]
        };
        for (stage, lsn) in stages {
            samples.known(&POSITION, &[view.cluster, view.node, stage], lsn.map(Lsn::as_f64));
        }
        samples.known(&BACKLOG, &labels, backlog(view, recovery).map(|bytes| bytes as f64));
        // A promoted node keeps the time of its last replay, which tells nothing any more.
        let last_commit = recovery.last_xact_replay.filter(|_| recovery.in_recovery);
        samples.known(&LAST_COMMIT, &labels, last_commit.map(|commit| commit.as_seconds()));
    }
}

fn decode(row: &Record<'_>, exchange: Exchange) -> Result<Recovery, DecodeError> {
    let in_recovery = row.need_boolean("in_recovery")?;
    let server_time = need(row.epoch("server_time")?, "server_time")?;
    let (timeline, insert_lsn, flush_lsn) = if in_recovery {
        (None, None, None)
    } else {
        let timeline = hexadecimal(row.need_text("timeline")?)?;
        (
            Some(timeline),
            Some(need(row.lsn("insert_lsn")?, "insert_lsn")?),
            Some(need(row.lsn("flush_lsn")?, "flush_lsn")?),
        )
    };
    // Two differences of microseconds stay exact where a sum of two times since the epoch would not.
    let since = |ours: Moment| server_time.seconds_since(ours.wall);
    Ok(Recovery {
        in_recovery,
        timeline,
        insert_lsn,
        flush_lsn,
        receive_lsn: row.lsn("receive_lsn")?,
        replay_lsn: row.lsn("replay_lsn")?,
        pause: row.text("pause")?.filter(|_| in_recovery).and_then(pause),
        last_xact_replay: row.epoch("last_xact_replay")?,
        server_time,
        clock_offset_seconds: (since(exchange.sent) + since(exchange.received)) / 2.0,
        started_at: need(row.epoch("started_at")?, "started_at")?,
    })
}

fn need<T>(cell: Option<T>, column: &str) -> Result<T, DecodeError> {
    cell.ok_or_else(|| DecodeError::Null(column.to_owned()))
}

/// The timeline at the head of a WAL file's name.
fn hexadecimal(digits: &str) -> Result<Timeline, DecodeError> {
    let plain = digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = if plain { u32::from_str_radix(digits, 16).ok() } else { None };
    let wrong = || DecodeError::Type { column: "timeline".to_owned(), expected: "eight hexadecimal digits" };
    number.map(Timeline).ok_or_else(wrong)
}

/// A word that no known server says is unknown, not an error: the positions beside it are still worth having.
fn pause(word: &str) -> Option<ReplayPause> {
    match word {
        "not paused" => Some(ReplayPause::Running),
        "pause requested" => Some(ReplayPause::Requested),
        "paused" => Some(ReplayPause::Paused),
        _ => None,
    }
}

/// Whether a standby replays, in the words of `pgvigil_replay_state`.
pub fn replay_state(recovery: Option<&Recovery>) -> &'static str {
    match recovery {
        None => "unknown",
        Some(recovery) if !recovery.in_recovery => "not_in_recovery",
        Some(recovery) => match recovery.pause {
            Some(ReplayPause::Running) => "running",
            Some(ReplayPause::Requested) => "pause_requested",
            Some(ReplayPause::Paused) => "paused",
            None => "unknown",
        },
    }
}

/// On a standby the control file's timeline is stale until the next restartpoint; only a walreceiver knows the present one.
fn timeline(view: &NodeView<'_>, recovery: &Recovery) -> Option<Timeline> {
    if !recovery.in_recovery {
        return recovery.timeline;
    }
    view.fresh(&view.snapshot.wal_receiver, Pace::Fast)?.as_ref()?.received_tli
}

/// What is received and not replayed. After a restart streaming begins anew, and before what is replayed already: at the start of a
/// segment, once all that lay in `pg_wal` is replayed. Without a stream nobody knows how much still lies there.
fn backlog(view: &NodeView<'_>, recovery: &Recovery) -> Option<u64> {
    let (receive, replay) = recovery.receive_lsn.zip(recovery.replay_lsn.filter(|_| recovery.in_recovery))?;
    let receiver = || view.fresh(&view.snapshot.wal_receiver, Pace::Fast).and_then(Option::as_ref);
    let streams = || receiver().is_some_and(|receiver| receiver.status == "streaming");
    (receive >= replay || streams()).then(|| receive.bytes_since(replay))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeline_is_hexadecimal() {
        assert_eq!(hexadecimal("0000001A"), Ok(Timeline(26)));
        assert_eq!(hexadecimal("FFFFFFFF"), Ok(Timeline(u32::MAX)));
        for text in ["", "1A", "+000001A", "0000001G", "00000001000000000000000C"] {
            assert!(hexadecimal(text).is_err(), "{text}");
        }
    }
}
