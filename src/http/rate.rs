//! A token bucket: so many requests at once, and one more each interval.

use std::time::Duration;

use crate::clock::Mono;
use crate::config::web::Rate;

/// How full it is.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    /// When it was filled last; at first it is full.
    filled: Option<Mono>,
    tokens: f64,
}

impl Bucket {
    /// Takes a token; `Some`: there is none, and there will be one after so long.
    pub(super) fn take(&mut self, rate: Rate, now: Mono) -> Option<Duration> {
        let most = f64::from(rate.burst);
        let interval = rate.interval.as_secs_f64();
        let gained = self.filled.map_or(most, |filled| now.since(filled).as_secs_f64() / interval);
        self.filled = self.filled.max(Some(now));
        self.tokens = (self.tokens + gained).min(most);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return None;
        }
        Some(rate.interval.mul_f64(1.0 - self.tokens))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_through_and_then_one_each_interval() {
        let rate = Rate { interval: Duration::from_millis(100), burst: 3 };
        let at = |millis: u64| Mono::from_nanos(1_000_000_000 + millis * 1_000_000);
        let mut bucket = Bucket::default();
        for (millis, allowed) in [
            (0, true),
            (0, true),
            (0, true),
            (0, false),
            (99, false),
            (101, true),
            (102, false),
            (250, true),
            // However long nobody came, no more than the burst.
            (60_000, true),
            (60_000, true),
            (60_000, true),
            (60_000, false),
            // A clock that stands still gives nothing.
            (59_000, false),
        ] {
            assert_eq!(bucket.take(rate, at(millis)).is_none(), allowed, "at {millis} ms");
        }
        let wait = bucket.take(rate, at(60_050)).unwrap();
        assert!((Duration::from_millis(1)..Duration::from_millis(100)).contains(&wait), "{wait:?}");
    }
}
