//! Each fault of the live matrix again, from what was recorded of it (`tests/fixtures/faults`): promtool holds the rules to the
//! exact alerts that fired. `make prove-rules` plays each alone, and sees each alert that is disabled missing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::read::GzDecoder;
use serde_json::{Value, json};

use crate::fixture::ROOT;
use crate::scaled::{LAG_OBJECTIVE, held};

/// Others build on these; promtool takes groups in any order unless told.
const FIRST: &str = "postgres-primary";

/// The recordings: name and text.
fn recordings() -> BTreeMap<String, String> {
    let dir = Path::new(ROOT).join("tests/fixtures/faults");
    let files = std::fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let read = |path: PathBuf| {
        let name = path.file_name()?.to_str()?.strip_suffix(".yml.gz")?.to_owned();
        let mut text = String::new();
        GzDecoder::new(std::fs::File::open(&path).unwrap()).read_to_string(&mut text).unwrap();
        Some((name, text))
    };
    files.filter_map(|file| read(file.unwrap().path())).collect()
}

/// Names of the alerts that fired in a recording.
fn fired(recording: &str) -> BTreeSet<String> {
    let series = recording.lines().filter(|line| line.trim_start().starts_with("- labels: 'ALERTS{"));
    let name = |line: &str| Some(line.split_once("alertname=\"")?.1.split('"').next()?.to_owned());
    series.filter_map(name).collect()
}

/// The rules that a recording was checked with, in one file; annotations have no part in what fires.
fn rules(recording: &str) -> Value {
    let is_lag_held = !recording.contains(&format!("alertname!=\"{LAG_OBJECTIVE}\""));
    let files = held(is_lag_held).into_values();
    let mut groups: Vec<Value> =
        files.flat_map(|file| file["groups"].as_array().cloned().unwrap_or_default()).collect();
    for rule in groups.iter_mut().flat_map(|group| group["rules"].as_array_mut().unwrap()) {
        rule.as_object_mut().unwrap().remove("annotations");
    }
    json!({"groups": groups})
}

/// Only these alerts of the rules, and what they build on.
fn only(rules: &Value, alerts: &BTreeSet<String>) -> Value {
    let mut rules = rules.clone();
    let groups = rules["groups"].as_array_mut().unwrap();
    let mut needed = String::new();
    let is_needed = |rule: &Value, needed: &str| match (rule["alert"].as_str(), rule["record"].as_str()) {
        (Some(alert), _) => alerts.contains(alert),
        (None, Some(record)) => needed.contains(record),
        (None, None) => false,
    };
    // What is built on may build on more.
    loop {
        let all = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
        let exprs: String =
            all.filter(|rule| is_needed(rule, &needed)).filter_map(|rule| rule["expr"].as_str()).collect();
        if exprs == needed {
            break;
        }
        needed = exprs;
    }
    for group in groups.iter_mut() {
        group["rules"].as_array_mut().unwrap().retain(|rule| is_needed(rule, &needed));
    }
    groups.retain(|group| !group["rules"].as_array().unwrap().is_empty());
    rules
}

/// The groups' names in the order in which they are evaluated.
fn order(rules: &Value) -> String {
    let names = rules["groups"].as_array().into_iter().flatten().filter_map(|group| group["name"].as_str());
    let (mut first, rest): (Vec<_>, Vec<_>) = names.partition(|name| *name == FIRST);
    first.extend(rest);
    first.join(", ")
}

/// The files that promtool finds wrong, all in one process.
fn failures(files: &[PathBuf]) -> Vec<&PathBuf> {
    // Memory is cheap here, as in the tests of the rules.
    let mut promtool = Command::new("promtool");
    let output = promtool.args(["test", "rules"]).args(files).env("GOGC", "800").output().expect("promtool");
    let printed = String::from_utf8_lossy(&output.stdout);
    let parts = printed.split("Unit Testing:").skip(1);
    let seen: BTreeMap<&str, bool> =
        parts.filter_map(|part| Some((part.trim_start().lines().next()?.trim(), part.contains("SUCCESS")))).collect();
    let missing: Vec<_> = files.iter().filter(|file| !seen.contains_key(file.to_str().unwrap())).collect();
    assert!(missing.is_empty(), "promtool said nothing on {missing:?}: {}", String::from_utf8_lossy(&output.stderr));
    files.iter().filter(|file| !seen[file.to_str().unwrap()]).collect()
}

/// What promtool has to say of a file.
fn words(file: &Path) -> String {
    let output = Command::new("promtool").args(["test", "rules"]).arg(file).output().expect("promtool");
    format!("{}: {}", file.display(), String::from_utf8_lossy(&output.stderr))
}

/// A directory for one test, which goes with it.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fault-replay-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    /// Writes a recording to be played with these rules.
    fn write(&self, name: &str, recording: &str, rules: &Value) -> PathBuf {
        let rules_name = format!("{name}.rules.yml");
        std::fs::write(self.0.join(&rules_name), rules.to_string()).unwrap();
        let order = order(rules);
        let order = if order.is_empty() { order } else { format!("group_eval_order: [{order}]\n") };
        let text = recording.replacen("rule_files: [rules.yml]\n", &format!("rule_files: [{rules_name}]\n{order}"), 1);
        let path = self.0.join(format!("{name}.yml"));
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// How many recordings are played side by side: promtool's time goes with moments more than with series.
const PACK: usize = 11;

/// The last moment that a recording looks at.
fn end(recording: &str) -> u64 {
    let looks = recording.lines().filter_map(|line| line.trim().strip_prefix("eval_time: ")?.strip_suffix('s'));
    looks.map(|second| second.parse().unwrap()).max().unwrap_or(0)
}

/// Whether it raises an alert on pgvigil itself, which may look across all there are: it is played alone.
fn is_alone(recording: &str) -> bool {
    let alerts = recording.lines().filter(|line| line.trim_start().starts_with("- labels: 'ALERTS{"));
    alerts.into_iter().any(|alert| !alert.contains("cluster=\""))
}

/// Recordings in one, each a cluster with observers of its own, of which each look sees its own alerts.
fn pack(recordings: &[(&String, &String)]) -> String {
    let (mut series, mut looks) = (String::new(), String::new());
    for (name, recording) in recordings {
        assert!(recording.contains(&format!("cluster=\"{name}\"")), "{name}: no such cluster");
        let own = recording.replace("instance=\"pgvigil-", &format!("instance=\"{name}-"));
        let (head, tail) = own.split_once("  promql_expr_test:\n").unwrap();
        series += head.split_once("  input_series:\n").unwrap().1;
        for line in tail.lines() {
            let expr = line.strip_prefix("  - expr: 'ALERTS{").and_then(|rest| rest.strip_suffix("}'"));
            match expr {
                Some(expr) => {
                    let of_observers = format!("ALERTS{{{expr},cluster=\"\",instance=~\"{name}-[0-9]+\"}}");
                    looks += &format!("  - expr: 'ALERTS{{{expr},cluster=\"{name}\"}} or {of_observers}'\n");
                }
                None => looks += &format!("{line}\n"),
            }
        }
    }
    format!(
        "evaluation_interval: 1s\nrule_files: [rules.yml]\ntests:\n- interval: 1s\n  input_series:\n{series}  \
         promql_expr_test:\n{looks}"
    )
}

#[test]
fn every_recorded_fault_raises_its_exact_alerts() {
    let dir = Dir::new("packed");
    let recordings = recordings();
    assert!(!recordings.is_empty(), "no recording: UPDATE=1 make prove-faults");
    let (alone, mut packed): (Vec<_>, Vec<_>) = recordings.iter().partition(|(_, recording)| is_alone(recording));
    let is_held = |recording: &str| !recording.contains(&format!("alertname!=\"{LAG_OBJECTIVE}\""));
    packed.sort_by_key(|(_, recording)| (is_held(recording), end(recording)));
    let mut files: Vec<_> = alone.iter().map(|(name, text)| dir.write(name, text, &rules(text))).collect();
    for some in packed.chunk_by(|one, next| is_held(one.1) == is_held(next.1)) {
        for some in some.chunks(PACK) {
            files.push(dir.write(&format!("{}-and-more", some[0].0), &pack(some), &rules(some[0].1)));
        }
    }
    let wrong: Vec<_> = failures(&files).into_iter().map(|file| words(file)).collect();
    assert!(wrong.is_empty(), "not the alerts that fired:\n{}", wrong.join("\n"));
}

mod prove_rules {
    use super::*;

    #[test]
    fn every_recorded_fault_raises_its_exact_alerts_and_each_that_is_disabled_is_missed() {
        let dir = Dir::new("alone");
        let recordings = recordings();
        assert!(!recordings.is_empty(), "no recording: UPDATE=1 make prove-faults");
        let (mut green, mut red) = (Vec::new(), Vec::new());
        for (name, recording) in &recordings {
            let (all, alerts) = (rules(recording), fired(recording));
            green.push(dir.write(name, recording, &all));
            // A disabled alert is missed because it is disabled, and not because what is left cannot raise the others.
            green.push(dir.write(&format!("{name}.only"), recording, &only(&all, &alerts)));
            for alert in &alerts {
                let mut others = alerts.clone();
                others.remove(alert);
                red.push(dir.write(&format!("{name}.without.{alert}"), recording, &only(&all, &others)));
            }
        }
        let half = green.len() / 2;
        let (first, second) = green.split_at(half);
        let (wrong, missed) = std::thread::scope(|scope| {
            let second = scope.spawn(|| failures(second));
            let mut wrong = failures(first);
            let missed = failures(&red);
            wrong.extend(second.join().unwrap());
            (wrong, missed)
        });
        let wrong: Vec<_> = wrong.into_iter().map(|file| words(file)).collect();
        assert!(wrong.is_empty(), "not the alerts that fired:\n{}", wrong.join("\n"));
        let idle: Vec<_> = red.iter().filter(|file| !missed.contains(file)).collect();
        assert!(idle.is_empty(), "a disabled alert is not missed: {idle:#?}");
    }
}
