//! `docs/coverage.md`: what it says is told, is told.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use pgvigil::metric::catalog;
use pgvigil::metric::sample::Samples;

use crate::fixture::ROOT;
use crate::{golden, golden_cluster};

/// The rows of the first table, and those of the second.
const SIGNALS: usize = 83;
const ALERT_SIGNALS: usize = 26;

/// The rows of the tables: number and who tells it.
fn rows(page: &str) -> Vec<(String, String)> {
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let rows = page.lines().filter(|line| line.starts_with('|')).map(cells);
    rows.filter(|row| row[0] != "#" && !row[0].starts_with('-')).map(|row| (row[0].clone(), row[2].clone())).collect()
}

/// The families that a cell names.
fn named(cell: &str) -> Vec<String> {
    cell.split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| word.contains('_') && !word.starts_with('/'))
        .map(|word| format!("pgvigil_{word}"))
        .collect()
}

#[test]
fn every_signal_has_its_line_once() {
    let page = fs::read_to_string(Path::new(ROOT).join("docs/coverage.md")).unwrap();
    let numbers: Vec<_> = rows(&page).into_iter().map(|(number, _)| number).collect();
    let first = (1..=SIGNALS).map(|number| number.to_string());
    let second = (1..=ALERT_SIGNALS).map(|number| format!("A{number}"));
    assert_eq!(numbers, first.chain(second).collect::<Vec<_>>());
}

#[test]
fn every_family_named_is_in_the_catalogue_and_in_a_golden_page() {
    let page = fs::read_to_string(Path::new(ROOT).join("docs/coverage.md")).unwrap();
    let catalogue: BTreeSet<_> = catalog::families().iter().map(|family| family.name).collect();
    let nodes = golden::nodes().map(|(major, role)| golden::samples(major, role));
    let pages = nodes
        .chain(golden::MAJORS.map(golden_cluster::samples))
        .chain(golden::MAJORS.map(golden_cluster::after_promotion));
    let names = |samples: Samples| samples.iter().map(|sample| sample.family.name).collect::<Vec<_>>();
    let sampled: BTreeSet<_> = pages.flat_map(names).collect();
    for (number, cell) in rows(&page) {
        let families = named(&cell);
        assert!(!families.is_empty() || cell == "later", "{number} names no family and does not say why not");
        for family in families {
            assert!(catalogue.contains(family.as_str()), "{number}: {family} is not in the catalogue");
            assert!(sampled.contains(family.as_str()), "{number}: {family} is in no golden page");
        }
    }
}
