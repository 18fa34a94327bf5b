//! Whether a standby could take over now, and what stands in the way.

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::assess::{Evidence, Verdict};
use super::lag::{StandbyLag, Unknown};
use super::sync_names::{Method, SyncNames};
use super::timelines::Lineage;
use crate::collector::Collector;
use crate::collector::recovery::{Recovery, ReplayPause};
use crate::collector::snapshot::Fact;
use crate::collector::{control, replay_wait, settings};
use crate::pg::failure::{Cause, NodeState};

/// WAL that was received and not replayed, in bytes, from which on a promotion takes too long: it replays all of it first, at some
/// 100 MB a second.
const BACKLOG: u64 = 1 << 30;

/// What stands in the way of a promotion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the row of each says what it means")]
pub enum Reason {
    NotInRecovery,
    NotAcceptingReads,
    ForeignSystem,
    SameServer,
    Diverged,
    TimelineBehind,
    BehindOtherStandby,
    ReplayPaused,
    ApplyDelay,
    ReplayConflict,
    ReplayBacklog,
    SettingsTooLow,
    NeedsRebuild,
    ArchiveOnly,
    Cascading,
    NotSynchronous,
    NotObserved,
    SystemUnknown,
    TimelineUnknown,
    LagUnknown,
    SyncUnknown,
    FactsMissing,
}

/// One reason: the value of the label `reason`, whether it forbids (no) or leaves open (unknown), and what it means.
struct Row(Reason, &'static str, Verdict, &'static str);

#[rustfmt::skip]
const ROWS: [Row; 22] = [
    Row(Reason::NotInRecovery, "not_in_recovery", Verdict::No, "it is a primary itself"),
    Row(Reason::NotAcceptingReads, "not_accepting_reads", Verdict::No, "it takes no connections: starting, stopping, not consistent yet, or hot_standby is off"),
    Row(Reason::ForeignSystem, "foreign_system", Verdict::No, "its system identifier is not the cluster's"),
    Row(Reason::SameServer, "same_server", Verdict::No, "it is the same server as another node: correct the dsn of one"),
    Row(Reason::Diverged, "diverged", Verdict::No, "it has WAL that the primary's timeline does not have"),
    Row(Reason::TimelineBehind, "timeline_behind", Verdict::No, "it is on an older timeline than the cluster's newest"),
    Row(Reason::BehindOtherStandby, "behind_other_standby", Verdict::No, "another standby has received more"),
    Row(Reason::ReplayPaused, "replay_paused", Verdict::No, "its replay is paused, or a pause is requested"),
    Row(Reason::ApplyDelay, "apply_delay", Verdict::No, "it has a recovery_min_apply_delay, which a promotion would throw away"),
    Row(Reason::ReplayConflict, "replay_conflict", Verdict::No, "a query of its own is in the way of replay"),
    Row(Reason::ReplayBacklog, "replay_backlog", Verdict::No, "it has 1 GiB or more of WAL to replay before it could take over"),
    Row(Reason::SettingsTooLow, "settings_too_low", Verdict::No, "a setting is lower than replay needs"),
    Row(Reason::NeedsRebuild, "needs_rebuild", Verdict::No, "its slot is lost and nothing else can feed it: it must be made anew"),
    Row(Reason::ArchiveOnly, "archive_only", Verdict::No, "the archive alone feeds it: WAL that is not archived would be lost"),
    Row(Reason::Cascading, "cascading", Verdict::No, "it is fed by another standby"),
    Row(Reason::NotSynchronous, "not_synchronous", Verdict::No, "commits waited for other standbys: it may lack some that were acknowledged"),
    Row(Reason::NotObserved, "not_observed", Verdict::Unknown, "there is no fresh reading of it"),
    Row(Reason::SystemUnknown, "system_unknown", Verdict::Unknown, "it is not known whether it belongs to the cluster"),
    Row(Reason::TimelineUnknown, "timeline_unknown", Verdict::Unknown, "it is not known which timeline it is on"),
    Row(Reason::LagUnknown, "lag_unknown", Verdict::Unknown, "it is not known how far it is behind"),
    Row(Reason::SyncUnknown, "sync_unknown", Verdict::Unknown, "it is not known whom commits waited for"),
    Row(Reason::FactsMissing, "facts_missing", Verdict::Unknown, "a fact that decides was not read of late; see collector_success"),
];

impl Reason {
    /// Every reason.
    pub fn all() -> impl Iterator<Item = Self> {
        ROWS.iter().map(|row| row.0)
    }

    /// The value of the label `reason`.
    pub const fn as_str(self) -> &'static str {
        ROWS[self as usize].1
    }

    /// Whether it forbids (no) or leaves open (unknown).
    pub const fn verdict(self) -> Verdict {
        ROWS[self as usize].2
    }

    /// What it means.
    pub const fn meaning(self) -> &'static str {
        ROWS[self as usize].3
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Reason", 2)?;
        fields.serialize_field("reason", self.as_str())?;
        fields.serialize_field("meaning", self.meaning())?;
        fields.end()
    }
}

/// The verdict on a standby.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Promotable {
    /// Unknown wins over yes, and no over unknown.
    pub verdict: Verdict,
    /// What stands in the way; none: yes.
    pub reasons: Vec<Reason>,
}

impl Promotable {
    fn of(reasons: Vec<Reason>) -> Self {
        let any = |verdict| reasons.iter().any(|reason| reason.verdict() == verdict);
        let verdict = match (any(Verdict::No), any(Verdict::Unknown)) {
            (true, _) => Verdict::No,
            (false, true) => Verdict::Unknown,
            (false, false) => Verdict::Yes,
        };
        Self { verdict, reasons }
    }
}

impl Evidence<'_> {
    /// The verdict on node number `index`, which is not the primary that all are measured by.
    pub(super) fn promotable(
        &self,
        index: usize,
        primary: Option<usize>,
        lag: &StandbyLag,
        lineage: &Lineage,
    ) -> Promotable {
        let alone = |reason| Promotable::of(vec![reason]);
        if !self.is_fresh(index) {
            return alone(if self.refuses_reads(index) { Reason::NotAcceptingReads } else { Reason::NotObserved });
        }
        if self.twin_of(index).is_some() {
            return alone(Reason::SameServer);
        }
        match lineage.foreign_system {
            Verdict::Yes => return alone(Reason::ForeignSystem),
            Verdict::Unknown => return alone(Reason::SystemUnknown),
            Verdict::No => {}
        }
        let Some(recovery) = self.facts[index].snapshot.recovery.as_ref().map(|fact| &fact.value) else {
            return alone(Reason::NotObserved);
        };
        if !recovery.in_recovery {
            return alone(Reason::NotInRecovery);
        }
        let mut reasons: Vec<_> =
            [self.of_place(index, primary, lag, lineage), self.of_replay(index, recovery)].concat();
        reasons.extend(self.of_source(index, primary, recovery));
        reasons.extend(self.of_synchrony(index, primary));
        reasons.dedup();
        Promotable::of(reasons)
    }

    /// Whether the server itself says that it takes no connections. Silence and refusals that concern us alone say nothing of it.
    fn refuses_reads(&self, index: usize) -> bool {
        let failure = self.facts[index].failure.as_ref().filter(|_| !self.blind);
        failure.is_some_and(|failure| {
            matches!(failure.value.state, NodeState::Starting | NodeState::Stopping)
                || failure.value.cause == Cause::HotStandbyOff
        })
    }

    /// What its WAL forbids.
    fn of_place(&self, index: usize, primary: Option<usize>, lag: &StandbyLag, lineage: &Lineage) -> Vec<Reason> {
        let mut reasons = Vec::new();
        match lag.received.seconds {
            Err(Unknown::Diverged) => reasons.push(Reason::Diverged),
            // It has all that is known; that the primary is gone is why somebody asks.
            Ok(_) | Err(Unknown::PrimaryUnseen) => {}
            Err(_) => reasons.push(Reason::LagUnknown),
        }
        match lineage.behind {
            Verdict::Yes => reasons.push(Reason::TimelineBehind),
            Verdict::Unknown => reasons.push(Reason::TimelineUnknown),
            Verdict::No => {}
        }
        if self.is_behind_another(index, primary, lag) {
            reasons.push(Reason::BehindOtherStandby);
        }
        reasons
    }

    /// What its replay forbids. A promotion replays what was received first, paused or delayed alike.
    fn of_replay(&self, index: usize, recovery: &Recovery) -> Vec<Reason> {
        let mut reasons = Vec::new();
        match recovery.pause {
            Some(ReplayPause::Running) => {}
            Some(ReplayPause::Requested | ReplayPause::Paused) => reasons.push(Reason::ReplayPaused),
            None => reasons.push(Reason::FactsMissing),
        }
        let snapshot = &self.facts[index].snapshot;
        match self.slow_fact(index, &settings::Collector, &snapshot.settings) {
            Some(settings) if settings.recovery_min_apply_delay > 0.0 => reasons.push(Reason::ApplyDelay),
            Some(_) => {}
            None => reasons.push(Reason::FactsMissing),
        }
        // Older servers do not tell what replay waits for.
        let tells = snapshot.version.is_none_or(|version| replay_wait::Collector.sql().pick(version).is_some());
        match self.slow_fact(index, &replay_wait::Collector, &snapshot.replay_wait) {
            Some(wait) if wait.is_conflict() => reasons.push(Reason::ReplayConflict),
            None if tells => reasons.push(Reason::FactsMissing),
            _ => {}
        }
        let backlog = recovery.received().zip(recovery.replay_lsn);
        if backlog.is_some_and(|(received, replayed)| received.bytes_since(replayed) >= BACKLOG) {
            reasons.push(Reason::ReplayBacklog);
        }
        if self.settings_too_low(index) {
            reasons.push(Reason::SettingsTooLow);
        }
        reasons
    }

    /// Whether replay needs a higher setting than the node has. No collector tells yet.
    const fn settings_too_low(&self, _index: usize) -> bool {
        false
    }

    /// What feeds it, and forbids.
    fn of_source(&self, index: usize, primary: Option<usize>, recovery: &Recovery) -> Vec<Reason> {
        let member = &self.layout.members[index];
        let remembered = self.memory.node(&member.name);
        let streams = self.facts[index].snapshot.wal_receiver.as_ref().is_some_and(|fact| fact.value.is_some());
        let mut reasons = Vec::new();
        if self.slow_fact(index, &control::Collector, &self.facts[index].snapshot.control).is_none() {
            reasons.push(Reason::FactsMissing);
        }
        let archive = remembered.restore_command_set;
        let lost = (0..self.facts.len()).filter(|node| self.is_fresh(*node) && *node != index).any(|node| {
            let slots = self.facts[node].snapshot.slots().iter();
            slots.filter(|slot| slot.name == member.slot).any(|slot| slot.wal_status.as_deref() == Some("lost"))
        });
        if lost && !streams && archive == Some(false) {
            reasons.push(Reason::NeedsRebuild);
        }
        let never_streamed = !streams && recovery.receive_lsn.is_none() && remembered.upstream.is_none();
        if never_streamed && archive == Some(true) {
            reasons.push(Reason::ArchiveOnly);
        }
        let fed_by = |node: usize| {
            let (snapshot, slots) = (&self.facts[node].snapshot, self.facts[node].snapshot.slots());
            snapshot.physical_walsenders().any(|walsender| self.layout.member_of(walsender, slots) == Some(index))
        };
        let stands =
            |node: usize| self.facts[node].snapshot.recovery.as_ref().is_some_and(|fact| fact.value.in_recovery);
        let by_primary = primary.is_some_and(|primary| self.is_fresh(primary) && fed_by(primary));
        // What a standby told last counts, also where it is gone.
        if !by_primary && (0..self.facts.len()).any(|node| node != index && stands(node) && fed_by(node)) {
            reasons.push(Reason::Cascading);
        }
        reasons
    }

    /// Whether another standby, that is seen and on the same line, has received more. While the primary writes, the readings of two
    /// standbys are those of two moments: then only one that is late by more than that is behind.
    fn is_behind_another(&self, index: usize, primary: Option<usize>, lag: &StandbyLag) -> bool {
        let Some(own) = self.fresh_own(index) else { return false };
        let late = lag.received.seconds.is_ok_and(|late| late > self.layout.timing.gap_tolerance().as_secs_f64());
        if primary.is_some_and(|primary| self.is_fresh(primary)) && !late {
            return false;
        }
        (0..self.facts.len()).filter(|other| *other != index).any(|other| {
            let stands = self.facts[other].snapshot.recovery.as_ref().is_some_and(|fact| fact.value.in_recovery);
            let counts = stands && !self.is_foreign(other) && self.twin_of(other).is_none();
            self.fresh_own(other).filter(|_| counts).is_some_and(|other| {
                let diverged = self.memory.history.is_beyond_fork(other.timeline, other.received) == Some(true);
                other.timeline == own.timeline && other.received > own.received && !diverged
            })
        })
    }

    /// What commits were promised, and forbids. The last that is known of a primary counts, however old.
    fn of_synchrony(&self, index: usize, primary: Option<usize>) -> Option<Reason> {
        let Some((primary, sync)) = primary.and_then(|node| Some((node, self.facts[node].snapshot.sync.as_ref()?)))
        else {
            return Some(Reason::SyncUnknown);
        };
        let names = match SyncNames::parse(&sync.value.standby_names) {
            Ok(Some(names)) => names,
            Ok(None) => return None,
            Err(_) => return Some(Reason::SyncUnknown),
        };
        let snapshot = &self.facts[primary].snapshot;
        let Some(Fact { value: walsenders, .. }) = &snapshot.walsenders else { return Some(Reason::SyncUnknown) };
        let member_of = |walsender| self.layout.member_of(walsender, snapshot.slots());
        let own = walsenders.iter().find(|walsender| member_of(walsender) == Some(index));
        let confirms = match names.method {
            Method::First => own.is_some_and(|walsender| walsender.sync_state.as_deref() == Some("sync")),
            // Any of them may have confirmed a commit: so many must be seen that one of those is among them.
            Method::Any => {
                let called = |node: &usize| {
                    let row = walsenders.iter().find(|walsender| member_of(walsender) == Some(*node));
                    row.map_or(self.layout.members[*node].application_name.as_str(), |row| &row.application_name)
                };
                let listed = |node: &usize| names.place(called(node)).is_some();
                let of_all = names.names.iter().any(|name| name == "*");
                let matching = walsenders.iter().filter(|row| names.place(&row.application_name).is_some()).count();
                let total = if of_all { matching } else { names.names.len().max(matching) };
                let seen = (0..self.facts.len()).filter(|node| *node != primary && listed(node));
                let seen = seen.filter(|node| self.fresh_own(*node).is_some()).count();
                listed(&index) && seen.saturating_add(names.required as usize) > total
            }
        };
        (!confirms).then_some(Reason::NotSynchronous)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_the_order_of_the_enum_and_their_labels_are_unique() {
        for (index, Row(reason, label, verdict, _)) in ROWS.iter().enumerate() {
            assert_eq!(*reason as usize, index, "{label}");
            assert_ne!(*verdict, Verdict::Yes, "{label}");
            assert_eq!(Reason::all().filter(|other| other.as_str() == *label).count(), 1, "{label}");
        }
    }
}
