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
    /// It took too long.
    Overdue,
    /// The right to act is ours.
    Held,
    /// It is another's.
    Elsewhere,
    /// Nobody can say whose it is.
    LockUnknown,
    /// The step is done, by proof where it has one.
    Done,
    /// It is not done, for sure.
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

/// What comes next. Whatever cannot happen where the run stands leads to a look, which does nothing.
pub fn decide(place: Place, happened: Happened) -> Move {
    match place.phase {
        Phase::Planned | Phase::Blocked | Phase::Awaiting if place.abort => Move::End(Outcome::Aborted),
        Phase::Planned | Phase::Blocked => planned(place.mode, happened),
        Phase::Awaiting => awaiting(happened),
        Phase::Locking => locking(place, happened),
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
        (Happened::Overdue, _) => Move::End(Outcome::Blocked),
        (Happened::Doubtful | Happened::Blocked, Mode::Automatic) | (Happened::Blocked, Mode::Manual) => Move::Look,
        (
            Happened::Nothing
            | Happened::Approved
            | Happened::Rejected
            | Happened::Held
            | Happened::Elsewhere
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
        Happened::Clear | Happened::Doubtful => Move::Wait,
        Happened::Blocked
        | Happened::Nothing
        | Happened::Held
        | Happened::Elsewhere
        | Happened::LockUnknown
        | Happened::Done
        | Happened::NotDone
        | Happened::Unknown => Move::Look,
    }
}

fn locking(place: Place, happened: Happened) -> Move {
    match happened {
        _ if place.abort && place.reached == Reached::Nothing => Move::End(Outcome::Aborted),
        Happened::Held => Move::GoOn,
        Happened::Elsewhere => Move::End(Outcome::Superseded),
        Happened::Overdue => stuck(place.reached, Outcome::Blocked),
        Happened::Nothing
        | Happened::Clear
        | Happened::Doubtful
        | Happened::Blocked
        | Happened::Stale
        | Happened::Recovered
        | Happened::Approved
        | Happened::Rejected
        | Happened::LockUnknown
        | Happened::Done
        | Happened::NotDone
        | Happened::Unknown => Move::Lock,
    }
}

/// Between two steps. The promotion, and what comes before it, need every guard once more; after it nothing is asked.
fn ready(place: Place, happened: Happened) -> Move {
    let forward = place.reached >= Reached::PastReturn;
    match happened {
        Happened::Elsewhere => match place.reached {
            Reached::Nothing => Move::End(Outcome::Superseded),
            _ => Move::End(Outcome::Indeterminate),
        },
        _ if place.abort && !forward => back(place.reached),
        _ if place.next == Next::Nothing => Move::End(match place.left_out {
            true => Outcome::Degraded,
            false => Outcome::Succeeded,
        }),
        Happened::Held | Happened::Approved | Happened::Nothing if forward => Move::Act,
        Happened::Clear => Move::Act,
        Happened::LockUnknown => Move::Lock,
        Happened::Stale | Happened::Recovered if !forward => match place.reached {
            Reached::Nothing => {
                Move::End(if happened == Happened::Stale { Outcome::Stale } else { Outcome::Recovered })
            }
            // Who was fenced and is well all the same was not fenced, or is another.
            _ => back(place.reached),
        },
        Happened::Overdue if !forward => back(place.reached),
        // A person agreed to what is doubtful.
        Happened::Doubtful if place.mode == Mode::Manual => Move::Act,
        Happened::Doubtful
        | Happened::Blocked
        | Happened::Nothing
        | Happened::Stale
        | Happened::Recovered
        | Happened::Approved
        | Happened::Rejected
        | Happened::Overdue
        | Happened::Held
        | Happened::Done
        | Happened::NotDone
        | Happened::Unknown => Move::Look,
    }
}

/// A step was begun. Where its end is not known it is asked, never done again.
fn acting(place: Place, happened: Happened) -> Move {
    match happened {
        // The word of the one who fenced is no proof.
        Happened::Done if place.next != Next::Fence => Move::GoOn,
        Happened::NotDone if place.next == Next::Unasked => not_done(place),
        _ if place.next == Next::Unasked => match place.again {
            true => Move::Act,
            false => left_or(place, Outcome::Indeterminate),
        },
        _ => Move::Probe,
    }
}

fn probing(place: Place, happened: Happened) -> Move {
    match happened {
        Happened::Done => Move::GoOn,
        Happened::NotDone => not_done(place),
        Happened::Overdue => left_or(place, Outcome::Indeterminate),
        // A step without a probe that ended in failure, seen again after a restart.
        _ if place.next == Next::Unasked => not_done(place),
        Happened::Nothing
        | Happened::Clear
        | Happened::Doubtful
        | Happened::Blocked
        | Happened::Stale
        | Happened::Recovered
        | Happened::Approved
        | Happened::Rejected
        | Happened::Held
        | Happened::Elsewhere
        | Happened::LockUnknown
        | Happened::Unknown => Move::Probe,
    }
}

fn undoing(happened: Happened) -> Move {
    match happened {
        Happened::Done => Move::End(Outcome::Aborted),
        Happened::NotDone | Happened::Unknown | Happened::Overdue => Move::End(Outcome::FailedFenced),
        Happened::Nothing
        | Happened::Clear
        | Happened::Doubtful
        | Happened::Blocked
        | Happened::Stale
        | Happened::Recovered
        | Happened::Approved
        | Happened::Rejected
        | Happened::Held
        | Happened::Elsewhere
        | Happened::LockUnknown => Move::Undo,
    }
}

/// The step is not done, for sure.
fn not_done(place: Place) -> Move {
    if place.again && !(place.abort && place.reached < Reached::PastReturn) {
        return Move::Act;
    }
    match place.next {
        // It is still a standby, and the old primary is fenced: somebody is needed.
        Next::Promote => Move::End(Outcome::FailedFenced),
        // A fence that is for sure not there kept nobody out; another may be half done.
        Next::Fence => Move::End(Outcome::Indeterminate),
        Next::Asked | Next::Unasked | Next::Nothing => left_or(place, Outcome::Indeterminate),
    }
}

/// After the promotion only forward: what cannot be done is left out.
fn left_or(place: Place, outcome: Outcome) -> Move {
    match (place.reached, place.next) {
        (Reached::Promoted, _) => Move::LeaveOut,
        (_, Next::Promote | Next::Fence) => Move::End(outcome),
        (Reached::Fenced, _) => Move::Undo,
        _ => Move::End(outcome),
    }
}

/// The way out before the promotion.
fn back(reached: Reached) -> Move {
    match reached {
        Reached::Nothing => Move::End(Outcome::Aborted),
        Reached::Something => Move::End(Outcome::Indeterminate),
        Reached::Fenced => Move::Undo,
        Reached::PastReturn | Reached::Promoted => Move::GoOn,
    }
}

/// The right to act does not come.
fn stuck(reached: Reached, outcome: Outcome) -> Move {
    match reached {
        Reached::Nothing => Move::End(outcome),
        _ => Move::End(Outcome::Indeterminate),
    }
}
