//! What the other observers see of the nodes, held against what we see. Only what an observer saw itself counts, with the age that it
//! had there, and each process once, whatever it is called.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use super::assess::Evidence;
use super::facts::NodeFacts;
use super::layout::Timing;
use crate::clock::Mono;
use crate::pg::failure::NodeState;
use crate::pg::lsn::Timeline;

/// What a node is to whoever reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It writes.
    Primary,
    /// It is in recovery.
    Standby,
    /// It is not read.
    Unknown,
}

impl Role {
    /// Of a node by its newest reading, as long as that counts.
    pub fn of(facts: &NodeFacts, up: bool) -> Self {
        let recovery = facts.snapshot.recovery.as_ref().filter(|_| up);
        match recovery.map(|fact| fact.value.in_recovery) {
            Some(true) => Self::Standby,
            Some(false) => Self::Primary,
            None => Self::Unknown,
        }
    }

    /// The role of this name; what is no role is unknown.
    pub fn named(name: &str) -> Self {
        [Self::Primary, Self::Standby].into_iter().find(|role| role.as_str() == name).unwrap_or(Self::Unknown)
    }

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Standby => "standby",
            Self::Unknown => "unknown",
        }
    }
}

/// What an observer said of a cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    /// Its process.
    pub instance: String,
    /// Whether that process is our own.
    pub ours: bool,
    /// The system identifier of what it calls by the cluster's name, if it knows.
    pub system_identifier: Option<String>,
    /// The newest timeline that it saw a node of the cluster on, if it knows.
    pub timeline: Option<Timeline>,
    /// What it sees of each node, by name; nothing if it does not watch the cluster.
    pub sights: BTreeMap<String, Sight>,
    /// Whether it did not answer when it was asked again. What it told ages all the same.
    pub lost: bool,
}

/// What an observer sees of a node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sight {
    /// Its verdict.
    pub state: NodeState,
    /// What the node is to it.
    pub role: Role,
    /// When it saw that, at the earliest, on our clock; `None` if it never heard of the node.
    pub seen: Option<Mono>,
    /// Since when the node has been in this state, where it is not up.
    pub since: Option<Mono>,
}

/// Whether an observer sees a node as we do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Agreement {
    /// Both see it up in the same role, or both see it not up.
    Agrees,
    /// One sees what the other does not, or another role.
    Disagrees,
    /// One of the two does not know.
    Unknown,
}

impl Agreement {
    /// The values of the label `state`.
    pub const ALL: [&'static str; 3] = ["agrees", "disagrees", "unknown"];

    /// The value of the label `state`.
    pub const fn as_str(self) -> &'static str {
        Self::ALL[self as usize]
    }

    /// Between two who each see this state and role.
    fn between(own: (NodeState, Role), other: (NodeState, Role)) -> Self {
        match (own, other) {
            ((NodeState::Unknown, _), _) | (_, (NodeState::Unknown, _)) => Self::Unknown,
            ((NodeState::Up, own), (NodeState::Up, other)) if own == other => Self::Agrees,
            ((NodeState::Up, _), _) | (_, (NodeState::Up, _)) => Self::Disagrees,
            _ => Self::Agrees,
        }
    }
}

/// Why an observer's word on a node is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Silence {
    /// It never answered.
    NoAnswer,
    /// It is ourselves.
    Ourselves,
    /// It is the same process as an observer named before it.
    Twin,
    /// Its cluster of this name is another system.
    OtherSystem,
    /// It does not watch the node.
    NotWatched,
    /// What it saw is too old.
    Old,
    /// It does not know itself.
    NotSeen,
}

/// What one configured observer says of a node.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Opinion {
    /// The observer's name.
    pub observer: String,
    /// Whether it sees the node as we do.
    pub agreement: Agreement,
    /// Its verdict; unknown with the reason in `silence`.
    pub state: NodeState,
    /// What the node is to it.
    pub role: Role,
    /// How old what it saw is at most, in seconds; `None` if it is not known.
    pub age_seconds: Option<f64>,
    /// How long the node has been in this state, in seconds, where it is not up.
    pub since_seconds: Option<f64>,
    /// Why its verdict is not known.
    pub silence: Option<Silence>,
}

/// What the other observers see of one node. The counts are of processes, without our own, and each once.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Others {
    /// How many read it.
    pub up: usize,
    /// How many get an answer from it, and no reading: it runs, and cannot be called dead.
    pub answering: usize,
    /// How many get no answer from it, or reach nothing.
    pub down: usize,
    /// Of how many it is not known.
    pub unknown: usize,
    /// What each configured observer says, in the order of the configuration.
    pub opinions: Vec<Opinion>,
}

impl Others {
    fn count(&mut self, opinion: Opinion) {
        let counter = match (opinion.state, opinion.silence) {
            (_, Some(Silence::Ourselves | Silence::Twin)) => None,
            (NodeState::Up, _) => Some(&mut self.up),
            (NodeState::Timeout | NodeState::Unreachable, _) => Some(&mut self.down),
            (NodeState::Unknown, _) => Some(&mut self.unknown),
            _ => Some(&mut self.answering),
        };
        if let Some(counter) = counter {
            *counter += 1;
        }
        self.opinions.push(opinion);
    }
}

/// What every observer said last, by its name.
pub type Circle = BTreeMap<String, Told>;

/// Takes in what `observer` said. Where another process answers at its address than before, nothing counts any more of what the one
/// before said, by whatever name: it is gone. Tells whether anybody sees something else now.
pub(super) fn hear(circle: &mut Circle, observer: &str, told: Told) -> bool {
    let before = circle.remove(observer);
    if let Some(gone) = before.as_ref().map(|before| &before.instance).filter(|before| **before != told.instance) {
        circle.retain(|_, other| other.instance != *gone);
    }
    let verdicts = |told: &Told| {
        told.sights.iter().map(|(node, sight)| (node.clone(), sight.state, sight.role)).collect::<Vec<_>>()
    };
    let changed = before.as_ref().map(verdicts) != Some(verdicts(&told));
    circle.insert(observer.to_owned(), told);
    changed
}

/// Up to which age a sight counts. A reading comes each interval; while a server is silent, a failure comes only after a cancel and a
/// connect have each taken their time.
fn window(timing: &Timing, state: NodeState) -> Duration {
    match state {
        NodeState::Up => timing.fast_window(),
        _ => timing.fast_window() + 2 * timing.connect_timeout,
    }
}

impl Evidence<'_> {
    /// What the others see of node number `index`, which we see in `state`.
    pub(super) fn others(&self, index: usize, state: NodeState) -> Others {
        let own = (state, Role::of(&self.facts[index], state == NodeState::Up));
        let mut others = Others::default();
        for observer in &self.layout.observers {
            let told = self.circle.get(observer);
            let is_twin = told.is_some_and(|told| self.speaker(&told.instance) != Some(observer));
            let sight = if is_twin { Err(Silence::Twin) } else { self.sight(told, index) };
            others.count(self.opinion(observer, own, sight));
        }
        others
    }

    /// The one observer that speaks for a process: the first of its names by which it still answers, else the first.
    fn speaker(&self, instance: &str) -> Option<&String> {
        let told = |observer: &&String| self.circle.get(*observer).filter(|told| told.instance == instance);
        let names = self.layout.observers.iter().filter(|observer| told(observer).is_some());
        names.min_by_key(|observer| told(observer).is_some_and(|told| told.lost))
    }

    pub(super) fn sight(&self, told: Option<&Told>, index: usize) -> Result<Sight, Silence> {
        let told = told.ok_or(Silence::NoAnswer)?;
        if told.ours {
            return Err(Silence::Ourselves);
        }
        let systems = told.system_identifier.as_ref().zip(self.memory.system_identifier.as_ref());
        if systems.is_some_and(|(theirs, ours)| theirs != ours) {
            return Err(Silence::OtherSystem);
        }
        let sight = told.sights.get(&self.layout.members[index].name).ok_or(Silence::NotWatched)?;
        if sight.state == NodeState::Unknown {
            return Err(Silence::NotSeen);
        }
        let seen = sight.seen.ok_or(Silence::NotSeen)?;
        match self.now.mono.since(seen) <= window(&self.layout.timing, sight.state) {
            true => Ok(*sight),
            false => Err(Silence::Old),
        }
    }

    fn opinion(&self, observer: &str, own: (NodeState, Role), sight: Result<Sight, Silence>) -> Opinion {
        let age = |since: Mono| self.now.mono.since(since).as_secs_f64();
        let (state, role) = sight.map_or((NodeState::Unknown, Role::Unknown), |sight| (sight.state, sight.role));
        Opinion {
            observer: observer.to_owned(),
            agreement: Agreement::between(own, (state, role)),
            state,
            role,
            age_seconds: sight.ok().and_then(|sight| sight.seen).map(age),
            since_seconds: sight.ok().and_then(|sight| sight.since).map(age),
            silence: sight.err(),
        }
    }
}

/// What came of asking an observer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObserverState {
    /// It answers, and counts.
    Up,
    /// It is ourselves.
    Ourselves,
    /// It is the same process as an observer named before it.
    Twin,
    /// It cannot be reached, or does not answer in time.
    Unreachable,
    /// It answers, and refuses us.
    Refused,
    /// What it answers is not what a pgvigil does.
    Strange,
    /// A file of ours, the token or the certificates, cannot be used.
    Config,
    /// It was not asked yet.
    Unknown,
}

impl ObserverState {
    /// The values of the label `state`.
    pub const ALL: [&'static str; 8] =
        ["up", "ourselves", "twin", "unreachable", "refused", "strange", "config", "unknown"];

    /// The value of the label `state`.
    pub const fn as_str(self) -> &'static str {
        Self::ALL[self as usize]
    }
}

/// The states of the observers from the newest answer of each, in the order of the configuration: the process that answered, or why
/// there is no answer. `own` is our own process.
pub fn states(own: &str, answers: &[Result<String, ObserverState>]) -> Vec<ObserverState> {
    let mut counted = BTreeSet::new();
    let state = |answer: &Result<String, ObserverState>| match answer {
        Err(state) => *state,
        Ok(instance) if instance == own => ObserverState::Ourselves,
        Ok(instance) if !counted.insert(instance.clone()) => ObserverState::Twin,
        Ok(_) => ObserverState::Up,
    };
    answers.iter().map(state).collect()
}
