//! Looks at a cluster, and what they amount to.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::driver::{Driver, SLOW_LOOK};
use super::hands::Means;
use super::{Parts, Preview, Refused};
use crate::clock::{Moment, Mono};
use crate::cluster::loss::Loss;
use crate::runbook::book::{Book, Class, Mode, Step};
use crate::runbook::candidate;
use crate::runbook::decide::Happened;
use crate::runbook::evidence::Evidence;
use crate::runbook::guard::{self, Answer, Cause, Scene, Seen, Stage};
use crate::runbook::intake::IntakeError;
use crate::runbook::plan::{self, Judgement, NoPlan, judgement};
use crate::runbook::record::Entry;
use crate::runbook::run::{Event, Outcome, Phase, Plan, Run, RunRecord};
use crate::runbook::verdict::{self, PrimaryVerdict};

/// The clocks of a boot and of the calendar drift apart by less.
const SAME_BOOT: Duration = Duration::from_secs(5);

/// What a run would do now.
pub(super) async fn preview(parts: &Parts, means: Arc<Means>, book: &Book) -> Result<Preview, Refused> {
    let cluster = means.cluster.clone();
    let driver = Driver::new(parts.clone(), means);
    let mut driver = driver.ok_or_else(|| Refused::Unknown(format!("there is no cluster {cluster}")))?;
    let cause = Cause::Person { by: "preview".to_owned() };
    let evidence = driver.gather("").await;
    let plan =
        driver.plan(book, &cause, &evidence, None).await.map_err(|error| Refused::Conflict(error.to_string()))?;
    let amounts_to = match amounts_to(&plan, false, &evidence, &plan.guards) {
        Happened::Clear => "clear",
        Happened::Doubtful => "doubtful",
        Happened::Stale => "stale",
        Happened::Recovered => "recovered",
        _ => "blocked",
    };
    Ok(Preview { commands: plan.commands(), plan, amounts_to })
}

impl Driver {
    /// Looks before the next step.
    pub(super) async fn look(&mut self, run: &Run) -> Result<Duration, IntakeError> {
        if !run.acted && matches!(run.phase, Phase::Planned | Phase::Blocked | Phase::Awaiting) {
            let shelf = (self.parts.books)();
            let Some(entry) = shelf.find(&run.plan.runbook) else {
                return self.end(run, Outcome::Aborted, "its runbook is gone").await;
            };
            let cause = self.cause_now(&run.plan.cause);
            return self.look_and_plan(&run.id.clone(), &entry.book.clone(), &cause, Some(run)).await;
        }
        let begins = |step: &Step| matches!(step, Step::Fence(_) | Step::Delegate { .. });
        let stage = match run.plan.steps.iter().skip(run.step).any(begins) {
            true if !run.fenced => Stage::Fence,
            _ => Stage::Promote,
        };
        let mut evidence = self.gather(&run.id).await;
        evidence.assessment.failover_loss = evidence.assessment.failover_loss.map(|loss| narrowed(loss, run));
        let mut plan = run.plan.clone();
        plan.cause = self.cause_now(&run.plan.cause);
        let guards = self.judge(stage, &plan, &evidence, &run.data).await;
        let happened = match amounts_to(&plan, run.fenced, &evidence, &guards) {
            // He agreed to the doubts that he was shown.
            Happened::Doubtful if plan.mode == Mode::Manual && !plan::were_doubted(&run.plan.guards, &guards) => {
                Happened::Blocked
            }
            other => other,
        };
        let may_pass = self.may_pass(run, happened);
        let loss = |plan: &Plan| plan.candidate.as_deref().and_then(|name| evidence.loss_to(name));
        let is_news = run.judged.0 != stage || differ(&run.judged.1, &guards);
        let event = match happened {
            Happened::Clear => Some(Event::Passed { stage, guards, loss_bytes: loss(&plan) }),
            Happened::Doubtful if plan.mode == Mode::Manual => {
                Some(Event::Passed { stage, guards, loss_bytes: loss(&plan) })
            }
            _ if is_news && !may_pass => Some(Event::Blocked { stage, guards }),
            _ => None,
        };
        if let Some(event) = event {
            self.write(run, event).await?;
        }
        self.fresh = Some((run.id.clone(), happened));
        Ok(Duration::ZERO)
    }

    /// The newest word of what woke the run.
    pub(super) fn cause_now(&self, cause: &Cause) -> Cause {
        let runs = self.parts.intake.runs();
        match cause {
            Cause::Alert { name, .. } => match runs.alarm(&self.means.cluster, name) {
                Some(alarm) => alarm.cause(name),
                None => cause.clone(),
            },
            other => other.clone(),
        }
    }

    pub(super) async fn gather(&mut self, id: &str) -> Evidence {
        let evidence = self.hands.look().await;
        self.before = self.looked.take().filter(|(of, _)| of == id).map(|(_, evidence)| evidence);
        self.looked = Some((id.to_owned(), evidence.clone()));
        evidence
    }

    pub(super) async fn judge(
        &self,
        stage: Stage,
        plan: &Plan,
        evidence: &Evidence,
        data: &Map<String, Value>,
    ) -> Vec<Seen> {
        let lock = self.hands.state().await;
        let hooks = self.hands.wrong_hooks(plan);
        let managed = self.hands.managed(plan).await;
        let runs = self.parts.intake.runs();
        let (past, paused) = (runs.past(), runs.paused().is_some());
        let others =
            runs.open().filter(|run| run.plan.episode.cluster != self.means.cluster && run.plan.mode != Mode::DryRun);
        let elsewhere = others.count();
        let scene = Scene {
            stage,
            now: Moment::now(),
            evidence,
            before: self.before.as_ref(),
            plan,
            candidate: plan.candidate.as_deref().and_then(|name| evidence.number_of(name)),
            terms: &self.means.terms,
            past: &past,
            elsewhere,
            failing: self.other_clusters_in_trouble(),
            paused,
            lock: &lock,
            hooks: &hooks,
            managed: managed.as_ref(),
            data,
        };
        guard::judge_all(&scene)
    }

    pub(super) fn other_clusters_in_trouble(&self) -> usize {
        let hubs = self.parts.hubs.now();
        let others = hubs.iter().filter(|hub| !Arc::ptr_eq(hub, &self.hub));
        let troubled = others.filter(|hub| {
            let assessment = hub.cluster().assess(Moment::now());
            assessment.primaries == 0 && assessment.nodes.iter().any(|node| node.last_primary)
        });
        troubled.count()
    }

    /// Looks, plans, and writes the plan if it is another than the run's.
    pub(super) async fn look_and_plan(
        &mut self,
        id: &str,
        book: &Book,
        cause: &Cause,
        run: Option<&Run>,
    ) -> Result<Duration, IntakeError> {
        let evidence = self.gather(id).await;
        let asked = run.filter(|run| run.phase == Phase::Awaiting).and_then(|run| run.plan.candidate.as_deref());
        let plan = match self.plan(book, cause, &evidence, asked).await {
            Ok(plan) => plan,
            Err(error) => {
                if self.voice.changes("plan", &error.to_string(), Mono::now()).is_some() {
                    tracing::warn!(cluster = %self.means.cluster, runbook = %book.name, "{error}");
                }
                return Ok(SLOW_LOOK);
            }
        };
        let happened = amounts_to(&plan, false, &evidence, &plan.guards);
        // While a person is asked only another plan, or a doubt that he was not shown, is another question.
        let asked = |run: &Run| run.phase == Phase::Awaiting && plan::were_doubted(&run.judged.1, &plan.guards);
        // Of what the guards block as before nothing new is to be told: candidates that keep up with each other come and go.
        let blocked = |run: &Run| run.phase == Phase::Blocked && happened == Happened::Blocked;
        let known = run.is_some_and(|run| {
            let same = !differ(&run.judged.1, &plan.guards);
            self.may_pass(run, happened) || blocked(run) && same || run.plan.plan == plan.plan && (asked(run) || same)
        });
        if !known {
            let (mode, guards) = (plan.mode, plan.guards.clone());
            let mut events = vec![Event::Planned(Box::new(plan))];
            // Said at once, so that nobody takes it for a plan that goes on.
            if happened == Happened::Blocked && mode != Mode::DryRun {
                events.push(Event::Blocked { stage: Stage::Plan, guards });
            }
            events.iter().for_each(|event| self.tell(id, event, run));
            let entry = |event| Entry::Run(RunRecord { run: id.to_owned(), event });
            self.parts.intake.write(events.into_iter().map(entry).collect()).await?;
        }
        self.fresh = Some((id.to_owned(), happened));
        Ok(Duration::ZERO)
    }

    /// What would be done, with what every guard sees. `asked`: the candidate that a person is asked about.
    pub(super) async fn plan(
        &self,
        book: &Book,
        cause: &Cause,
        evidence: &Evidence,
        asked: Option<&str>,
    ) -> Result<Plan, NoPlan> {
        let candidate = match asked.and_then(|name| evidence.number_of(name)) {
            _ if book.planned => candidate::choose_planned(evidence),
            Some(asked) => candidate::choose_again(evidence, asked),
            None => candidate::choose(evidence),
        };
        let means = &self.means;
        let mut plan = plan::plan(book, &means.config, &means.terms, cause, evidence, candidate)?;
        plan.guards = self.judge(Stage::Plan, &plan, evidence, &Map::new()).await;
        Ok(plan)
    }
}

/// The loss by what the journal knows, too: who is fenced writes no more, and the plan's bound is of a process that may have seen more.
fn narrowed(loss: Loss, run: &Run) -> Loss {
    let now = Moment::now();
    // Times since boot count only where our machine was not started since, which moves them against the calendar.
    let of_this_boot = |then: &Moment| {
        let by_clock = now.mono.since(then.mono).as_secs_f64();
        (by_clock - now.wall.seconds_since(then.wall)).abs() < SAME_BOOT.as_secs_f64()
    };
    let loss = run.fenced_at.filter(of_this_boot).map_or(loss, |fenced| loss.ended_by(fenced.mono));
    let told = run.plan.loss_bytes.filter(|_| of_this_boot(&run.planned));
    told.map_or(loss, |bytes| loss.told(bytes, run.planned.mono))
}

/// What a look amounts to. What is planned begins with a primary that lives.
pub(super) fn amounts_to(plan: &Plan, fenced: bool, evidence: &Evidence, guards: &[Seen]) -> Happened {
    if plan.class == Class::Failover {
        let (verdict, _) = verdict::of(evidence, &plan.limits, evidence.ended);
        let is_past = evidence.primary.as_ref().is_some_and(|primary| primary.timeline != plan.episode.timeline);
        match verdict {
            PrimaryVerdict::Elsewhere { .. } => return Happened::Stale,
            _ if is_past => return Happened::Stale,
            PrimaryVerdict::Alive if fenced || !plan.planned => return Happened::Recovered,
            _ => {}
        }
    }
    match judgement(guards) {
        Judgement::Clear => Happened::Clear,
        Judgement::Doubtful => Happened::Doubtful,
        Judgement::Blocked => Happened::Blocked,
    }
}

/// Whether it is what a look amounted to.
pub(super) fn is_look(happened: Happened) -> bool {
    use Happened::{Blocked, Clear, Doubtful, Recovered, Stale};
    matches!(happened, Clear | Doubtful | Blocked | Stale | Recovered)
}

/// Whether two judgements differ in more than the values that were seen.
pub(super) fn differ(a: &[Seen], b: &[Seen]) -> bool {
    let answers = |seen: &[Seen]| -> Vec<(String, Answer)> {
        seen.iter().map(|seen| (seen.guard.clone(), seen.answer)).collect()
    };
    answers(a) != answers(b)
}
