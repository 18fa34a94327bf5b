//! The loop of one cluster.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::Parts;
use super::hands::{Hands, Means};
use super::judging::is_look;
use crate::clock::{Moment, Mono};
use crate::observe::Hub;
use crate::observe::voice::Voice;
use crate::runbook::book::Mode;
use crate::runbook::decide::{Happened, Move, Next, Place, Reached, decide};
use crate::runbook::evidence::Evidence;
use crate::runbook::guard::LockState;
use crate::runbook::intake::IntakeError;
use crate::runbook::record::Entry;
use crate::runbook::run::{Event, Outcome, Phase, Probe, Run, RunRecord, StepResult, blocking};

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
/// What a person is asked or agreed to is void when the guards held it up for so long. A server that is slow to answer spoils one look
/// of the three or more that are taken in this time.
const HELD_UP_FOR: Duration = Duration::from_secs(15);
/// Looks follow each other at this pace while a person is asked, and when nothing came about for a while.
pub(super) const SLOW_LOOK: Duration = Duration::from_secs(5);
/// For so long they follow each other as observation does.
const QUICK_FOR: Duration = Duration::from_secs(60);
/// Between two tries of what failed for reasons of our own.
const AGAIN: Duration = Duration::from_millis(500);
/// An alert wakes a run for so long after it was handed in.
pub(super) const WAKES_FOR: Duration = Duration::from_secs(60);
/// When there is nothing to do.
pub(super) const IDLE: Duration = Duration::from_secs(3600);

/// Runs until it is dropped.
pub(super) async fn run(parts: Parts, means: Arc<Means>) {
    let mut changes = parts.intake.changes();
    let Some(mut driver) = Driver::new(parts, means) else { return };
    // What the journal knows comes first: a run may be under way.
    if changes.wait_for(|number| *number > 0).await.is_err() {
        return;
    }
    loop {
        changes.borrow_and_update();
        let rest = driver.step().await;
        // By whichever comes first; a journal that is gone ends nothing.
        let _ = timeout(rest, changes.changed()).await;
    }
}

/// What the loop of one cluster knows beside the journal.
pub(super) struct Driver {
    pub(super) parts: Parts,
    pub(super) means: Arc<Means>,
    pub(super) hub: Arc<Hub>,
    pub(super) hands: Hands,
    /// What the last look at this run amounts to, until it was decided upon.
    pub(super) fresh: Option<(String, Happened)>,
    /// The last look, and the one before it, in the run of this id.
    pub(super) looked: Option<(String, Evidence)>,
    pub(super) before: Option<Evidence>,
    /// The run that the guards hold up though a person was asked or agreed, where it stands, and since when.
    held_up: Option<(String, Phase, Mono)>,
    /// What was last written down of a probe: of which run, step and attempt.
    pub(super) probed: Option<(String, usize, u32, Probe)>,
    /// What was said.
    pub(super) voice: Voice,
}

impl Driver {
    /// `None` if the cluster is not there any more.
    pub(super) fn new(parts: Parts, means: Arc<Means>) -> Option<Self> {
        let hub = parts.hubs.now().iter().find(|hub| hub.cluster().layout().name == means.cluster).cloned()?;
        let hands = Hands::new(means.clone(), hub.clone());
        let voice = Voice::default();
        Some(Self {
            parts,
            means,
            hub,
            hands,
            fresh: None,
            looked: None,
            before: None,
            held_up: None,
            probed: None,
            voice,
        })
    }

    /// Whether what the guards found may be over with the next look, so that nobody who was asked or agreed is told of it yet. Nothing is
    /// done in the meantime.
    pub(super) fn may_pass(&mut self, run: &Run, happened: Happened) -> bool {
        let agreed = run.phase == Phase::Ready && run.approved_by.is_some();
        if happened != Happened::Blocked || run.acted || !(agreed || run.phase == Phase::Awaiting) {
            self.held_up = None;
            return false;
        }
        let now = Mono::now();
        let of_this = self.held_up.take().filter(|(id, phase, _)| (id, *phase) == (&run.id, run.phase));
        let held_up = of_this.unwrap_or_else(|| (run.id.clone(), run.phase, now));
        now.since(self.held_up.insert(held_up).2) < HELD_UP_FOR
    }

    /// Does what is next, and says how long nothing is.
    async fn step(&mut self) -> Duration {
        let open = self.parts.intake.runs().open_of(&self.means.cluster).cloned();
        let done = match open {
            Some(run) => self.go_on(run).await,
            None => self.consider().await,
        };
        match done {
            Ok(rest) => rest,
            Err(error @ IntakeError::TooLarge(_)) => {
                if self.voice.changes("record", &error.to_string(), Mono::now()).is_some() {
                    tracing::error!(cluster = %self.means.cluster, "the run cannot go on: {error}");
                }
                SLOW_LOOK
            }
            Err(error) => {
                // Said by whoever writes the journal. Nothing goes on without it.
                tracing::debug!(cluster = %self.means.cluster, "the engine rests: {error}");
                AGAIN
            }
        }
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
        let lasted = now.wall.seconds_since(run.since.wall);
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
        let refused = matches!(event, Event::Did { result: StepResult::No, .. })
            && matches!(place.next, Next::Unasked | Next::Delegate);
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
        let began = run.step_began.unwrap_or(run.since);
        Moment::now().wall.seconds_since(began.wall) > (self.hands.deadline(run) + FENCED_FOR).as_secs_f64()
    }

    async fn probe(&mut self, run: &Run) -> Result<Duration, IntakeError> {
        let (answer, detail, data) = self.hands.probe(run).await;
        let now = Moment::now();
        let began = run.step_began.unwrap_or(run.since);
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
                None if !run.report.is_empty() => run.report.clone(),
                None => blocking(&run.judged.1),
            },
            Outcome::Expired => "nobody approved it in time".to_owned(),
            Outcome::Indeterminate | Outcome::FailedFenced => {
                let what = match happened {
                    Happened::Overdue => "did not come about in time",
                    Happened::NotDone => "could not be done",
                    _ => "is not known to be done",
                };
                let why = if run.report.is_empty() { blocking(&run.judged.1) } else { run.report.clone() };
                format!("{} {what}: {why}", run.plan.name_of(run.step))
            }
            _ => blocking(&run.judged.1),
        }
    }

    pub(super) async fn end(&mut self, run: &Run, outcome: Outcome, why: &str) -> Result<Duration, IntakeError> {
        self.write(run, Event::Ended { outcome, report: why.to_owned() }).await?;
        self.hands.let_go().await;
        let runs = self.parts.intake.runs();
        self.hands.forget_hooks(runs.open().chain(runs.ended()).map(|run| run.id.clone()).collect());
        Ok(Duration::ZERO)
    }

    pub(super) async fn write(&self, run: &Run, event: Event) -> Result<(), IntakeError> {
        self.tell(&run.id, &event, Some(run));
        self.parts.intake.write(vec![Entry::Run(RunRecord { run: run.id.clone(), event })]).await
    }

    /// One line for what happens.
    pub(super) fn tell(&self, id: &str, event: &Event, run: Option<&Run>) {
        tracing::info!(cluster = %self.means.cluster, run = %id, kind = event.kind(), "{}", event.sentence(run));
    }
}
