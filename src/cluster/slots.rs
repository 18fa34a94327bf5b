//! Whose a slot is, and how long a slot of the primary has until it may be lost: what may yet be written, held against what is being
//! written.

use super::assess::Evidence;
use super::families;
use super::layout::Layout;
use crate::collector::slots::Slot;
use crate::metric::sample::Samples;

/// Adds the time to lost of the slots of node number `index`, which is the primary that all are measured by.
///
/// Absent unless this very reading is the newest of the history that the rate is taken from: not while the node is not seen, nor of
/// the other side of a split brain.
pub(super) fn slot_samples(index: usize, evidence: &Evidence<'_>, samples: &mut Samples) {
    let facts = &evidence.facts[index];
    let history = &evidence.memory.history;
    let Some(read) = facts.read.filter(|read| history.last_seen() == Some(read.mono)) else { return };
    let Some(slots) = facts.snapshot.slots.as_ref().filter(|fact| fact.seen == read) else { return };
    if !evidence.is_fresh(index) {
        return;
    }
    let rate = history.mean_rate();
    for slot in slots.value.iter().filter(|slot| !slot.temporary) {
        let labels = [evidence.layout.name.as_str(), &evidence.layout.members[index].name, &slot.name];
        samples.known(&families::SLOT_TIME_TO_LOST, &labels, seconds_to_lost(slot, rate));
    }
}

/// Adds whether each slot of node number `index` is one that the configuration knows.
pub(super) fn expected_slot_samples(index: usize, evidence: &Evidence<'_>, samples: &mut Samples) {
    let facts = &evidence.facts[index];
    let Some(slots) = facts.snapshot.slots.as_ref().filter(|fact| Some(fact.seen) == facts.read) else { return };
    if !evidence.is_fresh(index) {
        return;
    }
    let members = &evidence.layout.members;
    for slot in slots.value.iter().filter(|slot| !slot.temporary) {
        let labels = [evidence.layout.name.as_str(), &members[index].name, &slot.name];
        samples.flag(&families::SLOT_EXPECTED, &labels, is_expected(slot, evidence.layout));
    }
}

/// Whether the configuration knows whose it is.
pub(super) fn is_expected(slot: &Slot, layout: &Layout) -> bool {
    slot.kind == "physical" && layout.members.iter().any(|member| member.slot == slot.name)
}

/// In how many seconds a slot may be lost if its consumer stands still and `rate`, in bytes a second, stays as it is. 0 once nothing
/// more may be written: the next checkpoint may take it. `None` if the server sets no limit, and while nothing is written.
pub(super) fn seconds_to_lost(slot: &Slot, rate: Option<f64>) -> Option<f64> {
    let safe = slot.safe_bytes()?;
    if safe <= 0 {
        return Some(0.0);
    }
    let rate = rate.filter(|rate| *rate > 0.0)?;
    Some(safe as f64 / rate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pg::lsn::Lsn;

    fn slot(restart_lsn: Option<Lsn>, safe_wal_size: Option<i64>) -> Slot {
        Slot { restart_lsn, safe_wal_size, ..Slot::named("s") }
    }

    #[test]
    fn the_time_is_what_is_left_over_the_rate() {
        let left = |safe, rate| seconds_to_lost(&slot(Some(Lsn(1)), safe), rate);
        assert_eq!(left(Some(1_000), Some(50.0)), Some(20.0));
        assert_eq!(left(Some(1_000), Some(0.0)), None, "nothing is written");
        assert_eq!(left(Some(1_000), None), None, "the rate is not known");
        assert_eq!(left(None, Some(50.0)), None, "no limit");
        assert_eq!(left(Some(-1), None), Some(0.0), "the next checkpoint may take it");
        assert_eq!(seconds_to_lost(&slot(None, Some(1_000)), Some(50.0)), None, "it holds nothing");
    }
}
