//! The whole decision table: what holds in every cell of it, what the rows of the state machine ask of it, and `docs/engine.md`, which
//! `UPDATE=1 cargo test --test it -- engine_table` writes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use pgvigil::runbook::book::Mode;
use pgvigil::runbook::decide::{Happened, Move, Next, Place, Reached, decide};
use pgvigil::runbook::run::{Outcome, Phase};

use crate::engine::{Edge, explored};
use crate::fixture;

const HAPPENED: [Happened; 15] = [
    Happened::Nothing,
    Happened::Clear,
    Happened::Doubtful,
    Happened::Blocked,
    Happened::Stale,
    Happened::Recovered,
    Happened::Approved,
    Happened::Rejected,
    Happened::Overdue,
    Happened::Held,
    Happened::Elsewhere,
    Happened::LockUnknown,
    Happened::Done,
    Happened::NotDone,
    Happened::Unknown,
];
const PHASES: [Phase; 8] = [
    Phase::Planned,
    Phase::Blocked,
    Phase::Awaiting,
    Phase::Locking,
    Phase::Ready,
    Phase::Acting,
    Phase::Probing,
    Phase::Undoing,
];
const MODES: [Mode; 3] = [Mode::DryRun, Mode::Manual, Mode::Automatic];
const REACHED: [Reached; 5] =
    [Reached::Nothing, Reached::Something, Reached::Fenced, Reached::PastReturn, Reached::Promoted];
const NEXT: [Next; 6] = [Next::Fence, Next::Promote, Next::Delegate, Next::Asked, Next::Unasked, Next::Nothing];

/// Every place that can be written down.
fn places() -> Vec<Place> {
    let mut places = Vec::new();
    for phase in PHASES {
        for mode in MODES {
            for reached in REACHED {
                for next in NEXT {
                    for bits in 0..8 {
                        let (again, abort, left_out) = (bits & 1 > 0, bits & 2 > 0, bits & 4 > 0);
                        places.push(Place { phase, mode, reached, next, again, abort, left_out });
                    }
                }
            }
        }
    }
    places
}

/// Whether a run can stand there.
fn is_possible(place: &Place) -> bool {
    let Place { phase, mode, reached, next, again, left_out, .. } = *place;
    if matches!(phase, Phase::Ended(_)) {
        return true;
    }
    let step_fits = match next {
        Next::Fence => reached < Reached::PastReturn,
        Next::Promote => {
            (reached == Reached::PastReturn) == matches!(phase, Phase::Acting | Phase::Probing)
                && reached < Reached::Promoted
        }
        Next::Delegate => {
            (reached == Reached::Something) == matches!(phase, Phase::Acting | Phase::Probing)
                && reached <= Reached::Something
                && !again
        }
        Next::Asked | Next::Unasked | Next::Nothing => reached != Reached::PastReturn,
    };
    let phase_fits = match phase {
        Phase::Planned | Phase::Blocked => reached == Reached::Nothing,
        Phase::Awaiting | Phase::Locking => reached == Reached::Nothing && mode == Mode::Manual,
        Phase::Ready => mode != Mode::DryRun,
        Phase::Acting | Phase::Probing => mode != Mode::DryRun && reached > Reached::Nothing && next != Next::Nothing,
        Phase::Undoing => mode != Mode::DryRun && reached == Reached::Fenced,
        Phase::Ended(_) => true,
    };
    let flags_fit = (!left_out || reached == Reached::Promoted) && (!again || next != Next::Nothing);
    step_fits && phase_fits && flags_fit
}

fn cells() -> impl Iterator<Item = (Place, Happened, Move)> {
    places().into_iter().flat_map(|place| HAPPENED.map(|happened| (place, happened, decide(place, happened))))
}

#[test]
fn no_cell_promotes_without_a_look_and_a_fence() {
    for (place, happened, next) in cells() {
        if next != Move::Act
            || place.next != Next::Promote
            || place.reached == Reached::Promoted
            || !is_possible(&place)
        {
            continue;
        }
        let agreed = happened == Happened::Doubtful && place.mode == Mode::Manual;
        assert!(happened == Happened::Clear || agreed, "{place:?} {happened:?}");
        assert!(place.mode == Mode::Manual || place.reached >= Reached::Fenced, "{place:?} {happened:?}");
    }
}

#[test]
fn no_cell_asks_a_manager_without_a_look_or_twice() {
    for (place, happened, next) in cells() {
        if next == Move::Act && place.next == Next::Delegate && is_possible(&place) {
            let agreed = happened == Happened::Doubtful && place.mode == Mode::Manual;
            assert!(place.phase == Phase::Ready && (happened == Happened::Clear || agreed), "{place:?} {happened:?}");
        }
    }
}

#[test]
fn no_cell_leaves_the_way_that_it_may_go() {
    for (place, happened, next) in cells() {
        let cell = format!("{place:?} {happened:?}: {next:?}");
        let past = place.reached >= Reached::PastReturn;
        if place.abort && !past {
            assert_ne!(next, Move::Act, "acts after an abort: {cell}");
        }
        if past && is_possible(&place) {
            assert!(!matches!(next, Move::Undo | Move::Ask | Move::Wait), "goes back after the promotion: {cell}");
        }
        assert!(next != Move::LeaveOut || place.reached == Reached::Promoted, "left out before the promotion: {cell}");
        if place.mode == Mode::DryRun && is_possible(&place) {
            assert!(matches!(next, Move::Look | Move::End(_)), "a dry run does something: {cell}");
        }
        match happened {
            Happened::Elsewhere => assert!(matches!(next, Move::End(_)), "goes on while another acts: {cell}"),
            Happened::LockUnknown => assert!(!matches!(next, Move::Act | Move::Undo), "acts without the lock: {cell}"),
            Happened::Stale if !past => assert!(!matches!(next, Move::Act | Move::Undo), "there are two: {cell}"),
            Happened::Nothing | Happened::Unknown if place.phase == Phase::Acting && place.next != Next::Unasked => {
                assert_eq!(next, Move::Probe, "{cell}");
            }
            _ => {}
        }
    }
}

/// What the state machine, the restart rule and the failure modes ask for, in their own words.
#[test]
fn the_table_says_what_the_state_machine_asks_for() {
    use Happened as H;
    use Next as N;
    use Reached as R;
    let manual = |phase, reached, next| Place {
        phase,
        mode: Mode::Manual,
        reached,
        next,
        again: true,
        abort: false,
        left_out: false,
    };
    let automatic = |phase, reached, next| Place { mode: Mode::Automatic, ..manual(phase, reached, next) };
    let aborted = |place: Place| Place { abort: true, ..place };
    let once = |place: Place| Place { again: false, ..place };
    let dry = Place { mode: Mode::DryRun, ..manual(Phase::Planned, R::Nothing, N::Fence) };
    let planned = automatic(Phase::Planned, R::Nothing, N::Fence);
    let awaiting = manual(Phase::Awaiting, R::Nothing, N::Fence);
    let locking = manual(Phase::Locking, R::Nothing, N::Fence);
    let before_fence = automatic(Phase::Ready, R::Nothing, N::Fence);
    let fencing = automatic(Phase::Acting, R::Something, N::Fence);
    let is_fenced = automatic(Phase::Probing, R::Something, N::Fence);
    let fenced = automatic(Phase::Ready, R::Fenced, N::Promote);
    let promoting = automatic(Phase::Acting, R::PastReturn, N::Promote);
    let is_promoted = automatic(Phase::Probing, R::PastReturn, N::Promote);
    let promoted = automatic(Phase::Ready, R::Promoted, N::Asked);
    let is_repointed = automatic(Phase::Probing, R::Promoted, N::Asked);
    let done = automatic(Phase::Ready, R::Promoted, N::Nothing);
    let end = Move::End;
    let rows = [
        ("planned: blocked guards are judged again", planned, H::Blocked, Move::Look),
        ("planned: blocked until it is given up", planned, H::Overdue, end(Outcome::Blocked)),
        ("planned: a dry run is shown", dry, H::Blocked, end(Outcome::DryRun)),
        ("planned: a person is asked", manual(Phase::Planned, R::Nothing, N::Fence), H::Clear, Move::Ask),
        ("planned: automatic asks for the lock", planned, H::Clear, Move::Lock),
        ("planned: automatic needs more than what is doubtful", planned, H::Doubtful, Move::Look),
        ("planned: a stale alert, or a new start of the same outage", planned, H::Stale, end(Outcome::Stale)),
        ("planned: resolved, and the primary is well", planned, H::Recovered, end(Outcome::Recovered)),
        ("planned: the other receiver has the lock", planned, H::Elsewhere, end(Outcome::Superseded)),
        ("awaiting: rejected", awaiting, H::Rejected, end(Outcome::Rejected)),
        ("awaiting: expired", awaiting, H::Overdue, end(Outcome::Expired)),
        ("awaiting: planned anew", awaiting, H::Blocked, Move::Look),
        ("awaiting: approved", awaiting, H::Approved, Move::Lock),
        ("awaiting: a new process looks", awaiting, H::Nothing, Move::Look),
        ("awaiting: abort", aborted(awaiting), H::Approved, end(Outcome::Aborted)),
        ("locking: the other receiver has it", locking, H::Elsewhere, end(Outcome::Superseded)),
        ("locking: the lock store is not reached", locking, H::LockUnknown, Move::Lock),
        ("locking: it is not reached for long", locking, H::Overdue, end(Outcome::Blocked)),
        ("locked: every guard once more", before_fence, H::Held, Move::Look),
        ("fence: the guards pass", before_fence, H::Clear, Move::Act),
        ("fence: the primary returns before it", before_fence, H::Recovered, end(Outcome::Recovered)),
        ("fence: abort, nothing was done", aborted(before_fence), H::Clear, end(Outcome::Aborted)),
        ("fencing: its word is no proof", fencing, H::Done, Move::Probe),
        ("fencing: the engine died in it", fencing, H::Nothing, Move::Probe),
        ("fencing: it is not there, and may be tried again", is_fenced, H::NotDone, Move::Look),
        ("fencing: again", is_fenced, H::Clear, Move::Act),
        ("fencing: the primary is up all the same", once(is_fenced), H::NotDone, end(Outcome::Indeterminate)),
        ("fencing: nobody knows", is_fenced, H::Overdue, end(Outcome::Indeterminate)),
        ("fenced: every guard once more", fenced, H::Done, Move::Look),
        ("fenced: the guards pass", fenced, H::Clear, Move::Act),
        ("fenced: the guards do not", fenced, H::Blocked, Move::Look),
        ("fenced: they do not for long", fenced, H::Overdue, Move::Undo),
        ("fenced: abort looks first", aborted(fenced), H::Nothing, Move::Look),
        ("fenced: abort is undone", aborted(fenced), H::Clear, Move::Undo),
        (
            "fenced: there is another primary, and the fence stays",
            aborted(fenced),
            H::Stale,
            end(Outcome::Indeterminate),
        ),
        ("fenced: the lock is another's", fenced, H::Elsewhere, end(Outcome::Superseded)),
        ("fenced: whether the lock is ours is not known", fenced, H::LockUnknown, Move::Lock),
        ("promoting: the engine died in it", promoting, H::Nothing, Move::Probe),
        ("promoting: abort comes too late", aborted(promoting), H::Nothing, Move::Probe),
        ("promoting: abort comes too late for another try", aborted(is_promoted), H::Clear, Move::Act),
        ("promoting: still a standby", is_promoted, H::NotDone, Move::Look),
        ("promoting: still a standby after all tries", once(is_promoted), H::NotDone, end(Outcome::FailedFenced)),
        ("promoting: nobody knows", is_promoted, H::Overdue, end(Outcome::Indeterminate)),
        ("promoted: roll forward", promoted, H::Nothing, Move::Act),
        ("promoted: roll forward whatever the guards say", promoted, H::Blocked, Move::Act),
        ("promoted: abort comes too late", aborted(promoted), H::Nothing, Move::Act),
        ("repointing: tried again", is_repointed, H::NotDone, Move::Act),
        ("repointing: not fatal", once(is_repointed), H::NotDone, Move::LeaveOut),
        ("all done", done, H::Nothing, end(Outcome::Succeeded)),
        ("all done but what was left out", Place { left_out: true, ..done }, H::Nothing, end(Outcome::Degraded)),
        ("all done, and the lock is another's since", done, H::Elsewhere, end(Outcome::Succeeded)),
        (
            "begun, no result, may not run twice, cannot be asked",
            once(automatic(Phase::Acting, R::Something, N::Unasked)),
            H::Nothing,
            end(Outcome::Indeterminate),
        ),
        (
            "begun, no result, may run twice, cannot be asked",
            automatic(Phase::Acting, R::Fenced, N::Unasked),
            H::Nothing,
            Move::Look,
        ),
        (
            "unknown before the promotion: the fence is kept",
            automatic(Phase::Probing, R::Fenced, N::Asked),
            H::Overdue,
            end(Outcome::Indeterminate),
        ),
        ("undoing: a new process looks", automatic(Phase::Undoing, R::Fenced, N::Promote), H::Nothing, Move::Look),
        ("undone", automatic(Phase::Undoing, R::Fenced, N::Promote), H::Done, end(Outcome::Aborted)),
        ("not undone", automatic(Phase::Undoing, R::Fenced, N::Promote), H::NotDone, end(Outcome::FailedFenced)),
    ];
    for (row, place, happened, wanted) in rows {
        assert_eq!(decide(place, happened), wanted, "{row}");
    }
}

#[test]
fn runs_come_to_every_phase_and_nowhere_else() {
    let found = explored();
    let stood: BTreeSet<_> = found.places.iter().map(|(place, _)| *place).collect();
    for place in &stood {
        assert!(is_possible(place), "docs/engine.md leaves this out: {place:?}");
    }
    let phases: BTreeSet<_> = stood.iter().map(|place| place.phase).collect();
    for phase in PHASES {
        assert!(phases.contains(&phase), "nothing leads to {phase:?}");
        assert!(found.edges.iter().any(|(from, ..)| *from == phase), "nothing leads out of {phase:?}");
    }
    for outcome in Outcome::ALL {
        assert!(found.outcomes.contains(&outcome), "nothing leads to {outcome:?}");
    }
}

#[test]
fn docs_engine_md_is_the_table() {
    let path = Path::new(fixture::ROOT).join("docs/engine.md");
    let page = page();
    if fixture::update() {
        fs::write(&path, &page).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == page, "docs/engine.md is out of date: run this test with UPDATE=1");
}

const INTRO: &str = "# The engine's table

<!-- Written by `UPDATE=1 cargo test --test it -- engine_table` from `src/runbook/decide.rs`; do not edit. -->

A run is what the journal says of it. Wherever it stands and whatever happens, one table says what is done next; the process may die at
any time and goes on with what the journal says and *nothing* as what happened. Rows are tried out in full by the tests, with hooks that
fail, lie and come late, and a process that dies after every record.

What a row depends on, beside the phase and what happened:

| | |
|---|---|
| mode | the runbook's mode under the config's ceiling |
| reached | *nothing* was done; *something* was begun; the old primary is *fenced* by proof; the promotion was begun: *past return*; *promoted* |
| next | the step that is or comes next: the *fence*, the *promotion*, another that can be *asked* whether it is done, one that cannot (*unasked*), *none* |
| again | it may run twice, and was not begun too often |
| abort | a person asked for an end |
| left out | a step was left out, after the promotion |

What happened: a fresh look found every guard *clear*, only what a person may overrule *doubtful*, or the run *blocked*; it is *stale*, for
there is another timeline or primary, or the primary has *recovered*. A person *approved* or *rejected*. It was waited too long:
*overdue*. The right to act is ours (*held*), *elsewhere*, or that is not known (*lock unknown*). The step is *done*, *not done* for sure,
or that is *unknown*.

What is done: *look* takes fresh evidence and judges every guard, *act* begins the step, *probe* asks whether it is done, *leave out* goes
on without it, *undo* takes the fence back.
";

fn page() -> String {
    let mut page = INTRO.to_owned();
    page.push_str("\n## The way of a run\n\n");
    page.push_str(&diagram(&explored().edges));
    let possible: Vec<_> = places().into_iter().filter(is_possible).collect();
    let before = |place: &Place| place.reached < Reached::PastReturn && place.next != Next::Nothing;
    let ready = |place: &Place| place.phase == Phase::Ready && before(place);
    let early =
        |place: &Place| matches!(place.phase, Phase::Planned | Phase::Blocked | Phase::Awaiting | Phase::Locking);
    let of =
        |wanted: &dyn Fn(&Place) -> bool| possible.iter().copied().filter(|place| wanted(place)).collect::<Vec<_>>();
    let sections = [
        ("Planned and blocked", of(&|place| matches!(place.phase, Phase::Planned | Phase::Blocked) && !place.abort)),
        ("Awaiting a person", of(&|place| place.phase == Phase::Awaiting && !place.abort)),
        ("Locking", of(&|place| place.phase == Phase::Locking && !place.abort)),
        ("Aborted in one of these", of(&|place| early(place) && place.abort)),
        ("Ready, before the promotion", of(&|place| ready(place) && !place.abort)),
        ("Ready, before the promotion, aborted", of(&|place| ready(place) && place.abort)),
        (
            "Ready, after the promotion",
            of(&|place| place.phase == Phase::Ready && !before(place) && place.next != Next::Nothing),
        ),
        ("Ready, no step left", of(&|place| place.phase == Phase::Ready && place.next == Next::Nothing)),
        ("Acting", of(&|place| place.phase == Phase::Acting)),
        ("Probing, before the promotion", of(&|place| place.phase == Phase::Probing && before(place))),
        ("Probing, from the promotion on", of(&|place| place.phase == Phase::Probing && !before(place))),
        ("Undoing", of(&|place| place.phase == Phase::Undoing)),
    ];
    let shown: usize = sections.iter().map(|(_, places)| places.len()).sum();
    assert_eq!(shown, possible.len(), "a place is left out or shown twice");
    for (title, places) in sections {
        let _ = write!(page, "\n## {title}\n\n| happened | if | done |\n|---|---|---|\n");
        let mut rows: Vec<(Vec<Happened>, Tree)> = Vec::new();
        for happened in HAPPENED {
            let tree = Tree::of(&places, happened, &FACTORS);
            match rows.iter_mut().find(|(_, other)| *other == tree) {
                Some((same, _)) => same.push(happened),
                None => rows.push((vec![happened], tree)),
            }
        }
        for (happened, tree) in rows {
            let names: Vec<_> = happened.iter().map(|happened| words(&format!("{happened:?}"))).collect();
            let mut first = names.join(", ");
            for (conditions, next) in tree.leaves() {
                let _ = writeln!(page, "| {first} | {} | {} |", conditions.join("; "), word_of(next));
                first.clear();
            }
        }
    }
    page
}

/// `LockUnknown` is `lock unknown`.
fn words(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

fn word_of(next: Move) -> String {
    match next {
        Move::End(outcome) => format!("end: **{}**", outcome.as_str()),
        other => words(&format!("{other:?}")),
    }
}

fn diagram(edges: &BTreeSet<Edge>) -> String {
    let mut labels: BTreeMap<(String, String), BTreeSet<&str>> = BTreeMap::new();
    for (from, kind, to) in edges {
        let (to, label) = match to {
            Phase::Ended(outcome) => ("Ended".to_owned(), outcome.as_str()),
            other => (format!("{other:?}"), *kind),
        };
        labels.entry((format!("{from:?}"), to)).or_default().insert(label);
    }
    let mut text = "```mermaid\nstateDiagram-v2\n    [*] --> Planned: planned\n".to_owned();
    for ((from, to), label) in labels {
        let label: Vec<_> = label.into_iter().collect();
        let _ = writeln!(text, "    {from} --> {to}: {}", label.join(", "));
    }
    text.push_str("    Ended --> [*]\n```\n");
    text
}

/// What a cell depends on, by name.
type Factor = (&'static str, fn(&Place) -> String);

const FACTORS: [Factor; 6] = [
    ("", |place| if place.abort { "abort".to_owned() } else { "no abort".to_owned() }),
    ("mode ", |place| place.mode.as_str().to_owned()),
    ("next ", |place| match place.next {
        Next::Promote => "promotion".to_owned(),
        Next::Nothing => "none".to_owned(),
        other => words(&format!("{other:?}")),
    }),
    ("reached ", |place| words(&format!("{:?}", place.reached))),
    ("", |place| if place.again { "again".to_owned() } else { "not again".to_owned() }),
    ("", |place| if place.left_out { "left out".to_owned() } else { "nothing left out".to_owned() }),
];

/// The shortest way to say what is done.
#[derive(Clone, Debug, PartialEq)]
enum Tree {
    Leaf(Move),
    Split(Vec<(String, Tree)>),
}

impl Tree {
    fn of(places: &[Place], happened: Happened, factors: &[Factor]) -> Self {
        let first = decide(places[0], happened);
        if places.iter().all(|place| decide(*place, happened) == first) {
            return Self::Leaf(first);
        }
        let splits = factors.iter().enumerate().filter_map(|(number, (name, value))| {
            let mut groups: BTreeMap<String, Vec<Place>> = BTreeMap::new();
            for place in places {
                groups.entry(value(place)).or_default().push(*place);
            }
            if groups.len() < 2 {
                return None;
            }
            let rest: Vec<_> = [&factors[..number], &factors[number + 1..]].concat();
            let mut branches: Vec<(Vec<String>, Self)> = Vec::new();
            for (value, places) in groups {
                let tree = Self::of(&places, happened, &rest);
                match branches.iter_mut().find(|(_, other)| *other == tree) {
                    Some((values, _)) => values.push(value),
                    None => branches.push((vec![value], tree)),
                }
            }
            (branches.len() > 1).then(|| {
                let all: Vec<_> = branches.iter().flat_map(|(values, _)| values.clone()).collect();
                let named = |(values, tree): (Vec<String>, Self)| {
                    let others: Vec<_> = all.iter().filter(|value| !values.contains(value)).cloned().collect();
                    let is_most = values.len() > 2 && others.len() == 1;
                    let value = if is_most { format!("not {}", others[0]) } else { values.join(" or ") };
                    (format!("{name}{value}"), tree)
                };
                Self::Split(branches.into_iter().map(named).collect())
            })
        });
        splits.min_by_key(|tree| tree.leaves().len()).unwrap()
    }

    fn leaves(&self) -> Vec<(Vec<String>, Move)> {
        match self {
            Self::Leaf(next) => vec![(Vec::new(), *next)],
            Self::Split(branches) => {
                let below = |(value, tree): &(String, Self)| {
                    let value = value.clone();
                    let add = move |(mut conditions, next): (Vec<String>, Move)| {
                        conditions.insert(0, value.clone());
                        (conditions, next)
                    };
                    tree.leaves().into_iter().map(add).collect::<Vec<_>>()
                };
                branches.iter().flat_map(below).collect()
            }
        }
    }
}
