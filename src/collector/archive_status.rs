//! Collector `archive_status`: `pg_ls_archive_statusdir()`, what waits for the archiver. The only sign of a command that hangs.
//!
//! The server looks at each file of the directory, so with many of them this is a dear reading, and then a rare one.

use serde::Serialize;

use super::archiver::{Archiver, archive_evidence};
use super::snapshot::{Exchange, Fact, NodeView, Snapshot};
use super::{CollectError, Pace};
use crate::clock::Wall;
use crate::metric::family::{Family, Kind, Observers, Unit};
use crate::metric::sample::Samples;
use crate::pg::lsn::Lsn;
use crate::pg::records::{DecodeError, Records};
use crate::pg::version::VersionedSql;
use crate::pg::wal_file::Segment;

/// `pg_ls_archive_statusdir()`: what waits for the archiver.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ArchiveStatus {
    /// Number of `.ready` files.
    pub ready: u64,
    /// Age in seconds of the oldest `.ready` file by the server's clock; `None` if there is none.
    pub oldest_ready_age: Option<f64>,
    /// Of each timeline, the oldest segment that waits.
    pub oldest_segments: Vec<Segment>,
    /// How far the node had WAL before the directory was read: what a primary had flushed, what a standby had received. `None` if
    /// that was not asked.
    pub position: Option<Lsn>,
    /// The server's clock before the directory was read.
    pub server_time: Wall,
}

impl ArchiveStatus {
    /// Whether something was archived since the directory was read: then what waited in it need not wait any more.
    pub fn is_outdated(&self, archiver: &Archiver) -> bool {
        archiver.last_archived_time.is_some_and(|archived| archived > self.server_time)
    }
}

/// Older servers let only a superuser look.
static SQL: VersionedSql = VersionedSql(&[(12, include_str!("sql/archive_status.12.sql"))]);

static READY: Family = Family {
    name: "pgvigil_archive_ready_segments",
    help: "Files that wait to be archived, when they were last counted: with many, collector_rest_seconds says how seldom that is. \
           Absent where no archiver runs, as on a demoted primary.",
    kind: Kind::Gauge,
    unit: Unit::None,
    labels: &["cluster", "node"],
    observers: Observers::Max,
};

static OLDEST_AGE: Family = Family {
    name: "pgvigil_archive_oldest_ready_age_seconds",
    help: "How long the oldest of the files that wait to be archived has waited, by the server's clock; 0 if none waits. Absent \
           where no archiver runs, and from when another file was archived until the next look.",
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
        let segments = row.text("oldest_segments")?.unwrap_or_default();
        let server_time = row.epoch("server_time")?;
        let value = ArchiveStatus {
            ready: row.need_number("ready")?,
            oldest_ready_age: row.number("oldest_ready_age")?,
            oldest_segments: segments.split(',').filter_map(Segment::parse).collect(),
            position: row.lsn("position_lsn")?,
            server_time: server_time.ok_or_else(|| DecodeError::Null("server_time".to_owned()))?,
        };
        snapshot.archive_status = Some(Fact { value, seen: exchange.received });
        Ok(())
    }

    fn samples(&self, view: &NodeView<'_>, samples: &mut Samples) {
        let evidence = archive_evidence(view);
        let Some(status) = evidence.status.filter(|_| evidence.archives() == Some(true)) else { return };
        let labels = view.labels();
        samples.number(&READY, &labels, status.ready as f64);
        samples.known(&OLDEST_AGE, &labels, oldest_age(view, status, evidence.archiver));
    }
}

/// The age at present, as long as it is known that the oldest file still waits, or that none has come.
fn oldest_age(view: &NodeView<'_>, status: &ArchiveStatus, archiver: Option<&Archiver>) -> Option<f64> {
    let since = view.snapshot.archive_status.as_ref().map(|fact| view.age(fact))?;
    match status.ready {
        0 => (since <= view.slow_window).then_some(0.0),
        _ if status.is_outdated(archiver?) => None,
        _ => status.oldest_ready_age.map(|age| age.max(0.0) + since.as_secs_f64()),
    }
}
