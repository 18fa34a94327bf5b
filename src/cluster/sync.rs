//! Whether a primary has the standbys that its synchronous commits wait for. It counts as the server does: each walsender in the
//! list that streams and has told a flushed position, whatever it feeds. One that fell silent counts until the server drops it.
//!
//! An older standby (13) that just connected says nothing until there is WAL or its status interval is over. The server does not
//! count it yet, but the next commit makes it speak: so long as it would tip the balance the verdict is unknown.

use serde::Serialize;

use super::assess::Evidence;
use super::sync_names::SyncNames;
use crate::collector::sync::Collector as SyncCollector;
use crate::collector::walsenders::Walsender;

/// The verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SyncState {
    /// There are enough: commits go on.
    Satisfied,
    /// There are too few: commits hang.
    Unsatisfied,
    /// `synchronous_standby_names` is empty: no commit waits.
    Off,
    /// It cannot be said.
    Unknown,
}

impl SyncState {
    /// The values of the label `state`.
    pub const ALL: [&'static str; 4] = ["satisfied", "unsatisfied", "off", "unknown"];

    /// The value of the label `state`.
    pub const fn as_str(self) -> &'static str {
        Self::ALL[self as usize]
    }
}

/// The verdict, with what it is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Quorum {
    /// The verdict.
    pub state: SyncState,
    /// How many standbys a commit waits for; `None` when off or unknown.
    pub required: Option<u32>,
    /// How many the server may choose from.
    pub candidates: Option<u64>,
    /// How many of them may go before commits hang; below 0 when they do.
    pub spare: Option<i64>,
    /// Why it cannot be said.
    pub unknown_because: Option<String>,
}

impl Quorum {
    /// Holds the setting against all walsenders of the node.
    pub fn of(standby_names: &str, walsenders: &[Walsender]) -> Self {
        let names = match SyncNames::parse(standby_names) {
            Ok(Some(names)) => names,
            Ok(None) => return Self::bare(SyncState::Off, None),
            Err(error) => return Self::unknown(&error.to_string()),
        };
        let candidates = walsenders.iter().filter(|walsender| is_candidate(&names, walsender)).count() as u64;
        let undecided = walsenders.iter().filter(|walsender| is_undecided(&names, walsender)).count() as u64;
        let spare_of = |standbys: u64| i64::try_from(standbys).unwrap_or(i64::MAX) - i64::from(names.required);
        let spare = spare_of(candidates);
        if spare < 0 && spare_of(candidates + undecided) >= 0 {
            return Self::unknown("a standby that just connected has not said yet what it flushed");
        }
        let state = if spare < 0 { SyncState::Unsatisfied } else { SyncState::Satisfied };
        let (required, candidates, spare) = (Some(names.required), Some(candidates), Some(spare));
        Self { state, required, candidates, spare, unknown_because: None }
    }

    fn unknown(why: &str) -> Self {
        Self::bare(SyncState::Unknown, Some(why.to_owned()))
    }

    const fn bare(state: SyncState, unknown_because: Option<String>) -> Self {
        Self { state, required: None, candidates: None, spare: None, unknown_because }
    }
}

/// Whether the server may choose this walsender. A base backup's and most of `pg_receivewal` tell no flushed position.
pub fn is_candidate(names: &SyncNames, walsender: &Walsender) -> bool {
    matches!(walsender.state.as_str(), "streaming" | "stopping")
        && walsender.flush_lsn.is_some()
        && names.place(&walsender.application_name).is_some()
}

/// Whether it is still to be seen if the server may choose this walsender: nothing was heard from the other end yet.
fn is_undecided(names: &SyncNames, walsender: &Walsender) -> bool {
    walsender.state == "streaming"
        && walsender.flush_lsn.is_none()
        && walsender.reply_time.is_none()
        && names.place(&walsender.application_name).is_some()
}

impl Evidence<'_> {
    /// The verdict on a node that is a primary, or was the last one seen and says nothing now.
    pub(super) fn quorum(&self, index: usize, last_primary: bool) -> Option<Quorum> {
        let facts = &self.facts[index];
        if !self.is_fresh(index) {
            return last_primary.then(|| Quorum::unknown("the node was not read of late"));
        }
        if facts.snapshot.recovery.as_ref()?.value.in_recovery {
            return None;
        }
        let Some(sync) = self.slow_fact(index, &SyncCollector, &facts.snapshot.sync) else {
            return Some(Quorum::unknown("synchronous_standby_names was not read of late; see the fact sync"));
        };
        let walsenders = facts.snapshot.walsenders.as_ref().filter(|fact| Some(fact.seen) == facts.read);
        let Some(walsenders) = walsenders else {
            return Some(Quorum::unknown("pg_stat_replication was not read of late; see the fact walsenders"));
        };
        Some(Quorum::of(&sync.standby_names, &walsenders.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Wall;
    use crate::pg::lsn::Lsn;

    #[test]
    fn a_walsender_counts_while_it_streams_or_stops_and_its_standby_told_what_it_flushed() {
        let walsender = |state: &str, flush_lsn, replied: bool| Walsender {
            state: state.to_owned(),
            flush_lsn,
            reply_time: replied.then(|| Wall::from_seconds(1.0)),
            ..Walsender::named(1, "b")
        };
        let some = Some(Lsn(1));
        for (state, flush_lsn, spare) in [
            ("streaming", some, 0),
            ("stopping", some, 0),
            ("catchup", some, -1),
            ("startup", None, -1),
            ("backup", None, -1),
            ("streaming", None, -1),
        ] {
            let quorum = Quorum::of("*", &[walsender(state, flush_lsn, true)]);
            assert_eq!(quorum.spare, Some(spare), "{state} {flush_lsn:?}");
        }

        // One that has not spoken yet makes it unknown where it would tip the balance.
        let silent = || walsender("streaming", None, false);
        for (names, walsenders, state, spare) in [
            ("b", vec![silent()], SyncState::Unknown, None),
            ("x", vec![silent()], SyncState::Unsatisfied, Some(-1)),
            ("2 (b)", vec![silent()], SyncState::Unsatisfied, Some(-2)),
            ("b", vec![silent(), walsender("streaming", some, true)], SyncState::Satisfied, Some(0)),
            ("b", vec![walsender("startup", None, false)], SyncState::Unsatisfied, Some(-1)),
        ] {
            let quorum = Quorum::of(names, &walsenders);
            assert_eq!((quorum.state, quorum.spare), (state, spare), "{names} {walsenders:?}");
        }
    }
}
