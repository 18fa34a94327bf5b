//! Collector `archive_status`: `pg_ls_archive_statusdir()`, what waits for the archiver. The only sign of a command that hangs.

use serde::Serialize;

use super::snapshot::{Exchange, Fact, NodeView, Snapshot};
use super::{CollectError, Pace};
use crate::metric::family::{Family, Kind, Observers, Unit};
use crate::metric::sample::Samples;
use crate::pg::records::Records;
use crate::pg::version::VersionedSql;

/// `pg_ls_archive_statusdir()`: what waits for the archiver.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ArchiveStatus {
    /// Number of `.ready` files.
    pub ready: u64,
    /// Age in seconds of the oldest `.ready` file by the server's clock; `None` if there is none.
    pub oldest_ready_age: Option<f64>,
}

/// Older servers let only a superuser look.
static SQL: VersionedSql = VersionedSql(&[(12, include_str!("sql/archive_status.12.sql"))]);

static READY: Family = Family {
    name: "pgvigil_archive_ready_segments",
    help: "Files that wait to be archived.",
    kind: Kind::Gauge,
    unit: Unit::None,
    labels: &["cluster", "node"],
    observers: Observers::Max,
};

static OLDEST_AGE: Family = Family {
    name: "pgvigil_archive_oldest_ready_age_seconds",
    help: "How long the oldest of the files that wait to be archived has waited, by the server's clock; 0 if none waits.",
    kind: Kind::Gauge,
    unit: Unit::Seconds,
    labels: &["cluster", "node"],
    observers: Observers::Max,
};

static FAMILIES: [&Family; 2] = [&READY, &OLDEST_AGE];

/// The collector.
#[derive(Debug)]
pub struct Collector;

impl super::Collector for Collector {
    fn name(&self) -> &'static str {
        "archive_status"
    }

    fn pace(&self) -> Pace {
        Pace::Slow
    }

    fn sql(&self) -> &'static VersionedSql {
        &SQL
    }

    fn source(&self) -> &'static str {
        "pg_ls_archive_statusdir()"
    }

    fn grant(&self) -> Option<&'static str> {
        Some("pg_monitor")
    }

    fn families(&self) -> &'static [&'static Family] {
        &FAMILIES
    }

    fn store(&self, records: &Records, snapshot: &mut Snapshot, exchange: Exchange) -> Result<(), CollectError> {
        let row = records.single()?;
        let value =
            ArchiveStatus { ready: row.need_number("ready")?, oldest_ready_age: row.number("oldest_ready_age")? };
        snapshot.archive_status = Some(Fact { value, seen: exchange.received });
        Ok(())
    }

    fn samples(&self, view: &NodeView<'_>, samples: &mut Samples) {
        let Some(status) = view.fresh(&view.snapshot.archive_status, Pace::Slow) else { return };
        let labels = view.labels();
        samples.number(&READY, &labels, status.ready as f64);
        let age = if status.ready == 0 { Some(0.0) } else { status.oldest_ready_age };
        samples.known(&OLDEST_AGE, &labels, age.map(|age| age.max(0.0)));
    }
}
