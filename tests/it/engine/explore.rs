//! Every state that a run can come to, whatever happens.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use pgvigil::runbook::book::Mode;
use pgvigil::runbook::decide::{Happened, Place};
use pgvigil::runbook::run::{Outcome, Phase};

use super::BOOKS;
use super::model::{Edge, Model};
use super::world::Chance;

/// What was found.
#[derive(Debug, Default)]
pub struct Explored {
    /// Where runs stood, and what happened there.
    pub places: BTreeSet<(Place, Happened)>,
    pub outcomes: BTreeSet<Outcome>,
    pub edges: BTreeSet<Edge>,
    pub states: usize,
}

/// Tries out everything in this book and mode, and that every run ends once all goes well.
fn explore(book: &'static str, mode: Mode, found: &mut Explored) {
    let mut seen = BTreeMap::new();
    let mut models = vec![Model::new(book, mode, false)];
    let mut well = Vec::new();
    seen.insert(models[0].key(), 0);
    let mut at = 0;
    while at < models.len() {
        let state = models[at].clone();
        found.places.insert((Place::of(&state.run), state.happened));
        if let Phase::Ended(outcome) = state.run.phase {
            found.outcomes.insert(outcome);
            well.push(at);
            at += 1;
            continue;
        }
        let mut script = Some(Vec::new());
        while let Some(picks) = script {
            let mut chance = Chance::new(picks);
            let mut model = state.clone();
            model.turn(&mut chance);
            found.edges.extend(model.edges.drain(..));
            let number = *seen.entry(model.key()).or_insert_with(|| {
                models.push(model);
                models.len() - 1
            });
            if well.len() == at {
                well.push(number);
            }
            script = chance.next();
        }
        at += 1;
    }
    found.states += models.len();
    ends(&models, &well);
}

/// From every state the way on which all goes well comes to an end.
fn ends(models: &[Model], well: &[usize]) {
    let mut good = vec![false; well.len()];
    for start in 0..well.len() {
        let mut way = Vec::new();
        let mut on_way = BTreeSet::new();
        let mut at = start;
        while !good[at] && well[at] != at {
            assert!(on_way.insert(at), "{}: no end from {:#?}", models[at].book, models[at].key());
            way.push(at);
            at = well[at];
        }
        let ended = good[at] || matches!(models[at].run.phase, Phase::Ended(_));
        assert!(ended, "{}: no way on from {:#?}", models[at].book, models[at].key());
        way.into_iter().for_each(|at| good[at] = true);
    }
}

/// Explored in full here; all others are drawn.
const IN_FULL: [(Mode, &[usize]); 3] =
    [(Mode::DryRun, &[0]), (Mode::Manual, &[0, 4, 5, 6, 7, 8]), (Mode::Automatic, &[0, 1, 6, 7])];

/// What whole exploration found, done once.
pub fn explored() -> &'static Explored {
    static FOUND: LazyLock<Explored> = LazyLock::new(|| {
        let all: Vec<_> = (0..BOOKS.len()).collect();
        let is_all = std::env::var_os("LAB_ALL").is_some();
        let mut found = Explored::default();
        for (mode, books) in IN_FULL {
            for book in if is_all { &all } else { books } {
                explore(BOOKS[*book], mode, &mut found);
            }
        }
        found
    });
    &FOUND
}

#[test]
fn whatever_happens_is_safe_and_ends() {
    let found = explored();
    println!("{} states", found.states);
    assert!(found.states > 10_000, "only {} states", found.states);
}
