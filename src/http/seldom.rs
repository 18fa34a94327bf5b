//! What clients can make us say is said seldom: once a minute, with how often it went unsaid.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Mono;

const EACH: Duration = Duration::from_secs(60);

/// One kind of event.
#[derive(Debug, Default)]
pub(super) struct Seldom(Mutex<Option<Told>>);

#[derive(Debug)]
struct Told {
    at: Mono,
    unsaid: u64,
}

impl Seldom {
    /// Counts one more. `Some`: it is time to say it, and so many went unsaid before it.
    pub(super) fn tell(&self, now: Mono) -> Option<u64> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match told.as_mut() {
            Some(told) if now.since(told.at) < EACH => {
                told.unsaid += 1;
                None
            }
            _ => told.replace(Told { at: now, unsaid: 0 }).map_or(Some(0), |before| Some(before.unsaid)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_a_minute_with_the_number_of_those_unsaid() {
        let seldom = Seldom::default();
        let at = |seconds: u64| Mono::from_nanos(seconds * 1_000_000_000);
        let told: Vec<_> = [5, 6, 64, 65, 66, 200].map(|seconds| seldom.tell(at(seconds))).into();
        assert_eq!(told, [Some(0), None, None, Some(2), None, Some(1)]);
    }
}
