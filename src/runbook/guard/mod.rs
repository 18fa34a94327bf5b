//! Guards: what must be so before something is done. One file each; every one is judged at every look and shown with the value that it
//! saw. A class carries a fixed set that no file can remove. Unknown blocks. `docs/guards.md` lists them.

mod alert_real;
mod alone;
mod block_after_run;
mod candidate_valid;
mod clock;
mod episode_current;
mod evidence_fresh;
mod fence_ready;
mod lock;
mod loss_within_limit;
mod manager_agrees;
mod no_maintenance;
mod no_manager;
mod no_standby_streaming;
mod not_paused;
mod nothing_lost;
mod observers_agree;
mod one_at_a_time;
mod position_settled;
mod primary_gone;
mod primary_well;
mod replay_backlog;
mod standbys_agree;
mod sync_kept;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::book::{Class, Limits, Mode};
use super::evidence::{Evidence, Look, Server};
use super::manager::patroni::Managed;
use super::run::Plan;
use super::verdict::{self, PrimaryVerdict};
use crate::clock::Moment;

/// Every guard, in the order in which they are shown.
pub static GUARDS: &[&dyn Guard] = &[
    &not_paused::NotPaused,
    &clock::Clock,
    &evidence_fresh::EvidenceFresh,
    &episode_current::EpisodeCurrent,
    &alert_real::AlertReal,
    &no_manager::NoManager,
    &manager_agrees::ManagerAgrees,
    &no_maintenance::NoMaintenance,
    &primary_gone::PrimaryGone,
    &primary_well::PrimaryWell,
    &standbys_agree::StandbysAgree,
    &observers_agree::ObserversAgree,
    &candidate_valid::CandidateValid,
    &position_settled::PositionSettled,
    &no_standby_streaming::NoStandbyStreaming,
    &loss_within_limit::LossWithinLimit,
    &nothing_lost::NothingLost,
    &sync_kept::SyncKept,
    &replay_backlog::ReplayBacklog,
    &fence_ready::FenceReady,
    &lock::Lock,
    &block_after_run::BlockAfterRun,
    &one_at_a_time::OneAtATime,
    &alone::Alone,
];

/// What the guards of failovers alone say of themselves.
const FAILOVER: &[Class] = &[Class::Failover];
/// Likewise, of all that changes something.
const ACTING: &[Class] = &[Class::Reversible, Class::Failover];
/// Likewise, of all that has steps.
const EVERY: &[Class] = &[Class::Diagnose, Class::Reversible, Class::Failover];
/// Judged at every stage.
const ALWAYS: &[Stage] = &[Stage::Plan, Stage::Fence, Stage::Promote];
/// Judged until something is done: after the fence going on is safer than standing still.
const BEFORE_ACTING: &[Stage] = &[Stage::Plan, Stage::Fence];
/// Judged once.
const PLANNING: &[Stage] = &[Stage::Plan];
/// Judged where only a fence makes the question a fair one.
const AFTER_FENCE: &[Stage] = &[Stage::Promote];

/// Never judged.
const NEVER: &[Stage] = &[];

/// The guards that a runbook of this class carries at this stage. `planned`: it is a switchover; `delegates`: a cluster manager does it.
pub fn of_class(
    class: Class,
    planned: bool,
    delegates: bool,
    stage: Stage,
) -> impl Iterator<Item = &'static dyn Guard> {
    let carries = move |guard: &&dyn Guard| {
        let stages = if planned { guard.planned_stages() } else { guard.stages() };
        let concerns = match guard.about() {
            About::Anyone => true,
            About::Ourselves => !delegates,
            About::Manager => delegates,
        };
        guard.classes().contains(&class) && stages.contains(&stage) && concerns
    };
    GUARDS.iter().copied().filter(carries)
}

/// What a guard saw is kept and shown up to so many bytes: all of them have to fit into one record of the journal.
const MOST_VALUE_BYTES: usize = 500;

/// Judges all guards of the runbook's class at the scene's stage: none is left out because another one blocks.
pub fn judge_all(scene: &Scene<'_>) -> Vec<Seen> {
    let seen = of_class(scene.plan.class, scene.plan.planned, scene.plan.delegates(), scene.stage).map(|guard| {
        let (answer, mut value) = guard.judge(scene);
        value.truncate(value.floor_char_boundary(MOST_VALUE_BYTES));
        Seen { guard: guard.name().to_owned(), answer, value }
    });
    seen.collect()
}

/// Before what a guard is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The plan.
    Plan,
    /// The fence.
    Fence,
    /// The promotion, after the fence.
    Promote,
}

/// What a guard says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Go on.
    Pass,
    /// Do not.
    Block,
    /// It cannot be said; that blocks.
    Unknown,
}

impl Answer {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Pass, Self::Block, Self::Unknown];

    /// As the metrics write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Block => "block",
            Self::Unknown => "unknown",
        }
    }
}

/// A guard's answer with what it saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// The guard's name.
    pub guard: String,
    /// Its answer.
    pub answer: Answer,
    /// The value that it saw and the rule, in one sentence for a person.
    pub value: String,
}

/// Who does what a guard asks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// Whoever promotes.
    Anyone,
    /// pgvigil alone: where a cluster manager is asked it has no say.
    Ourselves,
    /// The cluster manager alone.
    Manager,
}

/// One rule.
pub trait Guard: Sync {
    /// Its name: a word of the field in snake case.
    fn name(&self) -> &'static str;
    /// What it asks, in one sentence, for `check` and the docs.
    fn asks(&self) -> &'static str;
    /// The classes that carry it.
    fn classes(&self) -> &'static [Class];
    /// The stages at which it is judged.
    fn stages(&self) -> &'static [Stage];
    /// The stages at which it is judged in a switchover.
    fn planned_stages(&self) -> &'static [Stage] {
        self.stages()
    }
    /// Who does what it asks about.
    fn about(&self) -> About {
        About::Anyone
    }
    /// Whether a person who approves a plan accepts its answer too. Never true of what keeps two primaries apart.
    fn yields_to_approval(&self) -> bool;
    /// Its answer, and the value that it saw.
    fn judge(&self, scene: &Scene<'_>) -> (Answer, String);
}

/// Everything that a guard may look at.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// Before what.
    pub stage: Stage,
    /// The present.
    pub now: Moment,
    /// The newest look.
    pub evidence: &'a Evidence,
    /// The look before it in the same run, if there was one.
    pub before: Option<&'a Evidence>,
    /// What would be done, about what, and what woke it.
    pub plan: &'a Plan,
    /// The standby that would be promoted: its number.
    pub candidate: Option<usize>,
    /// What the config says of this cluster's runbooks.
    pub terms: &'a Terms,
    /// Runs that ended, of every cluster, newest last.
    pub past: &'a [Past],
    /// Runs of other clusters that are open.
    pub elsewhere: usize,
    /// Clusters other than this whose primary is not seen.
    pub failing: usize,
    /// Whether `runbook pause` is in force.
    pub paused: bool,
    /// The lock.
    pub lock: &'a LockState,
    /// What is wrong with the hooks' files; empty: nothing.
    pub hooks: &'a [String],
    /// What the cluster manager says, where one is to be asked.
    pub managed: Option<&'a Managed>,
    /// What the run's hooks handed on.
    pub data: &'a Map<String, Value>,
}

impl<'a> Scene<'a> {
    /// The runbook's limits.
    pub fn limits(&self) -> &'a Limits {
        &self.plan.limits
    }

    /// Who decides: the runbook's mode below the ceiling of the config.
    pub fn mode(&self) -> Mode {
        self.plan.mode.min(self.terms.ceiling_of(self.plan.delegates()))
    }

    /// The verdict on the primary, and why.
    pub fn verdict(&self) -> (PrimaryVerdict, String) {
        verdict::of(self.evidence, self.limits(), self.now)
    }

    /// The candidate's look.
    pub fn candidate_look(&self) -> Option<&'a Look> {
        self.evidence.nodes.get(self.candidate?)
    }

    /// The candidate, if it answers.
    pub fn candidate_server(&self) -> Option<&'a Server> {
        self.candidate_look()?.probe.as_ref().ok()
    }
}

/// How long ago something was by the calendar, which outlives a boot; what lies ahead is now.
fn lapse(now: Moment, then: Moment) -> Duration {
    Duration::try_from_secs_f64(now.wall.seconds_since(then.wall)).unwrap_or_default()
}

/// How long ago something was, at the most that one of the clocks says: neither a boot nor a clock that was set back makes news of it.
pub fn age(now: Moment, then: Moment) -> Duration {
    now.mono.since(then.mono).max(lapse(now, then))
}

/// What woke a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Cause {
    /// An alert.
    Alert {
        /// Its name.
        name: String,
        /// Whether it fires still, by the newest word.
        firing: bool,
        /// Alerts of its group that were not told.
        truncated: u64,
        /// Since when it fires, by the word of whoever told it.
        starts_at: jiff::Timestamp,
        /// When it was last handed in.
        received: Moment,
    },
    /// What pgvigil sees itself.
    Observation,
    /// A person.
    Person {
        /// Who.
        by: String,
    },
}

/// What the config allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The most that any runbook of this cluster may do.
    pub ceiling: Mode,
    /// The most that a runbook may ask the cluster manager to do.
    pub delegated: Mode,
    /// Whether one pgvigil alone takes alerts, by the config's word.
    pub single_receiver: bool,
    /// Whether a lock is configured.
    pub has_lock: bool,
    /// `manager:` as it is written; `None`: not at all.
    pub manager: Option<&'static str>,
    /// `sample_interval`.
    pub sample_interval: Duration,
}

impl Terms {
    /// The most that a runbook may do. `delegates`: it asks the cluster manager.
    pub fn ceiling_of(&self, delegates: bool) -> Mode {
        if delegates { self.delegated } else { self.ceiling }
    }
}

/// A run that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// Its id.
    pub run: String,
    /// Its cluster.
    pub cluster: String,
    /// Its runbook.
    pub runbook: String,
    /// Whether it did anything.
    pub acted: bool,
    /// Whom it promoted.
    pub promoted: Option<String>,
    /// When it ended.
    pub ended: Moment,
    /// Whether somebody has acknowledged it, or nobody needs to.
    pub acknowledged: bool,
}

/// The lock on the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LockState {
    /// Not asked for yet.
    NotYet,
    /// Ours, with its fencing token.
    Held(u64),
    /// Another's.
    Elsewhere(String),
    /// It cannot be said.
    Unknown(String),
}
