//! Collector `checkpoints`: `pg_stat_checkpointer`, or `pg_stat_bgwriter` before 17. How often, why, and what they cost.

use serde::Serialize;

use super::snapshot::{Exchange, Fact, NodeView, Snapshot};
use super::{CollectError, Pace};
use crate::metric::family::{Family, Kind, Observers, Unit};
use crate::metric::sample::Samples;
use crate::pg::records::{DecodeError, Record, Records};
use crate::pg::version::VersionedSql;

/// The row of `pg_stat_checkpointer` (17+) or of `pg_stat_bgwriter`, since the statistics began.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Checkpoints {
    /// `num_timed` or `checkpoints_timed`.
    pub num_timed: u64,
    /// `num_requested` or `checkpoints_req`.
    pub num_requested: u64,
    /// `restartpoints_timed` (17+).
    pub restartpoints_timed: Option<u64>,
    /// `restartpoints_req` (17+).
    pub restartpoints_req: Option<u64>,
    /// `restartpoints_done` (17+).
    pub restartpoints_done: Option<u64>,
    /// `write_time` or `checkpoint_write_time`, in milliseconds.
    pub write_time: f64,
    /// `sync_time` or `checkpoint_sync_time`, in milliseconds.
    pub sync_time: f64,
    /// `buffers_written` or `buffers_checkpoint`.
    pub buffers_written: u64,
}

static SQL: VersionedSql =
    VersionedSql(&[(10, include_str!("sql/checkpoints.10.sql")), (17, include_str!("sql/checkpoints.17.sql"))]);

const NODE: &[&str] = &["cluster", "node"];

const fn counter(name: &'static str, unit: Unit, labels: &'static [&'static str], help: &'static str) -> Family {
    Family { name, help, kind: Kind::Counter, unit, labels, observers: Observers::Max }
}

static CHECKPOINTS: Family = counter(
    "pgvigil_checkpoints_total",
    Unit::None,
    &["cluster", "node", "cause"],
    "Checkpoints that were due by time or were requested, by WAL too, since the statistics began; those that found nothing to do are \
     counted. Before 17 a standby's restartpoints are among them.",
);

static RESTARTPOINTS: Family = counter(
    "pgvigil_restartpoints_total",
    Unit::None,
    &["cluster", "node", "kind"],
    "Restartpoints of a standby that were due by time (timed) or requested, and those that were made (done): the others had no \
     checkpoint to stand for (17 and newer).",
);

static WRITE_TIME: Family = counter(
    "pgvigil_checkpoint_write_seconds_total",
    Unit::Seconds,
    NODE,
    "Time in which checkpoints and restartpoints wrote buffers, most of it spent waiting on purpose.",
);

static SYNC_TIME: Family = counter(
    "pgvigil_checkpoint_sync_seconds_total",
    Unit::Seconds,
    NODE,
    "Time in which checkpoints and restartpoints synced files.",
);

static BUFFERS: Family =
    counter("pgvigil_checkpoint_buffers_total", Unit::None, NODE, "Buffers that checkpoints and restartpoints wrote.");

static FAMILIES: [&Family; 5] = [&CHECKPOINTS, &RESTARTPOINTS, &WRITE_TIME, &SYNC_TIME, &BUFFERS];

/// The collector.
#[derive(Debug)]
pub struct Collector;

impl super::Collector for Collector {
    fn name(&self) -> &'static str {
        "checkpoints"
    }

    fn pace(&self) -> Pace {
        Pace::Slow
    }

    fn sql(&self) -> &'static VersionedSql {
        &SQL
    }

    fn source(&self) -> &'static str {
        "pg_stat_checkpointer, pg_stat_bgwriter"
    }

    fn grant(&self) -> Option<&'static str> {
        None
    }

    fn families(&self) -> &'static [&'static Family] {
        &FAMILIES
    }

    fn store(&self, records: &Records, snapshot: &mut Snapshot, exchange: Exchange) -> Result<(), CollectError> {
        let value = decode(&records.single()?)?;
        snapshot.checkpoints = Some(Fact { value, seen: exchange.received });
        Ok(())
    }

    fn samples(&self, view: &NodeView<'_>, samples: &mut Samples) {
        let Some(checkpoints) = view.fresh(&view.snapshot.checkpoints, Pace::Slow) else { return };
        let [cluster, node] = view.labels();
        for (cause, count) in [("timed", checkpoints.num_timed), ("requested", checkpoints.num_requested)] {
            samples.number(&CHECKPOINTS, &[cluster, node, cause], count as f64);
        }
        for (kind, count) in [
            ("timed", checkpoints.restartpoints_timed),
            ("requested", checkpoints.restartpoints_req),
            ("done", checkpoints.restartpoints_done),
        ] {
            samples.known(&RESTARTPOINTS, &[cluster, node, kind], count.map(|count| count as f64));
        }
        samples.number(&WRITE_TIME, &[cluster, node], checkpoints.write_time / 1_000.0);
        samples.number(&SYNC_TIME, &[cluster, node], checkpoints.sync_time / 1_000.0);
        samples.number(&BUFFERS, &[cluster, node], checkpoints.buffers_written as f64);
    }
}

fn decode(row: &Record<'_>) -> Result<Checkpoints, DecodeError> {
    Ok(Checkpoints {
        num_timed: row.need_number("num_timed")?,
        num_requested: row.need_number("num_requested")?,
        restartpoints_timed: row.number("restartpoints_timed")?,
        restartpoints_req: row.number("restartpoints_req")?,
        restartpoints_done: row.number("restartpoints_done")?,
        write_time: row.need_number("write_time")?,
        sync_time: row.need_number("sync_time")?,
        buffers_written: row.need_number("buffers_written")?,
    })
}
