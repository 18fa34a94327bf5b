//! Each fault of the live matrix again, from what was recorded of it (`tests/fixtures/faults`): promtool holds the rules to the
//! exact alerts that fired, and sees each that is disabled missing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::read::GzDecoder;
use serde_json::{Value, json};

use crate::fixture::ROOT;
use crate::scaled::{SCALE, shipped};

/// How a recording names the rules.
const RULES: &str = "rules.yml";
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

/// All rules in one file, without annotations, which have no part in what fires; `without`: an alert that is disabled.
fn rules(without: Option<&str>) -> Value {
    let mut groups = Vec::new();
    for file in shipped(SCALE).into_values() {
        groups.extend(file["groups"].as_array().cloned().unwrap_or_default());
    }
    for group in &mut groups {
        let rules = group["rules"].as_array_mut().unwrap();
        rules.retain(|rule| without.is_none_or(|without| rule["alert"] != without));
        for rule in rules {
            rule.as_object_mut().unwrap().remove("annotations");
        }
    }
    json!({"groups": groups})
}

/// The groups' names in the order in which they are evaluated.
fn order(rules: &Value) -> String {
    let names = rules["groups"].as_array().into_iter().flatten().filter_map(|group| group["name"].as_str());
    let (mut first, rest): (Vec<_>, Vec<_>) = names.partition(|name| *name == FIRST);
    first.extend(rest);
    first.join(", ")
}

/// What promtool makes of these files, all in one process: its words on each that fails.
fn failures(files: &[PathBuf]) -> BTreeMap<PathBuf, String> {
    let output = Command::new("promtool").args(["test", "rules"]).args(files).output().expect("promtool");
    let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let mut seen = BTreeMap::new();
    for part in printed.split("Unit Testing:").skip(1) {
        let (file, words) = part.trim_start().split_once('\n').unwrap_or((part, ""));
        seen.insert(PathBuf::from(file.trim()), words.trim().to_owned());
    }
    let missing: Vec<_> = files.iter().filter(|file| !seen.contains_key(*file)).collect();
    assert!(missing.is_empty(), "promtool said nothing on {missing:?}: {printed}");
    seen.retain(|_, words| !words.starts_with("SUCCESS"));
    seen
}

#[test]
fn every_recorded_fault_raises_its_exact_alerts_and_no_rule_is_idle() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fault-replay-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let recordings = recordings();
    assert!(!recordings.is_empty(), "no recording: UPDATE=1 make prove-faults");
    let (mut whole, mut without) = (Vec::new(), Vec::new());
    write(RULES, &rules(None).to_string());
    let order = order(&rules(None));
    let with = |recording: &str, rules: &str| {
        recording.replacen(&format!("[{RULES}]"), &format!("[{rules}]\ngroup_eval_order: [{order}]"), 1)
    };
    let alerts: BTreeSet<_> = recordings.values().flat_map(|recording| fired(recording)).collect();
    for alert in &alerts {
        write(&format!("{alert}.{RULES}"), &rules(Some(alert)).to_string());
    }
    for (name, recording) in &recordings {
        whole.push(write(&format!("{name}.yml"), &with(recording, RULES)));
        for alert in fired(recording) {
            let disabled = with(recording, &format!("{alert}.{RULES}"));
            without.push(write(&format!("{name}-without-{alert}.yml"), &disabled));
        }
    }
    let (wrong, red) = std::thread::scope(|scope| {
        let red = scope.spawn(|| failures(&without));
        (failures(&whole), red.join().unwrap())
    });
    let green: Vec<_> = without.iter().filter(|file| !red.contains_key(*file)).collect();
    std::fs::remove_dir_all(&dir).unwrap();
    assert!(wrong.is_empty(), "not the alerts that fired: {wrong:#?}");
    assert!(green.is_empty(), "a disabled alert is not missed: {green:#?}");
}
