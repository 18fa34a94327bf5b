//! Runs the hooks of a plan: what they are told, where they work, and what their answers mean.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::hands::Hands;
use crate::runbook::book::{Hook, Step};
use crate::runbook::decide::Happened;
use crate::runbook::run::{Plan, Run, StepResult};
use crate::runbook::step::hook::{self, Brief, ClusterBrief, Kind};

/// What a hook says is kept in the journal up to so many characters.
const MOST_WORDS: usize = 300;
/// What a hook hands on is kept in the journal up to so many bytes; more is dropped.
const MOST_DATA: usize = 16 << 10;

impl Hands {
    /// What is wrong with the files of the plan's hooks.
    pub(super) fn wrong_hooks(&self, plan: &Plan) -> Vec<String> {
        let hooks = plan.steps.iter().filter_map(hook_of);
        let programs =
            hooks.flat_map(|hook| [Some(&hook.argv), hook.probe.as_ref(), hook.undo.as_ref()].into_iter().flatten());
        programs.filter_map(|argv| hook::check(argv).err()).map(|error| error.to_string()).collect()
    }

    /// Whether the hook that was begun still runs.
    pub(super) fn is_running(&self, run: &Run) -> bool {
        hook::still_running(&self.dir(run, Kind::Action)).is_some()
    }

    /// Undoes what was done before the promotion, as far as there is a way.
    pub(super) async fn undo(&self, run: &Run) -> (Happened, String) {
        let undo = run.plan.steps.iter().take(run.step.saturating_add(1)).find_map(|step| match step {
            Step::Fence(hook) => hook.undo.as_ref().map(|argv| (argv, hook.timeout)),
            _ => None,
        });
        let Some((argv, timeout)) = undo else {
            return (Happened::NotDone, format!("{} stays fenced, and there is no primary", run.plan.episode.primary));
        };
        match self.run_hook(argv, timeout, run, Kind::Compensate).await {
            (StepResult::Done | StepResult::AlreadyDone, detail, _) => (Happened::Done, detail),
            (_, detail, _) => (Happened::Unknown, detail),
        }
    }

    /// Runs one of its programs for the step that was begun.
    pub(super) async fn run_hook(
        &self,
        argv: &[String],
        timeout: Duration,
        run: &Run,
        kind: Kind,
    ) -> (StepResult, String, Option<Value>) {
        match hook::run(argv, &self.brief(run, kind), timeout, &self.dir(run, kind)).await {
            Ok(ran) => {
                let result = match ran.answer {
                    hook::Answer::Done => StepResult::Done,
                    hook::Answer::AlreadyDone => StepResult::AlreadyDone,
                    hook::Answer::No => StepResult::No,
                    hook::Answer::Retry => StepResult::Retry,
                    hook::Answer::Failed(_) => StepResult::Failed,
                    hook::Answer::Unknown(_) => StepResult::Unknown,
                };
                let is_short = |data: &Value| data.to_string().len() <= MOST_DATA;
                (result, in_words(&ran), ran.data.clone().filter(is_short))
            }
            // It did not begin, and nothing was done.
            Err(hook::HookError::Begun(dir)) => (StepResult::Unknown, format!("{} is there", dir.display()), None),
            Err(error) => (StepResult::Failed, error.to_string(), None),
        }
    }

    /// Removes what hooks left of runs that the journal does not remember any more. Nobody waits for it.
    pub(super) fn forget_hooks(&self, known: BTreeSet<String>) {
        let (dir, cluster) = (self.means.hooks_dir.clone(), self.means.cluster.clone());
        tokio::task::spawn_blocking(move || {
            if let Err(error) = hook::forget(&dir, &known) {
                tracing::warn!(cluster = %cluster, "old directories of hooks stay in {}: {error}", dir.display());
            }
        });
    }

    /// Where a hook works: a directory for each attempt.
    fn dir(&self, run: &Run, kind: Kind) -> PathBuf {
        let name = format!("{}-{}-{}", run.step + 1, kind.as_str(), run.attempt.max(1));
        self.means.hooks_dir.join(&run.id).join(name)
    }

    fn brief(&self, run: &Run, kind: Kind) -> Brief {
        let episode = &run.plan.episode;
        Brief {
            run: run.id.clone(),
            episode: episode.to_string(),
            runbook: run.plan.runbook.clone(),
            step: run.step + 1,
            name: run.plan.name_of(run.step),
            kind,
            attempt: run.attempt.max(1),
            mode: run.plan.mode.as_str(),
            dry_run: false,
            fencing_token: run.token,
            idempotency_key: format!("{}-{}", run.id, run.step + 1),
            cluster: ClusterBrief {
                name: episode.cluster.clone(),
                system_identifier: Some(episode.system_identifier),
                timeline: Some(episode.timeline.0),
            },
            old_primary: self.means.place(&episode.primary),
            candidate: run.plan.candidate.as_deref().and_then(|name| self.means.place(name)),
            standbys: self.followers(run).into_iter().filter_map(|node| self.means.place(node.name())).collect(),
            data: if run.data.is_empty() { Value::Null } else { Value::Object(run.data.clone()) },
        }
    }
}

/// What a hook said, in one sentence.
fn in_words(ran: &hook::Ran) -> String {
    let answer = match &ran.answer {
        hook::Answer::Done => "done".to_owned(),
        hook::Answer::AlreadyDone => "done already".to_owned(),
        hook::Answer::No => "no".to_owned(),
        hook::Answer::Retry => "not now".to_owned(),
        hook::Answer::Failed(code) => format!("exit {code}"),
        hook::Answer::Unknown(why) => why.clone(),
    };
    let last = ran.stderr_tail.lines().rev().find(|line| !line.trim().is_empty());
    let said = ran.message.as_deref().or(last).unwrap_or_default();
    // What a program prints may be long, and is shown.
    let said: String = said.chars().filter(|c| !c.is_control()).take(MOST_WORDS).collect();
    if said.is_empty() { answer } else { format!("{answer}: {said}") }
}

fn hook_of(step: &Step) -> Option<&Hook> {
    match step {
        Step::Fence(hook) | Step::Run { hook, .. } => Some(hook),
        _ => None,
    }
}
