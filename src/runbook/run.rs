//! A run: what is known of it from the journal alone. Pure: the same records give the same run.

mod phase;
#[cfg(test)]
pub(crate) mod tests;
mod words;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::book::{Class, Limits, Mode, Step, Trigger};
use super::guard::{Cause, Seen, Stage};
use crate::clock::Moment;
use crate::pg::lsn::Timeline;
pub use phase::{Outcome, Phase};
pub use words::blocking;

/// What a run is about. A promotion begins another timeline, so that whatever comes late about this one is provably stale.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Episode {
    /// The cluster's name in the config.
    pub cluster: String,
    /// Its system identifier.
    pub system_identifier: u64,
    /// The timeline on which the primary failed.
    pub timeline: Timeline,
    /// The primary that failed.
    pub primary: String,
}

impl std::fmt::Display for Episode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}/{}", self.cluster, self.system_identifier, self.timeline.0, self.primary)
    }
}

/// Something that happened to a run, as the journal keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRecord {
    /// The run's id.
    pub run: String,
    /// What happened.
    pub event: Event,
}

/// What happened to a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    /// It was planned, or planned anew: an approval of another plan counts for nothing.
    Planned(Box<Plan>),
    /// Every guard was judged before a step, and all let it pass but those that a person overruled.
    Passed {
        /// Before what.
        stage: Stage,
        /// What each saw.
        guards: Vec<Seen>,
        /// What the promotion would lose, in bytes, as it was known then; `None` if it was not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        loss_bytes: Option<u64>,
    },
    /// Every guard was judged before a step, and not all let it pass.
    Blocked {
        /// Before what.
        stage: Stage,
        /// What each saw.
        guards: Vec<Seen>,
    },
    /// A person is asked.
    Awaiting {
        /// Until when.
        until: Moment,
    },
    /// A person agreed.
    Approved {
        /// To this plan.
        plan: String,
        /// Who.
        by: String,
        /// In his words.
        comment: String,
    },
    /// The right to act on the cluster is ours.
    Locked {
        /// The fencing token.
        token: u64,
    },
    /// The step begins: nothing is done before this is on disk.
    Intended {
        /// Its number.
        step: usize,
        /// From 1 on.
        attempt: u32,
    },
    /// The step came to an end.
    Did {
        /// Its number.
        step: usize,
        /// From 1 on.
        attempt: u32,
        /// What came of it.
        result: StepResult,
        /// In one sentence.
        detail: String,
        /// How long it took, in milliseconds.
        millis: u64,
        /// What it hands to later steps.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        data: Option<Value>,
    },
    /// It was asked whether the step is done.
    Probed {
        /// Its number.
        step: usize,
        /// The answer.
        answer: Probe,
        /// In one sentence.
        detail: String,
        /// What it hands to later steps.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        data: Option<Value>,
    },
    /// A step that could not be done was left out, after the promotion.
    LeftOut {
        /// Its number.
        step: usize,
        /// Why.
        why: String,
    },
    /// What the steps did is being undone.
    Undoing,
    /// A person asked for an end.
    AbortAsked {
        /// Who.
        by: String,
        /// In his words.
        comment: String,
    },
    /// It is over.
    Ended {
        /// How.
        outcome: Outcome,
        /// What came about, in sentences for a person.
        report: String,
    },
    /// Somebody took note.
    Acknowledged {
        /// Who.
        by: String,
        /// In his words.
        comment: String,
    },
}

/// What is to be done, and everything that a later process needs to go on with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The hash of what would be done: an approval is of this.
    pub plan: String,
    /// What it is about.
    pub episode: Episode,
    /// The runbook's name.
    pub runbook: String,
    /// The hash of its text.
    pub book: String,
    /// The hash of what the config says of the cluster.
    pub config: String,
    /// What may happen at most.
    pub class: Class,
    /// Whether it is a switchover: the primary lives, and the fence stops it in order.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub planned: bool,
    /// Who decides: the least of the runbook's mode and the config's ceiling.
    pub mode: Mode,
    /// What may wake the runbook.
    pub triggers: Vec<Trigger>,
    /// What woke it.
    pub cause: Cause,
    /// The runbook's limits.
    pub limits: Limits,
    /// The runbook's steps.
    pub steps: Vec<Step>,
    /// The standby that would be promoted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<String>,
    /// What that would lose, in bytes; `None` if it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_bytes: Option<u64>,
    /// What every guard saw.
    pub guards: Vec<Seen>,
}

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepResult {
    /// It is done.
    Done,
    /// It was done already.
    AlreadyDone,
    /// It refused.
    No,
    /// It asks to be done again.
    Retry,
    /// It failed.
    Failed,
    /// Nobody knows whether it is done.
    Unknown,
}

/// Whether a step is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// It is.
    Yes,
    /// It is not.
    No,
    /// It cannot be said.
    Unknown,
}

/// A run.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Its id.
    pub id: String,
    /// The number of its first record.
    pub first: u64,
    /// When it was first planned.
    pub began: Moment,
    /// When anything last happened to it.
    pub changed: Moment,
    /// Since when it stands where it stands: guards that pass and block by turns do not move it.
    pub since: Moment,
    /// When the newest plan was made.
    pub planned: Moment,
    /// The newest plan.
    pub plan: Plan,
    /// Where it stands.
    pub phase: Phase,
    /// Until when a person is asked.
    pub until: Option<Moment>,
    /// Who approved the newest plan.
    pub approved_by: Option<String>,
    /// The fencing token.
    pub token: Option<u64>,
    /// The step that is or comes next.
    pub step: usize,
    /// How often it was begun.
    pub attempt: u32,
    /// When it was first begun.
    pub step_began: Option<Moment>,
    /// Whether any step was begun.
    pub acted: bool,
    /// Whether the old primary is fenced by proof.
    pub fenced: bool,
    /// Since when, at the latest.
    pub fenced_at: Option<Moment>,
    /// Whether the promotion was begun: from then on only forward.
    pub past_return: bool,
    /// Whether the candidate is the primary.
    pub promoted: bool,
    /// What was left out, and why.
    pub left_out: Vec<String>,
    /// What its hooks handed on, of each key the newest.
    pub data: Map<String, Value>,
    /// Who asked for an end.
    pub abort: Option<String>,
    /// What the guards last saw, and before what.
    pub judged: (Stage, Vec<Seen>),
    /// What the promotion loses at most, in bytes, as the guards last let it pass; `None` if that is not known.
    pub loss_bytes: Option<u64>,
    /// What came about, in sentences, once it is over.
    pub report: String,
    /// When it ended.
    pub ended: Option<Moment>,
    /// Who took note.
    pub acknowledged_by: Option<String>,
}

impl Run {
    /// The run that begins with this plan, which is record `first`.
    pub fn begin(id: String, first: u64, plan: Plan, at: Moment) -> Self {
        let judged = (Stage::Plan, plan.guards.clone());
        let loss_bytes = plan.loss_bytes;
        Self {
            id,
            first,
            began: at,
            changed: at,
            since: at,
            planned: at,
            plan,
            phase: Phase::Planned,
            until: None,
            approved_by: None,
            token: None,
            step: 0,
            attempt: 0,
            step_began: None,
            acted: false,
            fenced: false,
            fenced_at: None,
            past_return: false,
            promoted: false,
            left_out: Vec::new(),
            data: Map::new(),
            abort: None,
            judged,
            loss_bytes,
            report: String::new(),
            ended: None,
            acknowledged_by: None,
        }
    }

    /// Takes in what happened to it. What cannot happen where it stands changes nothing.
    pub fn fold(&mut self, event: &Event, at: Moment) {
        if matches!(self.phase, Phase::Ended(_)) {
            if let Event::Acknowledged { by, .. } = event {
                self.acknowledged_by = Some(by.clone());
            }
            return;
        }
        self.changed = at;
        let stood = (self.phase, self.step);
        self.take(event, at);
        if (self.phase, self.step) != stood {
            self.since = at;
        }
    }

    fn take(&mut self, event: &Event, at: Moment) {
        match event {
            Event::Planned(plan) if !self.acted => {
                self.judged = (Stage::Plan, plan.guards.clone());
                self.loss_bytes = plan.loss_bytes;
                (self.plan, self.planned) = ((**plan).clone(), at);
                self.phase = Phase::Planned;
                (self.until, self.approved_by, self.token) = (None, None, None);
            }
            Event::Passed { stage, guards, loss_bytes } => {
                self.judged = (*stage, guards.clone());
                self.loss_bytes = loss_bytes.or(self.loss_bytes);
            }
            Event::Blocked { stage, guards } => {
                self.judged = (*stage, guards.clone());
                if !self.acted {
                    (self.phase, self.until, self.approved_by) = (Phase::Blocked, None, None);
                }
            }
            Event::Awaiting { until } if !self.acted => {
                (self.phase, self.until, self.approved_by) = (Phase::Awaiting, Some(*until), None);
            }
            Event::Approved { plan, by, .. } if self.phase == Phase::Awaiting && *plan == self.plan.plan => {
                (self.phase, self.approved_by) = (Phase::Locking, Some(by.clone()));
            }
            Event::Locked { token } => {
                self.token = Some(*token);
                let agreed = self.plan.mode == Mode::Automatic || self.approved_by.is_some();
                if agreed && matches!(self.phase, Phase::Planned | Phase::Blocked | Phase::Locking) {
                    self.phase = Phase::Ready;
                }
            }
            Event::Intended { step, attempt } if *step == self.step => self.begin_step(*attempt, at),
            Event::Did { step, result, detail, data, .. } if self.is_begun(*step) => {
                self.take_data(data.as_ref());
                self.end_step(*result, detail);
            }
            Event::Probed { step, answer, detail, data } if self.is_begun(*step) => match answer {
                Probe::Yes => {
                    self.take_data(data.as_ref());
                    self.step_is_done();
                    self.fenced_at = self.fenced_at.or(self.fenced.then_some(at));
                }
                Probe::No | Probe::Unknown => {
                    self.report.clone_from(detail);
                    self.phase = Phase::Probing;
                }
            },
            Event::LeftOut { step, why } if *step == self.step && self.promoted => {
                self.left_out.push(why.clone());
                self.go_on();
            }
            Event::Undoing if self.acted && !self.past_return => self.phase = Phase::Undoing,
            Event::AbortAsked { by, .. } => self.abort = Some(by.clone()),
            Event::Ended { outcome, report } => {
                self.phase = Phase::Ended(*outcome);
                (self.report, self.ended) = (report.clone(), Some(at));
            }
            _ => {}
        }
    }

    fn take_data(&mut self, data: Option<&Value>) {
        if let Some(Value::Object(data)) = data {
            self.data.extend(data.clone());
        }
    }

    fn is_begun(&self, step: usize) -> bool {
        step == self.step && matches!(self.phase, Phase::Acting | Phase::Probing)
    }

    fn begin_step(&mut self, attempt: u32, at: Moment) {
        self.attempt = attempt;
        self.step_began.get_or_insert(at);
        self.acted = true;
        self.phase = Phase::Acting;
        self.past_return |= matches!(self.current(), Some(Step::Promote { .. }));
    }

    fn end_step(&mut self, result: StepResult, detail: &str) {
        match (result, self.current()) {
            // The word of the one who fenced is no proof.
            (_, Some(Step::Fence(_))) => self.phase = Phase::Probing,
            (StepResult::Done | StepResult::AlreadyDone, _) => self.step_is_done(),
            _ => {
                self.report = detail.to_owned();
                self.phase = Phase::Probing;
            }
        }
    }

    fn step_is_done(&mut self) {
        match self.current() {
            Some(Step::Fence(_)) => self.fenced = true,
            Some(Step::Promote { .. } | Step::Delegate { .. }) => self.promoted = true,
            _ => {}
        }
        self.go_on();
    }

    fn go_on(&mut self) {
        self.step += 1;
        (self.attempt, self.step_began) = (0, None);
        self.report.clear();
        self.phase = Phase::Ready;
    }

    /// The step that is or comes next; `None` after the last.
    pub fn current(&self) -> Option<&Step> {
        self.plan.steps.get(self.step)
    }

    /// How it ended.
    pub fn outcome(&self) -> Option<Outcome> {
        match self.phase {
            Phase::Ended(outcome) => Some(outcome),
            _ => None,
        }
    }

    /// Whether nothing starts by itself on its cluster until somebody takes note of it.
    pub fn is_unacknowledged(&self) -> bool {
        let ended = self.outcome().is_some_and(Outcome::needs_acknowledgement);
        (ended || self.outcome() == Some(Outcome::Superseded) && self.acted) && self.acknowledged_by.is_none()
    }
}
