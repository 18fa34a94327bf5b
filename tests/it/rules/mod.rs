//! The alert rules, proven by promtool: each test with one pgvigil and with one beside each node, at 15 s and at 60 s. `make prove-rules`
//! runs each as it is written, and in all variants that users have.

pub mod bundle;
pub mod case;
pub mod contract;
mod documentation;
mod objective;
mod prove_rules;
mod thresholds;
mod variant;

use std::fs;
use std::path::Path;
use std::process::Command;

use case::{Case, Kind, TestFile};
use variant::Layout;

use crate::fixture::ROOT;

/// Tests that end within the same so many seconds are run in one.
const LENGTHS: u64 = 360;
/// Tests that take longer are few and cost the most: `make check` has them at 60 s alone.
const LONG: u64 = 1_080;

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

/// Whether a test has no variants, so that it says itself what there is to say, or looks at what variants do not: annotations.
fn is_by_itself(case: &Case) -> bool {
    case.names_instances() || case.interval != format!("{}s", variant::WRITTEN) || !case.alert_rule_test.is_empty()
}

#[test]
fn every_test_without_variants_passes_as_it_is_written() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let mut written = Vec::new();
    for (path, mut file) in case::files() {
        let is_healthy = path.ends_with("healthy.yml");
        file.tests.retain(|case| is_healthy || is_by_itself(case));
        file.rule_files = file.rule_files.iter().map(|rules| rules.replace("..", &format!("{ROOT}/alerts"))).collect();
        if !file.tests.is_empty() {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let path = dir.join(format!("rules-written-{name}.json"));
            fs::write(&path, serde_json::to_string(&file).unwrap()).unwrap();
            written.push(path.display().to_string());
        }
    }
    assert!(written.len() > 1);
    if let Some(said) = failures(&written) {
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

/// Which tests run, and in what.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// Without the long ones at 15 s, and without what a whole cluster shows beside them.
    Check,
    All,
}

fn run_in(layout: Layout, extent: Extent) {
    let (cases, healthy, order) = cases();
    // Where series vanish, the same moment is looked at; the others hold over a restart.
    let fits = |case: &&Case| layout != Layout::CentralRestarts || case.about().1 != Kind::Vanishes;
    let cases: Vec<_> = cases.iter().filter(fits).cloned().collect();
    for interval in [variant::WRITTEN, 60] {
        let is_short = extent == Extent::Check && interval == variant::WRITTEN;
        let cases: Vec<_> = cases.iter().filter(|case| !is_short || case.end() < LONG).cloned().collect();
        // That a fault raises nothing else in a whole cluster is seen once, where it costs least.
        let is_whole = extent == Extent::All && layout == Layout::Central && interval > variant::WRITTEN;
        let healthy = variant::shown(&healthy, is_whole);
        let packs = cases.chunk_by(|one, next| one.end() / LENGTHS == next.end() / LENGTHS);
        for (number, some) in packs.enumerate() {
            let tests = variant::pack(some, &healthy, layout, interval, &bundle::paths(), &order);
            run(&format!("{layout:?}-{interval}-{number}"), &tests);
        }
    }
}

#[test]
fn every_test_passes_with_one_pgvigil() {
    run_in(Layout::Central, Extent::Check);
}

#[test]
fn every_test_passes_with_one_beside_each_node() {
    run_in(Layout::BesideEachNode, Extent::Check);
}
