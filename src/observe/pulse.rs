//! Whether the loops that watch still go round: each says by when it will be heard of again, and who is not is overdue. A server that
//! is down or silent makes no loop overdue, a loop that hangs or has ended does.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// How much later than it said a loop may be: the machine may be busy.
const GRACE: Duration = Duration::from_secs(3);

/// The loops there are.
#[derive(Debug, Default)]
pub struct Pulses(Mutex<Vec<Weak<Pulse>>>);

/// One loop. Whoever wants the loop to run holds it, and not the loop alone: one that has ended is overdue.
#[derive(Debug)]
pub struct Pulse {
    whose: String,
    due: Mutex<Instant>,
}

impl Pulses {
    /// A loop that starts now, and will be heard of within `first`.
    pub fn add(&self, whose: String, first: Duration) -> Arc<Pulse> {
        let pulse = Arc::new(Pulse { whose, due: Mutex::new(Instant::now() + first) });
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|pulse| pulse.strong_count() > 0);
        all.push(Arc::downgrade(&pulse));
        pulse
    }

    /// Whose loops do not go round.
    pub fn overdue(&self, now: Instant) -> Vec<String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter_map(Weak::upgrade).filter(|pulse| pulse.is_overdue(now)).map(|it| it.whose.clone()).collect()
    }
}

impl Pulse {
    /// The loop goes round, and will be heard of again within `next`.
    pub fn beat(&self, next: Duration) {
        self.beat_at(Instant::now(), next);
    }

    fn beat_at(&self, now: Instant, next: Duration) {
        *self.due.lock().unwrap_or_else(PoisonError::into_inner) = now + next;
    }

    fn is_overdue(&self, now: Instant) -> bool {
        now.saturating_duration_since(*self.due.lock().unwrap_or_else(PoisonError::into_inner)) > GRACE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn who_keeps_its_word_is_never_overdue() {
        let pulses = Pulses::default();
        let (start, fast, slow) = (Instant::now(), pulses.add("a".into(), SECOND), pulses.add("b".into(), 61 * SECOND));
        for second in 0..60 {
            let now = start + second * SECOND;
            fast.beat_at(now, SECOND);
            assert_eq!(pulses.overdue(now + SECOND + GRACE), [""; 0]);
        }
        assert_eq!(pulses.overdue(start + 64 * SECOND), ["a"]);
        assert_eq!(pulses.overdue(start + 65 * SECOND), ["a", "b"]);
        slow.beat_at(start + 65 * SECOND, SECOND);
        assert_eq!(pulses.overdue(start + 65 * SECOND), ["a"]);
        fast.beat_at(start + 66 * SECOND, SECOND);
        assert_eq!(pulses.overdue(start + 66 * SECOND), [""; 0]);
    }

    #[test]
    fn a_loop_that_is_no_longer_wanted_is_not_missed_but_one_that_ended_is() {
        let pulses = Pulses::default();
        let later = Instant::now() + 60 * SECOND;
        let held = pulses.add("c/a".into(), SECOND);
        let of_loop = held.clone();
        drop(of_loop);
        assert_eq!(pulses.overdue(later), ["c/a"]);
        drop(held);
        assert_eq!(pulses.overdue(later), [""; 0]);
        let _new = pulses.add("c/b".into(), SECOND);
        assert_eq!(pulses.0.lock().unwrap().len(), 1, "what is gone is forgotten");
    }
}
