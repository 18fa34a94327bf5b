//! Collector `slot_details`: what of `pg_replication_slots` is not needed each second. Which rows a slot keeps from vacuum, whether
//! it was given up and why, and what kind of logical slot it is.

use serde::Serialize;

use super::snapshot::{Exchange, Fact, NodeView, Snapshot};
use super::{CollectError, Pace};
use crate::metric::family::{Family, Kind, Observers, Unit};
use crate::metric::sample::Samples;
use crate::pg::records::{DecodeError, Record, Records};
use crate::pg::version::VersionedSql;

/// What of a row of `pg_replication_slots` is not needed each second.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SlotDetails {
    /// `slot_name`.
    pub name: String,
    /// `slot_type`: physical or logical.
    pub kind: String,
    /// `age(xmin)`, in transactions; `None` while the slot keeps no rows.
    pub xmin_age: Option<f64>,
    /// `age(catalog_xmin)`, in transactions; `None` while the slot keeps no catalogue rows.
    pub catalog_xmin_age: Option<f64>,
    /// Seconds since `inactive_since` (17+); NULL while the slot is in use.
    pub inactive_age: Option<f64>,
    /// `invalidation_reason` (17+), what `conflicting` (16+) and `wal_status` (13+) say of it, or "none"; `None` before 13.
    pub invalidation: Option<String>,
    /// `two_phase` (14+).
    pub two_phase: Option<bool>,
    /// `failover` (17+).
    pub failover: Option<bool>,
    /// `synced` (17+).
    pub synced: Option<bool>,
}

static SQL: VersionedSql = VersionedSql(&[
    (10, include_str!("sql/slot_details.10.sql")),
    (13, include_str!("sql/slot_details.13.sql")),
    (14, include_str!("sql/slot_details.14.sql")),
    (16, include_str!("sql/slot_details.16.sql")),
    (17, include_str!("sql/slot_details.17.sql")),
]);

const SLOT: &[&str] = &["cluster", "node", "slot"];

const fn gauge(name: &'static str, unit: Unit, help: &'static str) -> Family {
    Family { name, help, kind: Kind::Gauge, unit, labels: SLOT, observers: Observers::Max }
}

static XMIN_AGE: Family = gauge(
    "pgvigil_slot_xmin_age_transactions",
    Unit::None,
    "Age of the oldest transaction whose rows a slot keeps from vacuum; absent while it keeps none.",
);

static CATALOG_XMIN_AGE: Family = gauge(
    "pgvigil_slot_catalog_xmin_age_transactions",
    Unit::None,
    "Age of the oldest transaction whose catalogue rows a slot keeps from vacuum; absent while it keeps none.",
);

static INACTIVE_AGE: Family = gauge(
    "pgvigil_slot_inactive_age_seconds",
    Unit::Seconds,
    "Time since the slot was last in use (17 and newer); absent while it is. On a standby, time since a synced slot was last synced.",
);

static INVALIDATION: Family = Family {
    name: "pgvigil_slot_invalidation",
    help: "Why the server gave the slot up for good (13 and newer), 1 for the present state; conflicting: rows removed or wal_level \
           too low, which 16 does not tell apart; none: it did not.",
    kind: Kind::Gauge,
    unit: Unit::None,
    labels: &["cluster", "node", "slot", "state"],
    observers: Observers::Max,
};

static TWO_PHASE: Family = gauge(
    "pgvigil_slot_two_phase",
    Unit::None,
    "1 if a logical slot decodes prepared transactions at PREPARE (14 and newer), else 0.",
);

static FAILOVER: Family = gauge(
    "pgvigil_slot_failover",
    Unit::None,
    "1 if a logical slot is to be synced to standbys, so that its consumer can go on after a failover (17 and newer), else 0.",
);

static SYNCED: Family = gauge(
    "pgvigil_slot_synced",
    Unit::None,
    "1 if a logical slot was synced from the primary (17 and newer), else 0; after a promotion it stays 1.",
);

static FAMILIES: [&Family; 7] =
    [&XMIN_AGE, &CATALOG_XMIN_AGE, &INACTIVE_AGE, &INVALIDATION, &TWO_PHASE, &FAILOVER, &SYNCED];

const INVALIDATIONS: &[&str] =
    &["none", "wal_removed", "rows_removed", "wal_level_insufficient", "idle_timeout", "conflicting", "unknown"];

/// The collector.
#[derive(Debug)]
pub struct Collector;

impl super::Collector for Collector {
    fn name(&self) -> &'static str {
        "slot_details"
    }

    fn pace(&self) -> Pace {
        Pace::Slow
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
        snapshot.slot_details = Some(Fact { value, seen: exchange.received });
        Ok(())
    }

    fn samples(&self, view: &NodeView<'_>, samples: &mut Samples) {
        let Some(slots) = view.fresh(&view.snapshot.slot_details, Pace::Slow) else { return };
        let [cluster, node] = view.labels();
        for slot in slots {
            let labels = [cluster, node, &slot.name];
            samples.known(&XMIN_AGE, &labels, slot.xmin_age);
            samples.known(&CATALOG_XMIN_AGE, &labels, slot.catalog_xmin_age);
            samples.known(&INACTIVE_AGE, &labels, slot.inactive_age.map(|age| age.max(0.0)));
            samples.states(&INVALIDATION, &labels, INVALIDATIONS, invalidation(slot));
            // Of a physical slot the server says no to all three, whatever it serves.
            if slot.kind == "logical" {
                for (family, flag) in [(&TWO_PHASE, slot.two_phase), (&FAILOVER, slot.failover), (&SYNCED, slot.synced)]
                {
                    samples.known(family, &labels, flag.map(|flag| f64::from(u8::from(flag))));
                }
            }
        }
    }
}

fn decode(row: &Record<'_>) -> Result<SlotDetails, DecodeError> {
    Ok(SlotDetails {
        name: row.need_text("slot_name")?.to_owned(),
        kind: row.need_text("slot_type")?.to_owned(),
        xmin_age: row.number("xmin_age")?,
        catalog_xmin_age: row.number("catalog_xmin_age")?,
        inactive_age: row.number("inactive_age")?,
        invalidation: row.text("invalidation")?.map(str::to_owned),
        two_phase: row.boolean("two_phase")?,
        failover: row.boolean("failover")?,
        synced: row.boolean("synced")?,
    })
}

fn invalidation(slot: &SlotDetails) -> &'static str {
    let reason = slot.invalidation.as_deref();
    INVALIDATIONS.iter().find(|state| Some(**state) == reason).unwrap_or(&"unknown")
}
