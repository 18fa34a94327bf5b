//! About runs of runbooks.

use std::collections::BTreeMap;

use super::family::{Family, Kind, Observers, Unit};
use super::sample::Samples;
use crate::runbook::book::Mode;
use crate::runbook::guard::{Answer, Seen};
use crate::runbook::run::{Outcome, Phase, Run};
use crate::runbook::runs::Runs;

const fn own(name: &'static str, kind: Kind, labels: &'static [&'static str], help: &'static str) -> Family {
    Family { name, help, kind, unit: Unit::None, labels, observers: Observers::Own }
}

static RUNS: Family = own(
    "pgvigil_runbook_runs_total",
    Kind::Counter,
    &["runbook", "mode", "outcome"],
    "Runs of runbooks that ended, by who decided and how they ended; absent until the first of its kind.",
);
static OPEN: Family = own(
    "pgvigil_runbook_open",
    Kind::Gauge,
    &["cluster"],
    "Runs of the cluster that are not over; absent while the journal is not open.",
);
static AWAITING: Family = own(
    "pgvigil_runbook_awaiting_approval",
    Kind::Gauge,
    &["cluster"],
    "Runs of the cluster that wait for a person's approval; absent while the journal is not open.",
);
static BLOCKED: Family = own(
    "pgvigil_runbook_blocked",
    Kind::Gauge,
    &["cluster"],
    "Runs of the cluster that guards hold up, before anything was done or between two steps up to the promotion; absent while the \
     journal is not open.",
);
static UNACKNOWLEDGED: Family = own(
    "pgvigil_runbook_unacknowledged",
    Kind::Gauge,
    &["cluster", "outcome"],
    "Runs of the cluster that are over and of which somebody has to take note before anything starts by itself again; absent while \
     the journal is not open.",
);
static PAUSED: Family = own(
    "pgvigil_runbook_paused",
    Kind::Gauge,
    &[],
    "1 if a person paused all runs, else 0; absent while the journal is not open.",
);

static GUARD: Family = own(
    "pgvigil_runbook_guard",
    Kind::Gauge,
    &["cluster", "runbook", "guard", "state"],
    "1 for what the guard last said in the run of the cluster that is not over: pass, block, or unknown, which blocks too; absent \
     without such a run.",
);

/// All of them.
pub static FAMILIES: &[&Family] = &[&RUNS, &OPEN, &AWAITING, &BLOCKED, &UNACKNOWLEDGED, &PAUSED, &GUARD];

/// Runs that ended since the start, by runbook, mode and outcome.
#[derive(Clone, Debug, Default)]
pub struct Ended(BTreeMap<(String, Mode, Outcome), u64>);

impl Ended {
    /// Counts a run, if it is over.
    pub fn count(&mut self, run: &Run) {
        if let Some(outcome) = run.outcome() {
            *self.0.entry((run.plan.runbook.clone(), run.plan.mode, outcome)).or_default() += 1;
        }
    }
}

/// The runs of a cluster, as they stand.
#[derive(Clone, Debug, Default)]
struct Standing {
    open: u64,
    awaiting: u64,
    blocked: u64,
    unacknowledged: BTreeMap<Outcome, u64>,
    /// By runbook and guard. Of two open runs of one runbook what blocks counts.
    guards: BTreeMap<(String, String), Answer>,
}

/// What is known of runs.
#[derive(Clone, Debug, Default)]
pub struct Runbooks {
    ended: Ended,
    clusters: BTreeMap<String, Standing>,
    paused: Option<bool>,
}

impl Runbooks {
    /// What `runs` tell of these clusters, and of others that have any; `None`: the journal is not open.
    pub fn of(ended: Ended, runs: Option<&Runs>, clusters: impl IntoIterator<Item = String>) -> Self {
        let Some(runs) = runs else { return Self { ended, ..Self::default() } };
        let mut told: BTreeMap<_, Standing> = clusters.into_iter().map(|name| (name, Standing::default())).collect();
        for run in runs.open() {
            let standing = told.entry(run.plan.episode.cluster.clone()).or_default();
            standing.open += 1;
            standing.awaiting += u64::from(run.phase == Phase::Awaiting);
            standing.blocked += u64::from(is_held_up(run));
            for seen in &run.judged.1 {
                let guard = (run.plan.runbook.clone(), seen.guard.clone());
                let told = standing.guards.entry(guard).or_insert(seen.answer);
                *told = seen.answer.max(*told);
            }
        }
        for run in runs.ended().filter(|run| run.is_unacknowledged()) {
            let standing = told.entry(run.plan.episode.cluster.clone()).or_default();
            if let Some(outcome) = run.outcome() {
                *standing.unacknowledged.entry(outcome).or_default() += 1;
            }
        }
        Self { ended, clusters: told, paused: Some(runs.paused().is_some()) }
    }
}

/// Whether guards hold it up. After the promotion nobody asks them.
fn is_held_up(run: &Run) -> bool {
    let passes = |seen: &Seen| seen.answer == Answer::Pass;
    match run.phase {
        Phase::Blocked => true,
        Phase::Ready => !run.past_return && !run.judged.1.iter().all(passes),
        _ => false,
    }
}

/// Adds the samples.
pub fn runbook_samples(runbooks: &Runbooks, samples: &mut Samples) {
    for ((runbook, mode, outcome), count) in &runbooks.ended.0 {
        samples.number(&RUNS, &[runbook, mode.as_str(), outcome.as_str()], *count as f64);
    }
    for (cluster, standing) in &runbooks.clusters {
        samples.number(&OPEN, &[cluster], standing.open as f64);
        samples.number(&AWAITING, &[cluster], standing.awaiting as f64);
        samples.number(&BLOCKED, &[cluster], standing.blocked as f64);
        for outcome in Outcome::ALL {
            if outcome.needs_acknowledgement() || outcome == Outcome::Superseded {
                let count = standing.unacknowledged.get(&outcome).copied().unwrap_or_default();
                samples.number(&UNACKNOWLEDGED, &[cluster, outcome.as_str()], count as f64);
            }
        }
    }
    for (cluster, standing) in &runbooks.clusters {
        for ((runbook, guard), said) in &standing.guards {
            for answer in Answer::ALL {
                let value = f64::from(u8::from(answer == *said));
                samples.number(&GUARD, &[cluster, runbook, guard, answer.as_str()], value);
            }
        }
    }
    samples.known(&PAUSED, &[], runbooks.paused.map(|paused| f64::from(u8::from(paused))));
}
