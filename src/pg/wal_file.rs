//! Names of WAL files, and which positions they hold. The size of a segment is the cluster's own: 1 MB to 1 GB.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::pg::lsn::{Lsn, Timeline};

/// `wal_segment_size`: a power of two from 1 MB to 1 GB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SegmentSize(u32);

impl SegmentSize {
    /// The size of `bytes`; `None` if no cluster can have it.
    pub const fn new(bytes: u64) -> Option<Self> {
        let fits = bytes.is_power_of_two() && bytes >= 1 << 20 && bytes <= 1 << 30;
        if fits { Some(Self(bytes as u32)) } else { None }
    }

    /// The size in bytes.
    pub const fn bytes(self) -> u64 {
        self.0 as u64
    }

    /// The start of the segment that holds the byte at `lsn`. A position at a boundary is the start of the segment after it.
    pub const fn floor(self, lsn: Lsn) -> Lsn {
        Lsn(lsn.0 & !(self.bytes() - 1))
    }
}

/// A WAL segment by its name of 24 digits: timeline, and the two halves of its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Segment {
    /// The timeline whose WAL it holds; before a fork within it, that of the timeline before.
    pub timeline: Timeline,
    high: u32,
    low: u32,
}

impl Segment {
    /// The segment of `timeline` that holds the byte at `lsn`, as `pg_walfile_name` has it from 17 on. Before, that function names
    /// the segment before when `lsn` is a boundary.
    pub const fn of(timeline: Timeline, lsn: Lsn, size: SegmentSize) -> Self {
        Self { timeline, high: (lsn.0 >> 32) as u32, low: ((lsn.0 & 0xffff_ffff) / size.bytes()) as u32 }
    }

    /// Parses 24 hexadecimal digits in capitals, as the server writes them.
    pub fn parse(name: &str) -> Option<Self> {
        if name.len() != 24 {
            return None;
        }
        Some(Self {
            timeline: Timeline(hexadecimal(name.get(..8)?)?),
            high: hexadecimal(name.get(8..16)?)?,
            low: hexadecimal(name.get(16..)?)?,
        })
    }

    /// Its first position; `None` if no segment of this size has such a name.
    pub const fn start(self, size: SegmentSize) -> Option<Lsn> {
        let offset = self.low as u64 * size.bytes();
        if offset > 0xffff_ffff { None } else { Some(Lsn((self.high as u64) << 32 | offset)) }
    }

    /// The position after its last byte; `None` if no segment of this size has such a name.
    pub fn end(self, size: SegmentSize) -> Option<Lsn> {
        Some(Lsn(self.start(size)?.0.saturating_add(size.bytes())))
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08X}{:08X}{:08X}", self.timeline.0, self.high, self.low)
    }
}

impl Serialize for Segment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What lies in `pg_wal` and in an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalFile {
    /// A whole segment.
    Segment(Segment),
    /// The last segment of a timeline as it was when another server was promoted from it.
    Partial(Segment),
    /// Where a timeline came from.
    History(Timeline),
    /// A base backup that began in this segment, at this offset.
    Backup(Segment, u32),
}

impl WalFile {
    /// What a file of this name is; `None` if it is no WAL file.
    pub fn parse(name: &str) -> Option<Self> {
        let Some((stem, kind)) = name.split_once('.') else { return Segment::parse(name).map(Self::Segment) };
        match kind {
            "partial" => Segment::parse(stem).map(Self::Partial),
            "history" => hexadecimal(stem).map(Timeline).map(Self::History),
            _ => {
                let offset = kind.strip_suffix(".backup").and_then(hexadecimal)?;
                Some(Self::Backup(Segment::parse(stem)?, offset))
            }
        }
    }

    /// The whole segment that it is.
    pub const fn segment(self) -> Option<Segment> {
        match self {
            Self::Segment(segment) => Some(segment),
            _ => None,
        }
    }
}

impl fmt::Display for WalFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Segment(segment) => segment.fmt(f),
            Self::Partial(segment) => write!(f, "{segment}.partial"),
            Self::History(timeline) => write!(f, "{:08X}.history", timeline.0),
            Self::Backup(segment, offset) => write!(f, "{segment}.{offset:08X}.backup"),
        }
    }
}

/// Eight digits as the server writes them: `from_str_radix` would also take a sign and small letters.
fn hexadecimal(digits: &str) -> Option<u32> {
    let plain = digits.len() == 8 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'));
    if plain { u32::from_str_radix(digits, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MEBIBYTE: u64 = 1 << 20;

    fn size(mebibytes: u64) -> SegmentSize {
        SegmentSize::new(mebibytes * MEBIBYTE).unwrap()
    }

    #[test]
    fn names_are_what_servers_gave_them() {
        let segment = Segment::of(Timeline(1), Lsn(0x0700_0000), size(16));
        assert_eq!(segment.to_string(), "000000010000000000000007");
        assert_eq!(segment.start(size(16)), Some(Lsn(117_440_512)));
        let far = Segment::of(Timeline(26), "12A/FFF01234".parse().unwrap(), size(1));
        assert_eq!(far.to_string(), "0000001A0000012A00000FFF");
        assert_eq!(Segment::of(Timeline(1), Lsn(0xffff_ffff), size(1024)).to_string(), "000000010000000000000003");
    }

    #[test]
    fn every_kind_is_told_by_its_name() {
        let segment = Segment::parse("00000002000000000000000C").unwrap();
        for (name, file) in [
            ("00000002000000000000000C", WalFile::Segment(segment)),
            ("00000002000000000000000C.partial", WalFile::Partial(segment)),
            ("00000002000000000000000C.00000028.backup", WalFile::Backup(segment, 0x28)),
            ("0000001A.history", WalFile::History(Timeline(26))),
        ] {
            assert_eq!(WalFile::parse(name), Some(file));
            assert_eq!(file.to_string(), name);
        }
    }

    #[test]
    fn what_is_no_wal_file_is_refused() {
        for name in [
            "",
            "archive_status",
            "00000002000000000000000",
            "00000002000000000000000C0",
            "00000002000000000000000c",
            "+0000002000000000000000C",
            "00000002000000000000000C.ready",
            "00000002000000000000000C.gz",
            "00000002000000000000000C.backup",
            "00000002000000000000000C.28.backup",
            "2.history",
            "0000000200000000.history",
            "xlogtemp.1234",
            "00000002000000000000000Ć",
        ] {
            assert_eq!(WalFile::parse(name), None, "{name}");
        }
    }

    #[test]
    fn a_size_is_a_power_of_two_from_1_mb_to_1_gb() {
        for bytes in [0, 1 << 19, MEBIBYTE + 1, 3 * MEBIBYTE, 1 << 31, u64::MAX] {
            assert_eq!(SegmentSize::new(bytes), None, "{bytes}");
        }
        assert_eq!(SegmentSize::new(1 << 30).map(SegmentSize::bytes), Some(1 << 30));
    }

    #[test]
    fn a_name_beyond_the_last_segment_of_its_size_has_no_position() {
        let segment = Segment::parse("000000010000000000000100").unwrap();
        assert_eq!(segment.start(size(16)), None);
        assert_eq!(segment.end(size(16)), None);
        assert_eq!(segment.start(size(1)), Some(Lsn(0x1000_0000)));
    }

    proptest! {
        #[test]
        fn a_position_lies_in_its_segment_of_any_size(timeline: u32, lsn: u64, power in 0u32..=10) {
            let (timeline, lsn, size) = (Timeline(timeline), Lsn(lsn), size(1 << power));
            let segment = Segment::of(timeline, lsn, size);
            let (start, end) = (segment.start(size).unwrap(), segment.end(size).unwrap());
            prop_assert!(start <= lsn && (lsn < end || end.0 == u64::MAX), "{start} {lsn} {end}");
            prop_assert!(end.0 == u64::MAX || end.bytes_since(start) == size.bytes());
            prop_assert_eq!(size.floor(lsn), start);
            prop_assert_eq!(Segment::parse(&segment.to_string()), Some(segment));
        }

        #[test]
        fn names_of_one_timeline_sort_as_their_positions(one: u64, other: u64, power in 0u32..=10) {
            let [one, other] = [one, other].map(|lsn| Segment::of(Timeline(3), Lsn(lsn), size(1 << power)));
            prop_assert_eq!(one.to_string().cmp(&other.to_string()), one.cmp(&other));
            let [start, end] = [one, other].map(|segment| segment.start(size(1 << power)).unwrap());
            prop_assert_eq!(one.cmp(&other), start.cmp(&end));
        }

        #[test]
        fn the_next_segment_begins_where_one_ends(lsn in 0..u64::MAX - (1 << 31), power in 0u32..=10) {
            let size = size(1 << power);
            let segment = Segment::of(Timeline(1), Lsn(lsn), size);
            let next = Segment::of(Timeline(1), segment.end(size).unwrap(), size);
            prop_assert_eq!(next.start(size), segment.end(size));
            prop_assert!(next > segment);
        }

        #[test]
        fn no_text_makes_it_panic(name: String) {
            if let Some(file) = WalFile::parse(&name) {
                prop_assert_eq!(file.to_string(), name);
            }
        }
    }
}
