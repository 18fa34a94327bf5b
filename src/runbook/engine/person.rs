//! What people ask of the engine. All of it is a record of the journal, which wakes the loop of the cluster.

use std::sync::Arc;

use super::Parts;
use crate::runbook::book::Class;
use crate::runbook::decide::{Happened, Move, Place, decide};
use crate::runbook::intake::IntakeError;
use crate::runbook::record::{Asked, Entry, Switched};
use crate::runbook::run::{Event, Phase, Run, RunRecord};

/// Comments are not longer, in characters.
pub const MOST_COMMENT: usize = 500;

/// Why a person's word changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no such thing.
    #[error("{0}")]
    Unknown(String),
    /// Where it stands it cannot be done.
    #[error("{0}")]
    Conflict(String),
    /// It was not written down.
    #[error(transparent)]
    Journal(#[from] IntakeError),
}

/// Somebody with a credential.
#[derive(Clone)]
pub struct Person {
    parts: Parts,
    /// As the access list calls him.
    name: Arc<str>,
    comment: String,
}

impl Person {
    /// He who came in as `name` and says `comment`.
    pub fn new(parts: &Parts, name: &str, comment: &str) -> Self {
        let comment = comment.chars().filter(|c| !c.is_control()).take(MOST_COMMENT).collect();
        Self { parts: parts.clone(), name: name.into(), comment }
    }

    /// Agrees to a plan. `plan`: its hash, as he was shown it.
    pub async fn approve(&self, id: &str, plan: &str) -> Result<Run, Refused> {
        let run = self.run(id)?;
        match run.phase {
            Phase::Awaiting if run.plan.plan == plan => {}
            Phase::Awaiting => {
                let now = &run.plan.plan;
                return Err(Refused::Conflict(format!("the plan of run {id} is another now, {now}: look at it again")));
            }
            _ => return Err(Refused::Conflict(format!("run {id} waits for nobody: it is {}", run.phase.as_str()))),
        }
        let event = Event::Approved { plan: plan.to_owned(), by: self.name.to_string(), comment: self.comment.clone() };
        self.write(&run, event).await
    }

    /// Says no to a plan.
    pub async fn reject(&self, id: &str) -> Result<Run, Refused> {
        let run = self.run(id)?;
        match decide(Place::of(&run), Happened::Rejected) {
            Move::End(outcome) if run.phase == Phase::Awaiting => {
                let report = format!("{} said no: {}", self.name, self.comment);
                self.write(&run, Event::Ended { outcome, report }).await
            }
            _ => Err(Refused::Conflict(format!("run {id} waits for nobody: it is {}", run.phase.as_str()))),
        }
    }

    /// Asks for an end. It is heard until the promotion begins.
    pub async fn abort(&self, id: &str) -> Result<Run, Refused> {
        let run = self.run(id)?;
        if run.outcome().is_some() {
            return Err(Refused::Conflict(format!("run {id} is over: it is {}", run.phase.as_str())));
        }
        if run.past_return {
            let why = format!("run {id} promotes already: from here it only goes forward");
            return Err(Refused::Conflict(why));
        }
        let event = Event::AbortAsked { by: self.name.to_string(), comment: self.comment.clone() };
        self.write(&run, event).await
    }

    /// Takes note of a run that is over, so that others may start by themselves again.
    pub async fn acknowledge(&self, id: &str) -> Result<Run, Refused> {
        let run = self.run(id)?;
        if !run.is_unacknowledged() {
            return Err(Refused::Conflict(format!("run {id} needs nobody's note: it is {}", run.phase.as_str())));
        }
        let event = Event::Acknowledged { by: self.name.to_string(), comment: self.comment.clone() };
        self.write(&run, event).await
    }

    /// Asks for a run of a runbook.
    pub async fn start(&self, cluster: &str, runbook: &str) -> Result<(), Refused> {
        let shelf = (self.parts.books)();
        let Some(entry) = shelf.find(runbook) else {
            return Err(Refused::Unknown(format!("there is no runbook {runbook}")));
        };
        if entry.book.class == Class::HumanOnly || entry.book.steps.is_empty() {
            return Err(Refused::Conflict(format!("runbook {runbook} has no steps: read it at /runbooks/{runbook}")));
        }
        if !self.parts.hubs.now().iter().any(|hub| hub.cluster().layout().name == cluster) {
            return Err(Refused::Unknown(format!("there is no cluster {cluster}")));
        }
        if let Some(run) = self.parts.intake.runs().open_of(cluster) {
            return Err(Refused::Conflict(format!("run {} of cluster {cluster} is not over", run.id)));
        }
        let asked = Asked { cluster: cluster.to_owned(), runbook: entry.book.name.clone(), by: self.name.to_string() };
        Ok(self.parts.intake.write(vec![Entry::Asked(asked)]).await?)
    }

    /// Keeps every run from doing anything, or lets them go on.
    pub async fn pause(&self, paused: bool) -> Result<(), Refused> {
        let switched = Switched { paused, by: self.name.to_string(), comment: self.comment.clone() };
        Ok(self.parts.intake.write(vec![Entry::Switched(switched)]).await?)
    }

    fn run(&self, id: &str) -> Result<Run, Refused> {
        let run = self.parts.intake.runs().get(id).cloned();
        run.ok_or_else(|| Refused::Unknown(format!("there is no run {id}: pgvigil runbook history lists them")))
    }

    async fn write(&self, run: &Run, event: Event) -> Result<Run, Refused> {
        self.parts.intake.write(vec![Entry::Run(RunRecord { run: run.id.clone(), event })]).await?;
        self.run(&run.id)
    }
}
