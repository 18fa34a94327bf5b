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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::clock::{Moment, Mono};
    use crate::collector::Collector as _;
    use crate::collector::archiver::ArchiveCommand;
    use crate::metric::sample::Value;

    const NOW: f64 = 10_000.0;

    fn moment(ago: f64) -> Moment {
        Moment { mono: Mono::from_nanos(((NOW - ago) * 1e9) as u64), wall: Wall::from_seconds(NOW - ago) }
    }

    /// `ready` files waited `ago` seconds ago, the oldest for 100 seconds; something was last archived `archived` seconds ago. The
    /// collector rests for `rest` seconds. What the page has of it: the count and the age.
    fn shown(mode: &str, ready: u64, ago: f64, archived: f64, rest: u64) -> [Option<f64>; 2] {
        let archiver = Archiver {
            archived_count: 1,
            last_archived_wal: None,
            last_archived_time: Some(Wall::from_seconds(NOW - archived)),
            failed_count: 0,
            last_failed_wal: None,
            last_failed_time: None,
            stats_reset: None,
            mode: mode.to_owned(),
            command: ArchiveCommand::Set,
            server_time: Wall::from_seconds(NOW),
        };
        let status = ArchiveStatus {
            ready,
            oldest_ready_age: (ready > 0).then_some(100.0),
            oldest_segments: Vec::new(),
            position: None,
            server_time: Wall::from_seconds(NOW - ago),
        };
        let seen = moment(ago);
        let snapshot = Snapshot {
            archiver: Some(Fact { value: archiver, seen: moment(0.0) }),
            archive_status: Some(Fact { value: status, seen }),
            rests: BTreeMap::from([("archive_status", Fact { value: Duration::from_secs(rest), seen })]),
            ..Snapshot::default()
        };
        let view = NodeView {
            cluster: "c",
            node: "n",
            snapshot: &snapshot,
            now: moment(0.0),
            fast_window: Duration::from_secs(3),
            slow_window: Duration::from_secs(30),
            not_before: Moment::default(),
            archive_hung_after: Duration::from_secs(60),
            standby_names: BTreeMap::new(),
        };
        let mut samples = Samples::default();
        Collector.samples(&view, &mut samples);
        [&READY, &OLDEST_AGE].map(|family| {
            let sample = samples.iter().find(|sample| sample.family == family)?;
            if let Value::Number(value) = sample.value { Some(value.round()) } else { None }
        })
    }

    #[test]
    fn the_oldest_grows_older_between_two_looks() {
        assert_eq!(shown("always", 3, 0.0, 500.0, 0), [Some(3.0), Some(100.0)]);
        assert_eq!(shown("always", 3, 20.0, 500.0, 0), [Some(3.0), Some(120.0)]);
        assert_eq!(shown("always", 3, 140.0, 500.0, 120), [Some(3.0), Some(240.0)], "while it rests");
    }

    #[test]
    fn what_nothing_confirms_is_absent() {
        assert_eq!(shown("always", 3, 40.0, 500.0, 0), [None, None], "too old");
        assert_eq!(shown("always", 3, 151.0, 500.0, 120), [None, None], "too old for one that rests");
        assert_eq!(shown("always", 3, 20.0, 5.0, 0), [Some(3.0), None], "the oldest may be archived");
    }

    #[test]
    fn that_none_waits_is_said_as_long_as_any_other_figure() {
        assert_eq!(shown("always", 0, 20.0, 500.0, 0), [Some(0.0), Some(0.0)]);
        assert_eq!(shown("always", 0, 40.0, 500.0, 120), [Some(0.0), None], "one may have come since");
    }

    #[test]
    fn where_no_archiver_runs_nothing_is_told() {
        assert_eq!(shown("off", 3, 0.0, 500.0, 0), [None, None]);
        assert_eq!(shown("on", 3, 0.0, 500.0, 0), [None, None], "whether it is a standby is not known");
    }
}
