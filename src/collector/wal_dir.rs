//! Collector `wal_dir`: `pg_ls_waldir()`, what lies in `pg_wal`, and how far back the WAL goes that the server can still send.

use serde::Serialize;

use super::snapshot::{Exchange, Fact, NodeView, Snapshot};
use super::{CollectError, Pace};
use crate::metric::family::{Family, Kind, Observers, Unit};
use crate::metric::sample::Samples;
use crate::pg::lsn::{Lsn, Timeline};
use crate::pg::records::{DecodeError, Record, Records};
use crate::pg::version::VersionedSql;
use crate::pg::wal_file::{Segment, SegmentSize};

/// Segments of one number begin at one position, whatever their timeline.
const ANY_TIMELINE: Timeline = Timeline(1);

/// What `pg_ls_waldir()` lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WalDir {
    /// Sum of `size` of all files, those kept for later use included.
    pub size: u64,
    /// Number of segments, those kept for later use included.
    pub segments: u64,
    /// Where the oldest segment begins; `None` if there is none.
    pub oldest_lsn: Option<Lsn>,
    /// `wal_segment_size`.
    pub wal_segment_size: Option<SegmentSize>,
}

static SQL: VersionedSql = VersionedSql(&[(10, include_str!("sql/wal_dir.10.sql"))]);

const fn gauge(name: &'static str, unit: Unit, help: &'static str) -> Family {
    Family { name, help, kind: Kind::Gauge, unit, labels: &["cluster", "node"], observers: Observers::Max }
}

static SIZE: Family = gauge(
    "pgvigil_wal_dir_bytes",
    Unit::Bytes,
    "Size of the files in pg_wal, segments that are kept for later use included.",
);

static SEGMENTS: Family = gauge(
    "pgvigil_wal_dir_segments",
    Unit::None,
    "WAL segments in pg_wal, those that are kept for later use included.",
);

static OLDEST: Family = gauge(
    "pgvigil_wal_oldest_position_bytes",
    Unit::Bytes,
    "Where the oldest WAL segment of the server begins: a standby that has not received up to here cannot be fed by it any more.",
);

static FAMILIES: [&Family; 3] = [&SIZE, &SEGMENTS, &OLDEST];

impl WalDir {
    /// Whether the server still has WAL from `lsn` on. What it sends begins with the whole segment.
    pub fn reaches_back_to(&self, lsn: Lsn) -> Option<bool> {
        let size = self.wal_segment_size?;
        Some(self.oldest_lsn? <= Segment::of(ANY_TIMELINE, lsn, size).start(size)?)
    }
}

/// The collector.
#[derive(Debug)]
pub struct Collector;

impl super::Collector for Collector {
    fn name(&self) -> &'static str {
        "wal_dir"
    }

    fn pace(&self) -> Pace {
        Pace::Slow
    }

    fn sql(&self) -> &'static VersionedSql {
        &SQL
    }

    fn source(&self) -> &'static str {
        "pg_ls_waldir()"
    }

    fn grant(&self) -> Option<&'static str> {
        Some("pg_monitor")
    }

    fn families(&self) -> &'static [&'static Family] {
        &FAMILIES
    }

    fn store(&self, records: &Records, snapshot: &mut Snapshot, exchange: Exchange) -> Result<(), CollectError> {
        let value = decode(&records.single()?)?;
        snapshot.wal_dir = Some(Fact { value, seen: exchange.received });
        Ok(())
    }

    fn samples(&self, view: &NodeView<'_>, samples: &mut Samples) {
        let Some(dir) = view.fresh(&view.snapshot.wal_dir, Pace::Slow) else { return };
        let labels = view.labels();
        samples.number(&SIZE, &labels, dir.size as f64);
        samples.number(&SEGMENTS, &labels, dir.segments as f64);
        samples.known(&OLDEST, &labels, dir.oldest_lsn.map(Lsn::as_f64));
    }
}

fn decode(row: &Record<'_>) -> Result<WalDir, DecodeError> {
    let wal_segment_size = SegmentSize::new(row.need_number("wal_segment_size")?);
    Ok(WalDir {
        size: row.need_number("size")?,
        segments: row.need_number("segments")?,
        oldest_lsn: row.text("oldest")?.and_then(|number| begin(number, wal_segment_size?)),
        wal_segment_size,
    })
}

/// Where a segment begins, by the part of its name after the timeline.
fn begin(number: &str, size: SegmentSize) -> Option<Lsn> {
    Segment::parse(&format!("{:08X}{number}", ANY_TIMELINE.0))?.start(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEBIBYTE: u64 = 1 << 20;

    #[test]
    fn a_segment_begins_where_its_name_says_for_any_size() {
        let begin = |number: &str, mebibytes| begin(number, SegmentSize::new(mebibytes * MEBIBYTE).unwrap());
        assert_eq!(begin("0000000000000001", 16), Some(Lsn(0x0100_0000)));
        assert_eq!(begin("0000000A000000FF", 16), Some(Lsn(0xA_FF00_0000)));
        assert_eq!(begin("0000000A00000FFF", 1), Some(Lsn(0xA_FFF0_0000)));
        assert_eq!(begin("FFFFFFFF00000003", 1024), Some(Lsn(0xFFFF_FFFF_C000_0000)));
        // No segment of this size has such a number.
        assert_eq!(begin("0000000A00000100", 16), None);
        for text in ["", "00000001", "000000010000000G", "+000000100000001", "00000001000000010", "ééééééé0"] {
            assert_eq!(begin(text, 1), None, "{text}");
        }
    }

    #[test]
    fn a_position_needs_its_whole_segment() {
        let dir =
            |oldest_lsn| WalDir { size: 0, segments: 0, oldest_lsn, wal_segment_size: SegmentSize::new(MEBIBYTE) };
        let from = dir(Some(Lsn(3 * MEBIBYTE)));
        assert_eq!(from.reaches_back_to(Lsn(3 * MEBIBYTE)), Some(true));
        assert_eq!(from.reaches_back_to(Lsn(3 * MEBIBYTE - 1)), Some(false));
        assert_eq!(from.reaches_back_to(Lsn(4 * MEBIBYTE - 1)), Some(true));
        assert_eq!(dir(None).reaches_back_to(Lsn(1)), None);
        assert_eq!(WalDir { wal_segment_size: None, ..from }.reaches_back_to(Lsn(1)), None);
    }
}
