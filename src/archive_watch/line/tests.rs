use super::*;
use crate::archive_watch::archive_dir::REASONS;
use crate::archive_watch::contents::Stat;

const MIB: u64 = 1 << 20;
const SETTLED: f64 = 60.0;

/// An archive on paper, with segments of 1 MiB. What comes without a time came long ago.
#[derive(Default)]
struct Paper {
    contents: Contents,
    holes: Holes,
    files: Vec<(String, Stat, Option<&'static str>)>,
}

impl Paper {
    fn file(mut self, name: &str, bytes: u64, came: f64) -> Self {
        let came = Wall::from_seconds(came);
        self.files.push((name.to_owned(), Stat { bytes, modified: came, changed: came, readable: true }, None));
        self
    }

    /// Whole segments of a timeline, by number.
    fn segments(self, timeline: u32, numbers: impl IntoIterator<Item = u64>) -> Self {
        numbers.into_iter().fold(self, |paper, number| paper.file(&name(timeline, number), MIB, 0.0))
    }

    fn history(mut self, timeline: u32, text: &'static str) -> Self {
        self = self.file(&format!("{timeline:08X}.history"), text.len() as u64, 0.0);
        self.files.last_mut().unwrap().2 = Some(text);
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.files.retain(|(file, ..)| file != name);
        self
    }

    /// One look at `now`.
    fn look(&mut self, now: f64) -> ArchiveDir {
        self.contents.begin();
        for (name, stat, text) in &self.files {
            let Some(file) = ArchiveFile::parse(name) else { continue };
            if self.contents.wants(file, |_, _| false) {
                self.contents.take(file, *stat, *text);
            }
        }
        let complete = self.contents.end();
        let evidence = Evidence {
            contents: &self.contents,
            complete,
            size: SegmentSize::new(MIB).unwrap(),
            settled_after: Duration::from_secs_f64(SETTLED),
            now: Wall::from_seconds(now),
        };
        evidence.judge(&mut self.holes)
    }

    /// The verdict of one who has looked for long enough: state, missing segments, missing histories.
    fn verdict(mut self) -> (ArchiveDirState, Option<u64>, u64) {
        self.look(10_000.0);
        let ArchiveDir { state, found } = self.look(10_000.0 + SETTLED);
        let found = found.unwrap();
        (state, found.missing, found.missing_history_files)
    }
}

fn name(timeline: u32, number: u64) -> String {
    format!("{timeline:08X}{:08X}{:08X}", number >> 12, number & 0xfff)
}

const OK: (ArchiveDirState, Option<u64>, u64) = (ArchiveDirState::Ok, Some(0), 0);
const EMPTY: (ArchiveDirState, Option<u64>, u64) = (ArchiveDirState::Empty, Some(0), 0);

const fn gap(segments: u64, histories: u64) -> (ArchiveDirState, Option<u64>, u64) {
    (ArchiveDirState::Gap, Some(segments), histories)
}

/// Timeline 2 left timeline 1 within segment 8, or just at its beginning.
const FORK_WITHIN: &str = "1\t0/8001C8\tno recovery target specified\n";
const FORK_AT_BEGINNING: &str = "1\t0/800000\tno recovery target specified\n";

#[test]
fn one_timeline_is_whole_wherever_it_begins() {
    assert_eq!(Paper::default().segments(1, 1..=9).verdict(), OK);
    assert_eq!(
        Paper::default().segments(1, 5_000..=9_000).verdict(),
        OK,
        "the beginning is cut off, and the upper half grows"
    );
    assert_eq!(Paper::default().segments(1, [7]).verdict(), OK);
    assert_eq!(Paper::default().verdict(), EMPTY);
    let other = Paper::default().file("000000010000000000000001.tmp", 5, 0.0).file("README", 5, 0.0);
    let other = other.file("000000010000000000000001.00000028.backup", 300, 0.0).history(2, FORK_WITHIN);
    assert_eq!(other.verdict(), EMPTY);
}

#[test]
fn a_hole_is_a_gap_of_its_size() {
    assert_eq!(Paper::default().segments(1, 1..=9).without(&name(1, 4)).verdict(), gap(1, 0));
    assert_eq!(
        Paper::default().segments(1, (1..=3).chain(4_090..=4_100).chain(4_102..=4_103)).verdict(),
        gap(4_087, 0)
    );
    let mut paper = Paper::default().segments(1, [1, 2, 6, 7]);
    paper.look(0.0);
    assert_eq!(paper.look(SETTLED).found.unwrap().first_missing, Segment::parse(&name(1, 3)));
}

#[test]
fn a_hole_that_is_young_may_still_close() {
    let hole = |came| Paper::default().segments(1, 1..=3).file(&name(1, 5), MIB, came);
    let mut paper = hole(10_000.0);
    assert_eq!(paper.look(10_001.0).state, ArchiveDirState::Ok, "an archiver that copies several at a time");
    assert_eq!(paper.look(10_059.0).state, ArchiveDirState::Ok);
    assert_eq!(paper.look(10_062.0).state, ArchiveDirState::Gap);
    let mut paper = hole(10_000.0);
    paper.look(10_001.0);
    let mut paper = Paper { files: Paper::default().segments(1, 1..=5).files, ..paper };
    assert_eq!(paper.look(10_070.0).state, ArchiveDirState::Ok, "it closed");
}

#[test]
fn a_hole_among_old_segments_is_first_watched_for_a_while() {
    let mut paper = Paper::default().segments(1, 1..=9).without(&name(1, 4)).without(&name(1, 2));
    let first = paper.look(10_000.0);
    assert_eq!(
        (first.state, first.found.unwrap().missing),
        (ArchiveDirState::Unknown, None),
        "old ones are being removed"
    );
    let mut paper = Paper { files: Paper::default().segments(1, 6..=9).files, ..paper };
    assert_eq!(paper.look(10_070.0).state, ArchiveDirState::Ok, "and now they are");
    let mut paper = Paper::default().segments(1, 1..=9).without(&name(1, 4));
    paper.look(10_000.0);
    assert_eq!(paper.look(10_059.0).state, ArchiveDirState::Unknown);
    assert_eq!(paper.look(10_060.0).state, ArchiveDirState::Gap);
}

#[test]
fn a_switch_of_timelines_leads_through_its_fork() {
    for fork in [FORK_WITHIN, FORK_AT_BEGINNING] {
        let both = |old, new| Paper::default().segments(1, old).segments(2, new).history(2, fork);
        assert_eq!(both(1..=7, 8..=12).verdict(), OK);
        assert_eq!(both(1..=8, 8..=12).verdict(), OK, "the old primary archived the segment of the fork too");
        assert_eq!(both(1..=15, 8..=12).verdict(), OK, "it wrote on, which nobody needs");
        assert_eq!(both(1..=7, 8..=12).segments(1, [14]).verdict(), OK, "nor its holes there");
        assert_eq!(both(1..=5, 8..=12).verdict(), gap(2, 0), "it never archived its last segments");
        assert_eq!(both(1..=8, 9..=12).verdict(), gap(1, 0), "the copy with the fork is of the new timeline");
        assert_eq!(
            Paper::default().segments(2, 10..=12).history(2, fork).verdict(),
            OK,
            "the old one is removed by now"
        );
    }
    let partial = Paper::default().segments(1, 1..=7).segments(2, 8..=9).history(2, FORK_WITHIN);
    assert_eq!(partial.file(&(name(1, 8) + ".partial"), MIB, 0.0).verdict(), OK);
    let promoted = Paper::default().segments(1, 1..=7).history(2, FORK_WITHIN);
    assert_eq!(promoted.verdict(), OK, "nothing of the new timeline is finished yet");
}

#[test]
fn the_first_that_is_missing_is_named_by_its_timeline() {
    let mut paper = Paper::default().segments(1, 1..=5).segments(2, 9..=12).history(2, FORK_WITHIN);
    paper.look(0.0);
    let found = paper.look(SETTLED).found.unwrap();
    assert_eq!((found.missing, found.first_missing), (Some(3), Segment::parse(&name(1, 6))));
    let mut paper = Paper::default().segments(1, 1..=7).segments(2, 9..=12).history(2, FORK_WITHIN);
    paper.look(0.0);
    assert_eq!(paper.look(SETTLED).found.unwrap().first_missing, Segment::parse(&name(2, 8)));
}

#[test]
fn several_switches_and_two_in_one_segment() {
    let three = Paper::default().segments(1, 1..=3).segments(2, 4..=5).segments(3, 6..=9);
    let text = "1\t0/400100\tx\n2\t0/600100\tx\n";
    assert_eq!(three.history(3, text).verdict(), gap(0, 1), "of 2 there is no history of its own");
    let three = Paper::default().segments(1, 1..=3).segments(2, 4..=5).segments(3, 6..=9);
    assert_eq!(three.history(2, "1\t0/400100\tx\n").history(3, text).verdict(), OK);
    let close = Paper::default().segments(1, 1..=3).segments(3, 4..=9).history(2, "1\t0/400100\tx\n");
    assert_eq!(close.history(3, "1\t0/400100\tx\n2\t0/400200\tx\n").verdict(), OK, "of 2 no segment was ever finished");
}

#[test]
fn without_its_history_nothing_leads_to_a_timeline() {
    let both = || Paper::default().segments(1, 1..=7).segments(2, 8..=12);
    assert_eq!(both().verdict(), gap(0, 1));
    assert_eq!(Paper::default().segments(2, 8..=12).verdict(), OK, "from here on none is needed");
    let closed = both().file("00000002.history.gz", 60, 0.0);
    assert_eq!(closed.verdict(), OK, "it is there, though where it leads is not known");
    let (state, missing, histories) = both().history(2, "garbage").verdict();
    assert_eq!((state, missing, histories), (ArchiveDirState::Damaged, Some(0), 0));
}

#[test]
fn compressed_segments_are_judged_by_their_names() {
    let numbers = (1..=3_u64).map(|number| name(1, number)).zip(["", ".gz", ".zst"]);
    let all = numbers.fold(Paper::default(), |paper, (name, suffix)| {
        paper.file(&(name + suffix), if suffix.is_empty() { MIB } else { 70_000 }, 0.0)
    });
    let all = all.file(&(name(1, 4) + ".lz4"), 1, 0.0).file(&(name(1, 6) + ".gz"), 2 * MIB, 0.0);
    assert_eq!(all.verdict(), gap(1, 0));
    let both = Paper::default().file(&(name(1, 1) + ".gz"), 9, 0.0).file(&name(1, 1), MIB, 0.0);
    assert_eq!(both.verdict(), OK, "under way from one to the other");
}

#[test]
fn files_that_do_not_serve_are_counted_by_reason() {
    let mut unreadable = Paper::default().segments(1, 1..=4);
    unreadable.files[2].1.readable = false;
    let cases: [(&str, Paper, u64); 6] = [
        ("size", Paper::default().segments(1, 1..=4).file(&name(1, 5), MIB - 1, 0.0).file(&name(1, 6), 0, 0.0), 2),
        ("size", Paper::default().segments(1, 1..=4).file(&(name(1, 5) + ".gz"), 0, 0.0), 1),
        ("unreadable", unreadable, 1),
        ("history", Paper::default().segments(1, 1..=4).history(2, "garbage"), 1),
        ("size", Paper::default().segments(1, 1..=4).file(&name(1, 5), 100, 9_990.0 + SETTLED), 0),
        ("partial", Paper::default().segments(1, 1..=4).file(&(name(1, 5) + ".partial"), 100, 0.0), 0),
    ];
    for (reason, mut paper, count) in cases {
        paper.look(10_000.0);
        let ArchiveDir { state, found } = paper.look(10_000.0 + SETTLED);
        let bad = found.unwrap().bad;
        let at = REASONS.iter().position(|known| *known == reason).unwrap();
        assert_eq!((bad[at], bad.iter().sum::<u64>()), (count, count), "{reason}");
        assert_eq!(state, if count > 0 { ArchiveDirState::Damaged } else { ArchiveDirState::Ok }, "{reason}");
    }
    let mut needed = Paper::default().segments(1, [1, 2, 4]).file(&(name(1, 3) + ".partial"), MIB, 0.0);
    needed.look(10_000.0);
    let found = needed.look(10_000.0 + SETTLED).found.unwrap();
    assert_eq!((found.missing, found.bad), (Some(1), [0, 1, 0, 0]), "a restore does not take a .partial");
}

#[test]
fn the_newest_is_that_of_the_line() {
    let mut paper = Paper::default().segments(1, 1..=15).segments(2, 8..=9).history(2, FORK_WITHIN);
    let newest = paper.look(10_000.0).found.unwrap().newest.unwrap();
    assert_eq!((newest.timeline, newest.end), (Timeline(2), Lsn(10 * MIB)));
    let found = paper.look(10_000.0).found.unwrap();
    assert_eq!(found.totals, Some((17, 17 * MIB)));
}

#[test]
fn large_archives_are_looked_at_bit_by_bit_and_bounded() {
    let mut paper = Paper { contents: Contents::bounded(2_000, 200), ..Paper::default().segments(1, 1..=2_100) };
    let looks: Vec<_> = (0..12).map(|look| paper.look(20_000.0 + f64::from(look)).state).collect();
    assert_eq!(looks[..10], [ArchiveDirState::Unknown; 10]);
    assert_eq!(looks[11], ArchiveDirState::Ok, "{looks:?}");
    let found = paper.look(20_100.0).found.unwrap();
    assert_eq!(found.totals, None, "more than it remembers");
    assert_eq!(found.newest.unwrap().end, Lsn(2_101 * MIB));
    assert_eq!(paper.contents.segments().count(), 2_000);
    // Most of it is removed: the rest is counted again.
    let mut paper = Paper { files: Paper::default().segments(1, 1_500..=2_100).files, ..paper };
    assert_eq!(paper.look(20_200.0).found.unwrap().totals, Some((601, 601 * MIB)));
}
