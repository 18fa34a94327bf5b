//! Judges an archive: is all there that a restore to the newest position needs, from wherever it may begin?
//!
//! What counts is one line: the newest timeline, and each of its ancestors up to the segment in which it was left. That segment is
//! needed of the newer timeline, which begins with a copy of it; the older one's lies there as `.partial`, or not at all. What an older
//! timeline wrote beyond its fork nobody needs. The beginning may be cut off anywhere: old segments are removed at will.

use std::collections::BTreeMap;
use std::time::Duration;

use super::archive_dir::{ArchiveDir, ArchiveDirState, Found, Newest};
use super::contents::{ArchiveFile, Contents, Fault, Story, fault};
use crate::clock::Wall;
use crate::pg::lsn::{Lsn, Timeline};
use crate::pg::wal_file::{Segment, SegmentSize, WalFile};

/// When each hole that is there was first seen, by its first segment: those who remove old segments do so in any order, and such holes
/// close within moments.
#[derive(Debug, Default)]
pub struct Holes(BTreeMap<Segment, Wall>);

/// Part of the line: the segments of a timeline from one number to the one before another.
struct Stretch {
    timeline: Timeline,
    begin: u64,
    end: u64,
}

/// What the verdict is made of.
pub struct Evidence<'a> {
    /// The archive.
    pub contents: &'a Contents,
    /// Whether every file of it was asked.
    pub complete: bool,
    /// The size of the cluster's segments.
    pub size: SegmentSize,
    /// What is younger may not be whole, and a hole that is younger may still close.
    pub settled_after: Duration,
    /// The present.
    pub now: Wall,
}

impl Evidence<'_> {
    /// Judges; `holes` is what was seen before.
    pub fn judge(&self, holes: &mut Holes) -> ArchiveDir {
        if !self.complete {
            return ArchiveDir { state: ArchiveDirState::Unknown, found: None };
        }
        let line = self.line();
        let mut found = Found { totals: self.contents.totals(), ..Found::default() };
        let missing = self.follow(&line, holes, &mut found);
        found.missing = missing;
        self.histories(&mut found);
        self.faults(&line, &mut found);
        let state = if self.contents.segments().next().is_none() {
            ArchiveDirState::Empty
        } else if missing > Some(0) || found.missing_history_files > 0 {
            ArchiveDirState::Gap
        } else if found.bad.iter().any(|files| *files > 0) {
            ArchiveDirState::Damaged
        } else if missing.is_none() {
            ArchiveDirState::Unknown
        } else {
            ArchiveDirState::Ok
        };
        ArchiveDir { state, found: Some(found) }
    }

    /// What is older than this counts.
    fn since(&self) -> Wall {
        Wall::from_seconds(self.now.as_seconds() - self.settled_after.as_secs_f64())
    }

    fn number(&self, segment: Segment) -> Option<u64> {
        Some(segment.start(self.size)?.0 / self.size.bytes())
    }

    fn segment(&self, timeline: Timeline, number: u64) -> Segment {
        Segment::of(timeline, Lsn(number.saturating_mul(self.size.bytes())), self.size)
    }

    fn line(&self) -> Vec<Stretch> {
        let newest = self.contents.newest_timeline().max(self.contents.newest_story());
        let Some(newest) = newest else { return Vec::new() };
        let mut line = Vec::new();
        let mut begin = 0;
        if let Some(Story::Told(ancestors)) = self.contents.story(newest) {
            for ancestor in ancestors {
                let end = ancestor.fork.0 / self.size.bytes();
                line.push(Stretch { timeline: ancestor.timeline, begin, end });
                begin = end;
            }
        }
        line.push(Stretch { timeline: newest, begin, end: u64::MAX });
        line
    }

    /// Goes along the line and counts what is missing; `None` if a hole is in it that is old, but was not seen for long.
    fn follow(&self, line: &[Stretch], holes: &mut Holes, found: &mut Found) -> Option<u64> {
        let mut before = None;
        let mut seen = BTreeMap::new();
        let (mut missing, mut doubtful) = (0, false);
        for stretch in line {
            let all = self.segment(stretch.timeline, 0)..=self.segment(stretch.timeline, u64::MAX);
            for (segment, kept) in self.contents.segments_in(all) {
                let Some(number) = self.number(segment) else { continue };
                if !(stretch.begin..stretch.end).contains(&number) {
                    continue;
                }
                let hole = before.map_or(number, |before: u64| before + 1);
                if hole < number {
                    // Of the timeline that it must be of, which at the beginning of a stretch may be the one before.
                    let timeline =
                        line.iter().find(|stretch| hole < stretch.end).map_or(stretch.timeline, |s| s.timeline);
                    let first = self.segment(timeline, hole);
                    let first_seen = holes.0.get(&first).copied().unwrap_or(self.now);
                    seen.insert(first, first_seen);
                    if first_seen <= self.since() && kept.stat.changed <= self.since() {
                        missing += number - hole;
                        found.first_missing = found.first_missing.or(Some(first));
                    } else {
                        doubtful |= kept.stat.changed <= self.since();
                    }
                }
                before = Some(number);
                let end = Lsn((number + 1).saturating_mul(self.size.bytes()));
                found.newest = Some(Newest { timeline: stretch.timeline, end, archived: kept.stat.changed });
            }
        }
        holes.0 = seen;
        (!doubtful).then_some(missing)
    }

    /// A history is needed where an older timeline's segments are still kept.
    fn histories(&self, found: &mut Found) {
        let mut oldest = None;
        let mut counted = None;
        for (segment, kept) in self.contents.segments() {
            let timeline = segment.timeline;
            let oldest = *oldest.get_or_insert(timeline);
            if oldest < timeline && counted != Some(timeline) && kept.stat.changed <= self.since() {
                counted = Some(timeline);
                found.missing_history_files += u64::from(self.contents.story(timeline).is_none());
            }
        }
    }

    fn faults(&self, line: &[Stretch], found: &mut Found) {
        let newest = found.newest.map(|newest| newest.end.0 / self.size.bytes());
        let [by_size, by_partial, by_reading, by_history] = &mut found.bad;
        let mut first: Option<String> = None;
        let mut note = |count: &mut u64, name: String| {
            *count += 1;
            first.get_or_insert(name);
        };
        for (segment, kept) in self.contents.segments() {
            let file = ArchiveFile { wal: WalFile::Segment(segment), compressed: kept.compressed };
            match fault(file, &kept.stat, self.size, self.since()) {
                Some(Fault::Size) => note(by_size, segment.to_string()),
                Some(Fault::Unreadable) => note(by_reading, segment.to_string()),
                None => {}
            }
        }
        for (segment, kept) in self.contents.partials() {
            let Some(number) = self.number(segment) else { continue };
            let on_line = |stretch: &Stretch| {
                stretch.timeline == segment.timeline && (stretch.begin..stretch.end).contains(&number)
            };
            let is_needed = line.iter().any(on_line) && newest.is_some_and(|newest| number + 1 < newest);
            if is_needed && !self.contents.has(segment) && kept.stat.changed <= self.since() {
                note(by_partial, format!("{segment}.partial"));
            }
        }
        for timeline in self.contents.bad_stories(self.since()) {
            note(by_history, format!("{:08X}.history", timeline.0));
        }
        found.first_bad = first;
    }
}

#[cfg(test)]
mod tests;
