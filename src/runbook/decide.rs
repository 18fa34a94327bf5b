//! What is done next: one table from where a run stands and what happened to it. Pure and exhaustive; `docs/engine.md` is its dump.

use super::book::{Mode, Step};
use super::run::{Outcome, Phase, Run};

/// A step is begun at most so often.
pub const MOST_ATTEMPTS: u32 = 3;

/// Where a run stands, as far as it matters for what comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Its phase.
    pub phase: Phase,
    /// Who decides.
    pub mode: Mode,
    /// How far it is.
    pub reached: Reached,
    /// The step that is or comes next.
    pub next: Next,
    /// Whether that step may be begun again: it may run twice, and was not begun too often.
    pub again: bool,
    /// Whether a person asked for an end.
    pub abort: bool,
    /// Whether a step was left out.
    pub left_out: bool,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reached {
    /// Nothing was done.
    Nothing,
    /// A step was begun, and the old primary is not fenced by proof.
    Something,
    /// The old primary is fenced.
    Fenced,
    /// The promotion was begun: from here only forward.
    PastReturn,
    /// The candidate is the primary.
    Promoted,
}

/// The step that is or comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Next {
    /// Fences the old primary.
    Fence,
    /// Promotes the candidate.
    Promote,
    /// Asks the cluster manager to do so. It is the first step.
    Delegate,
    /// Another step, which can be asked whether it is done.
    Asked,
    /// Another step, which cannot.
    Unasked,
    /// There is none.
    Nothing,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Happened {
    /// Nothing since, or the process is new: what was under way is not known.
    Nothing,
    /// A fresh look: every guard lets it pass.
    Clear,
    /// A fresh look: only guards that a person may overrule do not.
    Doubtful,
    /// A fresh look: a guard does not let it pass.
    Blocked,
    /// A fresh look: what the run is about is over.
    Stale,
    /// A fresh look: the primary is well.
    Recovered,
    /// A person approved this plan.
    Approved,
    /// A person said no.
    Rejected,
    /// It took too long: the waiting for a person or for the right to act, guards that block, the step's own time.
    Overdue,
    /// The right to act is ours.
    Held,
    /// It is another's.
    Elsewhere,
    /// Nobody can say whose it is, or it was not asked for since the process began.
    LockUnknown,
    /// The step is done, by proof where it has one.
    Done,
    /// It is not done, for sure: by its probe, or by its own word where it has none.
    NotDone,
    /// It cannot be said whether it is done.
    Unknown,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Move {
    /// Look with fresh probes and judge the guards; after a rest if the last look was just now.
    Look,
    /// Ask a person.
    Ask,
    /// Go on waiting for a person.
    Wait,
    /// Get the right to act.
    Lock,
    /// Begin the step.
    Act,
    /// Ask whether the step is done.
    Probe,
    /// Take the next step.
    GoOn,
    /// Leave the step out, and say so.
    LeaveOut,
    /// Undo what was done.
    Undo,
    /// End the run.
    End(Outcome),
}

impl Place {
    /// Where `run` stands.
    pub fn of(run: &Run) -> Self {
        let reached = match run {
            Run { promoted: true, .. } => Reached::Promoted,
            Run { past_return: true, .. } => Reached::PastReturn,
            Run { fenced: true, .. } => Reached::Fenced,
            Run { acted: true, .. } => Reached::Something,
            _ => Reached::Nothing,
        };
        let (next, idempotent) = match run.current() {
            None => (Next::Nothing, false),
            Some(Step::Fence(hook)) => (Next::Fence, hook.idempotent),
            // Asked again it does no harm: whoever is the primary already refuses.
            Some(Step::Promote { .. }) => (Next::Promote, true),
            // Asked twice a manager may do it twice.
            Some(Step::Delegate { .. }) => (Next::Delegate, false),
            Some(Step::Repoint { .. } | Step::Verify { .. }) => (Next::Asked, true),
            Some(Step::Wait(_)) => (Next::Unasked, true),
            Some(Step::Sql { idempotent, .. }) => (Next::Unasked, *idempotent),
            Some(Step::Run { hook, .. }) => {
                (if hook.probe.is_some() { Next::Asked } else { Next::Unasked }, hook.idempotent)
            }
        };
        let again = idempotent && run.attempt < MOST_ATTEMPTS;
        Self {
            phase: run.phase,
            mode: run.plan.mode,
            reached,
            next,
            again,
            abort: run.abort.is_some(),
            left_out: !run.left_out.is_empty(),
        }
    }
}

/// What comes next. Whatever cannot happen where the run stands leads to a look or a probe, which do nothing.
pub fn decide(place: Place, happened: Happened) -> Move {
    match place.phase {
        Phase::Planned | Phase::Blocked | Phase::Awaiting | Phase::Locking if place.abort => {
            Move::End(Outcome::Aborted)
        }
        Phase::Planned | Phase::Blocked => planned(place.mode, happened),
        Phase::Awaiting => awaiting(happened),
        Phase::Locking => locking(happened),
        Phase::Ready if place.reached >= Reached::PastReturn => forward(place, happened),
        Phase::Ready => ready(place, happened),
        Phase::Acting => acting(place, happened),
        Phase::Probing => probing(place, happened),
        Phase::Undoing => undoing(happened),
        Phase::Ended(outcome) => Move::End(outcome),
    }
}

fn planned(mode: Mode, happened: Happened) -> Move {
    match (happened, mode) {
        (Happened::Clear | Happened::Doubtful | Happened::Blocked, Mode::DryRun) => Move::End(Outcome::DryRun),
        (Happened::Clear | Happened::Doubtful, Mode::Manual) => Move::Ask,
        (Happened::Clear, Mode::Automatic) => Move::Lock,
        (Happened::Stale, _) => Move::End(Outcome::Stale),
        (Happened::Recovered, _) => Move::End(Outcome::Recovered),
        (Happened::Rejected, _) => Move::End(Outcome::Rejected),
        (Happened::Elsewhere, _) => Move::End(Outcome::Superseded),
        (Happened::Overdue, _) => Move::End(Outcome::Blocked),
        (Happened::Doubtful | Happened::Blocked, Mode::Automatic) | (Happened::Blocked, Mode::Manual) => Move::Look,
        (
            Happened::Nothing
            | Happened::Approved
            | Happened::Held
            | Happened::LockUnknown
            | Happened::Done
            | Happened::NotDone
            | Happened::Unknown,
            _,
        ) => Move::Look,
    }
}

fn awaiting(happened: Happened) -> Move {
    match happened {
        Happened::Approved => Move::Lock,
        Happened::Rejected => Move::End(Outcome::Rejected),
        Happened::Overdue => Move::End(Outcome::Expired),
        Happened::Stale => Move::End(Outcome::Stale),
        Happened::Recovered => Move::End(Outcome::Recovered),
        Happened::Elsewhere => Move::End(Outcome::Superseded),
        Happened::Clear | Happened::Doubtful => Move::Wait,
        Happened::Blocked
        | Happened::Nothing
        | Happened::Held
        | Happened::LockUnknown
        | Happened::Done
        | Happened::NotDone
        | Happened::Unknown => Move::Look,
    }
}

/// Nothing was done yet, and every guard is judged once more when the right to act has come.
fn locking(happened: Happened) -> Move {
    match happened {
        Happened::Held => Move::GoOn,
        Happened::Elsewhere => Move::End(Outcome::Superseded),
        Happened::Overdue => Move::End(Outcome::Blocked),
        Happened::Rejected => Move::End(Outcome::Rejected),
        Happened::Stale => Move::End(Outcome::Stale),
        Happened::Recovered => Move::End(Outcome::Recovered),
        Happened::Nothing
        | Happened::Clear
        | Happened::Doubtful
        | Happened::Blocked
        | Happened::Approved
        | Happened::LockUnknown
        | Happened::Done
        | Happened::NotDone
        | Happened::Unknown => Move::Lock,
    }
}

/// Between two steps before the promotion: it, and whatever comes before it, needs every guard once more.
fn ready(place: Place, happened: Happened) -> Move {
    match happened {
        _ if place.next == Next::Nothing => finished(place),
        Happened::Elsewhere => superseded(place.reached),
        _ if place.abort && place.reached < Reached::Fenced => back(place.reached),
        Happened::LockUnknown => Move::Lock,
        // There is another primary: to undo the fence would make two.
        Happened::Stale => over(place.reached, Outcome::Stale),
        // Who was fenced and is well all the same was not fenced, or is another.
        Happened::Recovered if place.reached == Reached::Nothing => Move::End(Outcome::Recovered),
        Happened::Recovered => back(place.reached),
        Happened::Rejected if place.reached == Reached::Nothing => Move::End(Outcome::Rejected),
        Happened::Overdue if place.reached == Reached::Nothing => Move::End(Outcome::Blocked),
        Happened::Overdue => back(place.reached),
        // Undone only after a fresh look: whoever asked for an end may have promoted a standby himself.
        Happened::Clear | Happened::Doubtful | Happened::Blocked if place.abort => back(place.reached),
        Happened::Clear | Happened::Doubtful if place.is_unproven() => back(place.reached),
        Happened::Clear => Move::Act,
        // A person agreed to what is doubtful.
        Happened::Doubtful if place.mode == Mode::Manual => Move::Act,
        Happened::Doubtful
        | Happened::Blocked
        | Happened::Nothing
        | Happened::Approved
        | Happened::Rejected
        | Happened::Held
        | Happened::Done
        | Happened::NotDone
        | Happened::Unknown => Move::Look,
    }
}

/// Between two steps after the promotion: only forward, and no guard is asked.
fn forward(place: Place, happened: Happened) -> Move {
    match happened {
        _ if place.next == Next::Nothing => finished(place),
        Happened::Elsewhere => superseded(place.reached),
        Happened::LockUnknown => Move::Lock,
        Happened::Overdue => not_known(place),
        Happened::Nothing
        | Happened::Clear
        | Happened::Doubtful
        | Happened::Blocked
        | Happened::Stale
        | Happened::Recovered
        | Happened::Approved
        | Happened::Rejected
        | Happened::Held
        | Happened::Done
        | Happened::NotDone
        | Happened::Unknown => Move::Act,
    }
}

/// A step was begun. Where its end is not known it is asked, never done again; what cannot be asked is done again only if it may be.
fn acting(place: Place, happened: Happened) -> Move {
    match happened {
        // The word of the one who fenced is no proof.
        Happened::Done if place.next != Next::Fence => Move::GoOn,
        Happened::Elsewhere => superseded(place.reached),
        _ if place.next != Next::Unasked => Move::Probe,
        Happened::LockUnknown => Move::Lock,
        Happened::Overdue => not_known(place),
        Happened::NotDone => once_more(place, happened).unwrap_or_else(|| not_done(place, happened)),
        Happened::Nothing
        | Happened::Clear
        | Happened::Doubtful
        | Happened::Blocked
        | Happened::Stale
        | Happened::Recovered
        | Happened::Approved
        | Happened::Rejected
        | Happened::Held
        | Happened::Done
        | Happened::Unknown => once_more(place, happened).unwrap_or_else(|| not_known(place)),
    }
}

/// It is asked whether the step is done. A look is taken only after a sure no, so that what it sees counts for beginning again.
fn probing(place: Place, happened: Happened) -> Move {
    match happened {
        Happened::Done => Move::GoOn,
        Happened::Elsewhere => superseded(place.reached),
        Happened::LockUnknown => Move::Lock,
        Happened::Overdue => not_known(place),
        Happened::NotDone => once_more(place, happened).unwrap_or_else(|| not_done(place, happened)),
        Happened::Clear | Happened::Doubtful | Happened::Blocked | Happened::Stale | Happened::Recovered => {
            once_more(place, happened).unwrap_or_else(|| not_done(place, happened))
        }
        // A step without a probe that ended in failure, seen again after a restart.
        _ if place.next == Next::Unasked => once_more(place, happened).unwrap_or_else(|| not_known(place)),
        Happened::Nothing | Happened::Approved | Happened::Rejected | Happened::Held | Happened::Unknown => Move::Probe,
    }
}

/// Undone only after a fresh look, for the process may be new, and a person may have promoted a standby meanwhile.
fn undoing(happened: Happened) -> Move {
    match happened {
        Happened::Done | Happened::Recovered => Move::End(Outcome::Aborted),
        Happened::NotDone | Happened::Unknown | Happened::Overdue => Move::End(Outcome::FailedFenced),
        Happened::Stale => Move::End(Outcome::Indeterminate),
        Happened::Elsewhere => superseded(Reached::Fenced),
        Happened::LockUnknown => Move::Lock,
        Happened::Clear | Happened::Doubtful | Happened::Blocked => Move::Undo,
        Happened::Nothing | Happened::Approved | Happened::Rejected | Happened::Held => Move::Look,
    }
}

impl Place {
    /// Whether pgvigil alone would promote while nobody proved that the old primary is fenced. No runbook that loads leads here.
    fn is_unproven(self) -> bool {
        self.next == Next::Promote && self.mode == Mode::Automatic && self.reached < Reached::Fenced
    }
}

/// The step is begun again, if it may be. Until the promotion is over that needs every guard once more: the engine may have been
/// away for long.
fn once_more(place: Place, happened: Happened) -> Option<Move> {
    let forward = place.reached >= Reached::PastReturn;
    if !place.again || (place.abort && !forward) {
        return None;
    }
    Some(match happened {
        _ if forward && place.next != Next::Promote => Move::Act,
        Happened::Clear => Move::Act,
        Happened::Doubtful if place.mode == Mode::Manual => Move::Act,
        // The other primary may be the candidate, promoted late after all.
        Happened::Stale if place.next == Next::Promote => Move::Probe,
        Happened::Stale => Move::End(Outcome::Indeterminate),
        Happened::Recovered => back(place.reached),
        _ => Move::Look,
    })
}

/// The step is not done, for sure, and is not begun again.
fn not_done(place: Place, happened: Happened) -> Move {
    match (place.reached, place.next) {
        // The cluster manager refused, and nothing came before it.
        (_, Next::Delegate) => Move::End(Outcome::Aborted),
        // It is still a standby, and the old primary is fenced: somebody is needed.
        (_, Next::Promote) => Move::End(Outcome::FailedFenced),
        // A fence that is for sure not there kept nobody out; another may be half done.
        (_, Next::Fence) => Move::End(Outcome::Indeterminate),
        (Reached::Fenced, _) => match happened {
            Happened::Clear | Happened::Doubtful | Happened::Blocked | Happened::Recovered => Move::Undo,
            Happened::Stale => Move::End(Outcome::Indeterminate),
            _ => Move::Look,
        },
        _ => not_known(place),
    }
}

/// Nobody knows whether the step is done. After the promotion it is left out; before it whatever is fenced stays fenced.
fn not_known(place: Place) -> Move {
    match place.reached {
        Reached::Promoted => Move::LeaveOut,
        _ => Move::End(Outcome::Indeterminate),
    }
}

/// All steps are done or left out.
fn finished(place: Place) -> Move {
    Move::End(if place.left_out { Outcome::Degraded } else { Outcome::Succeeded })
}

/// Another acts: nothing more is touched. It takes what it finds after a promotion for none of its business.
fn superseded(reached: Reached) -> Move {
    Move::End(if reached == Reached::Promoted { Outcome::Degraded } else { Outcome::Superseded })
}

/// What the run is about is over.
fn over(reached: Reached, outcome: Outcome) -> Move {
    Move::End(if reached == Reached::Nothing { outcome } else { Outcome::Indeterminate })
}

/// The way out before the promotion.
fn back(reached: Reached) -> Move {
    match reached {
        Reached::Nothing => Move::End(Outcome::Aborted),
        Reached::Fenced => Move::Undo,
        Reached::Something | Reached::PastReturn | Reached::Promoted => Move::End(Outcome::Indeterminate),
    }
}
