//! How often a slow collector reads: seldom, if its reading costs the server much. Pure: told what readings took, and the time.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Mono;

/// A collector rests for so many times what its reading takes: a thousandth of one processor is what it may cost.
const RESTS_FOR: u32 = 1000;
/// But never longer than this: its facts must still be worth something.
const LONGEST_REST: Duration = Duration::from_secs(120);
/// From here on a reading is dear: it is made alone, so that no other waits for it, and then rests.
const DEAR: Duration = Duration::from_millis(10);
/// What a reading costs is the least of the newest so many: on a busy machine one may take long for no fault of its own.
const READINGS: usize = 3;

/// What the readings of each collector cost.
#[derive(Debug)]
pub(super) struct Pacing {
    interval: Duration,
    known: BTreeMap<&'static str, Known>,
}

#[derive(Debug)]
struct Known {
    /// What the newest readings took, the newest last.
    took: Vec<Duration>,
    sent: Mono,
    /// Whether the last one was made alone: only such a one has a moment of its own, to which its rest belongs.
    alone: bool,
}

impl Known {
    fn cost(&self) -> Duration {
        if self.took.len() < READINGS { Duration::ZERO } else { self.took.iter().copied().min().unwrap_or_default() }
    }
}

impl Pacing {
    /// Nothing is known; collectors read each `interval`.
    pub(super) const fn new(interval: Duration) -> Self {
        Self { interval, known: BTreeMap::new() }
    }

    /// Which of `names` are to be read now, each list in an exchange of its own: first those that cost little, together. One that was
    /// last read before `not_before` does not rest: what it read then counts for nothing.
    pub(super) fn due(&self, names: &[&'static str], now: Mono, not_before: Mono) -> Vec<Vec<&'static str>> {
        let (dear, cheap): (Vec<_>, Vec<_>) = names.iter().partition(|name| self.cost(name) >= DEAR);
        let rested = |name: &&'static str| {
            // A tick may come a little early.
            let until = |known: &Known| known.sent.plus(self.rest_of(known)).minus(self.interval / 2);
            self.known.get(name).is_none_or(|known| known.sent < not_before || now >= until(known))
        };
        let alone = dear.into_iter().filter(rested).map(|name| vec![name]);
        [cheap].into_iter().filter(|together| !together.is_empty()).chain(alone).collect()
    }

    /// Takes in that the server needed `took` for a reading that was sent at `sent`, `alone` or with others.
    pub(super) fn took(&mut self, name: &'static str, took: Duration, sent: Mono, alone: bool) {
        let known = self.known.entry(name).or_insert(Known { took: Vec::new(), sent, alone });
        (known.sent, known.alone) = (sent, alone);
        known.took.push(took);
        if known.took.len() > READINGS {
            known.took.remove(0);
        }
    }

    /// For how long a collector rests after its last reading; zero if it does not.
    pub(super) fn rest(&self, name: &str) -> Duration {
        self.known.get(name).map_or(Duration::ZERO, |known| self.rest_of(known))
    }

    /// A new connection reads everything at once: nobody knows what happened since.
    pub(super) fn wake(&mut self) {
        self.known.values_mut().for_each(|known| known.sent = Mono::default());
    }

    fn cost(&self, name: &str) -> Duration {
        self.known.get(name).map_or(Duration::ZERO, Known::cost)
    }

    fn rest_of(&self, known: &Known) -> Duration {
        let cost = known.cost();
        let rest = cost.saturating_mul(RESTS_FOR).min(LONGEST_REST);
        if known.alone && cost >= DEAR && rest > self.interval { rest } else { Duration::ZERO }
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

    /// `archive_status` took so long, at 100 s, 110 s and, alone, at 120 s.
    fn after(took: [u64; 3]) -> Pacing {
        let mut pacing = Pacing::new(INTERVAL);
        for (second, took) in [100, 110, 120].into_iter().zip(took) {
            pacing.took("archiver", ms(1), at(second), false);
            pacing.took("archive_status", ms(took), at(second), second == 120);
        }
        pacing
    }

    fn due(pacing: &Pacing, now: u64) -> Vec<Vec<&'static str>> {
        pacing.due(&NAMES, at(now), Mono::default())
    }

    #[test]
    fn what_costs_little_is_read_together_each_time() {
        assert_eq!(due(&Pacing::new(INTERVAL), 0), [NAMES.to_vec()]);
        assert_eq!(due(&after([9, 9, 9]), 130), [NAMES.to_vec()]);
    }

    #[test]
    fn what_costs_much_is_read_alone_and_rests_for_a_thousand_times_that() {
        let pacing = after([40, 40, 40]);
        assert_eq!(pacing.rest("archive_status"), ms(40_000));
        for now in [130, 140, 150] {
            assert_eq!(due(&pacing, now), [["archiver", "sync"]], "{now}");
        }
        let all = [vec!["archiver", "sync"], vec!["archive_status"]];
        assert_eq!(due(&pacing, 160), all);
        assert_eq!(due(&pacing, 156), all, "a tick that comes a little early");
        assert_eq!(pacing.rest("archiver"), Duration::ZERO);
    }

    #[test]
    fn no_rest_is_longer_than_two_minutes_nor_shorter_than_the_interval() {
        assert_eq!(after([2_000, 3_000, 2_500]).rest("archive_status"), Duration::from_secs(120));
        let mut seldom = Pacing::new(Duration::from_secs(3_600));
        for second in 0..3 {
            seldom.took("sync", ms(100), at(second), true);
        }
        assert_eq!(seldom.rest("sync"), Duration::ZERO);
        assert_eq!(seldom.due(&["sync", "archiver"], at(10), Mono::default()), [["archiver"], ["sync"]]);
    }

    #[test]
    fn one_long_reading_or_two_are_the_machines_and_not_the_collectors() {
        for took in [[200, 1, 200], [1, 200, 200], [200, 200, 9]] {
            assert_eq!(after(took).rest("archive_status"), Duration::ZERO, "{took:?}");
        }
        let mut pacing = after([50, 60, 40]);
        pacing.took("archive_status", ms(3), at(160), true);
        assert_eq!(due(&pacing, 170), [NAMES.to_vec()], "and one short one ends it");
    }

    #[test]
    fn who_was_read_with_others_is_read_alone_before_it_rests() {
        let mut pacing = after([40, 40, 40]);
        pacing.took("archive_status", ms(40), at(130), false);
        assert_eq!(pacing.rest("archive_status"), Duration::ZERO);
        assert_eq!(due(&pacing, 140), [vec!["archiver", "sync"], vec!["archive_status"]]);
    }

    #[test]
    fn what_was_read_before_we_were_late_or_connected_anew_is_read_again() {
        let mut pacing = after([40, 40, 40]);
        assert_eq!(pacing.due(&NAMES, at(130), at(121)).len(), 2);
        assert_eq!(pacing.due(&NAMES, at(130), at(119)).len(), 1);
        pacing.wake();
        assert_eq!(due(&pacing, 130).len(), 2);
    }
}
