//! The alert rules, proven by promtool: each test as it is written, and in the variants that users have.

mod bundle;
mod case;
mod contract;
mod documentation;
mod objective;
mod variant;

use std::fs;
use std::path::Path;
use std::process::Command;

use case::{Case, Kind, TestFile};
use variant::Layout;

/// Tests that end within the same so many seconds are run in one.
const LENGTHS: u64 = 360;

/// What promtool says to tests in files; `None` if they pass.
fn failures(files: &[String]) -> Option<String> {
    let output = Command::new("promtool")
        .args(["test", "rules"])
        .args(files)
        // Memory is cheap here: half of its time would go into collecting garbage.
        .env("GOGC", "800")
        .output();
    let output = output.expect("promtool is not installed: it comes with Prometheus");
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (!output.status.success()).then(|| said.chars().take(8_000).collect())
}

/// Runs tests that were made here.
fn run(name: &str, tests: &TestFile) {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("rules-{name}.json"));
    fs::write(&path, serde_json::to_string(tests).unwrap()).unwrap();
    if let Some(said) = failures(&[path.display().to_string()]) {
        panic!("{name}, {}: {said}", path.display());
    }
    // They are large.
    fs::remove_file(path).unwrap();
}

#[test]
fn promtool_accepts_every_rule() {
    let output = Command::new("promtool").args(["check", "rules"]).args(bundle::paths()).output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success() && !said.contains("duplicate"), "{said}");
}

#[test]
fn every_test_passes_as_it_is_written() {
    let files: Vec<_> = case::files().iter().map(|(path, _)| path.display().to_string()).collect();
    assert!(files.len() > 1);
    if let Some(said) = failures(&files) {
        panic!("{said}");
    }
}

/// The tests that have variants, the healthy cluster that they happen in, and the order of the groups.
fn cases() -> (Vec<Case>, Case, Vec<String>) {
    let mut files = case::files();
    let mut first = files.remove(0).1;
    let (healthy, order) = (first.tests.remove(0), first.group_eval_order);
    let cases = files.into_iter().flat_map(|(_, file)| file.tests);
    let mut cases: Vec<_> =
        cases.filter(|case| !case.names_instances() && case.interval == format!("{}s", variant::WRITTEN)).collect();
    // A pack lasts as long as its longest test.
    cases.sort_by_key(Case::end);
    (cases, healthy, order)
}

fn run_in(layout: Layout) {
    let (cases, healthy, order) = cases();
    // Where series vanish, the same moment is looked at; the others hold over a restart.
    let fits = |case: &&Case| layout != Layout::CentralRestarts || case.about().1 != Kind::Vanishes;
    let cases: Vec<_> = cases.iter().filter(fits).cloned().collect();
    for interval in [15, 60] {
        let packs = cases.chunk_by(|one, next| one.end() / LENGTHS == next.end() / LENGTHS);
        for (number, some) in packs.enumerate() {
            let tests = variant::pack(some, &healthy, layout, interval, &bundle::paths(), &order);
            run(&format!("{layout:?}-{interval}-{number}"), &tests);
        }
    }
}

#[test]
fn every_test_passes_with_one_pgvigil() {
    run_in(Layout::Central);
}

#[test]
fn every_test_passes_over_a_restart() {
    run_in(Layout::CentralRestarts);
}

#[test]
fn every_test_passes_with_a_second_that_is_blind() {
    run_in(Layout::SecondIsBlind);
}

#[test]
fn every_test_passes_with_a_second_that_restarts_often() {
    run_in(Layout::SecondRestarts);
}

#[test]
fn every_test_passes_with_one_beside_each_node() {
    run_in(Layout::BesideEachNode);
}
