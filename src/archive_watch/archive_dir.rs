//! What a look into a cluster's archive found.

use serde::Serialize;

use crate::clock::Wall;
use crate::metric::family::{Family, Kind, Observers, Unit};
use crate::metric::sample::Samples;
use crate::pg::lsn::{Lsn, Timeline};
use crate::pg::wal_file::Segment;

/// The verdict on an archive directory, and what it rests on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ArchiveDir {
    /// The verdict.
    pub state: ArchiveDirState,
    /// What is in it; `None` while that is not known.
    pub found: Option<Found>,
}

/// The verdict on an archive directory, in order of precedence but `Unknown`, which may hide any that follows `Unreadable`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ArchiveDirState {
    /// The directory cannot be read.
    Unreadable,
    /// It holds no segment.
    Empty,
    /// A segment that newer ones need is not there, or the history that leads from one timeline to the next.
    Gap,
    /// All is there, but a file is not as it should be.
    Damaged,
    /// From the oldest segment to the newest all are there and as large as they should be.
    Ok,
    /// It was not looked at for long enough, or the size of the cluster's segments is not known.
    Unknown,
}

impl ArchiveDirState {
    /// The values of the label `state`.
    pub const ALL: &[&str] = &["ok", "gap", "damaged", "empty", "unreadable", "unknown"];

    /// The value of the label `state`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Empty => "empty",
            Self::Gap => "gap",
            Self::Damaged => "damaged",
            Self::Ok => "ok",
            Self::Unknown => "unknown",
        }
    }
}

/// What is in an archive directory. The line is that of the newest timeline with its ancestors.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Found {
    /// Number and bytes of the segments of all timelines; `None` if there are more than pgvigil remembers.
    pub totals: Option<(u64, u64)>,
    /// Segments that have been missing on the line for longer than `archive_hung_after`; `None` while that cannot be said.
    pub missing: Option<u64>,
    /// The first of them.
    pub first_missing: Option<Segment>,
    /// Timelines without a readable history that would lead to them from an older one.
    pub missing_history_files: u64,
    /// Files that are not as they should be, by [`REASONS`].
    pub bad: [u64; 4],
    /// The name of the first of them.
    pub first_bad: Option<String>,
    /// The newest segment of the line.
    pub newest: Option<Newest>,
}

/// The newest segment of an archive's line.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Newest {
    /// Its timeline.
    pub timeline: Timeline,
    /// Where it ends.
    pub end: Lsn,
    /// When it came.
    pub archived: Wall,
}

/// The values of the label `reason`, in the order of [`Found::bad`].
pub const REASONS: [&str; 4] = ["size", "partial", "unreadable", "history"];

const CLUSTER: &[&str] = &["cluster"];

const fn gauge(
    name: &'static str,
    unit: Unit,
    labels: &'static [&'static str],
    observers: Observers,
    help: &'static str,
) -> Family {
    Family { name, help, kind: Kind::Gauge, unit, labels, observers }
}

static STATE: Family = gauge(
    "pgvigil_archive_dir_state",
    Unit::None,
    &["cluster", "state"],
    Observers::Max,
    "The verdict on the cluster's archive_dir, 1 for the present state: gap if a segment or history that newer segments need is not \
     there, damaged if a file is not as it should be, unreadable if pgvigil may not look. Only with archive_dir.",
);
static SEGMENTS: Family = gauge(
    "pgvigil_archive_dir_segments",
    Unit::None,
    CLUSTER,
    Observers::Max,
    "WAL segments in archive_dir, of all timelines; absent beyond 200,000.",
);
static BYTES: Family = gauge(
    "pgvigil_archive_dir_bytes",
    Unit::Bytes,
    CLUSTER,
    Observers::Max,
    "Bytes of the WAL segments in archive_dir, compressed or not; absent beyond 200,000 segments.",
);
static MISSING: Family = gauge(
    "pgvigil_archive_dir_missing_segments",
    Unit::None,
    CLUSTER,
    Observers::Max,
    "Segments that are not in archive_dir though older and newer ones of the newest timeline's line of descent are; those that were \
     missed for less than archive_hung_after may still come and do not count.",
);
static MISSING_HISTORY: Family = gauge(
    "pgvigil_archive_dir_missing_history_files",
    Unit::None,
    CLUSTER,
    Observers::Max,
    "Timelines in archive_dir whose .history is not there, so that nothing leads to them from the older segments that are.",
);
static BAD: Family = gauge(
    "pgvigil_archive_dir_bad_files",
    Unit::None,
    &["cluster", "reason"],
    Observers::Max,
    "Files in archive_dir that do not serve: size (not that of the cluster's segments, or compressed to nothing), partial (only a \
     .partial where newer segments need the whole), unreadable (to pgvigil), history (no timeline history).",
);
static TIMELINE: Family = gauge(
    "pgvigil_archive_dir_timeline",
    Unit::None,
    CLUSTER,
    Observers::Max,
    "Timeline of the newest segment in archive_dir.",
);
static POSITION: Family = gauge(
    "pgvigil_archive_dir_position_bytes",
    Unit::Bytes,
    CLUSTER,
    Observers::Max,
    "WAL position at which the newest segment in archive_dir ends, on its own timeline.",
);
static NEWEST_AGE: Family = gauge(
    "pgvigil_archive_dir_newest_age_seconds",
    Unit::Seconds,
    CLUSTER,
    Observers::Min,
    "How long ago the newest segment came into archive_dir, by the clocks of its file system and of the observer.",
);

/// All of them.
pub static FAMILIES: &[&Family] =
    &[&STATE, &SEGMENTS, &BYTES, &MISSING, &MISSING_HISTORY, &BAD, &TIMELINE, &POSITION, &NEWEST_AGE];

/// Adds the samples of a cluster's archive as it was seen at the last look; `None`: that was too long ago.
pub fn samples(cluster: &str, archive: Option<&ArchiveDir>, now: Wall, samples: &mut Samples) {
    let state = archive.map_or(ArchiveDirState::Unknown, |archive| archive.state);
    samples.states(&STATE, &[cluster], ArchiveDirState::ALL, state.as_str());
    let Some(found) = archive.and_then(|archive| archive.found.as_ref()) else { return };
    samples.known(&SEGMENTS, &[cluster], found.totals.map(|(segments, _)| segments as f64));
    samples.known(&BYTES, &[cluster], found.totals.map(|(_, bytes)| bytes as f64));
    samples.known(&MISSING, &[cluster], found.missing.map(|missing| missing as f64));
    samples.number(&MISSING_HISTORY, &[cluster], found.missing_history_files as f64);
    for (reason, files) in REASONS.iter().zip(found.bad) {
        samples.number(&BAD, &[cluster, reason], files as f64);
    }
    let Some(newest) = found.newest else { return };
    samples.number(&TIMELINE, &[cluster], f64::from(newest.timeline.0));
    samples.number(&POSITION, &[cluster], newest.end.as_f64());
    samples.number(&NEWEST_AGE, &[cluster], now.seconds_since(newest.archived).max(0.0));
}
