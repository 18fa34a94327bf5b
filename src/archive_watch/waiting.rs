//! How long each segment waits for the archiver, from what `pg_wal/archive_status` holds at each look.
//!
//! The server makes `X.ready` when segment X may be archived, and the archiver renames it to `X.done`, which leaves the time of the
//! making in the file and sets that of the change: both ends of the wait are in it, whenever we look. The server removes `X.done`
//! with the segment. So X has been archived when its `.done` is there, or when `.ready` and segment are both gone: no server removes
//! a segment that waits. Where only the `.ready` is gone, somebody removed it, and the wait counts for nothing.

use std::collections::{BTreeMap, HashMap};

use crate::clock::Wall;
use crate::collector::archive_status::ArchiveStatus;
use crate::metric::histogram::{self, Histogram};
use crate::pg::lsn::Timeline;
use crate::pg::wal_file::{Segment, WalFile};

/// So many files of a kind are told apart, in 10 MB. More are counted, but how long they wait is not known.
const MOST: usize = 1 << 17;

/// The times of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// When it was last written (`st_mtime`): when the server made it.
    pub modified: Wall,
    /// When it or its name last changed (`st_ctime`).
    pub changed: Wall,
}

/// What became of a `.ready` file that a look did not find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// There is a `.done`, with these times.
    Done(Times),
    /// It is still there: the look missed it.
    Ready,
    /// It is gone, and the segment with it.
    Recycled,
    /// It is gone, and the segment is still there: somebody removed it, and the server will make it again.
    Removed,
}

/// What is remembered from look to look.
#[derive(Debug)]
pub struct Waiting {
    /// By name without `.ready`.
    ready: HashMap<Box<str>, Ready>,
    most: usize,
    /// Segments with a `.done`, each with the last look that found it.
    done: HashMap<Segment, u32>,
    look: u32,
    durations: Histogram,
}

#[derive(Clone, Copy, Debug)]
struct Ready {
    since: Wall,
    look: u32,
}

impl Default for Waiting {
    fn default() -> Self {
        let durations = Histogram::new(histogram::SECONDS);
        Self { ready: HashMap::new(), done: HashMap::new(), most: MOST, look: 0, durations }
    }
}

impl Waiting {
    /// Begins a look at `started`. Each name of the directory goes to [`Look::name`], and then [`Look::end`] sums up.
    pub fn look(&mut self, started: Wall) -> Look<'_> {
        self.look = self.look.wrapping_add(1);
        Look { waiting: self, started, ready: 0, untold: BTreeMap::new() }
    }

    /// Forgets all files, since this is another directory; what was measured stays.
    pub fn forget(&mut self) {
        *self = Self { durations: self.durations.clone(), ..Self::default() };
    }

    /// How long segments waited, in seconds.
    pub const fn durations(&self) -> &Histogram {
        &self.durations
    }

    fn count(&mut self, since: Wall, until: Wall) {
        self.durations.observe(until.seconds_since(since).max(0.0));
    }
}

/// One look at the directory.
#[derive(Debug)]
pub struct Look<'a> {
    waiting: &'a mut Waiting,
    started: Wall,
    ready: u64,
    /// Of each timeline, the oldest segment that waits and is too many to be remembered.
    untold: BTreeMap<Timeline, Segment>,
}

impl Look<'_> {
    /// Takes in a name. `times` is asked for those of this file where they are not known; `None`: it is gone.
    pub fn name(&mut self, name: &str, times: impl FnOnce() -> Option<Times>) {
        if let Some(file) = name.strip_suffix(".ready") {
            self.ready += 1;
            self.is_ready(file, times);
        } else if let Some(file) = name.strip_suffix(".done")
            && let Some(segment) = Segment::parse(file)
        {
            self.is_done(file, segment, times);
        }
    }

    fn is_ready(&mut self, name: &str, times: impl FnOnce() -> Option<Times>) {
        if WalFile::parse(name).is_none() {
            return;
        }
        let look = self.waiting.look;
        if let Some(ready) = self.waiting.ready.get_mut(name) {
            ready.look = look;
        } else if self.waiting.ready.len() < self.waiting.most {
            match times() {
                Some(times) => {
                    self.waiting.ready.insert(name.into(), Ready { since: times.modified, look });
                }
                None => self.ready -= 1,
            }
        } else if let Some(segment) = Segment::parse(name) {
            keep_oldest(&mut self.untold, segment);
        }
    }

    fn is_done(&mut self, name: &str, segment: Segment, times: impl FnOnce() -> Option<Times>) {
        let look = self.waiting.look;
        let known = self.waiting.done.contains_key(&segment);
        if !known && self.waiting.done.len() >= self.waiting.most {
            return;
        }
        self.waiting.done.insert(segment, look);
        let waited = self.waiting.ready.remove(name);
        // Renamed while we looked: we have seen both names.
        self.ready -= u64::from(waited.is_some_and(|ready| ready.look == look));
        // What was done at the first look was not seen to wait.
        if waited.is_none() && (known || look == 1) {
            return;
        }
        let Some(times) = times() else { return };
        // A standby makes a `.done` at once for what it need not archive: then both times are one.
        if waited.is_some() || times.changed > times.modified {
            self.waiting.count(times.modified, times.changed);
        }
    }

    /// Ends the look at `now`. `fate` is asked for the files that were ready before and were not found.
    pub fn end(mut self, now: Wall, fate: impl Fn(&str) -> Fate) -> ArchiveStatus {
        let look = self.waiting.look;
        let missed: Vec<_> = self.waiting.ready.iter().filter(|(_, ready)| ready.look != look).collect();
        let missed: Vec<_> = missed.into_iter().map(|(file, ready)| (file.clone(), ready.since)).collect();
        for (file, since) in missed {
            let fate = fate(&file);
            if fate == Fate::Ready {
                self.ready += 1;
                continue;
            }
            self.waiting.ready.remove(&file);
            let Some(segment) = Segment::parse(&file) else { continue };
            match fate {
                Fate::Done(times) => {
                    self.waiting.done.insert(segment, look);
                    self.waiting.count(since, times.changed);
                }
                Fate::Recycled => self.waiting.count(since, now),
                Fate::Ready | Fate::Removed => {}
            }
        }
        self.waiting.done.retain(|_, seen| *seen == look);
        let oldest = self.waiting.ready.values().map(|ready| ready.since).min();
        let mut segments = self.untold;
        for segment in self.waiting.ready.keys().filter_map(|file| Segment::parse(file)) {
            keep_oldest(&mut segments, segment);
        }
        ArchiveStatus {
            ready: self.ready,
            oldest_ready_age: oldest
                .filter(|_| self.ready > 0)
                .map(|oldest| self.started.seconds_since(oldest).max(0.0)),
            oldest_segments: segments.into_values().collect(),
            position: None,
            server_time: self.started,
        }
    }
}

fn keep_oldest(segments: &mut BTreeMap<Timeline, Segment>, segment: Segment) {
    let oldest = segments.entry(segment.timeline).or_insert(segment);
    *oldest = (*oldest).min(segment);
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "000000010000000000000001";
    const B: &str = "000000010000000000000002";

    fn at(modified: f64, changed: f64) -> Option<Times> {
        Some(Times { modified: Wall::from_seconds(modified), changed: Wall::from_seconds(changed) })
    }

    /// One look at files, each a name and its times.
    fn look(waiting: &mut Waiting, now: f64, files: &[(String, Option<Times>)], fate: Fate) -> ArchiveStatus {
        let mut look = waiting.look(Wall::from_seconds(now));
        for (name, times) in files {
            look.name(name, || *times);
        }
        look.end(Wall::from_seconds(now), |_| fate)
    }

    fn ready(name: &str, since: f64) -> (String, Option<Times>) {
        (format!("{name}.ready"), at(since, since))
    }

    fn done(name: &str, since: f64, until: f64) -> (String, Option<Times>) {
        (format!("{name}.done"), at(since, until))
    }

    fn waits(waiting: &Waiting) -> (u64, f64) {
        (waiting.durations().count(), waiting.durations().sum())
    }

    #[test]
    fn a_wait_lasts_from_ready_to_done_however_late_we_look() {
        let mut waiting = Waiting::default();
        let status = look(&mut waiting, 10.0, &[ready(A, 4.0), ready(B, 9.0)], Fate::Removed);
        assert_eq!((status.ready, status.oldest_ready_age), (2, Some(6.0)));
        assert_eq!(status.oldest_segments, [Segment::parse(A).unwrap()], "the one that the archive lacks first");
        let status = look(&mut waiting, 60.0, &[done(A, 4.0, 11.5), ready(B, 9.0)], Fate::Removed);
        assert_eq!((status.ready, status.oldest_ready_age), (1, Some(51.0)));
        assert_eq!(waits(&waiting), (1, 7.5));
        for _ in 0..3 {
            look(&mut waiting, 90.0, &[done(A, 4.0, 11.5), done(B, 9.0, 61.0)], Fate::Removed);
        }
        assert_eq!(waits(&waiting), (2, 59.5), "each counts once");
    }

    #[test]
    fn what_came_and_went_between_two_looks_counts_too() {
        let mut waiting = Waiting::default();
        look(&mut waiting, 10.0, &[done(A, 1.0, 2.0)], Fate::Removed);
        assert_eq!(waits(&waiting), (0, 0.0), "done before the first look");
        look(&mut waiting, 20.0, &[done(A, 1.0, 2.0), done(B, 11.0, 11.25)], Fate::Removed);
        assert_eq!(waits(&waiting), (1, 0.25));
    }

    #[test]
    fn a_standbys_done_that_nobody_archived_counts_for_nothing() {
        let mut waiting = Waiting::default();
        look(&mut waiting, 10.0, &[], Fate::Removed);
        look(&mut waiting, 20.0, &[done(A, 11.0, 11.0)], Fate::Removed);
        assert_eq!(waits(&waiting), (0, 0.0));
    }

    #[test]
    fn gone_with_its_segment_it_was_archived_and_gone_alone_it_was_not() {
        for (fate, count) in [(Fate::Recycled, 1), (Fate::Removed, 0)] {
            let mut waiting = Waiting::default();
            look(&mut waiting, 10.0, &[ready(A, 4.0)], fate);
            let status = look(&mut waiting, 20.0, &[], fate);
            assert_eq!((status.ready, status.oldest_ready_age), (0, None));
            assert_eq!(waiting.durations().count(), count, "{fate:?}");
        }
        let mut waiting = Waiting::default();
        look(&mut waiting, 10.0, &[ready(A, 4.0)], Fate::Ready);
        let status = look(&mut waiting, 20.0, &[], Fate::Ready);
        assert_eq!((status.ready, status.oldest_ready_age), (1, Some(16.0)), "the look missed it");
        look(&mut waiting, 30.0, &[], Fate::Done(at(4.0, 25.0).unwrap()));
        assert_eq!(waits(&waiting), (1, 21.0));
    }

    #[test]
    fn renamed_under_our_eyes_it_is_one_file() {
        let mut waiting = Waiting::default();
        look(&mut waiting, 10.0, &[], Fate::Removed);
        let status = look(&mut waiting, 20.0, &[ready(A, 14.0), done(A, 14.0, 20.0)], Fate::Removed);
        assert_eq!(status.ready, 0);
        assert_eq!(waits(&waiting), (1, 6.0));
    }

    #[test]
    fn history_and_backup_files_wait_but_are_no_segments() {
        let mut waiting = Waiting::default();
        let status = look(&mut waiting, 10.0, &[ready("00000002.history", 4.0), ready("odd", 1.0)], Fate::Removed);
        assert_eq!((status.ready, status.oldest_ready_age), (2, Some(6.0)));
        look(&mut waiting, 20.0, &[done("00000002.history", 4.0, 11.0)], Fate::Done(at(4.0, 11.0).unwrap()));
        assert_eq!(waits(&waiting), (0, 0.0));
    }

    #[test]
    fn another_directory_is_looked_at_anew() {
        let mut waiting = Waiting::default();
        look(&mut waiting, 10.0, &[ready(A, 4.0)], Fate::Removed);
        look(&mut waiting, 20.0, &[done(A, 4.0, 19.0)], Fate::Removed);
        waiting.forget();
        look(&mut waiting, 30.0, &[done(A, 4.0, 29.0), done(B, 1.0, 2.0)], Fate::Recycled);
        assert_eq!(waits(&waiting), (1, 15.0), "what a copy of a directory says of its past was seen by nobody");
    }

    #[test]
    fn it_is_bounded() {
        const MOST: usize = 1_000;
        let mut waiting = Waiting { most: MOST, ..Waiting::default() };
        let name = |number: usize, kind: &str| format!("00000001{:08X}{:08X}.{kind}", number >> 8, number & 255);
        let files: Vec<_> = (0..MOST + 10).map(|number| (name(number, "ready"), at(5.0, 5.0))).collect();
        let status = look(&mut waiting, 10.0, &files, Fate::Removed);
        assert_eq!((status.ready, status.oldest_ready_age), (MOST as u64 + 10, Some(5.0)));
        assert_eq!(status.oldest_segments, [Segment::parse("000000010000000000000000").unwrap()]);
        let files: Vec<_> = (0..MOST + 10).map(|number| (name(number, "done"), at(5.0, 6.0))).collect();
        look(&mut waiting, 20.0, &files, Fate::Removed);
        let count = waiting.durations().count();
        look(&mut waiting, 30.0, &files, Fate::Removed);
        assert_eq!((count, waiting.durations().count()), (MOST as u64, MOST as u64), "none counts twice");
        assert_eq!((waiting.ready.len(), waiting.done.len()), (0, MOST));
    }
}
