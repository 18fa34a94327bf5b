//! Collector `prefetch`: `pg_stat_recovery_prefetch`, what replay on a standby reads ahead of its need. From 15 on.

use serde::Serialize;

use super::snapshot::{Exchange, Fact, NodeView, Snapshot};
use super::{CollectError, Pace};
use crate::metric::family::{Family, Kind, Observers, Unit};
use crate::metric::sample::Samples;
use crate::pg::records::{DecodeError, Record, Records};
use crate::pg::version::VersionedSql;

/// The row of `pg_stat_recovery_prefetch` (15+): counters since the statistics began, and how far ahead it looks now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Prefetch {
    /// `pg_is_in_recovery()`: on a primary nothing is replayed.
    pub in_recovery: bool,
    /// `prefetch`.
    pub prefetch: u64,
    /// `hit`.
    pub hit: u64,
    /// `skip_init`.
    pub skip_init: u64,
    /// `skip_new`.
    pub skip_new: u64,
    /// `skip_fpw`.
    pub skip_fpw: u64,
    /// `skip_rep`.
    pub skip_rep: u64,
    /// `wal_distance`, in bytes.
    pub wal_distance: i64,
    /// `block_distance`.
    pub block_distance: i64,
    /// `io_depth`.
    pub io_depth: i64,
}

static SQL: VersionedSql =
    VersionedSql(&[(10, include_str!("sql/prefetch.10.sql")), (15, include_str!("sql/prefetch.15.sql"))]);

static BLOCKS: Family = Family {
    name: "pgvigil_recovery_prefetch_blocks_total",
    help: "Blocks that replay on a standby looked at ahead of its need (15 and newer): prefetched, already in memory (hit), or skipped \
           since they are made anew (skip_init), do not exist yet (skip_new), come whole with WAL (skip_fpw) or were just looked at \
           (skip_rep).",
    kind: Kind::Counter,
    unit: Unit::None,
    labels: &["cluster", "node", "outcome"],
    observers: Observers::Max,
};

const fn gauge(name: &'static str, unit: Unit, help: &'static str) -> Family {
    Family { name, help, kind: Kind::Gauge, unit, labels: &["cluster", "node"], observers: Observers::Max }
}

static WAL_DISTANCE: Family = gauge(
    "pgvigil_recovery_prefetch_distance_bytes",
    Unit::Bytes,
    "WAL that replay on a standby looks ahead at the moment of the reading (15 and newer).",
);

static BLOCK_DISTANCE: Family = gauge(
    "pgvigil_recovery_prefetch_distance_blocks",
    Unit::None,
    "Blocks that replay on a standby looks ahead at the moment of the reading (15 and newer).",
);

static IO_DEPTH: Family = gauge(
    "pgvigil_recovery_prefetch_io_depth",
    Unit::None,
    "Reads that replay on a standby has begun ahead of its need and not seen done, at the moment of the reading (15 and newer).",
);

static FAMILIES: [&Family; 4] = [&BLOCKS, &WAL_DISTANCE, &BLOCK_DISTANCE, &IO_DEPTH];

/// The collector.
#[derive(Debug)]
pub struct Collector;

impl super::Collector for Collector {
    fn name(&self) -> &'static str {
        "prefetch"
    }

    fn pace(&self) -> Pace {
        Pace::Slow
    }

    fn sql(&self) -> &'static VersionedSql {
        &SQL
    }

    fn source(&self) -> &'static str {
        "pg_stat_recovery_prefetch"
    }

    fn grant(&self) -> Option<&'static str> {
        None
    }

    fn families(&self) -> &'static [&'static Family] {
        &FAMILIES
    }

    fn store(&self, records: &Records, snapshot: &mut Snapshot, exchange: Exchange) -> Result<(), CollectError> {
        let value = if records.rows().is_empty() { None } else { Some(decode(&records.single()?)?) };
        snapshot.prefetch = Some(Fact { value, seen: exchange.received });
        Ok(())
    }

    fn samples(&self, view: &NodeView<'_>, samples: &mut Samples) {
        let Some(Some(prefetch)) = view.fresh(&view.snapshot.prefetch, Pace::Slow) else { return };
        // A promoted node keeps what it counted as a standby.
        if !prefetch.in_recovery {
            return;
        }
        let [cluster, node] = view.labels();
        for (outcome, blocks) in [
            ("prefetched", prefetch.prefetch),
            ("hit", prefetch.hit),
            ("skip_init", prefetch.skip_init),
            ("skip_new", prefetch.skip_new),
            ("skip_fpw", prefetch.skip_fpw),
            ("skip_rep", prefetch.skip_rep),
        ] {
            samples.number(&BLOCKS, &[cluster, node, outcome], blocks as f64);
        }
        for (family, ahead) in [
            (&WAL_DISTANCE, prefetch.wal_distance),
            (&BLOCK_DISTANCE, prefetch.block_distance),
            (&IO_DEPTH, prefetch.io_depth),
        ] {
            samples.number(family, &[cluster, node], ahead as f64);
        }
    }
}

fn decode(row: &Record<'_>) -> Result<Prefetch, DecodeError> {
    Ok(Prefetch {
        in_recovery: row.need_boolean("in_recovery")?,
        prefetch: row.need_number("prefetch")?,
        hit: row.need_number("hit")?,
        skip_init: row.need_number("skip_init")?,
        skip_new: row.need_number("skip_new")?,
        skip_fpw: row.need_number("skip_fpw")?,
        skip_rep: row.need_number("skip_rep")?,
        wal_distance: row.need_number("wal_distance")?,
        block_distance: row.need_number("block_distance")?,
        io_depth: row.need_number("io_depth")?,
    })
}
