//! The loop of one cluster.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::time::timeout;

use super::hands::{Hands, Means};
use super::{Parts, Preview, Refused};
use crate::clock::{Moment, Mono};
use crate::cluster::assess::Verdict;
use crate::observe::Hub;
use crate::observe::voice::Voice;
use crate::pg::failure::NodeState;
use crate::runbook::book::{Book, Class, Mode, Trigger};
use crate::runbook::candidate;
use crate::runbook::decide::{Happened, Move, Next, Place, Reached, decide};
use crate::runbook::evidence::Evidence;
use crate::runbook::guard::{self, Answer, Cause, LockState, Scene, Seen, Stage};
use crate::runbook::intake::IntakeError;
use crate::runbook::plan::{self, Judgement, NoPlan, judgement};
use crate::runbook::record::Entry;
use crate::runbook::run::{Event, Outcome, Phase, Plan, Probe, Run, RunRecord, StepResult, blocking};
use crate::runbook::verdict::{self, PrimaryVerdict};

/// A person is asked for so long.
const ASKED_FOR: Duration = Duration::from_secs(15 * 60);
/// A plan that the guards block is given up after this.
const BLOCKED_FOR: Duration = Duration::from_secs(10 * 60);
/// An approved or automatic run that cannot go on before anything was done is given up after this.
const STUCK_FOR: Duration = Duration::from_secs(60);
/// Once the old primary is fenced the guards of the promotion are waited for longer: its streams may take their time to end.
const FENCED_FOR: Duration = Duration::from_secs(180);
/// A switchover whose candidate does not have all of the old primary's WAL is undone after this: nothing brings it any more.
const UNDONE_AFTER: Duration = Duration::from_secs(20);
/// Looks follow each other at this pace while a person is asked, and when nothing came about for a while.
const SLOW_LOOK: Duration = Duration::from_secs(5);
/// For so long they follow each other as observation does.
const QUICK_FOR: Duration = Duration::from_secs(60);
/// Between two tries of what failed for reasons of our own.
const AGAIN: Duration = Duration::from_millis(500);
/// An alert wakes a run for so long after it was handed in.
const WAKES_FOR: Duration = Duration::from_secs(60);
/// When there is nothing to do.
const IDLE: Duration = Duration::from_secs(3600);

/// Runs until it is dropped.
pub(super) async fn run(parts: Parts, means: Arc<Means>) {
    let Some(hub) = parts.hubs.now().iter().find(|hub| hub.cluster().layout().name == means.cluster).cloned() else {
        return;
    };
    let mut changes = parts.intake.changes();
    // What the journal knows comes first: a run may be under way.
    if changes.wait_for(|number| *number > 0).await.is_err() {
        return;
    }
    let hands = Hands::new(means.clone(), hub.clone());
    let mut driver = Driver {
        parts,
        means,
        hub,
        hands,
        fresh: None,
        looked: None,
        before: None,
        probed: None,
        voice: Voice::default(),
    };
    loop {
        changes.borrow_and_update();
        let rest = driver.step().await;
        // By whichever comes first; a journal that is gone ends nothing.
        let _ = timeout(rest, changes.changed()).await;
    }
}

/// What a run would do now.
pub(super) async fn preview(parts: &Parts, means: Arc<Means>, book: &Book) -> Result<Preview, Refused> {
    let hub = parts.hubs.now().iter().find(|hub| hub.cluster().layout().name == means.cluster).cloned();
    let Some(hub) = hub else { return Err(Refused::Unknown(format!("there is no cluster {}", means.cluster))) };
    let hands = Hands::new(means.clone(), hub.clone());
    let mut driver = Driver {
        parts: parts.clone(),
        means,
        hub,
        hands,
        fresh: None,
        looked: None,
        before: None,
        probed: None,
        voice: Voice::default(),
    };
    let cause = Cause::Person { by: "preview".to_owned() };
    let evidence = driver.gather("").await;
    let plan = driver.plan(book, &cause, &evidence).await.map_err(|error| Refused::Conflict(error.to_string()))?;
    let amounts_to = match amounts_to(&plan, false, &evidence, &plan.guards) {
        Happened::Clear => "clear",
        Happened::Doubtful => "doubtful",
        Happened::Stale => "stale",
        Happened::Recovered => "recovered",
        _ => "blocked",
    };
    Ok(Preview { commands: plan.commands(), plan, amounts_to })
}

struct Driver {
    parts: Parts,
    means: Arc<Means>,
    hub: Arc<Hub>,
    hands: Hands,
    /// What the last look at this run amounts to, until it was decided upon.
    fresh: Option<(String, Happened)>,
    /// The last look, and the one before it, in the run of this id.
    looked: Option<(String, Evidence)>,
    before: Option<Evidence>,
    /// What was last written down of a probe: of which run, step and attempt.
    probed: Option<(String, usize, u32, Probe)>,
    /// What was said.
    voice: Voice,
}

impl Driver {
    /// Does what is next, and says how long nothing is.
    async fn step(&mut self) -> Duration {
        let open = self.parts.intake.runs().open_of(&self.means.cluster).cloned();
        let done = match open {
            Some(run) => self.go_on(run).await,
            None => self.consider().await,
        };
        match done {
            Ok(rest) => rest,
            Err(error) => {
                // Said by whoever writes the journal. Nothing goes on without it.
                tracing::debug!(cluster = %self.means.cluster, "the engine rests: {error}");
                AGAIN
            }
        }
    }

    /// Whether anything wakes a run.
    async fn consider(&mut self) -> Result<Duration, IntakeError> {
        (self.fresh, self.looked, self.before) = (None, None, None);
        self.hands.let_go().await;
        let Some((book, cause)) = self.woken() else {
            let watches = self.watched_books().next().is_some();
            return Ok(if watches { self.pace() } else { IDLE });
        };
        let id = format!("{:x}", crate::clock::Wall::now().as_seconds().to_bits() ^ u64::from(std::process::id()));
        self.look_and_plan(&id, &book, &cause, None).await
    }

    /// The runbook that is to be planned, and what woke it.
    fn woken(&self) -> Option<(Book, Cause)> {
        let (shelf, now) = ((self.parts.books)(), Moment::now());
        let runs = self.parts.intake.runs();
        if let Some((asked, at)) = runs.asked(&self.means.cluster)
            && guard::age(now, *at) < WAKES_FOR
            && let Some(entry) = shelf.find(&asked.runbook)
        {
            return Some((entry.book.clone(), Cause::Person { by: asked.by.clone() }));
        }
        for (name, alarm) in runs.alarms(&self.means.cluster) {
            if !alarm.firing || guard::age(now, alarm.received) > WAKES_FOR {
                continue;
            }
            let Some(entry) = shelf.find(name) else { continue };
            let book = &entry.book;
            let cause = Cause::Alert {
                name: name.to_owned(),
                firing: true,
                truncated: alarm.truncated,
                starts_at: alarm.starts_at,
                received: alarm.received,
            };
            if can_wake(book, Trigger::Alert) && !runs.ended().any(|run| self.holds(run, book, &cause)) {
                return Some((book.clone(), cause));
            }
        }
        let is_gone = self.primary_is_gone();
        let mut watched = self.watched_books();
        watched
            .find(|book| is_gone && !runs.ended().any(|run| self.holds(run, book, &Cause::Observation)))
            .map(|book| (book, Cause::Observation))
    }

    /// Whether a run that is over keeps this from waking another.
    fn holds(&self, run: &Run, book: &Book, cause: &Cause) -> bool {
        let (Some(outcome), Some(ended)) = (run.outcome(), run.ended) else { return false };
        if run.plan.episode.cluster != self.means.cluster {
            return false;
        }
        if run.is_unacknowledged() {
            return true;
        }
        if run.plan.runbook != book.name {
            return false;
        }
        match (cause, &run.plan.cause) {
            (Cause::Alert { starts_at, received, .. }, Cause::Alert { starts_at: before, .. }) => {
                // The same outage: only what was blocked or expired before anything was done is planned again, when it is told again.
                let again = matches!(outcome, Outcome::Blocked | Outcome::Expired) && !run.acted;
                starts_at == before && !(again && received.wall > ended.wall)
            }
            (Cause::Observation, _) => {
                let same = self.episode_is(run);
                same && !matches!(outcome, Outcome::Blocked | Outcome::Recovered)
                    || Moment::now().wall.seconds_since(ended.wall) < SLOW_LOOK.as_secs_f64()
            }
            _ => false,
        }
    }

    /// Whether the primary that is missed now is the one that `run` was about.
    fn episode_is(&self, run: &Run) -> bool {
        let assessment = self.hub.cluster().assess(Moment::now());
        let last = assessment.nodes.iter().find(|node| node.last_primary);
        last.is_some_and(|node| node.name == run.plan.episode.primary)
            && assessment.timeline == Some(run.plan.episode.timeline)
    }

    /// The runbooks that wake by what pgvigil sees.
    fn watched_books(&self) -> impl Iterator<Item = Book> + use<> {
        let shelf = (self.parts.books)();
        let books: Vec<Book> = shelf.entries().into_iter().map(|entry| entry.book.clone()).collect();
        books.into_iter().filter(|book| can_wake(book, Trigger::Observation))
    }

    /// Whether the primary that was last seen is not there for us. Not a verdict: it only wakes.
    fn primary_is_gone(&self) -> bool {
        let assessment = self.hub.cluster().assess(Moment::now());
        let last = assessment.nodes.iter().find(|node| node.last_primary);
        let gone = [NodeState::Unreachable.as_str(), NodeState::Timeout.as_str()];
        assessment.primaries == 0
            && assessment.split_brain != Verdict::Yes
            && last.is_some_and(|node| gone.contains(&node.state))
    }

    /// As often as observation looks.
    fn pace(&self) -> Duration {
        let interval = self.hub.cluster().layout().timing.sample_interval;
        interval.clamp(Duration::from_millis(50), SLOW_LOOK)
    }

    /// Decides on an open run, and does it.
    async fn go_on(&mut self, run: Run) -> Result<Duration, IntakeError> {
        let place = Place::of(&run);
        let happened = self.happened(&run, place).await?;
        let next = decide(place, happened);
        self.do_it(run, place, happened, next).await
    }

    /// What happened since the run was last decided upon.
    async fn happened(&mut self, run: &Run, place: Place) -> Result<Happened, IntakeError> {
        let now = Moment::now();
        let fresh = self.fresh.take().filter(|(id, _)| *id == run.id).map(|(_, happened)| happened);
        let lasted = now.wall.seconds_since(run.changed.wall);
        Ok(match run.phase {
            Phase::Planned | Phase::Blocked => match fresh {
                Some(happened @ (Happened::Blocked | Happened::Doubtful))
                    if run.plan.mode != Mode::DryRun
                        && (happened == Happened::Blocked || run.plan.mode == Mode::Automatic)
                        && now.wall.seconds_since(run.began.wall) > BLOCKED_FOR.as_secs_f64() =>
                {
                    Happened::Overdue
                }
                fresh => fresh.unwrap_or(Happened::Nothing),
            },
            Phase::Awaiting if run.until.is_some_and(|until| now.wall > until.wall) => Happened::Overdue,
            Phase::Awaiting => fresh.unwrap_or(Happened::Nothing),
            Phase::Locking | Phase::Ready if run.token.is_none() || !self.hands.holds() => {
                match self.hands.lock(run).await {
                    LockState::Held(_) if run.phase == Phase::Locking => Happened::Held,
                    LockState::Held(token) => {
                        self.write(run, Event::Locked { token }).await?;
                        Happened::Nothing
                    }
                    LockState::Elsewhere(_) => Happened::Elsewhere,
                    _ if lasted > STUCK_FOR.as_secs_f64() => Happened::Overdue,
                    _ => Happened::LockUnknown,
                }
            }
            Phase::Locking => Happened::Held,
            Phase::Ready if place.reached >= Reached::PastReturn || place.next == Next::Nothing => Happened::Held,
            Phase::Ready => {
                let patience = match run.fenced {
                    true if run.plan.planned => UNDONE_AFTER,
                    true => FENCED_FOR,
                    false => STUCK_FOR,
                };
                match fresh {
                    Some(Happened::Clear) => Happened::Clear,
                    _ if lasted > patience.as_secs_f64() => Happened::Overdue,
                    fresh => fresh.unwrap_or(Happened::Nothing),
                }
            }
            Phase::Probing | Phase::Undoing if self.is_late(run) => Happened::Overdue,
            Phase::Probing | Phase::Undoing => fresh.unwrap_or(Happened::Nothing),
            Phase::Acting | Phase::Ended(_) => Happened::Nothing,
        })
    }

    async fn do_it(&mut self, run: Run, place: Place, happened: Happened, next: Move) -> Result<Duration, IntakeError> {
        let at_once = Ok(Duration::ZERO);
        match next {
            Move::Look => {
                if is_look(happened) {
                    // It was just now.
                    let quick = Moment::now().wall.seconds_since(run.began.wall) < QUICK_FOR.as_secs_f64();
                    return Ok(if quick || run.acted { self.pace() } else { SLOW_LOOK });
                }
                self.look(&run).await
            }
            Move::Ask => {
                self.write(&run, Event::Awaiting { until: Moment::now().plus(ASKED_FOR) }).await?;
                Ok(SLOW_LOOK)
            }
            Move::Wait => Ok(SLOW_LOOK),
            Move::Lock if happened == Happened::LockUnknown && !self.hands.holds() => Ok(AGAIN),
            Move::Lock => match self.hands.lock(&run).await {
                LockState::Held(token) => {
                    self.write(&run, Event::Locked { token }).await?;
                    at_once
                }
                LockState::Elsewhere(holder) => self.superseded(&run, place, &holder).await,
                _ => Ok(AGAIN),
            },
            Move::GoOn if run.phase == Phase::Locking => match self.hands.token() {
                Some(token) => self.write(&run, Event::Locked { token }).await.map(|()| Duration::ZERO),
                None => Ok(AGAIN),
            },
            Move::GoOn => at_once,
            Move::Act => self.act(run, place).await,
            Move::Probe => self.probe(&run).await,
            Move::LeaveOut => {
                let why = if run.report.is_empty() { "it could not be done".to_owned() } else { run.report.clone() };
                self.write(&run, Event::LeftOut { step: run.step, why }).await?;
                at_once
            }
            Move::Undo => {
                if run.phase != Phase::Undoing {
                    self.write(&run, Event::Undoing).await?;
                    return at_once;
                }
                match self.hands.lock(&run).await {
                    LockState::Held(_) => {}
                    LockState::Elsewhere(holder) => return self.superseded(&run, place, &holder).await,
                    _ => return Ok(AGAIN),
                }
                let (undone, detail) = self.hands.undo(&run).await;
                let why = format!("{}; {detail}", blocking(&run.judged.1));
                match decide(Place { phase: Phase::Undoing, ..place }, undone) {
                    Move::End(outcome) => self.end(&run, outcome, &why).await,
                    _ => Ok(AGAIN),
                }
            }
            Move::End(outcome) => {
                let why = self.reason(&run, outcome, happened);
                self.end(&run, outcome, &why).await
            }
        }
    }

    /// Looks before the next step.
    async fn look(&mut self, run: &Run) -> Result<Duration, IntakeError> {
        if !run.acted && matches!(run.phase, Phase::Planned | Phase::Blocked | Phase::Awaiting) {
            let shelf = (self.parts.books)();
            let Some(entry) = shelf.find(&run.plan.runbook) else {
                return self.end(run, Outcome::Aborted, "its runbook is gone").await;
            };
            let cause = self.cause_now(&run.plan.cause);
            return self.look_and_plan(&run.id.clone(), &entry.book.clone(), &cause, Some(run)).await;
        }
        let stage = if run.fenced || !run.plan.steps[run.step..].iter().any(|step| step.kind() == "fence") {
            Stage::Promote
        } else {
            Stage::Fence
        };
        let evidence = self.gather(&run.id).await;
        let mut plan = run.plan.clone();
        plan.cause = self.cause_now(&run.plan.cause);
        let guards = self.judge(stage, &plan, &evidence, &run.data).await;
        let happened = amounts_to(&plan, run.fenced, &evidence, &guards);
        let is_news = run.judged.0 != stage || differ(&run.judged.1, &guards);
        let event = match happened {
            Happened::Clear => Some(Event::Passed { stage, guards }),
            _ if is_news => Some(Event::Blocked { stage, guards }),
            _ => None,
        };
        if let Some(event) = event {
            self.write(run, event).await?;
        }
        self.fresh = Some((run.id.clone(), happened));
        Ok(Duration::ZERO)
    }

    /// The newest word of what woke the run.
    fn cause_now(&self, cause: &Cause) -> Cause {
        let runs = self.parts.intake.runs();
        match cause {
            Cause::Alert { name, .. } => match runs.alarm(&self.means.cluster, name) {
                Some(alarm) => Cause::Alert {
                    name: name.clone(),
                    firing: alarm.firing,
                    truncated: alarm.truncated,
                    starts_at: alarm.starts_at,
                    received: alarm.received,
                },
                None => cause.clone(),
            },
            other => other.clone(),
        }
    }

    async fn gather(&mut self, id: &str) -> Evidence {
        let evidence = self.hands.look().await;
        self.before = self.looked.take().filter(|(of, _)| of == id).map(|(_, evidence)| evidence);
        self.looked = Some((id.to_owned(), evidence.clone()));
        evidence
    }

    async fn judge(&self, stage: Stage, plan: &Plan, evidence: &Evidence, data: &Map<String, Value>) -> Vec<Seen> {
        let lock = self.hands.state().await;
        let hooks = self.hands.wrong_hooks(plan);
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
            data,
        };
        guard::judge_all(&scene)
    }

    fn other_clusters_in_trouble(&self) -> usize {
        let hubs = self.parts.hubs.now();
        let others = hubs.iter().filter(|hub| !Arc::ptr_eq(hub, &self.hub));
        let troubled = others.filter(|hub| {
            let assessment = hub.cluster().assess(Moment::now());
            assessment.primaries == 0 && assessment.nodes.iter().any(|node| node.last_primary)
        });
        troubled.count()
    }

    /// Looks, plans, and writes the plan if it is another than the run's.
    async fn look_and_plan(
        &mut self,
        id: &str,
        book: &Book,
        cause: &Cause,
        run: Option<&Run>,
    ) -> Result<Duration, IntakeError> {
        let evidence = self.gather(id).await;
        let plan = match self.plan(book, cause, &evidence).await {
            Ok(plan) => plan,
            Err(error) => {
                if self.voice.changes("plan", &error.to_string(), Mono::now()).is_some() {
                    tracing::warn!(cluster = %self.means.cluster, runbook = %book.name, "{error}");
                }
                return Ok(SLOW_LOOK);
            }
        };
        let happened = amounts_to(&plan, false, &evidence, &plan.guards);
        // While a person is asked only another plan is another question.
        let asked =
            |run: &Run| run.phase == Phase::Awaiting && matches!(happened, Happened::Clear | Happened::Doubtful);
        let known =
            run.is_some_and(|run| run.plan.plan == plan.plan && (asked(run) || !differ(&run.judged.1, &plan.guards)));
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

    /// What would be done, with what every guard sees.
    async fn plan(&self, book: &Book, cause: &Cause, evidence: &Evidence) -> Result<Plan, NoPlan> {
        let choose = if book.planned { candidate::choose_planned } else { candidate::choose };
        let (means, candidate) = (&self.means, choose(evidence));
        let mut plan = plan::plan(book, &means.config, &means.terms, cause, evidence, candidate)?;
        plan.guards = self.judge(Stage::Plan, &plan, evidence, &Map::new()).await;
        Ok(plan)
    }

    /// Begins the next step. What it is going to do is on disk before it does it.
    async fn act(&mut self, run: Run, place: Place) -> Result<Duration, IntakeError> {
        match self.hands.lock(&run).await {
            LockState::Held(_) => {}
            LockState::Elsewhere(holder) => return self.superseded(&run, place, &holder).await,
            _ => return Ok(AGAIN),
        }
        match self.hands.same_candidate(&run).await {
            Ok(true) => {}
            Ok(false) => {
                let why = "another pgvigil decided on another candidate before";
                return self.end(&run, if run.acted { Outcome::Indeterminate } else { Outcome::Superseded }, why).await;
            }
            Err(why) => {
                if self.voice.changes("decision", &why, Mono::now()).is_some() {
                    tracing::warn!(cluster = %self.means.cluster, run = %run.id, "what was decided could not be written down beside the lock: {why}");
                }
                return Ok(AGAIN);
            }
        }
        let intent = self.parts.intake.intend(&run).await?;
        tracing::info!(cluster = %self.means.cluster, run = %run.id, kind = "intended", "{} begins", run.plan.name_of(run.step));
        // As the journal has it now.
        let run = self.parts.intake.runs().get(&run.id).cloned().unwrap_or(run);
        let event = self.hands.act(intent, &run).await;
        let refused = matches!(event, Event::Did { result: StepResult::No, .. }) && place.next == Next::Unasked;
        self.write(&run, event).await?;
        self.fresh = refused.then(|| (run.id.clone(), Happened::NotDone));
        Ok(Duration::ZERO)
    }

    /// Another acts.
    async fn superseded(&mut self, run: &Run, place: Place, holder: &str) -> Result<Duration, IntakeError> {
        let outcome = match decide(place, Happened::Elsewhere) {
            Move::End(outcome) => outcome,
            _ => Outcome::Indeterminate,
        };
        self.end(run, outcome, &format!("{holder} holds the lock")).await
    }

    /// Whether what was begun, or its undoing, has had all the time there is.
    fn is_late(&self, run: &Run) -> bool {
        let began = run.step_began.unwrap_or(run.changed);
        Moment::now().wall.seconds_since(began.wall) > (self.hands.deadline(run) + FENCED_FOR).as_secs_f64()
    }

    async fn probe(&mut self, run: &Run) -> Result<Duration, IntakeError> {
        let (answer, detail, data) = self.hands.probe(run).await;
        let now = Moment::now();
        let began = run.step_began.unwrap_or(run.changed);
        let is_late = now.wall.seconds_since(began.wall) > self.hands.deadline(run).as_secs_f64();
        let happened = match answer {
            Probe::Yes => Happened::Done,
            // What was begun by a process that is gone may still be on its way.
            Probe::No if !is_late && self.hands.is_running(run) => Happened::Unknown,
            Probe::No => Happened::NotDone,
            Probe::Unknown if is_late => Happened::Overdue,
            Probe::Unknown => Happened::Unknown,
        };
        // Asked again and again, it is written down when the answer is another.
        let said = (run.id.clone(), run.step, run.attempt, answer);
        if self.probed.as_ref() != Some(&said) {
            self.write(run, Event::Probed { step: run.step, answer, detail, data }).await?;
            self.probed = Some(said);
        }
        if happened != Happened::Done {
            self.fresh = Some((run.id.clone(), happened));
        }
        Ok(if happened == Happened::Unknown { AGAIN } else { Duration::ZERO })
    }

    fn reason(&self, run: &Run, outcome: Outcome, happened: Happened) -> String {
        match outcome {
            Outcome::DryRun => format!("nothing was done, mode is dry-run; {}", blocking(&run.judged.1)),
            Outcome::Succeeded | Outcome::Degraded => self.hands.report(run),
            Outcome::Aborted => match &run.abort {
                Some(by) => format!("{by} asked for it"),
                None => blocking(&run.judged.1),
            },
            Outcome::Expired => "nobody approved it in time".to_owned(),
            Outcome::Indeterminate | Outcome::FailedFenced => {
                format!("{} ({happened:?}): {}", run.plan.name_of(run.step), run.report)
            }
            _ => blocking(&run.judged.1),
        }
    }

    async fn end(&mut self, run: &Run, outcome: Outcome, why: &str) -> Result<Duration, IntakeError> {
        self.write(run, Event::Ended { outcome, report: why.to_owned() }).await?;
        self.hands.let_go().await;
        Ok(Duration::ZERO)
    }

    async fn write(&self, run: &Run, event: Event) -> Result<(), IntakeError> {
        self.tell(&run.id, &event, Some(run));
        self.parts.intake.write(vec![Entry::Run(RunRecord { run: run.id.clone(), event })]).await
    }

    /// One line for what happens.
    fn tell(&self, id: &str, event: &Event, run: Option<&Run>) {
        tracing::info!(cluster = %self.means.cluster, run = %id, kind = event.kind(), "{}", event.sentence(run));
    }
}

/// Whether it is what a look amounted to.
fn is_look(happened: Happened) -> bool {
    use Happened::{Blocked, Clear, Doubtful, Recovered, Stale};
    matches!(happened, Clear | Doubtful | Blocked | Stale | Recovered)
}

fn can_wake(book: &Book, trigger: Trigger) -> bool {
    book.triggers.contains(&trigger) && !book.planned && !book.steps.is_empty() && book.class != Class::HumanOnly
}

/// What a look amounts to. What is planned begins with a primary that lives.
fn amounts_to(plan: &Plan, fenced: bool, evidence: &Evidence, guards: &[Seen]) -> Happened {
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

/// Whether two judgements differ in more than the values that were seen.
fn differ(a: &[Seen], b: &[Seen]) -> bool {
    let answers = |seen: &[Seen]| -> Vec<(String, Answer)> {
        seen.iter().map(|seen| (seen.guard.clone(), seen.answer)).collect()
    };
    answers(a) != answers(b)
}
