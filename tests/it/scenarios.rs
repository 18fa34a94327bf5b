//! `tests/scenarios/*.yml`: what is seen of a cluster, and what the engine makes of it. Read them as examples; [`file`] has the words.

mod file;
mod possible;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use file::Scenario;
use pgvigil::config::duration;
use pgvigil::runbook::guard::{Answer, GUARDS, Guard, Stage, judge_all};
use pgvigil::runbook::verdict::{PrimaryVerdict, hang_limit};

use crate::fixture::{self, ROOT};

fn files() -> Vec<PathBuf> {
    let dir = Path::new(ROOT).join("tests/scenarios");
    let mut found: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

fn name(path: &Path) -> String {
    path.file_stem().unwrap().to_string_lossy().into_owned()
}

#[test]
fn each_scenario_is_judged_as_it_says() {
    let mut wrong = Vec::new();
    for path in files() {
        assert_eq!(path.extension().and_then(|extension| extension.to_str()), Some("yml"), "{}", path.display());
        let scenario = Scenario::read(&fs::read_to_string(&path).unwrap(), &name(&path));
        let world = scenario.world();
        let scene = world.scene();
        let (verdict, why) = scene.verdict();
        let judged = judge_all(&scene);
        let blocks: BTreeMap<String, Answer> = judged
            .iter()
            .filter(|seen| seen.answer != Answer::Pass)
            .map(|seen| (seen.guard.clone(), seen.answer))
            .collect();
        let said = |guard: &String| judged.iter().find(|seen| seen.guard == *guard).map(|seen| seen.value.as_str());
        let values: Vec<_> = blocks.keys().map(|guard| format!("{guard}: {}", said(guard).unwrap())).collect();
        let mut fault =
            |what: String| wrong.push(format!("{}: {what}\n  {why}\n  {}", name(&path), values.join("\n  ")));
        if verdict.as_str() != scenario.verdict {
            fault(format!("the verdict is {}", verdict.as_str()));
        }
        if blocks != scenario.blocks {
            fault(format!("what blocks is {blocks:?}"));
        }
        let candidate = world.candidate.map(|number| world.evidence.nodes[number].node.as_str());
        if candidate != scenario.candidate.as_deref() {
            fault(format!("the candidate is {candidate:?}"));
        }
        let limit = hang_limit(&world.evidence, &world.plan.limits).map_or_else(|| "none".to_owned(), duration::show);
        if scenario.hang_limit.as_ref().is_some_and(|said| *said != limit) {
            fault(format!("the limit of silence is {limit}"));
        }
        let all = [vec![why.clone()], judged.iter().map(|seen| seen.value.clone()).collect()].concat().join("\n");
        for part in scenario.says.iter().filter(|part| !all.contains(part.as_str())) {
            fault(format!("nothing says {part:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_verdict_and_every_guard_has_a_scenario() {
    let scenarios: Vec<_> =
        files().iter().map(|path| Scenario::read(&fs::read_to_string(path).unwrap(), &name(path))).collect();
    let verdicts: BTreeSet<&str> = scenarios.iter().map(|scenario| scenario.verdict.as_str()).collect();
    assert_eq!(verdicts, PrimaryVerdict::ALL.into_iter().collect());
    let blocking: BTreeSet<&str> =
        scenarios.iter().flat_map(|scenario| scenario.blocks.keys().map(String::as_str)).collect();
    let guards: BTreeSet<&str> = GUARDS.iter().map(|guard| guard.name()).collect();
    assert_eq!(blocking, guards, "a guard that blocks in no scenario, or one that is none");
}

#[test]
#[should_panic(expected = "unknown")]
fn a_scenario_with_a_key_that_is_none_is_refused() {
    Scenario::read("about: x\nverdikt: gone\n", "x");
}

const BEGIN: &str = "<!-- The table is written by the test that checks it, with UPDATE=1. -->\n";
const END: &str = "\n<!-- End of the table. -->";

fn row(guard: &dyn Guard) -> String {
    let classes: Vec<_> = guard.classes().iter().map(|class| class.as_str()).collect();
    let listed = |of: &[Stage]| {
        let all = [(Stage::Plan, "plan"), (Stage::Fence, "fence"), (Stage::Promote, "promote")];
        let words: Vec<_> = all.iter().filter(|(stage, _)| of.contains(stage)).map(|(_, word)| *word).collect();
        if words.is_empty() { "–".to_owned() } else { words.join(", ") }
    };
    let (stages, planned) = (listed(guard.stages()), listed(guard.planned_stages()));
    let yields = if guard.yields_to_approval() { "yes" } else { "no" };
    format!("| `{}` | {} | {} | {stages} | {planned} | {yields} |\n", guard.name(), guard.asks(), classes.join(", "))
}

#[test]
fn the_page_lists_the_guards() {
    let path = format!("{ROOT}/docs/guards.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (listed, after) = rest.split_once(END).unwrap();
    let head = "| guard | asks that | classes | judged before | in a switchover before | a person's approval accepts it |\n|---|---|---|---|---|---|\n";
    let table = GUARDS.iter().fold(head.to_owned(), |table, guard| table + &row(*guard));
    if fixture::update() {
        fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
    } else {
        assert!(listed == table, "docs/guards.md is out of date: run this test with UPDATE=1");
    }
}

#[test]
fn guards_are_named_once_and_what_keeps_two_primaries_apart_never_yields() {
    let names: BTreeSet<&str> = GUARDS.iter().map(|guard| guard.name()).collect();
    assert_eq!(names.len(), GUARDS.len());
    let firm = [
        "episode_current",
        "primary_gone",
        "primary_well",
        "nothing_lost",
        "standbys_agree",
        "no_standby_streaming",
        "fence_ready",
        "lock",
        "no_manager",
    ];
    for guard in GUARDS {
        assert!(!firm.contains(&guard.name()) || !guard.yields_to_approval(), "{}", guard.name());
        let judged = guard.stages().len() + guard.planned_stages().len();
        assert!(!guard.classes().is_empty() && judged > 0, "{}", guard.name());
    }
}
