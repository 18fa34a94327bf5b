//! Collector `walsenders`: `pg_stat_replication`, one row for each connection that this node sends WAL to.

use serde::Serialize;

use std::collections::BTreeMap;

use super::snapshot::{Exchange, Fact, NodeView, Snapshot};
use super::walsender_kind::WalsenderKind;
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
    /// `sync_priority`: its place in `synchronous_standby_names`, 0 if it is not there.
    pub sync_priority: Option<u32>,
    /// `backend_start`.
    pub backend_start: Option<Wall>,
    /// Age of `backend_xmin` in transactions: what `hot_standby_feedback` without a slot keeps from being vacuumed.
    pub xmin_age: Option<f64>,
    /// Whether it is connected to a database, as logical replication is and physical is not.
    pub in_database: bool,
}

#[cfg(test)]
impl Walsender {
    /// One that has just connected.
    pub(crate) fn named(pid: i32, application_name: &str) -> Self {
        Self {
            pid,
            application_name: application_name.to_owned(),
            state: "startup".to_owned(),
            sent_lsn: None,
            write_lsn: None,
            flush_lsn: None,
            replay_lsn: None,
            write_lag: None,
            flush_lag: None,
            replay_lag: None,
            sync_state: None,
            reply_time: None,
            sync_priority: None,
            backend_start: None,
            xmin_age: None,
            in_database: false,
        }
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

static COUNT: Family = Family {
    name: "pgvigil_walsenders",
    help: "Walsenders of this node by what they feed. wal_stream: what receives WAL and replays none, such as pg_receivewal and the \
           second walsender of a base backup; backup and logical are no standbys either.",
    kind: Kind::Gauge,
    unit: Unit::None,
    labels: &["cluster", "node", "kind"],
    observers: Observers::Max,
};

static SYNC_PRIORITY: Family = Family {
    name: "pgvigil_walsender_sync_priority",
    help: "Place of a standby in synchronous_standby_names as its upstream has it, 1 the first; 0: none, it is asynchronous.",
    kind: Kind::Gauge,
    unit: Unit::None,
    labels: &["cluster", "node", "standby"],
    observers: Observers::Max,
};

static XMIN_AGE: Family = Family {
    name: "pgvigil_walsender_xmin_age_transactions",
    help: "Age of backend_xmin, which hot_standby_feedback of a standby without a slot keeps this node from vacuuming beyond; with a \
           slot it is the slot that has it.",
    kind: Kind::Gauge,
    unit: Unit::None,
    labels: &["cluster", "node", "standby"],
    observers: Observers::Max,
};

static SLOT_INFO: Family = Family {
    name: "pgvigil_walsender_slot_info",
    help: "1 for the slot that a standby streams from; absent where it uses none, or a temporary one.",
    kind: Kind::Gauge,
    unit: Unit::None,
    labels: &["cluster", "node", "standby", "slot"],
    observers: Observers::Max,
};

static FAMILIES: [&Family; 10] = [
    &STATE,
    &SYNC_STATE,
    &LAG_SECONDS,
    &LAG_BYTES,
    &REPLY_TIME,
    &START_TIME,
    &COUNT,
    &SYNC_PRIORITY,
    &XMIN_AGE,
    &SLOT_INFO,
];

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
        let [cluster, node] = view.labels();
        let end = view.fresh(&view.snapshot.recovery, Pace::Fast).and_then(|recovery| recovery.sendable());
        let slots = view.fresh(&view.snapshot.slots, Pace::Fast).map_or(&[][..], Vec::as_slice);
        let mut kinds = WalsenderKind::ALL.map(|kind| (kind, 0_u32));
        let mut standbys = BTreeMap::<&str, Seen>::new();
        for (walsender, kind) in view.senders() {
            for (_, count) in kinds.iter_mut().filter(|(counted, _)| *counted == kind) {
                *count += 1;
            }
            if kind != WalsenderKind::Standby {
                continue;
            }
            let name = view.standby_names.get(&walsender.pid).unwrap_or(&walsender.application_name);
            let seen = Seen::new(walsender, end);
            standbys.entry(name).and_modify(|other| other.worsen(&seen)).or_insert(seen);
            let held = slots.iter().filter(|slot| slot.active_pid == Some(walsender.pid) && !slot.temporary);
            for slot in held {
                samples.flag(&SLOT_INFO, &[cluster, node, name, &slot.name], true);
            }
        }
        for (kind, count) in kinds {
            samples.number(&COUNT, &[cluster, node, kind.as_str()], f64::from(count));
        }
        for (standby, seen) in standbys {
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
            samples.known(&SYNC_PRIORITY, &labels, seen.sync_priority);
            samples.known(&XMIN_AGE, &labels, seen.xmin_age);
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
        sync_priority: row.number("sync_priority")?,
        backend_start: row.epoch("backend_start")?,
        xmin_age: row.number("xmin_age")?,
        in_database: row.need_boolean("in_database")?,
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
    sync_priority: Option<f64>,
    xmin_age: Option<f64>,
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
            sync_priority: walsender.sync_priority.map(f64::from),
            xmin_age: walsender.xmin_age,
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
        // 0, out of the list, is the worst place of all.
        let worse = |a: f64, b: f64| if a == 0.0 || b == 0.0 { 0.0 } else { a.max(b) };
        self.sync_priority = merge(self.sync_priority, other.sync_priority, worse);
        self.xmin_age = merge(self.xmin_age, other.xmin_age, f64::max);
    }
}

fn merge(a: Option<f64>, b: Option<f64>, worse: impl Fn(f64, f64) -> f64) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(worse(a, b)),
        (a, b) => a.or(b),
    }
}
