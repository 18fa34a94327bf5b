//! Whether a standby could take over now, and what stands in the way.

mod reason;

use serde::{Deserialize, Serialize};

use super::assess::{Evidence, Verdict};
use super::lag::{StandbyLag, Unknown};
use super::layout::Layout;
use super::sync_names::{Method, SyncNames};
use super::timelines::Lineage;
use crate::collector::Collector;
use crate::collector::recovery::{Recovery, ReplayPause};
use crate::collector::snapshot::Snapshot;
use crate::collector::walsenders::Walsender;
use crate::collector::{control, replay_wait, settings};
use crate::pg::failure::{Cause, NodeState};

pub use reason::Reason;

/// WAL that was received and not replayed, in bytes, from which on a promotion takes too long: it replays all of it first, at some
/// 100 MB a second.
const BACKLOG: u64 = 1 << 30;

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

/// Whom a primary's commits waited for when it was last read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promised {
    /// The primary's name.
    primary: String,
    /// Its `synchronous_standby_names`.
    standby_names: String,
    /// Those that it fed.
    standbys: Vec<PromisedTo>,
}

/// One that a primary fed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PromisedTo {
    /// The member that it is, if it is one.
    member: Option<String>,
    /// Its `application_name`.
    application_name: String,
    /// Whether its `sync_state` was sync.
    sync: bool,
}

impl Promised {
    /// What the newest reading of the primary tells; `None` if that leaves open whom commits wait for.
    pub fn by(primary: &str, snapshot: &Snapshot, layout: &Layout) -> Option<Self> {
        let standby_names = snapshot.sync.as_ref()?.value.standby_names.clone();
        let standby = |walsender: &Walsender| PromisedTo {
            member: layout.member_of(walsender, snapshot.slots()).map(|member| layout.members[member].name.clone()),
            application_name: walsender.application_name.clone(),
            sync: walsender.sync_state.as_deref() == Some("sync"),
        };
        let standbys = snapshot.walsenders.as_ref()?.value.iter().map(standby).collect();
        Some(Self { primary: primary.to_owned(), standby_names, standbys })
    }

    /// The primary, and the members that it fed when it was last read.
    pub fn fed(&self) -> (&str, impl Iterator<Item = &str>) {
        (&self.primary, self.standbys.iter().filter_map(|standby| standby.member.as_deref()))
    }

    fn of(&self, member: &str) -> Option<&PromisedTo> {
        self.standbys.iter().find(|standby| standby.member.as_deref() == Some(member))
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
            // Since when it is behind is not known, but by how much.
            Err(Unknown::History) if self.is_on_line(index) => {}
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

    /// Whether it is on the timeline of the history, so that its position and the primary's compare.
    fn is_on_line(&self, index: usize) -> bool {
        let own = self.fresh_own(index).map(|own| own.timeline);
        own.is_some() && own == self.memory.history.newest().map(|(timeline, _)| timeline)
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
            // Before 12 a delay lies in a file that no query sees.
            Some(_) if snapshot.version.is_none_or(|version| version.major() >= 12) => {}
            _ => reasons.push(Reason::FactsMissing),
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
        // Where replay was blocked by them once, a promotion would shut the server down.
        let settings = self.comparison(index, self.fresh_primary());
        if settings.replay_blocked == Verdict::Yes || settings.too_low.values().any(|low| *low) {
            reasons.push(Reason::SettingsTooLow);
        }
        reasons
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
        let lost = lost && !streams && archive == Some(false);
        if lost || self.needs_rebuild(index, primary) == Some(Verdict::Yes) {
            reasons.push(Reason::NeedsRebuild);
        }
        let never_streamed = !streams && recovery.receive_lsn.is_none() && remembered.upstream.is_none();
        if never_streamed && archive == Some(true) {
            reasons.push(Reason::ArchiveOnly);
        }
        let fed_by = |node: usize| {
            let mut standbys = self.layout.standbys(&self.facts[node].snapshot);
            standbys.any(|(_, member)| member == Some(index))
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

    /// What commits were promised, and forbids. The last that is known of the primary counts, however old.
    fn of_synchrony(&self, index: usize, primary: Option<usize>) -> Option<Reason> {
        let name = |node: usize| self.layout.members[node].name.as_str();
        let promised =
            self.memory.promised.as_ref().filter(|promised| primary.map(name) == Some(promised.primary.as_str()));
        let Some(promised) = promised else { return Some(Reason::SynchronyUnknown) };
        let names = match SyncNames::parse(&promised.standby_names) {
            Ok(Some(names)) => names,
            Ok(None) => return None,
            Err(_) => return Some(Reason::SynchronyUnknown),
        };
        let confirms = match names.method {
            Method::First => promised.of(name(index)).is_some_and(|standby| standby.sync),
            // Any of them may have confirmed a commit: so many must be seen that one of those is among them.
            Method::Any => {
                let listed = |node: usize| {
                    let standby = promised.of(name(node)).map(|standby| standby.application_name.as_str());
                    names.place(standby.unwrap_or(&self.layout.members[node].application_name)).is_some()
                };
                let of_all = names.names.iter().any(|name| name == "*");
                let matching =
                    promised.standbys.iter().filter(|row| names.place(&row.application_name).is_some()).count();
                let total = if of_all { matching } else { names.names.len().max(matching) };
                let seen = (0..self.facts.len()).filter(|node| Some(*node) != primary && listed(*node));
                let seen = seen.filter(|node| self.fresh_own(*node).is_some()).count();
                listed(index) && seen.saturating_add(names.required as usize) > total
            }
        };
        (!confirms).then_some(Reason::NotSynchronous)
    }
}
