//! The files of an archive as far as they were looked at. Names are cheap; what only the file itself tells is asked when it is new, and
//! then again in turn, for a file may be cut short later.

use std::collections::BTreeMap;
use std::ops::RangeBounds;

use super::history_file::{self, Ancestor};
use crate::clock::Wall;
use crate::pg::lsn::Timeline;
use crate::pg::wal_file::{Segment, SegmentSize, WalFile};

/// So many segments are remembered, the newest, in some 16 MB; older ones count as if they were not kept any more.
const MOST: usize = 200_000;
/// So many new files are asked in one look; the others are left for the next.
const NEW_A_LOOK: usize = 20_000;
/// So many known files are asked again in one look: one after the other, and those that are not as they should be each time.
const KNOWN_A_LOOK: usize = 1_000;
/// History files beyond so many are ignored.
const MOST_HISTORIES: usize = 10_000;

/// What archive commands put behind a name when they compress.
const COMPRESSED: [&str; 5] = [".gz", ".zst", ".lz4", ".bz2", ".xz"];

/// A file of an archive by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveFile {
    /// Which of PostgreSQL's.
    pub wal: WalFile,
    /// Whether it is compressed: then its size says little, and a history is not read.
    pub compressed: bool,
}

impl ArchiveFile {
    /// Reads a name; `None` if it is not one of PostgreSQL's, compressed or not.
    pub fn parse(name: &str) -> Option<Self> {
        let stem = COMPRESSED.iter().find_map(|suffix| name.strip_suffix(suffix));
        Some(Self { wal: WalFile::parse(stem.unwrap_or(name))?, compressed: stem.is_some() })
    }
}

/// What a file itself tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Its size.
    pub bytes: u64,
    /// When it was last written.
    pub modified: Wall,
    /// When it or its name last changed: when it came here.
    pub changed: Wall,
    /// Whether our user may read it; the server may be another one.
    pub readable: bool,
}

/// A segment of the archive.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    /// What it was when it was last asked.
    pub stat: Stat,
    /// Whether only a compressed one is there.
    pub compressed: bool,
    look: u32,
    asked: u32,
}

/// What a history file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Story {
    /// The ancestors, oldest first.
    Told(Vec<Ancestor>),
    /// It is compressed.
    Closed,
    /// It is not a history, or may not be read.
    Bad,
}

#[derive(Clone, Debug)]
struct Scroll {
    story: Story,
    changed: Wall,
    look: u32,
    asked: u32,
}

/// The files of an archive.
#[derive(Debug)]
pub struct Contents {
    /// So many segments are remembered, and so many new files asked in one look.
    limits: (usize, usize),
    segments: BTreeMap<Segment, Kept>,
    partials: BTreeMap<Segment, Kept>,
    scrolls: BTreeMap<Timeline, Scroll>,
    /// The newest of the segments that were too many.
    floor: Option<Segment>,
    look: u32,
    /// After how many looks a known file is asked again.
    again: u32,
    new_left: usize,
    known_left: usize,
    complete: bool,
}

impl Default for Contents {
    fn default() -> Self {
        Self::bounded(MOST, NEW_A_LOOK)
    }
}

impl Contents {
    /// An archive of which so many segments are remembered, and so many new files asked in one look.
    pub(super) fn bounded(most: usize, new_a_look: usize) -> Self {
        Self {
            limits: (most, new_a_look),
            segments: BTreeMap::new(),
            partials: BTreeMap::new(),
            scrolls: BTreeMap::new(),
            floor: None,
            look: 0,
            again: 1,
            new_left: 0,
            known_left: 0,
            complete: false,
        }
    }

    /// Begins a look: each name goes to [`Contents::wants`], and what it wants to [`Contents::take`]; then [`Contents::end`].
    pub fn begin(&mut self) {
        self.look = self.look.wrapping_add(1);
        self.again = u32::try_from(self.segments.len() / (KNOWN_A_LOOK / 2)).unwrap_or(u32::MAX).max(1);
        (self.new_left, self.known_left, self.complete) = (self.limits.1, KNOWN_A_LOOK, true);
    }

    /// Notes that there is such a file, and tells whether to ask it. `sound`: whether a file that tells this is as it should be.
    pub fn wants(&mut self, file: ArchiveFile, sound: impl Fn(ArchiveFile, &Stat) -> bool) -> bool {
        let (look, again) = (self.look, self.again);
        let due = |asked: u32| look.wrapping_sub(asked) >= again;
        let kept = match file.wal {
            WalFile::Backup(..) => return false,
            WalFile::History(timeline) => {
                let Some(scroll) = self.scrolls.get_mut(&timeline) else { return self.scrolls.len() < MOST_HISTORIES };
                scroll.look = look;
                return due(scroll.asked) || !matches!(scroll.story, Story::Told(_));
            }
            WalFile::Segment(segment) if self.floor.is_some_and(|floor| segment <= floor) => return false,
            WalFile::Segment(segment) => self.segments.get_mut(&segment),
            WalFile::Partial(segment) => self.partials.get_mut(&segment),
        };
        let (new, left) = match kept {
            // The plain one speaks for both.
            Some(kept) if file.compressed && !kept.compressed && kept.look == look => return false,
            Some(kept) => {
                kept.look = look;
                let other = kept.compressed && !file.compressed;
                if !other && sound(file, &kept.stat) && !due(kept.asked) {
                    return false;
                }
                (false, &mut self.known_left)
            }
            None => (true, &mut self.new_left),
        };
        if *left == 0 {
            self.complete &= !new;
            return false;
        }
        *left -= 1;
        true
    }

    /// Takes in what a file told, and the text of a history that is not compressed.
    pub fn take(&mut self, file: ArchiveFile, stat: Stat, text: Option<&str>) {
        let (look, asked) = (self.look, self.look);
        let kept = Kept { stat, compressed: file.compressed, look, asked };
        match file.wal {
            WalFile::Segment(segment) => {
                self.segments.insert(segment, kept);
                if self.segments.len() > self.limits.0 {
                    self.floor = self.segments.pop_first().map(|(segment, _)| segment).max(self.floor);
                }
            }
            WalFile::Partial(segment) if self.partials.len() < self.limits.0 => {
                self.partials.insert(segment, kept);
            }
            WalFile::History(timeline) => {
                let told = text.and_then(|text| history_file::parse(timeline, text));
                let story = match told {
                    Some(ancestors) => Story::Told(ancestors),
                    None if file.compressed && stat.readable => Story::Closed,
                    None => Story::Bad,
                };
                self.scrolls.insert(timeline, Scroll { story, changed: stat.changed, look, asked });
            }
            WalFile::Partial(_) | WalFile::Backup(..) => {}
        }
    }

    /// Ends a look that came to the end of the directory. Tells whether every file was asked.
    pub fn end(&mut self) -> bool {
        let look = self.look;
        self.segments.retain(|_, kept| kept.look == look);
        self.partials.retain(|_, kept| kept.look == look);
        self.scrolls.retain(|_, scroll| scroll.look == look);
        if self.segments.len() < self.limits.0 / 2 {
            // Room for older ones again.
            self.floor = None;
        }
        self.complete
    }

    /// The segments, whole or compressed, in order of timeline and position.
    pub fn segments(&self) -> impl Iterator<Item = (Segment, &Kept)> {
        self.segments.iter().map(|(segment, kept)| (*segment, kept))
    }

    /// The newest timeline with a segment.
    pub fn newest_timeline(&self) -> Option<Timeline> {
        self.segments.last_key_value().map(|(segment, _)| segment.timeline)
    }

    /// Those within a range.
    pub fn segments_in(&self, range: impl RangeBounds<Segment>) -> impl Iterator<Item = (Segment, &Kept)> {
        self.segments.range(range).map(|(segment, kept)| (*segment, kept))
    }

    /// Whether there is this segment, whole or compressed.
    pub fn has(&self, segment: Segment) -> bool {
        self.segments.contains_key(&segment)
    }

    /// The `.partial` files.
    pub fn partials(&self) -> impl Iterator<Item = (Segment, &Kept)> {
        self.partials.iter().map(|(segment, kept)| (*segment, kept))
    }

    /// The newest timeline with a history.
    pub fn newest_story(&self) -> Option<Timeline> {
        self.scrolls.last_key_value().map(|(timeline, _)| *timeline)
    }

    /// The timelines whose history, which came before `since`, is none.
    pub fn bad_stories(&self, since: Wall) -> impl Iterator<Item = Timeline> {
        let bad = self.scrolls.iter().filter(move |(_, scroll)| scroll.story == Story::Bad && scroll.changed <= since);
        bad.map(|(timeline, _)| *timeline)
    }

    /// What the history of a timeline says; `None`: there is none.
    pub fn story(&self, timeline: Timeline) -> Option<&Story> {
        self.scrolls.get(&timeline).map(|scroll| &scroll.story)
    }

    /// How many segments there are, and their bytes; `None` if there are more than are remembered.
    pub fn totals(&self) -> Option<(u64, u64)> {
        let bytes = |kept: &Kept| kept.stat.bytes;
        let sum = self.segments.values().map(bytes).sum::<u64>() + self.partials.values().map(bytes).sum::<u64>();
        self.floor.is_none().then_some((self.segments.len() as u64, sum))
    }
}

/// Why a segment or `.partial` is not as it should be; `None` if it is, or was written after `since` and may not be whole yet.
pub fn fault(file: ArchiveFile, stat: &Stat, size: SegmentSize, since: Wall) -> Option<Fault> {
    let whole = match (file.wal, file.compressed) {
        // pg_receivewal's grows.
        (WalFile::Partial(_), _) => true,
        (_, true) => stat.bytes > 0,
        (_, false) => stat.bytes == size.bytes(),
    };
    if stat.modified > since {
        None
    } else if !whole {
        Some(Fault::Size)
    } else if !stat.readable {
        Some(Fault::Unreadable)
    } else {
        None
    }
}

/// Why a file does not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A segment of another size than the cluster's, or compressed to nothing.
    Size,
    /// Our user may not read it.
    Unreadable,
}
