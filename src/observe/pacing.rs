//! How often a slow collector reads: seldom, if its reading costs the server much. Pure: told what readings took, and the time.
//!
//! Answers of statements that are sent together may reach us together, so there a cost is only suspected. Who is suspected is read
//! alone, after the others, and who is found to be dear rests.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Mono;

/// A collector rests for so many times what its reading takes: a thousandth of one processor is what it may cost.
const RESTS_FOR: u32 = 1000;
/// But never longer than this: its facts must still be worth something.
const LONGEST_REST: Duration = Duration::from_secs(120);
/// From here on a reading is dear.
const DEAR: Duration = Duration::from_millis(10);
/// What a reading costs is the least of the newest so many: on a busy machine one may take long for no fault of its own.
const READINGS: usize = 3;

/// What the readings of each collector cost.
#[derive(Debug)]
pub(super) struct Pacing {
    interval: Duration,
    known: BTreeMap<&'static str, Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Whether it is read alone.
    alone: bool,
    /// What the newest readings took since then, the newest last.
    took: Vec<Duration>,
    /// When the last one was sent.
    sent: Mono,
}

impl Known {
    /// `None`: too few readings tell.
    fn cost(&self) -> Option<Duration> {
        self.took.iter().copied().min().filter(|_| self.took.len() == READINGS)
    }

    fn took(&mut self, took: Duration) {
        if self.took.len() == READINGS {
            self.took.remove(0);
        }
        self.took.push(took);
        let alone = if self.alone { took >= DEAR } else { self.cost().is_some_and(|cost| cost >= DEAR) };
        if alone != self.alone {
            (self.alone, self.took) = (alone, Vec::new());
        }
    }
}

impl Pacing {
    /// Nothing is known; collectors read each `interval`.
    pub(super) const fn new(interval: Duration) -> Self {
        Self { interval, known: BTreeMap::new() }
    }

    /// Collectors read each `interval` from now on.
    pub(super) const fn read_each(&mut self, interval: Duration) {
        self.interval = interval;
    }

    /// Which of `names` are to be read now, each list in an exchange of its own: first those that cost little, together. One that was
    /// last read before `not_before` does not rest: what it read then counts for nothing.
    pub(super) fn due(&self, names: &[&'static str], now: Mono, not_before: Mono) -> Vec<Vec<&'static str>> {
        let known = |name| self.known.get(name).filter(|known: &&Known| known.alone);
        let (alone, together): (Vec<_>, Vec<_>) = names.iter().partition(|name| known(**name).is_some());
        let rested = |name: &&'static str| {
            // A tick may come a little early.
            let until = |known: &Known| known.sent.plus(self.rest(name)).minus(self.interval / 2);
            known(*name).is_none_or(|known| known.sent < not_before || now >= until(known))
        };
        let alone = alone.into_iter().filter(rested).map(|name| vec![name]);
        [together].into_iter().filter(|together| !together.is_empty()).chain(alone).collect()
    }

    /// Takes in that the server needed `took` for a reading that was sent at `sent`.
    pub(super) fn took(&mut self, name: &'static str, took: Duration, sent: Mono) {
        let known = self.known.entry(name).or_default();
        known.sent = sent;
        known.took(took);
    }

    /// For how long a collector rests after its last reading; zero if it does not.
    pub(super) fn rest(&self, name: &str) -> Duration {
        let cost = self.known.get(name).filter(|known| known.alone).and_then(Known::cost);
        let rest = cost.unwrap_or_default().saturating_mul(RESTS_FOR).min(LONGEST_REST);
        if rest > self.interval { rest } else { Duration::ZERO }
    }

    /// A new connection reads everything at once: nobody knows what happened since.
    pub(super) fn wake(&mut self) {
        self.known.values_mut().for_each(|known| known.sent = Mono::default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);
    const NAMES: [&str; 3] = ["archiver", "archive_status", "sync"];

    fn at(seconds: u64) -> Mono {
        Mono::from_nanos(seconds * 1_000_000_000)
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// The readings of `archive_status` took so long, each 10 seconds, the last at 100 s.
    fn after(took: &[u64]) -> Pacing {
        let mut pacing = Pacing::new(INTERVAL);
        for (before, took) in took.iter().rev().enumerate().rev() {
            let sent = at(100 - 10 * before as u64);
            pacing.took("archiver", ms(1), sent);
            pacing.took("archive_status", ms(*took), sent);
        }
        pacing
    }

    fn due(pacing: &Pacing, now: u64) -> Vec<Vec<&'static str>> {
        pacing.due(&NAMES, at(now), Mono::default())
    }

    fn apart() -> Vec<Vec<&'static str>> {
        vec![vec!["archiver", "sync"], vec!["archive_status"]]
    }

    #[test]
    fn what_costs_little_is_read_together_each_time() {
        assert_eq!(due(&Pacing::new(INTERVAL), 0), [NAMES.to_vec()]);
        assert_eq!(due(&after(&[9; 6]), 110), [NAMES.to_vec()]);
    }

    #[test]
    fn what_costs_much_is_read_alone_and_then_rests_for_a_thousand_times_that() {
        for readings in 3..6 {
            let pacing = after(&vec![40; readings]);
            assert_eq!(due(&pacing, 110), apart(), "{readings}");
            assert_eq!(pacing.rest("archive_status"), Duration::ZERO);
        }
        let pacing = after(&[40; 6]);
        assert_eq!(pacing.rest("archive_status"), ms(40_000));
        for now in [110, 120, 130] {
            assert_eq!(due(&pacing, now), [["archiver", "sync"]], "{now}");
        }
        assert_eq!(due(&pacing, 140), apart());
        assert_eq!(due(&pacing, 136), apart(), "a tick that comes a little early");
        assert_eq!(pacing.rest("archiver"), Duration::ZERO);
    }

    #[test]
    fn no_rest_is_longer_than_two_minutes_nor_shorter_than_the_interval() {
        assert_eq!(after(&[2_000, 3_000, 2_500, 2_000, 3_000, 2_500]).rest("archive_status"), Duration::from_secs(120));
        let mut seldom = Pacing::new(Duration::from_secs(3_600));
        for second in 0..6 {
            seldom.took("sync", ms(100), at(second));
        }
        assert_eq!(seldom.rest("sync"), Duration::ZERO);
        assert_eq!(seldom.due(&["sync", "archiver"], at(3_605), Mono::default()), [["archiver"], ["sync"]]);
    }

    #[test]
    fn one_long_reading_or_two_are_the_machines_and_not_the_collectors() {
        for took in [[200, 1, 200], [1, 200, 200], [200, 200, 9]] {
            assert_eq!(due(&after(&took), 110), [NAMES.to_vec()], "{took:?}");
        }
    }

    #[test]
    fn who_was_suspected_wrongly_is_read_with_the_others_again() {
        assert_eq!(due(&after(&[40, 40, 40, 2]), 110), [NAMES.to_vec()]);
        assert_eq!(due(&after(&[40, 40, 40, 50, 60, 50, 3]), 110), [NAMES.to_vec()], "or has become cheap");
    }

    #[test]
    fn what_was_read_before_we_were_late_or_connected_anew_is_read_again() {
        let mut pacing = after(&[40; 6]);
        assert_eq!(pacing.due(&NAMES, at(110), at(101)), apart());
        assert_eq!(pacing.due(&NAMES, at(110), at(99)).len(), 1);
        pacing.wake();
        assert_eq!(due(&pacing, 110), apart());
    }
}
