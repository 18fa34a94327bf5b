//! Which alerts were handed in before: a bounded memory that the journal's records make again after a restart.

use std::collections::{HashSet, VecDeque};

use super::record::{Entry, Reason};
use crate::alertmanager::EventKey;

/// So many of each kind are remembered; the oldest are forgotten first, and their repeats are new again.
pub const MOST: usize = 16_384;

/// What an alert is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It was not known.
    New,
    /// It was told before.
    Duplicate,
    /// It was not known and is not for us.
    Ignored(Reason),
}

/// The memory.
#[derive(Debug, Default)]
pub struct Seen {
    received: Keys,
    /// Apart, so that what is not for us crowds nothing out.
    ignored: Keys,
}

impl Seen {
    /// What `entry` is to us; from now on it is known. One that was ignored is new when it is for us at last, as after another config.
    /// `None`: it is about no alert.
    pub fn take(&mut self, entry: &Entry) -> Option<Outcome> {
        match entry {
            Entry::Opened(_) | Entry::Run(_) | Entry::Switched(_) | Entry::Asked(_) => None,
            Entry::Received(heard) if self.received.add(heard.key) => Some(Outcome::New),
            Entry::Ignored(ignored)
                if !self.received.known.contains(&ignored.alert.key) && self.ignored.add(ignored.alert.key) =>
            {
                Some(Outcome::Ignored(ignored.reason))
            }
            Entry::Received(_) | Entry::Ignored(_) => Some(Outcome::Duplicate),
        }
    }
}

#[derive(Debug, Default)]
struct Keys {
    known: HashSet<EventKey>,
    in_order: VecDeque<EventKey>,
}

impl Keys {
    /// Whether it was not known.
    fn add(&mut self, key: EventKey) -> bool {
        if !self.known.insert(key) {
            return false;
        }
        self.in_order.push_back(key);
        if self.in_order.len() > MOST
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;

    use super::*;
    use crate::alertmanager::{Alert, Payload, Status};

    fn entry(number: usize, is_ours: bool) -> Entry {
        let labels = [("cluster", "orders"), ("alertname", "A")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        let alert = Alert {
            status: Status::Firing,
            labels: BTreeMap::from(labels),
            starts_at: Timestamp::UNIX_EPOCH,
            ends_at: None,
            fingerprint: number.to_string(),
        };
        let payload = Payload { receiver: "r".into(), group_key: "g".into(), truncated: 0, alerts: Vec::new() };
        Entry::of(&payload, &alert, "alertmanager", |_| is_ours)
    }

    #[test]
    fn an_alert_is_new_once_and_again_when_it_is_for_us_at_last() {
        let mut seen = Seen::default();
        let unknown = Outcome::Ignored(Reason::UnknownCluster);
        for (number, is_ours, outcome) in [
            (1, true, Outcome::New),
            (1, true, Outcome::Duplicate),
            (2, false, unknown),
            (2, false, Outcome::Duplicate),
            (2, true, Outcome::New),
            (2, true, Outcome::Duplicate),
            // Its cluster is gone from the config: what was received is not news.
            (2, false, Outcome::Duplicate),
            (1, false, Outcome::Duplicate),
        ] {
            assert_eq!(seen.take(&entry(number, is_ours)), Some(outcome), "{number} {is_ours}");
        }
    }

    #[test]
    fn the_memory_is_bounded_and_noise_crowds_nothing_out() {
        let mut seen = Seen::default();
        seen.take(&entry(0, true));
        for number in 1..=MOST + 10 {
            assert!(matches!(seen.take(&entry(number, false)), Some(Outcome::Ignored(_))));
        }
        assert_eq!((seen.received.known.len(), seen.ignored.known.len(), seen.ignored.in_order.len()), (1, MOST, MOST));
        assert_eq!(seen.take(&entry(0, true)), Some(Outcome::Duplicate));
        assert!(matches!(seen.take(&entry(1, false)), Some(Outcome::Ignored(_))), "the oldest is forgotten");
    }
}
