//! When a volume will be full, if it goes on as it does now.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Mono;

/// Two points are at least so far apart, which bounds their number.
const APART: Duration = Duration::from_secs(5);
/// The short window: what happens now.
const SHORT: Duration = Duration::from_secs(60);
/// The long one: what has gone on for a while.
const LONG: Duration = Duration::from_secs(600);
/// Before so much is known of it there is no long window.
const LEAST_LONG: Duration = Duration::from_secs(120);

/// The free space of a volume in the last ten minutes.
#[derive(Debug, Default)]
pub struct Trend {
    points: VecDeque<Point>,
    size: u64,
}

#[derive(Clone, Copy, Debug)]
struct Point {
    at: Mono,
    free: u64,
}

impl Trend {
    /// Takes in that `free` of `size` bytes are free, and tells in how many seconds none will be: by the slower of the falls over
    /// one minute and over ten, or as much of them as was seen, two at least. `None` while it does not fall over both, or too little
    /// was seen. A volume of another size is another volume.
    pub fn note(&mut self, at: Mono, size: u64, free: u64) -> Option<f64> {
        if size != self.size {
            *self = Self { points: VecDeque::new(), size };
        }
        while self.points.front().is_some_and(|oldest| at.since(oldest.at) > LONG) {
            self.points.pop_front();
        }
        let due = self.points.back().is_none_or(|newest| at.since(newest.at) >= APART);
        let seconds = self.seconds_left(at, free);
        if due {
            self.points.push_back(Point { at, free });
        }
        seconds
    }

    fn seconds_left(&self, at: Mono, free: u64) -> Option<f64> {
        let fall_since = |then: &Point| {
            let seconds = at.since(then.at).as_secs_f64();
            (then.free > free && seconds > 0.0).then(|| (then.free - free) as f64 / seconds)
        };
        // The youngest that is old enough.
        let short = self.points.iter().rev().find(|point| at.since(point.at) >= SHORT)?;
        // A gap, as when we could not look, says nothing of now.
        if at.since(short.at) > 2 * SHORT {
            return None;
        }
        let long = self.points.front().filter(|oldest| at.since(oldest.at) >= LEAST_LONG)?;
        let fall = fall_since(short)?.min(fall_since(long)?);
        Some(free as f64 / fall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 1 << 40;

    fn second(second: u64) -> Mono {
        Mono::from_nanos((10_000 + second) * 1_000_000_000)
    }

    /// Looks each ten seconds until `end`, with `free` bytes at each second; the last answer.
    fn watch(trend: &mut Trend, seconds: std::ops::RangeInclusive<u64>, free: impl Fn(u64) -> u64) -> Option<f64> {
        seconds.step_by(10).map(|now| trend.note(second(now), SIZE, free(now))).last().flatten()
    }

    #[test]
    fn a_steady_fall_ends_when_it_says() {
        let mut trend = Trend::default();
        let free = |now: u64| 1_000_000 - 100 * now;
        assert_eq!(watch(&mut trend, 0..=110, free), None, "seen for too short a time");
        assert_eq!(watch(&mut trend, 120..=120, free), Some(9_880.0));
        assert_eq!(watch(&mut trend, 130..=3_600, free), Some(6_400.0));
        assert!(trend.points.len() <= 121, "{}", trend.points.len());
    }

    #[test]
    fn the_slower_window_counts() {
        let mut trend = Trend::default();
        // 10 a second for long, and 1,000 a second in the last minute; then the other way round.
        let burst = |now: u64| 10_000_000 - 10 * now - if now > 1_140 { 990 * (now - 1_140) } else { 0 };
        let left = watch(&mut trend, 0..=1_200, burst).unwrap();
        let long = (10.0 * 600.0 + 990.0 * 60.0) / 600.0;
        assert!((left - burst(1_200) as f64 / long).abs() < 1.0, "{left}");
        let calm = |now: u64| burst(1_200) - (now - 1_200);
        assert_eq!(watch(&mut trend, 1_210..=1_300, calm), Some(calm(1_300) as f64), "by now it is one a second");
    }

    #[test]
    fn where_it_does_not_fall_there_is_no_end() {
        let flat = |_| 500;
        assert_eq!(watch(&mut Trend::default(), 0..=1_200, flat), None);
        let recycled = |now: u64| if now > 1_100 { 1_000_000 } else { 900_000 - now };
        assert_eq!(watch(&mut Trend::default(), 0..=1_200, recycled), None, "freed in the last minutes");
        let stopped = |now: u64| if now > 1_000 { 9_000 } else { 10_000 - now };
        assert_eq!(watch(&mut Trend::default(), 0..=1_200, stopped), None, "stands still for a minute");
    }

    #[test]
    fn a_gap_and_another_volume_begin_anew() {
        let free = |now: u64| 1_000_000 - 10 * now;
        let mut trend = Trend::default();
        watch(&mut trend, 0..=300, free);
        assert_eq!(trend.note(second(500), SIZE, free(500)), None, "200 s unseen");
        assert!(watch(&mut trend, 510..=700, free).is_some());
        assert_eq!(trend.note(second(710), SIZE * 2, free(710)), None, "another size");
        assert_eq!(trend.note(second(720), SIZE * 2, 0), None);
    }

    #[test]
    fn what_is_full_is_full_now() {
        let mut trend = Trend::default();
        let left = watch(&mut trend, 0..=200, |now| 20_000 - 100 * now);
        assert_eq!(left, Some(0.0));
    }
}
