//! How much WAL of a node is not in its archive, as the server itself tells it: what is lost if the host burns.
//!
//! WAL leaves a server in whole segments, so the segment that is being filled counts, and its age: on a primary that has gone idle
//! the lag in seconds grows until the segment is switched (`archive_timeout`), even if the server wrote no more into it than notes of
//! its own. Nothing written since the last switch is 0.

use super::assess::Evidence;
use super::families as family;
use super::history::{History, Standing};
use crate::collector::archive_status::{ArchiveStatus, Collector as StatusCollector};
use crate::collector::archiver::{ArchiveCommand, Archiver, Collector as ArchiverCollector, archive_evidence};
use crate::collector::recovery::Recovery;
use crate::collector::snapshot::NodeView;
use crate::collector::{Collector as _, Pace};
use crate::metric::sample::Samples;
use crate::pg::lsn::{Lsn, Timeline};
use crate::pg::wal_file::{Segment, SegmentSize, WalFile};

/// Adds the archive lag of node number `index`, as far as it is known. A node that does not archive has none.
pub(super) fn archive_samples(
    index: usize,
    is_primary: bool,
    view: &NodeView<'_>,
    evidence: &Evidence<'_>,
    samples: &mut Samples,
) {
    let Some(lag) = archive_lag(index, is_primary, view, evidence) else { return };
    samples.number(&family::ARCHIVE_LAG_BYTES, &view.labels(), lag.bytes as f64);
    samples.known(&family::ARCHIVE_LAG_SECONDS, &view.labels(), lag.seconds);
}

/// WAL of a node that is not in its archive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ArchiveLag {
    /// How much, in bytes.
    pub bytes: u64,
    /// The age of the first of it; `None` where that is not known.
    pub seconds: Option<f64>,
}

/// The archive lag of node number `index`; `None` where it is not known, and of a node that does not archive.
pub(super) fn archive_lag(
    index: usize,
    is_primary: bool,
    view: &NodeView<'_>,
    evidence: &Evidence<'_>,
) -> Option<ArchiveLag> {
    let known = Known::of(index, view, evidence)?;
    let seconds = match known.position > known.archived {
        false => Some(0.0),
        true => known.age_beyond(index, is_primary, evidence),
    };
    Some(ArchiveLag { bytes: known.position.bytes_since(known.archived), seconds })
}

/// Where a node's WAL stands.
struct Known {
    in_recovery: bool,
    timeline: Timeline,
    /// How far the node has it.
    position: Lsn,
    /// How far of it all is in the archive.
    archived: Lsn,
}

impl Known {
    fn of(index: usize, view: &NodeView<'_>, evidence: &Evidence<'_>) -> Option<Self> {
        let snapshot = view.snapshot;
        let good = |name| snapshot.outcomes.get(name).is_some_and(|outcome| outcome.value.error.is_none());
        let read = evidence.is_fresh(index) && evidence.is_read(index, Pace::Slow);
        if !read || !good(ArchiverCollector.name()) || !good(StatusCollector.name()) {
            return None;
        }
        let archiving = archive_evidence(view);
        let (archiver, status) = archiving.archiver.zip(archiving.status)?;
        // What a command that keeps nothing has archived is nowhere.
        if archiving.archives() != Some(true) || archiver.command == ArchiveCommand::Noop {
            return None;
        }
        let recovery = view.fresh(&snapshot.recovery, Pace::Fast)?;
        let line = Line {
            timeline: timeline(index, view, recovery, evidence)?,
            history: &evidence.memory.history,
            // It stays as it is for as long as the cluster lives.
            size: SegmentSize::new(snapshot.settings.as_ref()?.value.wal_segment_size)?,
        };
        Some(Self {
            in_recovery: recovery.in_recovery,
            timeline: line.timeline,
            position: recovery.sendable()?,
            archived: line.archived_to(status, archiver, recovery.in_recovery)?,
        })
    }

    /// The age of the first WAL beyond what is archived. Unknown of a server whose WAL is not that of the cluster's history.
    fn age_beyond(&self, index: usize, is_primary: bool, evidence: &Evidence<'_>) -> Option<f64> {
        let (history, timing) = (&evidence.memory.history, evidence.layout.timing);
        let measured = match self.in_recovery {
            true => !evidence.is_foreign(index),
            // This very reading is the newest of the history: not of the other side of a split brain.
            false => is_primary && history.last_seen() == evidence.facts[index].read.map(|read| read.mono),
        };
        if !measured || evidence.twin_of(index).is_some() {
            return None;
        }
        let now = evidence.now.mono;
        match history.standing(self.timeline, self.archived, now, timing.gap_tolerance()) {
            Standing::BehindSince(since) => Some(now.since(since).as_secs_f64()),
            // A standby may have it before the primary was seen to: then it is younger than that look.
            Standing::CaughtUp => {
                history.last_seen().filter(|last| now.since(*last) <= timing.fast_window()).map(|_| 0.0)
            }
            Standing::Diverged | Standing::Unknown => None,
        }
    }
}

/// The timeline of the node's newest WAL.
fn timeline(index: usize, view: &NodeView<'_>, recovery: &Recovery, evidence: &Evidence<'_>) -> Option<Timeline> {
    if !recovery.in_recovery {
        return recovery.timeline;
    }
    let receiver = view.fresh(&view.snapshot.wal_receiver, Pace::Fast)?.as_ref();
    let remembered = || {
        // Without a stream control data tell the lowest that it can be; where that is the newest of all, it is the one.
        let lowest = evidence.memory.node(&evidence.layout.members[index].name).own?.timeline;
        evidence.memory.history.newest().filter(|(newest, _)| *newest == lowest).map(|(newest, _)| newest)
    };
    receiver.and_then(|receiver| receiver.received_tli).or_else(remembered)
}

/// The WAL of one node: its timeline, and the older ones up to where it left them.
struct Line<'a> {
    timeline: Timeline,
    history: &'a History,
    size: SegmentSize,
}

impl Line<'_> {
    /// Up to where everything is in the archive: the start of the oldest segment that waits; with none waiting, that of the segment
    /// that the node was filling when its directory was read; and beyond that the end of the last one archived since, for the
    /// archiver takes the oldest first. `None`: it cannot be said, or nothing was ever archived.
    fn archived_to(&self, status: &ArchiveStatus, archiver: &Archiver, in_recovery: bool) -> Option<Lsn> {
        let mut waiting: Option<Lsn> = None;
        for segment in &status.oldest_segments {
            if self.holds(*segment)? {
                let start = segment.start(self.size)?;
                waiting = Some(waiting.map_or(start, |oldest| oldest.min(start)));
            }
        }
        match waiting {
            Some(oldest) if !status.is_outdated(archiver) => Some(oldest),
            Some(oldest) => Some(self.last_archived(archiver).map_or(oldest, |last| last.max(oldest))),
            None => {
                archiver.last_archived_wal.as_ref()?;
                self.last_archived(archiver).max(status.position.map(|lsn| self.filling(lsn, in_recovery)))
            }
        }
    }

    /// Whether a segment has WAL of this line. `None`: where the line left its timeline is not known.
    fn holds(&self, segment: Segment) -> Option<bool> {
        if segment.timeline == self.timeline {
            return Some(true);
        }
        Some(segment.start(self.size)? < self.fork_of(segment.timeline)?)
    }

    fn fork_of(&self, older: Timeline) -> Option<Lsn> {
        let (newest, _) = self.history.newest().filter(|(newest, _)| *newest == self.timeline)?;
        self.history.fork_of(older).filter(|_| older < newest)
    }

    /// The end of the last archived file, if that was a segment of this line.
    fn last_archived(&self, archiver: &Archiver) -> Option<Lsn> {
        let segment = WalFile::parse(archiver.last_archived_wal.as_ref()?)?.segment()?;
        let end = segment.end(self.size).filter(|_| self.holds(segment) == Some(true))?;
        Some(if segment.timeline == self.timeline { end } else { end.min(self.fork_of(segment.timeline)?) })
    }

    /// The start of the segment that was being filled at `lsn`. A primary lists a segment before it tells of its end; a standby
    /// tells of the end first.
    fn filling(&self, lsn: Lsn, in_recovery: bool) -> Lsn {
        self.size.floor(if in_recovery { Lsn(lsn.0.saturating_sub(1)) } else { lsn })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::{Mono, Wall};
    use crate::cluster::history::Origin;

    const SIZE: u64 = 1 << 20;
    const NOW: f64 = 1_000.0;

    /// The primary wrote timeline 1 up to 3.5 segments, and then timeline 2.
    fn history() -> History {
        let mut history = History::default();
        let fork = Origin { fork: Some(Lsn(7 * SIZE / 2)), standby_until: None };
        for (second, timeline, lsn, origin) in [(1, 1, SIZE, Origin::default()), (2, 2, 5 * SIZE, fork)] {
            let seen = Mono::from_nanos(second * 1_000_000_000);
            history.observe(seen, Timeline(timeline), Lsn(lsn), origin, Duration::from_secs(1));
        }
        history
    }

    fn name(timeline: u32, number: u64) -> String {
        Segment::of(Timeline(timeline), Lsn(number * SIZE), SegmentSize::new(SIZE).unwrap()).to_string()
    }

    fn archiver(last: Option<String>, ago: f64) -> Archiver {
        Archiver {
            archived_count: u64::from(last.is_some()),
            last_archived_time: last.is_some().then(|| Wall::from_seconds(NOW - ago)),
            last_archived_wal: last,
            failed_count: 0,
            last_failed_wal: None,
            last_failed_time: None,
            stats_reset: None,
            mode: "on".to_owned(),
            command: ArchiveCommand::Set,
            server_time: Wall::from_seconds(NOW),
        }
    }

    /// What was seen five seconds ago, at the position given in half segments.
    fn status(waiting: &[String], halves: u64) -> ArchiveStatus {
        ArchiveStatus {
            ready: waiting.len() as u64,
            oldest_ready_age: (!waiting.is_empty()).then_some(1.0),
            oldest_segments: waiting.iter().filter_map(|name| Segment::parse(name)).collect(),
            position: Some(Lsn(halves * SIZE / 2)),
            server_time: Wall::from_seconds(NOW - 5.0),
        }
    }

    /// In segments.
    fn archived(status: &ArchiveStatus, archiver: &Archiver) -> Option<u64> {
        let history = history();
        let line = Line { timeline: Timeline(2), history: &history, size: SegmentSize::new(SIZE).unwrap() };
        line.archived_to(status, archiver, false).map(|lsn| lsn.0 / SIZE)
    }

    #[test]
    fn it_counts_from_the_oldest_that_waits_and_not_from_the_last_archived() {
        assert_eq!(archived(&status(&[name(2, 4)], 15), &archiver(Some(name(2, 6)), 9.0)), Some(4));
        assert_eq!(archived(&status(&[name(2, 4)], 15), &archiver(None, 0.0)), Some(4), "nothing archived yet");
    }

    #[test]
    fn with_nothing_waiting_all_but_the_segment_being_filled_is_there() {
        for last in
            [name(2, 6), "00000002.history".to_owned(), name(1, 3) + ".partial", name(2, 4) + ".00000028.backup"]
        {
            assert_eq!(archived(&status(&[], 15), &archiver(Some(last.clone()), 9.0)), Some(7), "{last}");
        }
        assert_eq!(archived(&status(&[], 14), &archiver(Some(name(2, 6)), 9.0)), Some(7), "at a boundary");
        assert_eq!(archived(&status(&[], 15), &archiver(None, 0.0)), None, "nothing was ever archived");
    }

    #[test]
    fn what_was_archived_since_counts() {
        assert_eq!(archived(&status(&[name(2, 4)], 15), &archiver(Some(name(2, 5)), 3.0)), Some(6));
        assert_eq!(archived(&status(&[], 15), &archiver(Some(name(2, 7)), 3.0)), Some(8));
        // No file but a segment moves it, and none moves it back.
        assert_eq!(archived(&status(&[name(2, 4)], 15), &archiver(Some("00000002.history".to_owned()), 3.0)), Some(4));
        assert_eq!(archived(&status(&[name(2, 4)], 15), &archiver(Some(name(2, 3)), 3.0)), Some(4));
    }

    #[test]
    fn an_older_timeline_counts_up_to_the_fork() {
        assert_eq!(archived(&status(&[name(1, 2), name(2, 4)], 15), &archiver(None, 0.0)), Some(2));
        assert_eq!(archived(&status(&[name(1, 4), name(2, 6)], 15), &archiver(None, 0.0)), Some(6), "beyond it");
        let since = archiver(Some(name(1, 3)), 3.0);
        let history = history();
        let line = Line { timeline: Timeline(2), history: &history, size: SegmentSize::new(SIZE).unwrap() };
        assert_eq!(line.archived_to(&status(&[name(1, 2)], 15), &since, false), Some(Lsn(7 * SIZE / 2)), "at the fork");
    }

    #[test]
    fn without_the_fork_nothing_is_said() {
        let history = History::default();
        let line = Line { timeline: Timeline(2), history: &history, size: SegmentSize::new(SIZE).unwrap() };
        assert_eq!(line.archived_to(&status(&[name(1, 2)], 15), &archiver(None, 0.0), false), None);
        assert_eq!(line.archived_to(&status(&[name(3, 2)], 15), &archiver(None, 0.0), false), None, "a newer one");
        assert_eq!(line.archived_to(&status(&[name(2, 2)], 15), &archiver(None, 0.0), false), Some(Lsn(2 * SIZE)));
    }

    #[test]
    fn a_standby_at_a_boundary_may_not_have_listed_the_segment_before() {
        let history = history();
        let line = Line { timeline: Timeline(2), history: &history, size: SegmentSize::new(SIZE).unwrap() };
        let partial = archiver(Some("00000002.history".to_owned()), 9.0);
        assert_eq!(line.archived_to(&status(&[], 14), &partial, true), Some(Lsn(6 * SIZE)));
        assert_eq!(line.archived_to(&status(&[], 14), &archiver(Some(name(2, 6)), 9.0), true), Some(Lsn(7 * SIZE)));
    }
}
