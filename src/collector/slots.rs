//! Collector `slots`: `pg_replication_slots`, what each slot holds back and what it may still.

use serde::Serialize;

use super::snapshot::{Exchange, Fact, NodeView, Snapshot};
use super::{CollectError, Pace};
use crate::metric::family::{Family, Kind, Observers, Unit};
use crate::metric::sample::Samples;
use crate::pg::lsn::Lsn;
use crate::pg::records::{DecodeError, Record, Records};
use crate::pg::version::VersionedSql;

/// One row of `pg_replication_slots`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Slot {
    /// `slot_name`.
    pub name: String,
    /// `slot_type`: physical or logical.
    pub kind: String,
    /// `temporary`.
    pub temporary: bool,
    /// `active`.
    pub active: bool,
    /// `active_pid`: the walsender that uses it.
    pub active_pid: Option<i32>,
    /// `restart_lsn`; NULL for a slot never used or lost.
    pub restart_lsn: Option<Lsn>,
    /// `confirmed_flush_lsn`, logical slots only.
    pub confirmed_flush_lsn: Option<Lsn>,
    /// `wal_status` (13+): reserved, extended, unreserved, lost; NULL without `restart_lsn` unless lost.
    pub wal_status: Option<String>,
    /// `safe_wal_size` in bytes (13+); NULL when lost or without `max_slot_wal_keep_size`.
    pub safe_wal_size: Option<i64>,
}

impl Slot {
    /// `safe_wal_size` where it means something: the server tells a size for a slot that holds nothing too.
    pub fn safe_bytes(&self) -> Option<i64> {
        self.safe_wal_size.filter(|_| self.restart_lsn.is_some())
    }

    /// `restart_lsn` while the slot keeps WAL from there on: one that is lost for another reason than removed WAL still has it.
    pub fn keeps_from(&self) -> Option<Lsn> {
        self.restart_lsn.filter(|_| self.wal_status.as_deref() != Some("lost"))
    }
}

#[cfg(test)]
impl Slot {
    /// One that nobody uses.
    pub(crate) fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind: "physical".to_owned(),
            temporary: false,
            active: false,
            active_pid: None,
            restart_lsn: None,
            confirmed_flush_lsn: None,
            wal_status: None,
            safe_wal_size: None,
        }
    }
}

static SQL: VersionedSql =
    VersionedSql(&[(10, include_str!("sql/slots.10.sql")), (13, include_str!("sql/slots.13.sql"))]);

static RETAINED: Family = Family {
    name: "pgvigil_slot_retained_bytes",
    help: "WAL between a slot's restart_lsn and what the primary has flushed or the standby replayed; absent for a slot that holds \
           nothing, such as a lost one.",
    kind: Kind::Gauge,
    unit: Unit::Bytes,
    labels: &["cluster", "node", "slot", "type"],
    observers: Observers::Max,
};

static UNCONFIRMED: Family = Family {
    name: "pgvigil_slot_unconfirmed_bytes",
    help: "WAL beyond what the consumer of a logical slot has confirmed.",
    kind: Kind::Gauge,
    unit: Unit::Bytes,
    labels: &["cluster", "node", "slot"],
    observers: Observers::Max,
};

static ACTIVE: Family = Family {
    name: "pgvigil_slot_active",
    help: "1 while a walsender uses the slot.",
    kind: Kind::Gauge,
    unit: Unit::None,
    labels: &["cluster", "node", "slot"],
    observers: Observers::Max,
};

static WAL_STATUS: Family = Family {
    name: "pgvigil_slot_wal_status",
    help: "Whether the WAL that a slot needs is still there (13 and newer), 1 for the present state; unused: it holds nothing yet.",
    kind: Kind::Gauge,
    unit: Unit::None,
    labels: &["cluster", "node", "slot", "state"],
    observers: Observers::Max,
};

static SAFE: Family = Family {
    name: "pgvigil_slot_safe_bytes",
    help: "WAL that may yet be written before the slot is in danger of being lost, below 0 when it is; \
           absent without max_slot_wal_keep_size.",
    kind: Kind::Gauge,
    unit: Unit::Bytes,
    labels: &["cluster", "node", "slot"],
    observers: Observers::Min,
};

static FAMILIES: [&Family; 5] = [&RETAINED, &UNCONFIRMED, &ACTIVE, &WAL_STATUS, &SAFE];

const WAL_STATES: &[&str] = &["reserved", "extended", "unreserved", "lost", "unused", "unknown"];

/// The collector.
#[derive(Debug)]
pub struct Collector;

impl super::Collector for Collector {
    fn name(&self) -> &'static str {
        "slots"
    }

    fn pace(&self) -> Pace {
        Pace::Fast
    }

    fn sql(&self) -> &'static VersionedSql {
        &SQL
    }

    fn source(&self) -> &'static str {
        "pg_replication_slots"
    }

    fn grant(&self) -> Option<&'static str> {
        None
    }

    fn families(&self) -> &'static [&'static Family] {
        &FAMILIES
    }

    fn store(&self, records: &Records, snapshot: &mut Snapshot, exchange: Exchange) -> Result<(), CollectError> {
        let value = records.iter().map(|row| decode(&row)).collect::<Result<_, _>>()?;
        snapshot.slots = Some(Fact { value, seen: exchange.received });
        Ok(())
    }

    fn samples(&self, view: &NodeView<'_>, samples: &mut Samples) {
        let Some(slots) = view.fresh(&view.snapshot.slots, Pace::Fast) else { return };
        let recovery = view.fresh(&view.snapshot.recovery, Pace::Fast);
        let end =
            recovery.and_then(|recovery| if recovery.in_recovery { recovery.replay_lsn } else { recovery.flush_lsn });
        let [cluster, node] = view.labels();
        // The names of temporary slots come and go with their sessions.
        for slot in slots.iter().filter(|slot| !slot.temporary) {
            let labels = [cluster, node, &slot.name];
            let beyond = |lsn: Option<Lsn>| Some(end?.bytes_since(lsn?) as f64);
            samples.known(&RETAINED, &[cluster, node, &slot.name, &slot.kind], beyond(slot.keeps_from()));
            samples.known(&UNCONFIRMED, &labels, beyond(slot.confirmed_flush_lsn));
            samples.flag(&ACTIVE, &labels, slot.active);
            samples.states(&WAL_STATUS, &labels, WAL_STATES, wal_state(view, slot));
            samples.known(&SAFE, &labels, slot.safe_bytes().map(|size| size as f64));
        }
    }
}

fn decode(row: &Record<'_>) -> Result<Slot, DecodeError> {
    Ok(Slot {
        name: row.need_text("slot_name")?.to_owned(),
        kind: row.need_text("slot_type")?.to_owned(),
        temporary: row.need_boolean("temporary")?,
        active: row.need_boolean("active")?,
        active_pid: row.number("active_pid")?,
        restart_lsn: row.lsn("restart_lsn")?,
        confirmed_flush_lsn: row.lsn("confirmed_flush_lsn")?,
        wal_status: row.text("wal_status")?.map(str::to_owned),
        safe_wal_size: row.number("safe_wal_size")?,
    })
}

/// Whether the WAL that a slot needs is there, in the words of `pgvigil_slot_wal_status`.
pub fn wal_state(view: &NodeView<'_>, slot: &Slot) -> &'static str {
    let told = view.snapshot.version.is_some_and(|version| version.major() >= 13);
    match &slot.wal_status {
        Some(status) => WAL_STATES.iter().find(|state| *state == status).unwrap_or(&"unknown"),
        None if told && slot.restart_lsn.is_none() => "unused",
        None => "unknown",
    }
}
