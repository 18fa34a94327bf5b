//! Collector `limits`: how many of the replication slots and walsenders that the server was started with are taken.

use serde::Serialize;

use super::snapshot::{Exchange, Fact, NodeView, Snapshot};
use super::{CollectError, Pace};
use crate::metric::family::{Family, Kind, Observers, Unit};
use crate::metric::sample::Samples;
use crate::pg::records::{DecodeError, Record, Records};
use crate::pg::version::VersionedSql;

/// What a server was started with, and what of it is taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Rows of `pg_replication_slots`, of `max_replication_slots`.
    pub slots: Usage,
    /// Rows of `pg_stat_get_wal_senders()`, of `max_wal_senders`.
    pub walsenders: Usage,
}

/// So many of so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// How many are taken.
    pub used: u32,
    /// How many there can be.
    pub limit: u32,
}

static SQL: VersionedSql = VersionedSql(&[(10, include_str!("sql/limits.10.sql"))]);

const fn gauge(name: &'static str, help: &'static str) -> Family {
    let (kind, unit, labels) = (Kind::Gauge, Unit::None, &["cluster", "node"]);
    Family { name, help, kind, unit, labels, observers: Observers::Max }
}

static SLOTS_USED: Family =
    gauge("pgvigil_slots_used", "Replication slots that exist, temporary and lost ones included.");

static SLOTS_LIMIT: Family =
    gauge("pgvigil_slots_limit", "max_replication_slots: how many replication slots there can be until a restart.");

static WALSENDERS_USED: Family = gauge(
    "pgvigil_walsenders_used",
    "Walsenders that exist: those of standbys, of base backups and of logical replication.",
);

static WALSENDERS_LIMIT: Family =
    gauge("pgvigil_walsenders_limit", "max_wal_senders: how many walsenders there can be until a restart.");

static FAMILIES: [&Family; 4] = [&SLOTS_USED, &SLOTS_LIMIT, &WALSENDERS_USED, &WALSENDERS_LIMIT];

/// The collector.
#[derive(Debug)]
pub struct Collector;

impl super::Collector for Collector {
    fn name(&self) -> &'static str {
        "limits"
    }

    fn pace(&self) -> Pace {
        Pace::Slow
    }

    fn sql(&self) -> &'static VersionedSql {
        &SQL
    }

    fn source(&self) -> &'static str {
        "pg_replication_slots, pg_stat_get_wal_senders(), current_setting()"
    }

    fn grant(&self) -> Option<&'static str> {
        None
    }

    fn families(&self) -> &'static [&'static Family] {
        &FAMILIES
    }

    fn store(&self, records: &Records, snapshot: &mut Snapshot, exchange: Exchange) -> Result<(), CollectError> {
        let row = records.single()?;
        let value = Limits {
            slots: usage(&row, "slots_used", "slots_limit")?,
            walsenders: usage(&row, "walsenders_used", "walsenders_limit")?,
        };
        snapshot.limits = Some(Fact { value, seen: exchange.received });
        Ok(())
    }

    fn samples(&self, view: &NodeView<'_>, samples: &mut Samples) {
        let Some(limits) = view.fresh(&view.snapshot.limits, Pace::Slow) else { return };
        let labels = view.labels();
        samples.number(&SLOTS_USED, &labels, f64::from(limits.slots.used));
        samples.number(&SLOTS_LIMIT, &labels, f64::from(limits.slots.limit));
        samples.number(&WALSENDERS_USED, &labels, f64::from(limits.walsenders.used));
        samples.number(&WALSENDERS_LIMIT, &labels, f64::from(limits.walsenders.limit));
    }
}

fn usage(row: &Record<'_>, used: &str, limit: &str) -> Result<Usage, DecodeError> {
    Ok(Usage { used: row.need_number(used)?, limit: row.need_number(limit)? })
}
