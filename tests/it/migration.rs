//! `docs/migration.md`: each family that the exporter showed has a row, and each name of ours is in the catalogue.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use pgvigil::metric::catalog;

use crate::fixture::ROOT;

fn text(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The names between backticks.
fn code(line: &str) -> impl Iterator<Item = &str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '*';
    line.split('`').skip(1).step_by(2).flat_map(move |code| code.split(move |c| !is_name(c)))
}

#[test]
fn every_family_of_the_exporter_has_a_row() {
    let page = text("docs/migration.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let named: BTreeSet<&str> = rows.flat_map(code).filter(|name| name.starts_with("pg_")).collect();
    let recorded = text("tests/fixtures/migration/postgres_exporter-0.11.1.txt");
    let families: Vec<&str> = recorded.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(families.len() > 100, "{} families", families.len());
    let covered = |family: &str| {
        named.contains(family)
            || named.iter().any(|name| name.strip_suffix('*').is_some_and(|prefix| family.starts_with(prefix)))
    };
    let missing: Vec<_> = families.iter().filter(|family| !covered(family)).collect();
    assert!(missing.is_empty(), "docs/migration.md has no row for {missing:?}");
}

#[test]
fn every_name_of_ours_is_in_the_catalogue() {
    for path in ["docs/migration.md", "docs/comparison.md", "docs/security.md"] {
        let page = text(path);
        let known: BTreeSet<&str> = catalog::families().into_iter().map(|family| family.name).collect();
        for name in page.lines().flat_map(code).filter(|name| name.starts_with("pgvigil_")) {
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            assert!(known.contains(name) || known.contains(family), "{path}: {name}");
        }
    }
}
