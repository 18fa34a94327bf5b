//! Collector `slot_stats`: `pg_stat_replication_slots`, what logical decoding went through for each slot.

use serde::Serialize;

use super::snapshot::{Exchange, Fact, NodeView, Snapshot};
use super::{CollectError, Pace};
use crate::metric::family::{Family, Kind, Observers, Unit};
use crate::metric::sample::Samples;
use crate::pg::records::{DecodeError, Record, Records};
use crate::pg::version::VersionedSql;

/// One row of `pg_stat_replication_slots` (14+), since the slot's `stats_reset`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SlotStats {
    /// `slot_name`.
    pub name: String,
    /// `total_txns`.
    pub total_txns: u64,
    /// `total_bytes`.
    pub total_bytes: u64,
    /// `spill_txns`.
    pub spill_txns: u64,
    /// `spill_bytes`.
    pub spill_bytes: u64,
    /// `stream_txns`.
    pub stream_txns: u64,
    /// `stream_bytes`.
    pub stream_bytes: u64,
}

static SQL: VersionedSql =
    VersionedSql(&[(10, include_str!("sql/slot_stats.10.sql")), (14, include_str!("sql/slot_stats.14.sql"))]);

const fn counter(name: &'static str, unit: Unit, help: &'static str) -> Family {
    Family { name, help, kind: Kind::Counter, unit, labels: &["cluster", "node", "slot"], observers: Observers::Max }
}

static DECODED_TRANSACTIONS: Family = counter(
    "pgvigil_slot_decoded_transactions_total",
    Unit::None,
    "Transactions decoded and handed to the output plugin of a logical slot (14 and newer), since the slot's statistics began.",
);

static DECODED_BYTES: Family = counter(
    "pgvigil_slot_decoded_bytes_total",
    Unit::Bytes,
    "Changes decoded and handed to the output plugin of a logical slot, streamed ones included.",
);

static SPILLED_TRANSACTIONS: Family = counter(
    "pgvigil_slot_spilled_transactions_total",
    Unit::None,
    "Transactions of which a part was spilled to disk, because decoding them outgrew logical_decoding_work_mem.",
);

static SPILLED_BYTES: Family = counter(
    "pgvigil_slot_spilled_bytes_total",
    Unit::Bytes,
    "Changes that were spilled to disk while decoding; those of one transaction may be spilled more than once.",
);

static STREAMED_TRANSACTIONS: Family = counter(
    "pgvigil_slot_streamed_transactions_total",
    Unit::None,
    "Transactions that were streamed to the output plugin while still in progress, instead of spilled.",
);

static STREAMED_BYTES: Family = counter(
    "pgvigil_slot_streamed_bytes_total",
    Unit::Bytes,
    "Changes that were streamed to the output plugin while their transaction was still in progress.",
);

static FAMILIES: [&Family; 6] = [
    &DECODED_TRANSACTIONS,
    &DECODED_BYTES,
    &SPILLED_TRANSACTIONS,
    &SPILLED_BYTES,
    &STREAMED_TRANSACTIONS,
    &STREAMED_BYTES,
];

/// The collector.
#[derive(Debug)]
pub struct Collector;

impl super::Collector for Collector {
    fn name(&self) -> &'static str {
        "slot_stats"
    }

    fn pace(&self) -> Pace {
        Pace::Slow
    }

    fn sql(&self) -> &'static VersionedSql {
        &SQL
    }

    fn source(&self) -> &'static str {
        "pg_stat_get_replication_slot()"
    }

    fn grant(&self) -> Option<&'static str> {
        None
    }

    fn families(&self) -> &'static [&'static Family] {
        &FAMILIES
    }

    fn store(&self, records: &Records, snapshot: &mut Snapshot, exchange: Exchange) -> Result<(), CollectError> {
        let value = records.iter().map(|row| decode(&row)).collect::<Result<_, _>>()?;
        snapshot.slot_stats = Some(Fact { value, seen: exchange.received });
        Ok(())
    }

    fn samples(&self, view: &NodeView<'_>, samples: &mut Samples) {
        let Some(slots) = view.fresh(&view.snapshot.slot_stats, Pace::Slow) else { return };
        let [cluster, node] = view.labels();
        for slot in slots {
            for (family, count) in [
                (&DECODED_TRANSACTIONS, slot.total_txns),
                (&DECODED_BYTES, slot.total_bytes),
                (&SPILLED_TRANSACTIONS, slot.spill_txns),
                (&SPILLED_BYTES, slot.spill_bytes),
                (&STREAMED_TRANSACTIONS, slot.stream_txns),
                (&STREAMED_BYTES, slot.stream_bytes),
            ] {
                samples.number(family, &[cluster, node, &slot.name], count as f64);
            }
        }
    }
}

fn decode(row: &Record<'_>) -> Result<SlotStats, DecodeError> {
    Ok(SlotStats {
        name: row.need_text("slot_name")?.to_owned(),
        total_txns: row.need_number("total_txns")?,
        total_bytes: row.need_number("total_bytes")?,
        spill_txns: row.need_number("spill_txns")?,
        spill_bytes: row.need_number("spill_bytes")?,
        stream_txns: row.need_number("stream_txns")?,
        stream_bytes: row.need_number("stream_bytes")?,
    })
}
