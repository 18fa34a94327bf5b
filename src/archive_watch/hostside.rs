//! What a node's own files say: how long segments wait for the archiver, and the volume that its WAL is on.

use serde::Serialize;

use crate::clock::Wall;
use crate::collector::Pace;
use crate::collector::archive_status::ArchiveStatus;
use crate::collector::snapshot::NodeView;
use crate::metric::family::{Family, Kind, Observers, Unit};
use crate::metric::histogram::Histogram;
use crate::metric::sample::Samples;

/// One look into a data directory.
#[derive(Clone, Debug, Serialize)]
pub struct Hostside {
    /// What waits for the archiver; the same as the server itself would say, by our clock.
    pub archive_status: ArchiveStatus,
    /// How long segments waited since we look, in seconds.
    #[serde(skip)]
    pub archive_durations: Histogram,
    /// The volume of `pg_wal`.
    pub wal_volume: WalVolume,
    /// When the server of this directory started, by `postmaster.pid`, to the second; `None` while there is no such file.
    pub started_at: Option<Wall>,
}

/// The volume that `pg_wal` is on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct WalVolume {
    /// Its size in bytes.
    pub size: u64,
    /// Bytes of it that are free for others than root.
    pub free: u64,
    /// In how many seconds none will be free; see [`super::time_to_full::Trend::note`].
    pub seconds_to_full: Option<f64>,
}

/// `postmaster.pid` has the start of the process in whole seconds, the server itself tells the end of its start-up.
const LONGEST_START: f64 = 120.0;

impl Hostside {
    /// Whether the directory is another server's than the one that says that it started at `started_at`. One that says nothing is
    /// taken at its word.
    pub fn is_of_another(&self, started_at: Option<Wall>) -> bool {
        let took = started_at.zip(self.started_at).map(|(server, process)| server.seconds_since(process));
        took.is_some_and(|took| !(-2.0..=LONGEST_START).contains(&took))
    }
}

static ARCHIVE_DURATION: Family = Family {
    name: "pgvigil_archive_duration_seconds",
    help: "How long each WAL segment waited from being ready until it was archived, as the files in pg_wal/archive_status tell; only \
           with data_dir. A segment that is removed with its status counts as archived.",
    kind: Kind::Histogram,
    unit: Unit::Seconds,
    labels: &["cluster", "node"],
    observers: Observers::Max,
};

static VOLUME_SIZE: Family = Family {
    name: "pgvigil_wal_volume_size_bytes",
    help: "Size of the volume that pg_wal is on; only with data_dir.",
    kind: Kind::Gauge,
    unit: Unit::Bytes,
    labels: &["cluster", "node"],
    observers: Observers::Max,
};

static VOLUME_FREE: Family = Family {
    name: "pgvigil_wal_volume_free_bytes",
    help: "Space on the volume of pg_wal that is free for others than root; only with data_dir.",
    kind: Kind::Gauge,
    unit: Unit::Bytes,
    labels: &["cluster", "node"],
    observers: Observers::Min,
};

static VOLUME_TIME_TO_FULL: Family = Family {
    name: "pgvigil_wal_volume_time_to_full_seconds",
    help: "Time until the volume of pg_wal is full if its free space goes on to fall by the slower of the rates of the last minute and \
           of the last ten; absent while it does not fall over both. Only with data_dir.",
    kind: Kind::Gauge,
    unit: Unit::Seconds,
    labels: &["cluster", "node"],
    observers: Observers::Min,
};

/// All of them.
pub static FAMILIES: &[&Family] = &[&ARCHIVE_DURATION, &VOLUME_SIZE, &VOLUME_FREE, &VOLUME_TIME_TO_FULL];

/// Adds the samples of the node's files.
pub fn samples(view: &NodeView<'_>, samples: &mut Samples) {
    let Some(hostside) = of(view) else { return };
    let labels = view.labels();
    samples.histogram(&ARCHIVE_DURATION, &labels, &hostside.archive_durations);
    samples.number(&VOLUME_SIZE, &labels, hostside.wal_volume.size as f64);
    samples.number(&VOLUME_FREE, &labels, hostside.wal_volume.free as f64);
    samples.known(&VOLUME_TIME_TO_FULL, &labels, hostside.wal_volume.seconds_to_full);
}

/// What the node's files say, if it is fresh and this node's.
pub fn of<'a>(view: &NodeView<'a>) -> Option<&'a Hostside> {
    let started_at = view.fresh(&view.snapshot.recovery, Pace::Fast).map(|recovery| recovery.started_at);
    let hostside = view.fresh(&view.snapshot.hostside, Pace::Slow)?;
    (!hostside.is_of_another(started_at)).then_some(hostside)
}

/// What waits for the archiver: by the files where they are seen, else by the server.
pub fn archive_status<'a>(view: &NodeView<'a>) -> Option<&'a ArchiveStatus> {
    let server = || view.fresh(&view.snapshot.archive_status, Pace::Slow);
    of(view).map(|hostside| &hostside.archive_status).or_else(server)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_told_by_when_its_server_started() {
        let at = Wall::from_seconds;
        let of = |started_at| Hostside {
            archive_status: ArchiveStatus {
                ready: 0,
                oldest_ready_age: None,
                oldest_segments: Vec::new(),
                position: None,
                server_time: Wall::from_seconds(0.0),
            },
            archive_durations: Histogram::new(&[1.0]),
            wal_volume: WalVolume { size: 1, free: 1, seconds_to_full: None },
            started_at,
        };
        for (process, server, foreign) in [
            (Some(1000.0), Some(1000.4), false),
            (Some(1000.0), Some(1090.0), false),
            (Some(1000.0), Some(1500.0), true),
            (Some(1000.0), Some(900.0), true),
            (None, Some(900.0), false),
            (Some(1000.0), None, false),
        ] {
            assert_eq!(of(process.map(at)).is_of_another(server.map(at)), foreign, "{process:?} {server:?}");
        }
    }
}
