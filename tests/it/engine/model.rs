//! A driver as simple as can be, which asserts at every move what must never be.

use std::time::Duration;

use pgvigil::clock::Moment;
use pgvigil::runbook::book::{Mode, Step};
use pgvigil::runbook::decide::{Happened, MOST_ATTEMPTS, Move, Next, Place, decide};
use pgvigil::runbook::guard::Stage;
use pgvigil::runbook::run::{Event, Outcome, Phase, Probe, Run, StepResult};

use super::plan;
use super::world::{Chance, Deed, Old, World};

/// So often it is waited in vain.
const PATIENCE: u32 = 1;

/// What a look found, as long as nothing came after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Glance {
    stage: Stage,
    saw: Happened,
}

/// A run, its driver and the world.
#[derive(Clone, Debug)]
pub struct Model {
    pub book: &'static str,
    pub run: Run,
    pub happened: Happened,
    pub world: World,
    /// The lock is known to be ours.
    held: bool,
    /// So often it was waited where it stands.
    waited: u32,
    glance: Option<Glance>,
    approved: Option<String>,
    /// All records, if they are kept.
    pub records: Option<Vec<Event>>,
    /// The run after each of them.
    pub lived: Vec<Run>,
    /// Changes of phase, by which record.
    pub edges: Vec<Edge>,
    tick: u64,
}

/// From where, by which record, to where.
pub type Edge = (Phase, &'static str, Phase);

/// The process died.
struct Died;

/// What makes one state another, as far as anything that comes later depends on it.
pub type Key = (Place, usize, u32, Happened, World, (bool, u32, Option<Glance>, Option<Planned>));

/// The plan, the one that was approved, and whether the run knows that.
type Planned = (String, Option<String>, bool);

impl Model {
    pub fn new(book: &'static str, mode: Mode, keep: bool) -> Self {
        let plan = plan(book, mode, 0);
        let world = World::new(plan.steps.len());
        let first = Event::Planned(Box::new(plan.clone()));
        let run = Run::begin("run".to_owned(), 1, plan, at(0));
        Self {
            book,
            happened: Happened::Nothing,
            world,
            held: false,
            waited: 0,
            glance: None,
            approved: None,
            records: keep.then(|| vec![first]),
            lived: vec![run.clone()],
            run,
            edges: Vec::new(),
            tick: 0,
        }
    }

    pub fn key(&self) -> Key {
        let run = &self.run;
        let mut world = self.world.clone();
        // Of a step that is over only the proof counts, and what a fence may do yet.
        for (deed, step) in world.deeds.iter_mut().zip(&run.plan.steps).take(run.step) {
            let late = deed.late && matches!(step, Step::Fence(_));
            *deed = Deed { begun: 0, done: true, late, proven: deed.proven };
        }
        let glance = self.glance.filter(|_| !run.promoted);
        let plan = (!run.acted).then(|| (run.plan.plan.clone(), self.approved.clone(), run.approved_by.is_some()));
        (Place::of(run), run.step, run.attempt, self.happened, world, (self.held, self.waited, glance, plan))
    }

    /// One move, or something that others do.
    pub fn turn(&mut self, chance: &mut Chance) {
        let before = (self.run.phase, self.run.step, self.run.attempt);
        let what = chance.pick(6);
        if what > 0 {
            if self.meanwhile(what, chance).is_err() {
                self.die();
            }
            return;
        }
        let next = decide(Place::of(&self.run), self.happened);
        self.happened = Happened::Nothing;
        if self.perform(next, chance).is_err() {
            self.die();
        }
        if before != (self.run.phase, self.run.step, self.run.attempt) {
            self.waited = 0;
        }
    }

    /// Only the records are left.
    fn die(&mut self) {
        (self.happened, self.held, self.waited) = (Happened::Nothing, false, 0);
    }

    fn write(&mut self, event: Event, chance: &mut Chance) -> Result<(), Died> {
        self.tick += 1;
        let before = self.run.phase;
        self.run.fold(&event, at(self.tick));
        if before != self.run.phase {
            self.edges.push((before, event.kind(), self.run.phase));
        }
        if !matches!(event, Event::Locked { .. } | Event::AbortAsked { .. }) {
            self.glance = None;
        }
        if let Some(records) = &mut self.records {
            records.push(event);
            self.lived.push(self.run.clone());
        }
        if chance.pick(2) == 1 { Err(Died) } else { Ok(()) }
    }

    /// What others do. Not between the last look and what it allows: that is a matter of a moment.
    fn meanwhile(&mut self, what: usize, chance: &mut Chance) -> Result<(), Died> {
        use Happened::{Blocked, Clear, Doubtful, Overdue, Recovered, Stale};
        let quiet = matches!(self.happened, Clear | Doubtful | Blocked | Stale | Recovered | Overdue);
        match what {
            1 if self.run.abort.is_none() => {
                self.write(Event::AbortAsked { by: "dba".to_owned(), comment: String::new() }, chance)?;
            }
            2 if self.world.old == Old::Sick && !quiet => self.world.old = Old::Well,
            3 if !quiet && !self.run.past_return && !self.world.promoted => self.world.other = true,
            4 => {
                let late = self.world.deeds.iter().position(|deed| deed.late);
                if let Some(step) = late
                    && !quiet
                {
                    self.world.deeds[step].late = false;
                    self.take_effect(step);
                }
            }
            5 if !self.run.acted => self.world.version = 1,
            _ => {}
        }
        Ok(())
    }

    fn perform(&mut self, next: Move, chance: &mut Chance) -> Result<(), Died> {
        match next {
            Move::Look => self.look(chance),
            Move::Ask => self.write(Event::Awaiting { until: at(1_000_000) }, chance),
            Move::Wait => self.wait(chance),
            Move::Lock => self.lock(chance),
            Move::Act => self.act(chance),
            Move::Probe => self.probe(chance),
            Move::GoOn => Ok(()),
            Move::LeaveOut => {
                assert!(self.run.promoted, "left out before the promotion");
                self.write(Event::LeftOut { step: self.run.step, why: "it failed".to_owned() }, chance)
            }
            Move::Undo => self.undo(chance),
            Move::End(outcome) => {
                self.judge(outcome);
                self.write(Event::Ended { outcome, report: "over".to_owned() }, chance)
            }
        }
    }

    /// `happened`, unless it was waited for something else too often.
    fn patience(&mut self, happened: Happened) -> Happened {
        self.waited += 1;
        if self.waited > PATIENCE { Happened::Overdue } else { happened }
    }

    fn stage(&self) -> Stage {
        match Place::of(&self.run).next {
            Next::Promote => Stage::Promote,
            _ if self.run.fenced => Stage::Promote,
            _ => Stage::Fence,
        }
    }

    fn look(&mut self, chance: &mut Chance) -> Result<(), Died> {
        let picked = [Happened::Clear, Happened::Doubtful, Happened::Blocked][chance.pick(3)];
        let saw = match &self.world {
            world if world.other || world.promoted => Happened::Stale,
            world if world.old == Old::Well => Happened::Recovered,
            _ => picked,
        };
        let before = matches!(self.run.phase, Phase::Planned | Phase::Blocked | Phase::Awaiting);
        let changed = self.run.plan.plan != format!("plan {}", self.world.version);
        if before && (changed || self.run.phase == Phase::Blocked) && picked == saw {
            let plan = plan(self.book, self.run.plan.mode, self.world.version);
            self.write(Event::Planned(Box::new(plan)), chance)?;
        }
        let stage = if before { Stage::Plan } else { self.stage() };
        if saw == Happened::Clear {
            self.write(Event::Passed { stage, guards: Vec::new(), loss_bytes: None }, chance)?;
        } else {
            // A person can agree to what is doubtful, so that it does not stand in the way of asking him.
            let asks = before && saw == Happened::Doubtful && self.run.plan.mode == Mode::Manual;
            if !asks && (self.run.acted || saw == Happened::Blocked) {
                self.write(Event::Blocked { stage, guards: Vec::new() }, chance)?;
            }
        }
        self.glance = Some(Glance { stage, saw });
        self.happened = match saw {
            Happened::Doubtful | Happened::Blocked => self.patience(saw),
            Happened::Stale if self.run.phase == Phase::Probing => self.patience(saw),
            _ => saw,
        };
        Ok(())
    }

    fn wait(&mut self, chance: &mut Chance) -> Result<(), Died> {
        match chance.pick(4) {
            0 => {
                let (plan, by) = (self.run.plan.plan.clone(), "dba".to_owned());
                self.approved = Some(plan.clone());
                self.write(Event::Approved { plan, by, comment: String::new() }, chance)?;
                self.happened = Happened::Approved;
            }
            1 => self.happened = Happened::Rejected,
            2 => {
                let (plan, by) = ("another".to_owned(), "dba".to_owned());
                self.write(Event::Approved { plan, by, comment: String::new() }, chance)?;
                self.happened = self.patience(Happened::Nothing);
            }
            _ => self.happened = self.patience(Happened::Nothing),
        }
        Ok(())
    }

    fn lock(&mut self, chance: &mut Chance) -> Result<(), Died> {
        match chance.pick(3) {
            0 => {
                self.write(Event::Locked { token: 1 }, chance)?;
                (self.held, self.happened) = (true, Happened::Held);
            }
            1 => self.happened = Happened::Elsewhere,
            _ => self.happened = self.patience(Happened::LockUnknown),
        }
        Ok(())
    }

    /// Whether the lock is ours still.
    fn is_ours(&mut self, chance: &mut Chance) -> bool {
        let lost = if self.held { chance.pick(3) } else { 2 };
        self.held = lost == 0;
        match lost {
            0 => {}
            1 => self.happened = Happened::Elsewhere,
            _ => self.happened = self.patience(Happened::LockUnknown),
        }
        self.held
    }

    fn act(&mut self, chance: &mut Chance) -> Result<(), Died> {
        if !self.is_ours(chance) {
            return Ok(());
        }
        self.may_act();
        let (step, attempt) = (self.run.step, self.run.attempt + 1);
        // A hook outlives the engine: whoever died here may have begun it.
        let died = self.write(Event::Intended { step, attempt }, chance).is_err();
        if died && chance.pick(2) == 0 {
            return Err(Died);
        }
        self.world.deeds[step].begun = (self.world.deeds[step].begun + 1).min(2);
        let result = match chance.pick(6) {
            0 => {
                self.take_effect(step);
                StepResult::Done
            }
            1 => {
                self.take_effect(step);
                StepResult::Unknown
            }
            2 => StepResult::Done,
            3 => {
                self.world.deeds[step].late = !self.world.deeds[step].done;
                StepResult::Unknown
            }
            4 => StepResult::Failed,
            _ => StepResult::No,
        };
        if died {
            return Err(Died);
        }
        // A promotion is verified where it is done: its word counts.
        let is_lie = result == StepResult::Done && !self.world.deeds[step].done;
        let is_promote = matches!(self.run.current(), Some(Step::Promote { .. } | Step::Delegate { .. }));
        let result = if is_lie && is_promote { StepResult::Unknown } else { result };
        let unasked = matches!(Place::of(&self.run).next, Next::Unasked | Next::Delegate);
        let detail = String::new();
        self.write(Event::Did { step, attempt, result, detail, millis: 1, data: None }, chance)?;
        self.happened = match result {
            StepResult::Done => Happened::Done,
            StepResult::No if unasked => Happened::NotDone,
            _ => Happened::Nothing,
        };
        Ok(())
    }

    fn take_effect(&mut self, step: usize) {
        match &self.run.plan.steps[step] {
            Step::Fence(_) => self.world.old = Old::Off,
            // A manager promotes nobody beside a primary.
            Step::Delegate { .. } if self.world.other => return,
            Step::Promote { .. } | Step::Delegate { .. } => self.world.promoted = true,
            _ => {}
        }
        (self.world.deeds[step].done, self.world.deeds[step].late) = (true, false);
        let has_fence = self.run.plan.steps.iter().any(|step| matches!(step, Step::Fence(_)));
        let two = self.world.promoted && (self.world.other || has_fence && self.world.old != Old::Off);
        assert!(!two, "two nodes are writable: {:?}", self.world);
    }

    fn probe(&mut self, chance: &mut Chance) -> Result<(), Died> {
        let (step, next) = (self.run.step, Place::of(&self.run).next);
        assert_ne!(next, Next::Unasked, "asked what cannot be asked");
        let is_blind =
            chance.pick(3) == 1 || matches!(self.run.current(), Some(Step::Fence(hook)) if hook.probe.is_none());
        let answer = match self.world.deeds[step].done {
            _ if is_blind => Probe::Unknown,
            true => Probe::Yes,
            // A manager that was asked may still do it.
            false if next == Next::Delegate => Probe::Unknown,
            false => Probe::No,
        };
        self.world.deeds[step].proven |= answer == Probe::Yes;
        self.write(Event::Probed { step, answer, detail: String::new(), data: None }, chance)?;
        self.happened = match answer {
            Probe::Yes => Happened::Done,
            Probe::No => self.patience(Happened::NotDone),
            Probe::Unknown => self.patience(Happened::Unknown),
        };
        Ok(())
    }

    fn undo(&mut self, chance: &mut Chance) -> Result<(), Died> {
        assert!(!self.run.past_return, "undone after the promotion was begun");
        self.write(Event::Undoing, chance)?;
        assert_eq!(self.run.phase, Phase::Undoing);
        if !self.is_ours(chance) {
            return Ok(());
        }
        assert!(
            !self.world.other && !self.world.promoted,
            "{}: undone while there is another primary: {:?}",
            self.book,
            self.key()
        );
        let result = chance.pick(5);
        if matches!(result, 0 | 1) {
            self.world.old = Old::Well;
        }
        match result {
            0 => self.happened = Happened::Done,
            1 | 2 => return Err(Died),
            3 => self.happened = Happened::NotDone,
            _ => self.happened = Happened::Unknown,
        }
        Ok(())
    }

    /// What must be so before a step is begun.
    fn may_act(&self) {
        let (run, world) = (&self.run, &self.world);
        let deed = world.deeds[run.step];
        let step = run.current().expect("a step");
        let place = Place::of(run);
        assert_ne!(run.plan.mode, Mode::DryRun, "a dry run acts");
        if run.plan.mode == Mode::Manual {
            assert_eq!(self.approved.as_ref(), Some(&run.plan.plan), "nobody approved this plan");
        }
        assert!(!deed.proven, "it is begun again though its probe said yes");
        assert!(run.attempt < MOST_ATTEMPTS, "begun too often");
        let may_run_twice = match step {
            Step::Fence(hook) | Step::Run { hook, .. } => hook.idempotent,
            Step::Sql { idempotent, .. } => *idempotent,
            Step::Delegate { .. } => false,
            _ => true,
        };
        assert!(may_run_twice || deed.begun == 0, "it may not run twice: {step:?}");
        let is_promote = matches!(step, Step::Promote { .. });
        if !run.promoted {
            let glance =
                self.glance.unwrap_or_else(|| panic!("{}: no look just before {step:?} in {place:?}", self.book));
            let agreed = glance.saw == Happened::Doubtful && run.plan.mode == Mode::Manual;
            assert!(glance.saw == Happened::Clear || agreed, "{step:?} after {glance:?}");
            assert_eq!(glance.stage, self.stage(), "the wrong guards were judged");
            assert!(run.past_return || run.abort.is_none(), "aborted, and acts");
            assert!(!world.other, "acts though a look could see another primary");
        }
        if is_promote {
            for (at, before) in run.plan.steps.iter().enumerate().take(run.step) {
                let proven = !matches!(before, Step::Fence(_)) || world.deeds[at].proven;
                assert!(proven, "promotes, and fence {at} is not proven");
            }
            assert!(run.plan.mode == Mode::Manual || run.fenced, "promotes by itself without a fence");
        }
        assert!(!matches!(step, Step::Fence(_)) || place.reached < pgvigil::runbook::decide::Reached::PastReturn);
    }

    /// What must be so at the end.
    fn judge(&self, outcome: Outcome) {
        let (run, world) = (&self.run, &self.world);
        let begun = world.deeds.iter().any(|deed| deed.begun > 0);
        let promotes = run.plan.steps.iter().any(|step| matches!(step, Step::Promote { .. } | Step::Delegate { .. }));
        match outcome {
            Outcome::DryRun | Outcome::Blocked | Outcome::Expired | Outcome::Rejected => assert!(!begun, "{outcome:?}"),
            Outcome::Stale | Outcome::Recovered => assert!(!begun, "{outcome:?}"),
            Outcome::Succeeded | Outcome::Degraded => {
                assert!(!promotes || world.promoted, "{outcome:?} and there is no new primary");
                assert_eq!(outcome == Outcome::Succeeded, run.left_out.is_empty() && run.current().is_none());
            }
            Outcome::Aborted => {
                assert!(!run.past_return && !run.fenced | (world.old == Old::Well), "{run:?} {world:?}")
            }
            Outcome::FailedFenced => assert!(run.acted && !run.promoted),
            Outcome::Superseded | Outcome::Indeterminate => assert!(!run.promoted),
        }
    }
}

pub fn at(tick: u64) -> Moment {
    Moment::default().plus(Duration::from_secs(tick))
}
