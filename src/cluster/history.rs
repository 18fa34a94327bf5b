//! When the primary was first seen at which WAL position: the ring that lag is measured with.
//!
//! Only one line of descent is kept. At a promotion, points of the old timeline beyond the fork leave it, because no standby that
//! follows the new primary will ever have them; that is also why positions of two timelines are never compared as numbers.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Mono;
use crate::pg::lsn::{Lsn, Timeline};

/// Points kept at most. Thinning to 1 % of age needs about 1,300 for a month of samples each 100 ms.
const MAX_POINTS: usize = 4096;
/// Thinning walks all points, so it runs once for so many new ones.
const THIN_EACH: usize = 64;
/// The mean rate is that of so much time: long enough to even out the seconds, short enough to show a load that has just begun.
const MEAN_SPAN: Duration = Duration::from_secs(120);
/// No mean is made of less.
const MEAN_LEAST: Duration = Duration::from_secs(3);
/// The peak rate is that of so much time: what was written before says little of a primary's last second.
const RATE_SPAN: Duration = Duration::from_secs(5);

/// The primary was first seen at `lsn` or beyond it at `seen`, and last seen before it at `prior`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Point {
    seen: Mono,
    /// `None`: nothing is known from before.
    prior: Option<Mono>,
    lsn: Lsn,
}

impl Point {
    /// How uncertain the moment is at which the primary passed to this point.
    fn width(&self) -> Option<Duration> {
        Some(self.seen.since(self.prior?))
    }
}

/// The positions of a cluster's primary over time, on the present line of descent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    points: Vec<Point>,
    /// The timeline of the newest point.
    timeline: Option<Timeline>,
    /// When the primary was last seen at all, moved or not.
    last_seen: Option<Mono>,
    /// Where the line of descent left each older timeline.
    forks: BTreeMap<Timeline, Lsn>,
    /// The present timeline began later than this; `None`: not known.
    begun_after: Option<Mono>,
    #[serde(skip)]
    since_thinned: usize,
}

/// Where a primary's timeline comes from, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Where it left the timeline before, if the server still tells.
    pub fork: Option<Lsn>,
    /// When its server was last seen as a standby: its own WAL is younger.
    pub standby_until: Option<Mono>,
}

/// Where a standby's position stands in the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The primary was never seen beyond it.
    CaughtUp,
    /// The primary was first seen beyond it at this moment.
    BehindSince(Mono),
    /// It lies beyond the fork on an older timeline: this WAL is not the primary's.
    Diverged,
    /// The history does not reach back to it, has a gap there, or does not know its timeline.
    Unknown,
}

impl History {
    /// Takes in that the primary had flushed up to `lsn` of `timeline` at `seen`, and where that timeline comes from.
    pub fn observe(&mut self, seen: Mono, timeline: Timeline, lsn: Lsn, origin: Origin, interval: Duration) {
        if self.last_seen.is_some_and(|last| seen < last) {
            return;
        }
        match self.timeline {
            Some(current) if timeline < current => return,
            // Over two promotions at once the first fork stays unknown.
            Some(current) if timeline > current => self.switch(current, timeline, origin, seen),
            Some(_) => {}
            None => self.begin(timeline, origin),
        }
        self.timeline = Some(timeline);
        if self.points.last().is_none_or(|newest| lsn > newest.lsn) {
            let prior = if self.points.is_empty() { None } else { self.last_seen };
            self.points.push(Point { seen, prior, lsn });
            self.since_thinned += 1;
            if self.since_thinned >= THIN_EACH {
                self.thin(seen, interval);
            }
        }
        self.last_seen = Some(seen);
    }

    /// What of it holds after a boot of our machine: the line of descent.
    pub fn timeless(self) -> Self {
        Self { timeline: self.timeline, forks: self.forks, ..Self::default() }
    }

    /// The newest position with its timeline.
    pub fn newest(&self) -> Option<(Timeline, Lsn)> {
        Some((self.timeline?, self.points.last()?.lsn))
    }

    /// The present timeline.
    pub const fn timeline(&self) -> Option<Timeline> {
        self.timeline
    }

    /// When the primary was last seen.
    pub const fn last_seen(&self) -> Option<Mono> {
        self.last_seen
    }

    /// When the primary was last seen to have moved.
    pub fn last_moved(&self) -> Option<Mono> {
        self.points.last().filter(|newest| newest.prior.is_some()).map(|newest| newest.seen)
    }

    /// Where the line of descent left `timeline`; `None` for the present one and where it is not known.
    pub fn fork_of(&self, timeline: Timeline) -> Option<Lsn> {
        self.forks.get(&timeline).copied()
    }

    /// Where the present timeline left the one before it.
    pub fn newest_fork(&self) -> Option<Lsn> {
        self.fork_of(Timeline(self.timeline?.0.checked_sub(1)?))
    }

    /// Whether WAL that a node had at `since`, and that was not older than `timeline`, is of that timeline for certain: the present
    /// one is the next, and began later.
    pub fn proves(&self, timeline: Timeline, since: Mono) -> bool {
        let next = self.timeline.is_some_and(|current| timeline.0.checked_add(1) == Some(current.0));
        next && self.begun_after.is_some_and(|after| since <= after)
    }

    /// Whether `lsn` on `timeline` lies beyond where the line of descent left that timeline; `None` where that is not known.
    pub fn is_beyond_fork(&self, timeline: Timeline, lsn: Lsn) -> Option<bool> {
        match self.timeline {
            Some(current) if timeline == current => Some(false),
            Some(current) if timeline < current => self.fork_of(timeline).map(|fork| lsn > fork),
            _ => None,
        }
    }

    /// Where `lsn` on `timeline` stands at `now`. A gap in the history wider than `tolerance` (or 1 % of its age) makes it unknown.
    pub fn standing(&self, timeline: Timeline, lsn: Lsn, now: Mono, tolerance: Duration) -> Standing {
        match self.timeline {
            Some(current) if timeline == current => {}
            Some(current) if timeline < current => match self.fork_of(timeline) {
                Some(fork) if lsn > fork => return Standing::Diverged,
                Some(_) => {}
                None => return Standing::Unknown,
            },
            _ => return Standing::Unknown,
        }
        let beyond = self.points.partition_point(|point| point.lsn <= lsn);
        match self.points.get(beyond) {
            None if self.points.is_empty() => Standing::Unknown,
            None => Standing::CaughtUp,
            Some(point) => match point.width() {
                Some(width) if width <= tolerance.max(now.since(point.seen) / 100) => Standing::BehindSince(point.seen),
                _ => Standing::Unknown,
            },
        }
    }

    /// The highest rate of WAL in the last five seconds, in bytes a second.
    pub fn peak_rate(&self, now: Mono) -> f64 {
        let recent = self.points.windows(2).rev().take_while(|pair| now.since(pair[1].seen) <= RATE_SPAN);
        let rates = recent.filter_map(|pair| {
            let seconds = pair[1].width()?.as_secs_f64();
            (seconds > 0.0).then(|| pair[1].lsn.bytes_since(pair[0].lsn) as f64 / seconds)
        });
        rates.fold(0.0, f64::max)
    }

    /// The mean rate of WAL in the last two minutes in which the primary was seen, in bytes a second; `None` if it was seen for too
    /// short a time. A step that began before them is left out: when in it the WAL was written is not known.
    pub fn mean_rate(&self) -> Option<f64> {
        let (end, newest) = (self.last_seen?, self.points.last()?);
        let start = end.minus(MEAN_SPAN);
        let index = self.points.iter().position(|point| point.seen > start);
        let (from, lsn) = match index.map(|index| (self.points[index], index.checked_sub(1))) {
            // It stood still from before the span.
            None => (start, newest.lsn),
            Some((point, Some(before))) if point.prior.is_some_and(|prior| prior >= start) => {
                (start, self.points[before].lsn)
            }
            Some((point, _)) => (point.seen, point.lsn),
        };
        let seconds = end.since(from);
        (seconds >= MEAN_LEAST).then(|| newest.lsn.bytes_since(lsn) as f64 / seconds.as_secs_f64())
    }

    /// Number of points, for our own metrics.
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// Whether nothing was ever seen.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// Leaves the timeline `old` for `new`. Without the fork nothing older can be trusted; over two promotions at once the first
    /// fork stays unknown.
    fn switch(&mut self, old: Timeline, new: Timeline, origin: Origin, seen: Mono) {
        self.begun_after = origin.standby_until;
        let Some(fork) = origin.fork.filter(|_| new.0 == old.0 + 1) else {
            self.points.clear();
            return self.begin(new, origin);
        };
        self.points.retain(|point| point.lsn <= fork);
        self.forks.retain(|_, end| *end <= fork);
        self.forks.insert(old, fork);
        // The old timeline came to the fork at some time since it was last seen. What lies beyond is no older than the promotion.
        if self.points.last().is_some_and(|newest| newest.lsn < fork) {
            self.points.push(Point { seen, prior: self.last_seen, lsn: fork });
        }
        self.last_seen = self.last_seen.max(origin.standby_until);
    }

    /// Begins with a timeline of which nothing older was seen. A server that still tells of its promotion tells where it was.
    fn begin(&mut self, timeline: Timeline, origin: Origin) {
        let before = Timeline(timeline.0.saturating_sub(1));
        self.forks = origin.fork.filter(|_| before.0 > 0).map(|fork| (before, fork)).into_iter().collect();
    }

    /// Merges points whose crossing stays known to max(`interval`, 1 % of its age), and forgets the oldest beyond the bound.
    fn thin(&mut self, now: Mono, interval: Duration) {
        self.since_thinned = 0;
        let mut kept: Vec<Point> = Vec::with_capacity(self.points.len());
        for point in self.points.drain(..) {
            let mut point = point;
            if let Some(last) = kept.last().copied()
                && let Some(prior) = last.prior
                && point.seen.since(prior) <= interval.max(now.since(point.seen) / 100)
            {
                kept.pop();
                point.prior = Some(prior);
            }
            kept.push(point);
        }
        if kept.len() > MAX_POINTS {
            kept.drain(..kept.len() - MAX_POINTS);
            if let Some(first) = kept.first_mut() {
                first.prior = None;
            }
        }
        self.points = kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);
    const TOLERANCE: Duration = Duration::from_secs(3);
    const ONE: Timeline = Timeline(1);
    const TWO: Timeline = Timeline(2);

    fn at(seconds: u64) -> Mono {
        Mono::from_nanos(seconds * 1_000_000_000)
    }

    fn forked(fork: u64) -> Origin {
        Origin { fork: Some(Lsn(fork)), standby_until: None }
    }

    fn history(positions: &[(u64, u64)]) -> History {
        let mut history = History::default();
        for (seconds, lsn) in positions {
            history.observe(at(*seconds), ONE, Lsn(*lsn), Origin::default(), SECOND);
        }
        history
    }

    #[test]
    fn an_idle_primary_leaves_a_standby_caught_up() {
        let history = history(&[(10, 100), (11, 100), (500, 100)]);
        assert_eq!(history.standing(ONE, Lsn(100), at(500), TOLERANCE), Standing::CaughtUp);
        assert_eq!(history.len(), 1);
    }

    #[test]
    fn lag_counts_from_the_first_position_beyond_and_not_from_the_idle_time_before() {
        let history = history(&[(10, 100), (11, 100), (499, 100), (500, 200), (501, 300)]);
        assert_eq!(history.standing(ONE, Lsn(100), at(510), TOLERANCE), Standing::BehindSince(at(500)));
        assert_eq!(history.standing(ONE, Lsn(250), at(510), TOLERANCE), Standing::BehindSince(at(501)));
    }

    #[test]
    fn before_the_first_point_nothing_is_known() {
        let history = history(&[(10, 100), (11, 200)]);
        assert_eq!(history.standing(ONE, Lsn(99), at(5000), TOLERANCE), Standing::Unknown);
        assert_eq!(History::default().standing(ONE, Lsn(1), at(1), TOLERANCE), Standing::Unknown);
    }

    #[test]
    fn a_gap_is_unknown_until_it_is_one_percent_of_its_age() {
        let history = history(&[(10, 100), (11, 200), (71, 300)]);
        assert_eq!(history.standing(ONE, Lsn(200), at(80), TOLERANCE), Standing::Unknown);
        assert_eq!(history.standing(ONE, Lsn(200), at(71 + 6000), TOLERANCE), Standing::BehindSince(at(71)));
        assert_eq!(history.standing(ONE, Lsn(100), at(80), TOLERANCE), Standing::BehindSince(at(11)));
    }

    #[test]
    fn beyond_the_fork_on_the_old_timeline_is_diverged() {
        let mut history = history(&[(10, 100), (11, 200), (12, 300)]);
        history.observe(at(13), TWO, Lsn(260), forked(250), SECOND);
        history.observe(at(14), TWO, Lsn(280), forked(250), SECOND);
        assert_eq!(history.standing(ONE, Lsn(300), at(15), TOLERANCE), Standing::Diverged);
        assert_eq!(history.standing(ONE, Lsn(250), at(15), TOLERANCE), Standing::BehindSince(at(13)));
        assert_eq!(history.standing(ONE, Lsn(150), at(15), TOLERANCE), Standing::BehindSince(at(11)));
        assert_eq!(history.standing(TWO, Lsn(280), at(15), TOLERANCE), Standing::CaughtUp);
        assert_eq!(history.standing(Timeline(3), Lsn(280), at(15), TOLERANCE), Standing::Unknown);
    }

    #[test]
    fn after_a_promotion_that_took_long_a_follower_at_the_fork_is_known_and_one_before_it_is_not() {
        let mut history = history(&[(10, 100), (11, 200)]);
        // The primary is silent from 11 on; the standby that becomes primary at 41 is read each second until then.
        let origin = Origin { fork: Some(Lsn(250)), standby_until: Some(at(40)) };
        history.observe(at(41), TWO, Lsn(260), origin, SECOND);
        assert_eq!(history.standing(ONE, Lsn(250), at(45), TOLERANCE), Standing::BehindSince(at(41)));
        assert_eq!(history.standing(ONE, Lsn(220), at(45), TOLERANCE), Standing::Unknown);
        assert_eq!(history.standing(ONE, Lsn(100), at(45), TOLERANCE), Standing::BehindSince(at(11)));
    }

    #[test]
    fn without_the_fork_nothing_older_is_trusted() {
        let mut history = history(&[(10, 100), (11, 200)]);
        history.observe(at(13), TWO, Lsn(260), Origin::default(), SECOND);
        assert_eq!(history.standing(ONE, Lsn(150), at(15), TOLERANCE), Standing::Unknown);
        assert_eq!(history.standing(TWO, Lsn(150), at(15), TOLERANCE), Standing::Unknown);
        assert_eq!(history.standing(TWO, Lsn(260), at(15), TOLERANCE), Standing::CaughtUp);
    }

    #[test]
    fn an_old_primary_that_returns_does_not_rewrite_history() {
        let mut history = history(&[(10, 100)]);
        history.observe(at(11), TWO, Lsn(150), forked(100), SECOND);
        history.observe(at(12), ONE, Lsn(900), Origin::default(), SECOND);
        assert_eq!(history.newest(), Some((TWO, Lsn(150))));
    }

    #[test]
    fn the_peak_rate_is_the_steepest_recent_step() {
        let history = history(&[(10, 100), (11, 1100), (12, 1200)]);
        assert_eq!(history.peak_rate(at(13)), 1000.0);
        assert_eq!(history.peak_rate(at(400)), 0.0);
    }

    #[test]
    fn the_mean_rate_is_that_of_the_last_two_minutes() {
        assert_eq!(History::default().mean_rate(), None);
        assert_eq!(history(&[(10, 100), (12, 300)]).mean_rate(), None, "too short");
        assert_eq!(history(&[(10, 100), (15, 600)]).mean_rate(), Some(100.0));
        let steady: Vec<_> = (0..500).map(|second| (1_000 + second, 1_000 + 50 * second)).collect();
        assert_eq!(history(&steady).mean_rate(), Some(50.0));
        // A burst is spread over the span, and gone after it.
        assert_eq!(history(&[(10, 100), (499, 100), (500, 12_100), (501, 12_100)]).mean_rate(), Some(100.0));
        assert_eq!(history(&[(10, 100), (499, 100), (500, 12_100), (621, 12_100)]).mean_rate(), Some(0.0));
        // Nobody looked for an hour: what was written in it says nothing of the present.
        assert_eq!(history(&[(10, 100), (3_610, 360_100), (3_620, 360_600)]).mean_rate(), Some(50.0));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn thinning_moves_a_lag_by_an_interval_or_one_percent_at_most(
            steps in prop::collection::vec((1u64..4, 0u64..3), 200..3000),
            probe in 0.0f64..1.0,
        ) {
            let mut thinned = History::default();
            let mut all: Vec<(u64, u64)> = Vec::new();
            let (mut seconds, mut lsn) = (1_000, 1_000);
            for (pause, step) in steps {
                seconds += pause;
                lsn += step;
                thinned.observe(at(seconds), ONE, Lsn(lsn), Origin::default(), SECOND);
                all.push((seconds, lsn));
            }
            let position = 1_000 + ((lsn - 1_000) as f64 * probe) as u64;
            let truth = all.iter().find(|(_, lsn)| *lsn > position).map(|(seen, _)| *seen);
            let first = all[0].1;
            match thinned.standing(ONE, Lsn(position), at(seconds), TOLERANCE) {
                Standing::CaughtUp => prop_assert_eq!(truth, None),
                Standing::BehindSince(since) => {
                    let lag = at(seconds).since(since).as_secs_f64();
                    let truth = (seconds - truth.unwrap()) as f64;
                    prop_assert!((lag - truth).abs() <= 4.0_f64.max(truth / 100.0 + 4.0), "{} {}", lag, truth);
                }
                other => prop_assert!(position < first, "{:?}", other),
            }
        }

        #[test]
        fn the_number_of_points_is_bounded(days in 1u64..40) {
            let mut history = History::default();
            let mut lsn = 0;
            for minute in 0..days * 1440 {
                lsn += 1;
                history.observe(at(minute * 60), ONE, Lsn(lsn), Origin::default(), SECOND);
            }
            prop_assert!(history.len() <= MAX_POINTS + THIN_EACH);
        }
    }
}
