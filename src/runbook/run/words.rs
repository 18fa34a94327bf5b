//! What happened to a run, in words.

use super::{Event, Plan, Probe, Run, StepResult};
use crate::runbook::book::Step;
use crate::runbook::guard::{Answer, Seen};

impl Event {
    /// Its kind, as `runbook history` shows it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Planned(_) => "planned",
            Self::Passed { .. } => "passed",
            Self::Blocked { .. } => "blocked",
            Self::Awaiting { .. } => "awaiting",
            Self::Approved { .. } => "approved",
            Self::Locked { .. } => "locked",
            Self::Intended { .. } => "intended",
            Self::Did { .. } => "did",
            Self::Probed { .. } => "probed",
            Self::LeftOut { .. } => "left out",
            Self::Undoing => "undoing",
            Self::AbortAsked { .. } => "abort",
            Self::Ended { .. } => "ended",
            Self::Acknowledged { .. } => "acknowledged",
        }
    }

    /// One sentence. `run`: as it was when this happened, if that is known.
    pub fn sentence(&self, run: Option<&Run>) -> String {
        let step = |number: &usize| run.map_or_else(|| format!("step {}", number + 1), |run| run.plan.name_of(*number));
        match self {
            Self::Planned(plan) => plan.sentence(),
            Self::Passed { guards, .. } => format!("all {} guards pass", guards.len()),
            Self::Blocked { guards, .. } => blocking(guards),
            Self::Awaiting { until } => format!("a person is asked until {}", until.wall),
            Self::Approved { by, comment, .. } => format!("by {by}{}", quoted(comment)),
            Self::Locked { token } => format!("fencing token {token}"),
            Self::Intended { step: number, attempt } => format!("{}, attempt {attempt}", step(number)),
            Self::Did { step: number, result, detail, millis, .. } => {
                format!("{}: {} after {millis} ms: {detail}", step(number), result.as_str())
            }
            Self::Probed { step: number, answer, detail, .. } => {
                format!("{} is done: {}: {detail}", step(number), answer.as_str())
            }
            Self::LeftOut { step: number, why } => format!("{}: {why}", step(number)),
            Self::Undoing => "what was done is undone".to_owned(),
            Self::AbortAsked { by, comment } => format!("asked by {by}{}", quoted(comment)),
            Self::Ended { outcome, report } => format!("{}: {report}", outcome.as_str()),
            Self::Acknowledged { by, comment } => format!("by {by}{}", quoted(comment)),
        }
    }
}

fn quoted(comment: &str) -> String {
    if comment.is_empty() { String::new() } else { format!(": {comment}") }
}

/// The guards that do not let it pass.
pub fn blocking(guards: &[Seen]) -> String {
    let not_passed = guards.iter().filter(|seen| seen.answer != Answer::Pass);
    let sentences: Vec<_> = not_passed.map(|seen| format!("{}: {}", seen.guard, seen.value)).collect();
    if sentences.is_empty() { "no guard blocks".to_owned() } else { sentences.join("; ") }
}

impl Plan {
    /// What would be done, in one sentence.
    fn sentence(&self) -> String {
        let steps: Vec<_> = (0..self.steps.len()).map(|number| self.name_of(number)).collect();
        let candidate = self.candidate.as_ref().map(|name| format!(", candidate {name}")).unwrap_or_default();
        let loss = self.loss_bytes.map(|bytes| format!(", which may lose {bytes} bytes")).unwrap_or_default();
        format!("{} of {}{candidate}{loss}: {}", self.runbook, self.episode.primary, steps.join(", "))
    }

    /// Each step with what would run, in one line.
    pub fn commands(&self) -> Vec<String> {
        let candidate = self.candidate.as_deref().unwrap_or("the candidate");
        let command = |step: &Step| match step {
            Step::Fence(hook) => match &hook.probe {
                Some(probe) => format!("fence: {}, until {} says done", hook.argv.join(" "), probe.join(" ")),
                None => format!("fence: {}", hook.argv.join(" ")),
            },
            Step::Run { name, hook } => format!("{name}: {}", hook.argv.join(" ")),
            Step::Promote { .. } => format!("promote: pg_promote() on {candidate}, asked until it is out of recovery"),
            Step::Delegate { .. } => {
                let what = if self.planned { "switchover" } else { "failover" };
                format!("delegate: Patroni is asked for a {what} from {} to {candidate}", self.episode.primary)
            }
            Step::Repoint { .. } => {
                format!("repoint: slots on {candidate}, then primary_conninfo of the other standbys and a reload")
            }
            Step::Sql { on, statement, .. } => format!("sql on {on:?}: {statement}").to_lowercase(),
            Step::Wait(rest) => format!("wait: {} s", rest.as_secs_f64()),
            Step::Verify { one_writable, standbys_streaming_within } => {
                let one = if *one_writable { "one node writes" } else { "" };
                let within = standbys_streaming_within
                    .map(|within| format!("the others stream from {candidate} within {} s", within.as_secs_f64()));
                let both: Vec<_> =
                    [Some(one.to_owned()), within].into_iter().flatten().filter(|it| !it.is_empty()).collect();
                format!("verify: {}", both.join(", "))
            }
        };
        self.steps.iter().map(command).collect()
    }

    /// Whether a cluster manager is asked to do it.
    pub fn delegates(&self) -> bool {
        matches!(self.steps.first(), Some(Step::Delegate { .. }))
    }

    /// What a step is called.
    pub fn name_of(&self, step: usize) -> String {
        match self.steps.get(step) {
            Some(Step::Run { name, .. }) => name.clone(),
            Some(step) => step.kind().to_owned(),
            None => format!("step {}", step + 1),
        }
    }
}

impl StepResult {
    /// As the journal and the metrics write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::AlreadyDone => "already_done",
            Self::No => "no",
            Self::Retry => "retry",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

impl Probe {
    /// As the journal writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Unknown => "unknown",
        }
    }
}
