//! How often a stream was made anew, as far as readings saw it: one that came and went between two of them is not counted.

use std::collections::BTreeMap;

use crate::clock::{Moment, Wall};
use crate::collector::walsenders::Walsender;

/// So many names that nobody configured are counted a node: whoever may connect chooses his name.
const MAX_STRANGERS: usize = 64;

/// The reconnects of standbys, by the node that they connect to and the standby's name. It shrinks with the
/// configuration alone, so no counter falls.
#[derive(Clone, Debug, Default)]
pub struct Reconnects(BTreeMap<(usize, String), Sender>);

/// The walsenders of one standby on one node.
#[derive(Clone, Debug, Default)]
struct Sender {
    count: u64,
    /// Those of the last reading that showed any.
    last: Option<Vec<Started>>,
}

/// What tells one walsender from the next: its pid, which may come again, and its start.
type Started = (i32, Option<Wall>);

impl Reconnects {
    /// A standby that should connect to this node is counted from 0 on, so that its first reconnect is a rise.
    pub fn expect(&mut self, node: usize, standby: &str) {
        self.0.entry((node, standby.to_owned())).or_default();
    }

    /// Takes in one reading of a node: all walsenders that feed standbys, each with the standby's name. `strangers`: the names
    /// among them that nobody configured.
    pub fn note<'a>(&mut self, node: usize, walsenders: impl Iterator<Item = (&'a Walsender, &'a str, bool)>) {
        let mut present = BTreeMap::<&str, (bool, Vec<Started>)>::new();
        for (walsender, standby, configured) in walsenders {
            let (_, started) = present.entry(standby).or_insert((configured, Vec::new()));
            started.push((walsender.pid, walsender.backend_start));
        }
        for (standby, (configured, started)) in present {
            let key = (node, standby.to_owned());
            if !configured && !self.0.contains_key(&key) && self.names(node) >= MAX_STRANGERS {
                continue;
            }
            let sender = self.0.entry(key).or_default();
            if let Some(last) = &sender.last {
                sender.count += started.iter().filter(|started| !last.contains(started)).count() as u64;
            }
            sender.last = Some(started);
        }
    }

    /// Takes another configuration: `moved` gives a node's new number, for a standby that is still to be counted there.
    pub fn relayout(&mut self, moved: impl Fn(usize, &str) -> Option<usize>) {
        let counted = std::mem::take(&mut self.0).into_iter();
        self.0 =
            counted.filter_map(|((node, standby), sender)| Some(((moved(node, &standby)?, standby), sender))).collect();
    }

    /// Each node's number, the standby's name, and how often it reconnected.
    pub fn counts(&self) -> impl Iterator<Item = (usize, &str, u64)> {
        self.0.iter().map(|((node, standby), sender)| (*node, standby.as_str(), sender.count))
    }

    fn names(&self, node: usize) -> usize {
        self.0.keys().filter(|(known, _)| *known == node).count()
    }
}

/// The walreceiver of one node, over its restarts.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReceiverStarts {
    /// The newest process.
    pid: Option<i32>,
    /// When the newest process was first seen.
    pub since: Option<Moment>,
    /// How many were seen to start; `None` while the node was never seen in recovery.
    pub count: Option<u64>,
}

impl ReceiverStarts {
    /// Takes in one reading of a node in recovery: the walreceiver's pid, if there is one.
    pub fn note(&mut self, pid: Option<i32>, seen: Moment) {
        let looked_before = self.count.is_some();
        let count = self.count.get_or_insert(0);
        if pid.is_some() && pid != self.pid {
            (self.pid, self.since) = (pid, Some(seen));
            // The one that was there when we came was not seen to start.
            *count += u64::from(looked_before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walsender(pid: i32, started: f64) -> Walsender {
        Walsender { backend_start: Some(Wall::from_seconds(started)), ..Walsender::named(pid, "") }
    }

    fn note(reconnects: &mut Reconnects, rows: &[(i32, f64, &str)]) {
        let walsenders: Vec<_> = rows.iter().map(|(pid, started, _)| walsender(*pid, *started)).collect();
        let names = rows.iter().map(|(.., name)| (*name, !name.starts_with("stranger")));
        reconnects.note(0, walsenders.iter().zip(names).map(|(walsender, (name, known))| (walsender, name, known)));
    }

    fn count(reconnects: &Reconnects, standby: &str) -> Option<u64> {
        reconnects.counts().find(|(_, name, _)| *name == standby).map(|(.., count)| count)
    }

    #[test]
    fn a_new_process_is_a_reconnect_and_the_first_one_is_none() {
        let mut reconnects = Reconnects::default();
        reconnects.expect(0, "b");
        assert_eq!(count(&reconnects, "b"), Some(0));
        note(&mut reconnects, &[(1, 10.0, "b")]);
        note(&mut reconnects, &[(1, 10.0, "b")]);
        assert_eq!(count(&reconnects, "b"), Some(0), "it was there from the start");
        note(&mut reconnects, &[]);
        assert_eq!(count(&reconnects, "b"), Some(0), "gone is not back");
        note(&mut reconnects, &[(2, 11.0, "b")]);
        note(&mut reconnects, &[(2, 12.0, "b")]);
        assert_eq!(count(&reconnects, "b"), Some(2), "a pid may come again");
        note(&mut reconnects, &[(3, 5.0, "b")]);
        assert_eq!(count(&reconnects, "b"), Some(3), "and a clock be set back");
        reconnects.expect(0, "b");
        assert_eq!(count(&reconnects, "b"), Some(3));
    }

    #[test]
    fn of_two_with_one_name_each_new_process_counts() {
        let mut reconnects = Reconnects::default();
        note(&mut reconnects, &[(1, 10.0, "b"), (2, 10.0, "b")]);
        note(&mut reconnects, &[(2, 10.0, "b"), (1, 10.0, "b")]);
        assert_eq!(count(&reconnects, "b"), Some(0));
        note(&mut reconnects, &[(2, 10.0, "b"), (3, 13.0, "b")]);
        assert_eq!(count(&reconnects, "b"), Some(1));
    }

    #[test]
    fn strangers_are_counted_up_to_a_bound_and_members_always() {
        let mut reconnects = Reconnects::default();
        for number in 0..1_000 {
            let name = format!("stranger{number}");
            note(&mut reconnects, &[(number, 1.0, name.as_str())]);
        }
        assert_eq!(reconnects.counts().count(), MAX_STRANGERS);
        note(&mut reconnects, &[(1, 1.0, "b"), (2, 2.0, "stranger0")]);
        assert_eq!((count(&reconnects, "b"), count(&reconnects, "stranger0")), (Some(0), Some(1)));
    }

    #[test]
    fn a_walreceiver_that_was_there_when_we_came_did_not_start() {
        let at = |seconds: u64| Moment::default().plus(std::time::Duration::from_secs(seconds));
        let mut starts = ReceiverStarts::default();
        assert_eq!(starts.count, None);
        starts.note(Some(7), at(1));
        starts.note(None, at(2));
        starts.note(Some(7), at(3));
        assert_eq!((starts.count, starts.since), (Some(0), Some(at(1))));
        starts.note(Some(8), at(4));
        assert_eq!((starts.count, starts.since), (Some(1), Some(at(4))));

        let mut late = ReceiverStarts::default();
        late.note(None, at(1));
        late.note(Some(7), at(2));
        assert_eq!(late.count, Some(1), "seen to start");
    }
}
