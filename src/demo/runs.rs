//! What the demo's terminal tells of runs: read from the journal that its pgvigil writes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;

use super::acting::Person;
use crate::runbook::book::Step;
use crate::runbook::journal::{Reader, directory};
use crate::runbook::record::Entry;
use crate::runbook::run::{Event, Plan, RunRecord, StepResult};

/// Between two looks into the journal.
const LOOK: Duration = Duration::from_millis(200);
/// Plans of more runs than this are forgotten, the oldest first.
const MOST: usize = 100;

/// Reads the journal. Dropping it ends that.
pub(super) struct Runs {
    promoted: mpsc::Receiver<String>,
    task: JoinHandle<()>,
}

impl Runs {
    /// Tells of the runs of the pgvigil with this state directory, and what `person` may answer.
    pub(super) fn tell(state_dir: &Path, person: Person, tell: fn(&str)) -> Self {
        let (send, promoted) = mpsc::channel(1);
        let mut teller = Teller { dir: directory(state_dir), person, seen: 0, plans: BTreeMap::new() };
        let task = tokio::spawn(async move {
            loop {
                let Ok((after, records)) = spawn_blocking(move || {
                    let records = teller.news();
                    (teller, records)
                })
                .await
                else {
                    return;
                };
                teller = after;
                for record in records {
                    for line in teller.lines(&record) {
                        tell(&line);
                    }
                    if let Some(node) = teller.promoted(&record)
                        && send.send(node).await.is_err()
                    {
                        return;
                    }
                }
                sleep(LOOK).await;
            }
        });
        Self { promoted, task }
    }

    /// Waits until pgvigil has promoted a node.
    pub(super) async fn promoted(&mut self) -> Option<String> {
        self.promoted.recv().await
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Teller {
    dir: PathBuf,
    person: Person,
    /// The last record that was read.
    seen: u64,
    /// Of each run, by its id: the newest plan.
    plans: BTreeMap<String, Plan>,
}

impl Teller {
    /// What was written since the last look.
    fn news(&mut self) -> Vec<RunRecord> {
        // What is not whole yet is read at the next look.
        let records = Reader::open(&self.dir).into_iter().flatten().map_while(Result::ok);
        let news: Vec<_> = records.filter(|record| record.seq > self.seen).collect();
        self.seen = news.last().map_or(self.seen, |record| record.seq);
        let runs = news.into_iter().filter_map(|record| match record.entry {
            Entry::Run(told) => Some(told),
            _ => None,
        });
        runs.collect()
    }

    /// What the terminal says of it, if anything.
    fn lines(&mut self, RunRecord { run, event }: &RunRecord) -> Vec<String> {
        let Self { person, .. } = &*self;
        let step = |number: usize| self.plans.get(run).map(|plan| plan.name_of(number)).unwrap_or_default();
        let sentence = event.sentence(None);
        let mut lines = Vec::new();
        match event {
            Event::Planned(plan) => {
                lines.push(format!("run {run} planned ({}): {sentence}", plan.mode.as_str()));
                if self.plans.len() >= MOST {
                    self.plans.pop_first();
                }
                self.plans.insert(run.clone(), Plan::clone(plan));
            }
            Event::Did { step: number, result, detail, millis, .. } => {
                lines.push(format!("run {run} {} {} after {millis} ms: {detail}", step(*number), result.as_str()));
            }
            Event::LeftOut { step: number, why } => lines.push(format!("run {run} left out {}: {why}", step(*number))),
            Event::Awaiting { .. } => {
                let plan = self.plans.get(run).map(|plan| plan.plan.as_str()).unwrap_or_default();
                lines.push(format!("run {run} waits for you"));
                lines.push(person.command(&format!("approve {run} --plan {plan}")));
            }
            Event::Ended { outcome, .. } => {
                lines.push(format!("run {run} {sentence}"));
                lines.push(person.command(&format!("show {run}")));
                if outcome.needs_acknowledgement() {
                    lines.push(person.command(&format!("ack {run}")));
                }
            }
            Event::Passed { .. } => lines.push(format!("run {run}: {sentence}")),
            Event::Locked { .. } | Event::Intended { .. } | Event::Probed { .. } => {}
            other => lines.push(format!("run {run} {}: {sentence}", other.kind())),
        }
        // What a server or a person wrote may hold anything, and this is a terminal.
        let plain = |line: String| line.chars().filter(|c| !c.is_control()).collect();
        lines.into_iter().map(plain).collect()
    }

    /// Which node was promoted by this.
    fn promoted(&self, RunRecord { run, event }: &RunRecord) -> Option<String> {
        let Event::Did { step, result: StepResult::Done | StepResult::AlreadyDone, .. } = event else { return None };
        let plan = self.plans.get(run)?;
        matches!(plan.steps.get(*step)?, Step::Promote { .. }).then(|| plan.candidate.clone())?
    }
}
