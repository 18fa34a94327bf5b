//! Collector `wal_stats`: `pg_stat_wal`, the WAL that a server generated, and how often it wrote and synced it. From 14 on.

use serde::Serialize;

use super::snapshot::{Exchange, Fact, NodeView, Snapshot};
use super::{CollectError, Pace};
use crate::metric::family::{Family, Kind, Observers, Unit};
use crate::metric::sample::Samples;
use crate::pg::records::{DecodeError, Record, Records};
use crate::pg::version::VersionedSql;

/// The row of `pg_stat_wal` (14+), since the statistics began.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WalStats {
    /// `wal_records`.
    pub wal_records: u64,
    /// `wal_fpi`.
    pub wal_fpi: u64,
    /// `wal_bytes`, a `numeric`.
    pub wal_bytes: u64,
    /// `wal_buffers_full`.
    pub wal_buffers_full: u64,
    /// `wal_write`; the sum of `writes` in `pg_stat_io` from 18 on.
    pub wal_write: u64,
    /// `wal_sync`; the sum of `fsyncs` in `pg_stat_io` from 18 on.
    pub wal_sync: u64,
    /// `wal_write_time` or `write_time`, in milliseconds; `None` without `track_wal_io_timing`.
    pub wal_write_time: Option<f64>,
    /// `wal_sync_time` or `fsync_time`, in milliseconds; `None` without `track_wal_io_timing`.
    pub wal_sync_time: Option<f64>,
}

static SQL: VersionedSql = VersionedSql(&[
    (10, include_str!("sql/wal_stats.10.sql")),
    (14, include_str!("sql/wal_stats.14.sql")),
    (18, include_str!("sql/wal_stats.18.sql")),
]);

const NODE: &[&str] = &["cluster", "node"];
const OPERATION: &[&str] = &["cluster", "node", "operation"];

const fn counter(name: &'static str, unit: Unit, labels: &'static [&'static str], help: &'static str) -> Family {
    Family { name, help, kind: Kind::Counter, unit, labels, observers: Observers::Max }
}

static BYTES: Family = counter(
    "pgvigil_wal_generated_bytes_total",
    Unit::Bytes,
    NODE,
    "WAL that the server generated (14 and newer), since its statistics began; a standby generates none.",
);

static RECORDS: Family = counter(
    "pgvigil_wal_records_total",
    Unit::None,
    NODE,
    "WAL records that the server generated (14 and newer), since its statistics began.",
);

static FULL_PAGE_IMAGES: Family = counter(
    "pgvigil_wal_full_page_images_total",
    Unit::None,
    NODE,
    "Whole pages that the server wrote into WAL (14 and newer), most of them at the first change after a checkpoint.",
);

static BUFFERS_FULL: Family = counter(
    "pgvigil_wal_buffers_full_total",
    Unit::None,
    NODE,
    "Times that WAL was written because wal_buffers were full (14 and newer).",
);

static OPERATIONS: Family = counter(
    "pgvigil_wal_io_total",
    Unit::None,
    OPERATION,
    "Writes of WAL buffers and syncs of WAL files (14 and newer), as pg_stat_wal counts them, or pg_stat_io from 18 on, which takes in \
     what a standby receives; there is nothing to sync where wal_sync_method syncs by writing.",
);

static TIMES: Family = counter(
    "pgvigil_wal_io_seconds_total",
    Unit::Seconds,
    OPERATION,
    "Time spent on writes of WAL buffers and syncs of WAL files (14 and newer); absent without track_wal_io_timing.",
);

static FAMILIES: [&Family; 6] = [&BYTES, &RECORDS, &FULL_PAGE_IMAGES, &BUFFERS_FULL, &OPERATIONS, &TIMES];

/// The collector.
#[derive(Debug)]
pub struct Collector;

impl super::Collector for Collector {
    fn name(&self) -> &'static str {
        "wal_stats"
    }

    fn pace(&self) -> Pace {
        Pace::Slow
    }

    fn sql(&self) -> &'static VersionedSql {
        &SQL
    }

    fn source(&self) -> &'static str {
        "pg_stat_wal, pg_stat_io"
    }

    fn grant(&self) -> Option<&'static str> {
        None
    }

    fn families(&self) -> &'static [&'static Family] {
        &FAMILIES
    }

    fn store(&self, records: &Records, snapshot: &mut Snapshot, exchange: Exchange) -> Result<(), CollectError> {
        let value = if records.rows().is_empty() { None } else { Some(decode(&records.single()?)?) };
        snapshot.wal_stats = Some(Fact { value, seen: exchange.received });
        Ok(())
    }

    fn samples(&self, view: &NodeView<'_>, samples: &mut Samples) {
        let Some(Some(stats)) = view.fresh(&view.snapshot.wal_stats, Pace::Slow) else { return };
        let [cluster, node] = view.labels();
        for (family, count) in [
            (&BYTES, stats.wal_bytes),
            (&RECORDS, stats.wal_records),
            (&FULL_PAGE_IMAGES, stats.wal_fpi),
            (&BUFFERS_FULL, stats.wal_buffers_full),
        ] {
            samples.number(family, &[cluster, node], count as f64);
        }
        for (operation, count, milliseconds) in
            [("write", stats.wal_write, stats.wal_write_time), ("sync", stats.wal_sync, stats.wal_sync_time)]
        {
            samples.number(&OPERATIONS, &[cluster, node, operation], count as f64);
            samples.known(&TIMES, &[cluster, node, operation], milliseconds.map(|milliseconds| milliseconds / 1_000.0));
        }
    }
}

fn decode(row: &Record<'_>) -> Result<WalStats, DecodeError> {
    Ok(WalStats {
        wal_records: row.need_number("wal_records")?,
        wal_fpi: row.need_number("wal_fpi")?,
        wal_bytes: row.need_number("wal_bytes")?,
        wal_buffers_full: row.need_number("wal_buffers_full")?,
        wal_write: row.need_number("wal_write")?,
        wal_sync: row.need_number("wal_sync")?,
        wal_write_time: row.number("wal_write_time")?,
        wal_sync_time: row.number("wal_sync_time")?,
    })
}
