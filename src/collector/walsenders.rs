//! Collector `walsenders`: `pg_stat_replication`, one row for each connection that this node sends WAL to.

use serde::Serialize;

use std::collections::BTreeMap;

use super::snapshot::{Exchange, Fact, NodeView, Snapshot};
use super::{CollectError, Pace};
use crate::clock::Wall;
use crate::metric::family::{Family, Kind, Observers, Unit};
use crate::metric::sample::Samples;
use crate::pg::lsn::Lsn;
use crate::pg::records::{Record, Records};
use crate::pg::version::VersionedSql;

/// One row of `pg_stat_replication`: a walsender of this node.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Walsender {
    /// `pid`: to match a slot's `active_pid`, never a label.
    pub pid: i32,
    /// `application_name`.
    pub application_name: String,
    /// `state`: startup, catchup, streaming, backup, stopping.
    pub state: String,
    /// `sent_lsn`.
    pub sent_lsn: Option<Lsn>,
    /// `write_lsn`; NULL until the first reply.
    pub write_lsn: Option<Lsn>,
    /// `flush_lsn`: the standby keeps up to here through a crash.
    pub flush_lsn: Option<Lsn>,
    /// `replay_lsn`.
    pub replay_lsn: Option<Lsn>,
    /// `write_lag` in seconds: a round trip on this server's clock; NULL when idle.
    pub write_lag: Option<f64>,
    /// `flush_lag` in seconds.
    pub flush_lag: Option<f64>,
    /// `replay_lag` in seconds.
    pub replay_lag: Option<f64>,
    /// `sync_state`: async, potential, sync, quorum.
    pub sync_state: Option<String>,
    /// `reply_time`: the standby's clock when it last reported.
    pub reply_time: Option<Wall>,
    /// `backend_start`.
    pub backend_start: Option<Wall>,
}

impl Walsender {
    /// Whether it sends a base backup; the WAL that goes with one comes through a walsender of its own.
    pub fn is_base_backup(&self) -> bool {
        self.state == "backup"
    }
}

static SQL: VersionedSql =
    VersionedSql(&[(10, include_str!("sql/walsenders.10.sql")), (12, include_str!("sql/walsenders.12.sql"))]);

static STATE: Family = Family {
    name: "pgvigil_walsender_state",
    help: "State of the walsender that feeds a standby, 1 for the present one.",
    kind: Kind::Gauge,
    unit: Unit::None,
    labels: &["cluster", "node", "standby", "state"],
    observers: Observers::Max,
};

static SYNC_STATE: Family = Family {
    name: "pgvigil_walsender_sync_state",
    help: "Synchronous state of a standby as its upstream has it, 1 for the present one.",
    kind: Kind::Gauge,
    unit: Unit::None,
    labels: &["cluster", "node", "standby", "state"],
    observers: Observers::Max,
};

static LAG_SECONDS: Family = Family {
    name: "pgvigil_walsender_lag_seconds",
    help: "The server's own write, flush and replay lag: round trips, frozen while no reply comes. \
           Absent when the server has none to tell, which on an idle system means caught up.",
    kind: Kind::Gauge,
    unit: Unit::Seconds,
    labels: &["cluster", "node", "standby", "stage"],
    observers: Observers::Max,
};

static LAG_BYTES: Family = Family {
    name: "pgvigil_walsender_lag_bytes",
    help: "WAL that this node has and has not sent to a standby, or that the standby has not reported as written, flushed or \
           replayed.",
    kind: Kind::Gauge,
    unit: Unit::Bytes,
    labels: &["cluster", "node", "standby", "stage"],
    observers: Observers::Max,
};

static REPLY_TIME: Family = Family {
    name: "pgvigil_walsender_reply_timestamp_seconds",
    help: "When a standby last reported, on the standby's clock, since the Unix epoch.",
    kind: Kind::Gauge,
    unit: Unit::Seconds,
    labels: &["cluster", "node", "standby"],
    observers: Observers::Max,
};

static START_TIME: Family = Family {
    name: "pgvigil_walsender_start_time_seconds",
    help: "When the walsender that feeds a standby started, on this node's clock, since the Unix epoch.",
    kind: Kind::Gauge,
    unit: Unit::Seconds,
    labels: &["cluster", "node", "standby"],
    observers: Observers::Max,
};

static FAMILIES: [&Family; 6] = [&STATE, &SYNC_STATE, &LAG_SECONDS, &LAG_BYTES, &REPLY_TIME, &START_TIME];

/// The states, worst first. `unknown` stands for a word that no known server says.
const STATES: &[&str] = &["unknown", "startup", "stopping", "catchup", "streaming"];
/// The synchronous states, worst first.
const SYNC_STATES: &[&str] = &["unknown", "async", "potential", "quorum", "sync"];

/// The collector.
#[derive(Debug)]
pub struct Collector;

impl super::Collector for Collector {
    fn name(&self) -> &'static str {
        "walsenders"
    }

    fn pace(&self) -> Pace {
        Pace::Fast
    }

    fn sql(&self) -> &'static VersionedSql {
        &SQL
    }

    fn source(&self) -> &'static str {
        "pg_stat_replication"
    }

    fn grant(&self) -> Option<&'static str> {
        Some("pg_monitor")
    }

    fn families(&self) -> &'static [&'static Family] {
        &FAMILIES
    }

    fn store(&self, records: &Records, snapshot: &mut Snapshot, exchange: Exchange) -> Result<(), CollectError> {
        let value = records.iter().map(|row| decode(&row)).collect::<Result<_, _>>()?;
        snapshot.walsenders = Some(Fact { value, seen: exchange.received });
        Ok(())
    }

    fn samples(&self, view: &NodeView<'_>, samples: &mut Samples) {
        if view.fresh(&view.snapshot.walsenders, Pace::Fast).is_none() {
            return;
        }
        let end = view.fresh(&view.snapshot.recovery, Pace::Fast).and_then(|recovery| recovery.sendable());
        let mut standbys = BTreeMap::<&str, Seen>::new();
        for walsender in view.snapshot.physical_walsenders() {
            let name = view.standby_names.get(&walsender.pid).unwrap_or(&walsender.application_name);
            let seen = Seen::new(walsender, end);
            standbys.entry(name).and_modify(|other| other.worsen(&seen)).or_insert(seen);
        }
        for (standby, seen) in standbys {
            let [cluster, node] = view.labels();
            let labels = [cluster, node, standby];
            samples.states(&STATE, &labels, STATES, STATES.get(seen.state).unwrap_or(&"unknown"));
            samples.states(&SYNC_STATE, &labels, SYNC_STATES, SYNC_STATES.get(seen.sync_state).unwrap_or(&"unknown"));
            for (stage, seconds) in ["write", "flush", "replay"].into_iter().zip(seen.seconds) {
                samples.known(&LAG_SECONDS, &[cluster, node, standby, stage], seconds);
            }
            for (stage, bytes) in ["sent", "write", "flush", "replay"].into_iter().zip(seen.bytes) {
                samples.known(&LAG_BYTES, &[cluster, node, standby, stage], bytes);
            }
            samples.known(&REPLY_TIME, &labels, seen.reply_time);
            samples.known(&START_TIME, &labels, seen.start_time);
        }
    }
}

/// `state` alone is never NULL for a role that may see it; a walsender that has just started has no positions yet.
fn decode(row: &Record<'_>) -> Result<Walsender, CollectError> {
    let state = row.text("state")?.ok_or(CollectError::MissingGrant("pg_monitor"))?;
    Ok(Walsender {
        pid: row.need_number("pid")?,
        application_name: row.text("application_name")?.unwrap_or_default().to_owned(),
        state: state.to_owned(),
        sent_lsn: row.lsn("sent_lsn")?,
        write_lsn: row.lsn("write_lsn")?,
        flush_lsn: row.lsn("flush_lsn")?,
        replay_lsn: row.lsn("replay_lsn")?,
        write_lag: row.number("write_lag")?,
        flush_lag: row.number("flush_lag")?,
        replay_lag: row.number("replay_lag")?,
        sync_state: row.text("sync_state")?.map(str::to_owned),
        reply_time: row.epoch("reply_time")?,
        backend_start: row.epoch("backend_start")?,
    })
}

/// What the series of one standby say. Walsenders that share a name become one, which says the worst of each.
struct Seen {
    state: usize,
    sync_state: usize,
    seconds: [Option<f64>; 3],
    bytes: [Option<f64>; 4],
    reply_time: Option<f64>,
    start_time: Option<f64>,
}

impl Seen {
    fn new(walsender: &Walsender, end: Option<Lsn>) -> Self {
        let rank = |states: &[&str], word: &str| states.iter().position(|state| *state == word).unwrap_or(0);
        let lsns = [walsender.sent_lsn, walsender.write_lsn, walsender.flush_lsn, walsender.replay_lsn];
        Self {
            state: rank(STATES, &walsender.state),
            sync_state: rank(SYNC_STATES, walsender.sync_state.as_deref().unwrap_or("unknown")),
            seconds: [walsender.write_lag, walsender.flush_lag, walsender.replay_lag],
            bytes: lsns.map(|lsn| Some(end?.bytes_since(lsn?) as f64)),
            reply_time: walsender.reply_time.map(|time| time.as_seconds()),
            start_time: walsender.backend_start.map(|time| time.as_seconds()),
        }
    }

    fn worsen(&mut self, other: &Self) {
        self.state = self.state.min(other.state);
        self.sync_state = self.sync_state.min(other.sync_state);
        for (mine, theirs) in self.seconds.iter_mut().zip(other.seconds) {
            *mine = merge(*mine, theirs, f64::max);
        }
        for (mine, theirs) in self.bytes.iter_mut().zip(other.bytes) {
            *mine = merge(*mine, theirs, f64::max);
        }
        self.reply_time = merge(self.reply_time, other.reply_time, f64::min);
        self.start_time = merge(self.start_time, other.start_time, f64::max);
    }
}

fn merge(a: Option<f64>, b: Option<f64>, worse: fn(f64, f64) -> f64) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(worse(a, b)),
        (a, b) => a.or(b),
    }
}
