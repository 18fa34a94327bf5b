//! The verdicts on a cluster, from what is known and `now`. Pure; a scrape and a tick ask the same question.

use serde::Serialize;

use super::facts::NodeFacts;
use super::lag::{At, StandbyLag, Unknown, Yardstick};
use super::layout::Layout;
use super::loss::Loss;
use super::memory::Memory;
use super::observers::{Circle, Others};
use super::position::Position;
use super::promotable::Promotable;
use super::settings::Comparison;
use super::source::RecoverySource;
use super::sync::Quorum;
use super::timelines::Lineage;
use super::upstream::Upstream;
use crate::clock::Moment;
use crate::collector::snapshot::Fact;
use crate::collector::walsenders::Walsender;
use crate::collector::{Collector, Pace};
use crate::pg::failure::NodeState;
use crate::pg::lsn::{Lsn, Timeline};

/// A verdict of three values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// No.
    No,
    /// Yes.
    Yes,
    /// It cannot be said.
    Unknown,
}

impl Verdict {
    /// The values of a label `state`.
    pub const ALL: [&'static str; 3] = ["no", "yes", "unknown"];

    /// The value of the label `state`.
    pub const fn as_str(self) -> &'static str {
        Self::ALL[self as usize]
    }
}

/// The verdicts on one cluster.
#[derive(Clone, Debug, Serialize)]
pub struct Assessment {
    /// The nodes, in the order of the configuration.
    pub nodes: Vec<NodeAssessment>,
    /// The node whose WAL is the measure: the fresh primary of the newest timeline, else the last one seen.
    pub primary: Option<String>,
    /// How many nodes are seen writing.
    pub primaries: usize,
    /// Whether more than one node of this system writes. Unknown while any node is not seen.
    pub split_brain: Verdict,
    /// The newest timeline that any node was seen on.
    pub timeline: Option<Timeline>,
    /// How often that rose while we looked.
    pub timeline_switches: u64,
    /// Where the primary's timeline left the one before it; `None` for the first and where it is not known.
    pub timeline_fork: Option<Lsn>,
    /// The standby that a failover now would choose; `None` where there is none.
    pub failover_candidate: Option<String>,
    /// What a failover to the candidate now would lose; `None` where it is not known, and without a candidate.
    pub failover_loss: Option<Loss>,
    /// Each expected standby and each connected one.
    pub standbys: Vec<Connection>,
}

/// The verdicts on one node.
#[derive(Clone, Debug, Serialize)]
pub struct NodeAssessment {
    /// The node's name.
    pub name: String,
    /// The verdict on the node.
    pub state: &'static str,
    /// Whether a fresh reading exists.
    pub up: bool,
    /// Whether it is the primary that all are measured by.
    pub is_primary: bool,
    /// The lag of a standby; `None` for the primary.
    pub lag: Option<StandbyLag>,
    /// Where it stands in the cluster's line of descent.
    pub lineage: Lineage,
    /// Whether it could take over now; `None` for the primary.
    pub promotable: Option<Promotable>,
    /// Whether synchronous commits can go on; `None` for a node that is no primary.
    pub sync: Option<Quorum>,
    /// What its settings amount to beside the primary's; `None` for the primary.
    pub settings: Option<Comparison>,
    /// Where it gets its WAL from.
    pub source: RecoverySource,
    /// Whether the WAL that it needs is gone; `None` for a node that is a primary.
    pub needs_rebuild: Option<Verdict>,
    /// Who feeds it; `None` for a node that is no standby.
    pub upstream: Option<Upstream>,
    /// What the other observers see of it.
    pub others: Others,
    /// Whether it is, or was when last seen, the primary of the newest timeline.
    pub last_primary: bool,
    /// Whether it is not up for us and a standby proves that it lives.
    pub witnessed: bool,
}

/// Whether a standby is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Connection {
    /// The node's name, or the application name of a standby that nobody configured.
    pub standby: String,
    /// Whether it is missed when it is not connected.
    pub expected: bool,
    /// Whether a walsender for it, or its own live stream, is seen.
    pub connected: bool,
    /// Whether several walsenders claim the name.
    pub name_conflict: bool,
}

/// Everything that the verdicts are made of.
pub struct Evidence<'a> {
    /// Who is who.
    pub layout: &'a Layout,
    /// What is known of each node.
    pub facts: &'a [NodeFacts],
    /// What is remembered.
    pub memory: &'a Memory,
    /// What the other observers said.
    pub circle: &'a Circle,
    /// The present.
    pub now: Moment,
    /// Facts seen earlier count for nothing.
    pub not_before: Moment,
    /// Whether our own loop was late and no full round of readings was made since: every verdict is unknown.
    pub blind: bool,
}

impl Evidence<'_> {
    /// All verdicts; lags are those at `at`.
    pub fn assess(&self, at: At) -> Assessment {
        let writers = self.writers();
        let primary = self.primary(&writers);
        let primary_fresh = primary.is_some_and(|primary| writers.contains(&primary));
        let yardstick =
            Yardstick { history: &self.memory.history, primary_fresh, timing: self.layout.timing, now: self.now, at };
        let nodes: Vec<_> =
            (0..self.facts.len()).map(|index| self.node(index, primary, &writers, &yardstick)).collect();
        let candidate = self.candidate(primary, &writers, &nodes);
        Assessment {
            nodes,
            primary: primary.map(|index| self.layout.members[index].name.clone()),
            primaries: writers.len(),
            split_brain: self.split_brain(&writers),
            timeline: self.memory.timeline,
            timeline_switches: self.memory.timeline_switches,
            timeline_fork: self.memory.history.newest_fork(),
            failover_candidate: candidate.map(|index| self.layout.members[index].name.clone()),
            failover_loss: primary.zip(candidate).and_then(|(lost, best)| self.failover_loss(lost, best, &yardstick)),
            standbys: self.connections(primary),
        }
    }

    /// Whether the node was read freshly.
    pub fn is_fresh(&self, index: usize) -> bool {
        !self.blind && self.facts[index].is_fresh(self.now, self.layout.timing.fast_window(), self.not_before)
    }

    /// What the node last said of its own WAL as a standby, if that is fresh.
    pub fn fresh_own(&self, index: usize) -> Option<Position> {
        let own = self.memory.node(&self.layout.members[index].name).own?;
        (self.is_fresh(index) && self.facts[index].read == Some(own.valid_at)).then_some(own)
    }

    /// A fact of the slow reading of a fresh node, if that still stands.
    pub fn slow_fact<'a, T>(
        &self,
        index: usize,
        collector: &dyn Collector,
        fact: &'a Option<Fact<T>>,
    ) -> Option<&'a T> {
        let facts = &self.facts[index];
        let outcome = facts.snapshot.outcomes.get(collector.name());
        let stands = facts.slow_failure.is_none() && outcome.is_some_and(|outcome| outcome.value.error.is_none());
        let fact = fact.as_ref().filter(|fact| {
            let window = self.layout.timing.slow_window() + facts.snapshot.rest_after(fact.seen);
            stands && self.now.mono.since(fact.seen.mono) <= window && fact.seen.mono >= self.not_before.mono
        })?;
        self.is_fresh(index).then_some(&fact.value)
    }

    /// Whether readings of this pace succeed on the node.
    pub fn is_read(&self, index: usize, pace: Pace) -> bool {
        let facts = &self.facts[index];
        match pace {
            Pace::Fast => self.is_fresh(index),
            Pace::Slow => !self.blind && facts.failure.is_none() && facts.slow_failure.is_none(),
        }
    }

    /// The walsenders of a fresh node that serve standbys, each with the member that it serves if it is one of ours.
    pub fn walsenders(&self, index: usize) -> impl Iterator<Item = (&Walsender, Option<usize>)> {
        let (facts, layout) = (&self.facts[index], self.layout);
        let fresh = self.is_fresh(index) && facts.snapshot.walsenders.as_ref().map(|fact| fact.seen) == facts.read;
        fresh.then(|| layout.standbys(&facts.snapshot)).into_iter().flatten()
    }

    /// Another node of a lower number that is the very same server by another address: their postmasters started in the same
    /// microsecond. Such a node counts for nothing: one server is no second primary, nor a standby of itself.
    pub fn twin_of(&self, index: usize) -> Option<usize> {
        let started_at = |index: usize| {
            let recovery = self.facts[index].snapshot.recovery.as_ref().filter(|_| self.is_fresh(index))?;
            Some(recovery.value.started_at)
        };
        let system = |index: usize| {
            let control = self.facts[index].snapshot.control.as_ref();
            control.map(|control| &control.value.system_identifier)
        };
        let own = started_at(index)?;
        let same_system = |other: usize| system(index).zip(system(other)).is_none_or(|(own, other)| own == other);
        (0..index).find(|other| started_at(*other) == Some(own) && same_system(*other))
    }

    /// The primary that all are measured by, if it is seen writing.
    pub(super) fn fresh_primary(&self) -> Option<usize> {
        let writers = self.writers();
        self.primary(&writers).filter(|primary| writers.contains(primary))
    }

    /// The nodes that are seen writing, of this system.
    fn writers(&self) -> Vec<usize> {
        (0..self.facts.len())
            .filter(|index| self.is_fresh(*index) && !self.is_foreign(*index) && self.twin_of(*index).is_none())
            .filter(|index| self.written_timeline(*index).is_some())
            .collect()
    }

    /// Whether it is seen outside recovery, as whatever it counts.
    pub(super) fn is_writing(&self, index: usize) -> bool {
        let recovery = self.facts[index].snapshot.recovery.as_ref().filter(|_| self.is_fresh(index));
        recovery.is_some_and(|recovery| !recovery.value.in_recovery)
    }

    pub(super) fn written_timeline(&self, index: usize) -> Option<Timeline> {
        let recovery = &self.facts[index].snapshot.recovery.as_ref()?.value;
        recovery.timeline.filter(|_| !recovery.in_recovery)
    }

    /// Whether the node belongs to another system than the one that is remembered.
    pub(super) fn is_foreign(&self, index: usize) -> bool {
        let control = self.facts[index].snapshot.control.as_ref();
        let own = control.map(|control| &control.value.system_identifier);
        own.zip(self.memory.system_identifier.as_ref()).is_some_and(|(own, cluster)| own != cluster)
    }

    fn primary(&self, writers: &[usize]) -> Option<usize> {
        let newest = writers.iter().copied().max_by_key(|index| self.written_timeline(*index));
        let remembered = || {
            let name = self.memory.primary.as_ref()?;
            self.layout.members.iter().position(|member| member.name == *name)
        };
        // One that came back as a standby is none any more, though its successor was not seen yet.
        let stands = |index: &usize| self.fresh_own(*index).is_some();
        newest.or_else(|| remembered().filter(|index| !stands(index)))
    }

    fn split_brain(&self, writers: &[usize]) -> Verdict {
        match writers.len() {
            2.. => Verdict::Yes,
            _ if (0..self.facts.len()).all(|index| self.is_fresh(index)) => Verdict::No,
            _ => Verdict::Unknown,
        }
    }

    fn node(
        &self,
        index: usize,
        primary: Option<usize>,
        writers: &[usize],
        yardstick: &Yardstick<'_>,
    ) -> NodeAssessment {
        let name = self.layout.members[index].name.clone();
        let state = match self.blind {
            true => NodeState::Unknown,
            false => self.facts[index].state(self.now, self.layout.timing.fast_window(), self.not_before),
        };
        let is_primary = primary == Some(index);
        let lag = (!is_primary).then(|| self.lag(index, primary, writers, yardstick));
        let lineage = self.lineage(index, is_primary, lag.as_ref());
        let promotable = lag.as_ref().map(|lag| self.promotable(index, primary, lag, &lineage));
        let sync = self.quorum(index, is_primary);
        let settings = (!is_primary).then(|| self.comparison(index, primary.filter(|_| yardstick.primary_fresh)));
        let upstream = (!is_primary && !self.is_writing(index)).then(|| self.upstream(index));
        NodeAssessment {
            last_primary: self.memory.primary.as_ref() == Some(&name),
            witnessed: self.witnessed(index),
            name,
            state: state.as_str(),
            up: self.is_fresh(index),
            is_primary,
            lag,
            lineage,
            promotable,
            sync,
            settings,
            upstream,
            source: self.recovery_source(index),
            needs_rebuild: self.needs_rebuild(index, primary),
            others: self.others(index, state),
        }
    }

    fn lag(&self, index: usize, primary: Option<usize>, writers: &[usize], yardstick: &Yardstick<'_>) -> StandbyLag {
        let newest = primary.and_then(|primary| self.written_timeline(primary));
        if self.blind {
            return StandbyLag::unknown(Unknown::NotObserved);
        }
        if self.is_foreign(index) {
            return StandbyLag::unknown(Unknown::ForeignSystem);
        }
        if self.twin_of(index).is_some() {
            return StandbyLag::unknown(Unknown::SameServer);
        }
        if writers.iter().filter(|writer| self.written_timeline(**writer) == newest).count() > 1 {
            return StandbyLag::unknown(Unknown::AmbiguousPrimary);
        }
        let remembered = self.memory.node(&self.layout.members[index].name);
        if writers.contains(&index) {
            // A second primary: what it wrote itself beyond the fork is its divergence.
            let beyond = remembered.written.and_then(|(timeline, lsn)| yardstick.history.is_beyond_fork(timeline, lsn));
            let diverged = beyond == Some(true);
            return StandbyLag::unknown(if diverged { Unknown::Diverged } else { Unknown::Position });
        }
        let own_window = self.layout.timing.fast_window();
        if let Some(position) = remembered.fresh(self.now, own_window, self.not_before) {
            return yardstick.measure(&position, &remembered);
        }
        match remembered.latest() {
            Some(position) if self.is_unfed(index, primary) => yardstick.measure_unfed(&position, &remembered),
            _ => StandbyLag::unknown(Unknown::Position),
        }
    }

    /// Whether it is known that nothing feeds this standby: no walsender on the primary nor on its last upstream, and no archive.
    fn is_unfed(&self, index: usize, primary: Option<usize>) -> bool {
        let remembered = self.memory.node(&self.layout.members[index].name);
        let upstream = remembered.upstream.as_ref();
        let upstream = upstream.and_then(|name| self.layout.members.iter().position(|member| member.name == *name));
        let shows_none = |node: usize| {
            let walsenders = &self.facts[node].snapshot.walsenders;
            let seen = walsenders.as_ref().is_some_and(|fact| Some(fact.seen) == self.facts[node].read);
            self.is_fresh(node) && seen && self.walsenders(node).all(|(_, member)| member != Some(index))
        };
        remembered.restore_command_set == Some(false)
            && primary.is_some_and(shows_none)
            && upstream.is_none_or(shows_none)
    }

    fn connections(&self, primary: Option<usize>) -> Vec<Connection> {
        let mut connections: Vec<Connection> = Vec::new();
        for (index, member) in self.layout.members.iter().enumerate() {
            if Some(index) != primary {
                let expected = member.expected;
                let connected = self.streams(index);
                let standby = member.name.clone();
                connections.push(Connection { standby, expected, connected, name_conflict: false });
            }
        }
        for node in 0..self.facts.len() {
            let mut here: Vec<&str> = Vec::new();
            for (walsender, member) in self.walsenders(node) {
                let standby = self.layout.standby_name(walsender, member);
                let conflict = here.contains(&standby);
                here.push(standby);
                let connected = matches!(walsender.state.as_str(), "streaming" | "catchup");
                match connections.iter_mut().find(|known| known.standby == standby) {
                    Some(known) => {
                        known.connected |= connected;
                        known.name_conflict |= conflict;
                    }
                    None => connections.push(Connection {
                        standby: standby.to_owned(),
                        expected: false,
                        connected,
                        name_conflict: conflict,
                    }),
                }
            }
        }
        connections
    }

    /// Whether the node itself says that it streams.
    pub(super) fn streams(&self, index: usize) -> bool {
        let receiver = self.facts[index].snapshot.wal_receiver.as_ref();
        let receiver = receiver.filter(|fact| Some(fact.seen) == self.facts[index].read);
        self.is_fresh(index)
            && receiver.and_then(|fact| fact.value.as_ref()).is_some_and(|row| row.status == "streaming")
    }
}
