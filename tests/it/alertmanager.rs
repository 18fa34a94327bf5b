//! The example configuration of Alertmanager, held against the rules: every alert reaches who should hear of it, and no
//! inhibition silences the only alert of a fault.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde_json::Value;

use crate::fixture::ROOT;

const CONFIG: &str = "alerts/alertmanager.yml";
/// Who hears of which severity.
const RECEIVERS: [(&str, &str); 5] =
    [("engine", "pgvigil"), ("none", "dead-man"), ("critical", "page"), ("warning", "ticket"), ("info", "log")];
/// Labels that a series of Prometheus has if its rule takes none away.
const OF_A_TARGET: [&str; 2] = ["job", "instance"];

/// An alert in one severity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Alert {
    name: String,
    severity: String,
    /// The labels that its rule leaves beside these.
    labels: BTreeSet<String>,
}

impl Alert {
    fn label(&self, name: &str) -> &str {
        match name {
            "alertname" => &self.name,
            "severity" => &self.severity,
            _ => "",
        }
    }

    fn has(&self, label: &str) -> bool {
        ["alertname", "severity"].contains(&label) || self.labels.contains(label)
    }

    /// How many people it wakes: a page, a ticket, a line in a log, or nobody.
    fn loudness(&self) -> usize {
        ["info", "warning", "critical"].iter().position(|severity| *severity == self.severity).map_or(0, |at| at + 1)
    }
}

/// Every alert of the rules, each severity once.
fn alerts() -> BTreeSet<Alert> {
    let files = fs::read_dir(Path::new(ROOT).join("alerts/rules")).unwrap();
    let files = files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
    let files: Vec<Value> = files.map(|text| serde_saphyr::from_str(&text).unwrap()).collect();
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let groups = files.iter().flat_map(|file| list(file, "groups"));
    let rules = groups.flat_map(|group| list(&group, "rules")).filter(|rule| rule["alert"].is_string());
    let alert = |rule: Value| {
        let text = |pointer: &str| rule.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let labels = labels(&text("/expr"));
        for annotation in ["/annotations/summary", "/annotations/description"].map(text) {
            let named =
                annotation.split("$labels.").skip(1).map(|rest| rest.split(|c: char| !c.is_alphanumeric()).next());
            let named = named.flatten().filter(|label| !labels.contains(*label));
            assert_eq!(named.collect::<Vec<_>>(), [""; 0], "{}: not among {labels:?}", text("/alert"));
        }
        Alert { name: text("/alert"), severity: text("/labels/severity"), labels }
    };
    rules.map(alert).collect()
}

/// The labels of an expression's result: those of its first aggregation, or of the first recorded series, whose name
/// says them.
fn labels(expression: &str) -> BTreeSet<String> {
    let list = |text: &str, separator| text.split(separator).map(|label| label.trim().to_owned()).collect();
    let by = expression.find(" by (").map(|at| (at, at + " by (".len()));
    let recorded = expression.find("cluster:pgvigil").into_iter().chain(expression.find("cluster_node:pgvigil")).min();
    match (by, recorded) {
        (by, Some(at)) if by.is_none_or(|(by, _)| at < by) => list(expression[at..].split(':').next().unwrap(), '_'),
        (Some((_, from)), _) => list(expression[from..].split(')').next().unwrap(), ','),
        _ if expression.starts_with("absent(") || expression.starts_with("vector(") => BTreeSet::new(),
        _ => OF_A_TARGET.map(str::to_owned).into(),
    }
}

#[derive(Deserialize)]
struct Config {
    inhibit_rules: Vec<Inhibition>,
}

#[derive(Deserialize)]
struct Inhibition {
    source_matchers: Vec<String>,
    target_matchers: Vec<String>,
    equal: Vec<String>,
}

impl Inhibition {
    fn pairs<'a>(&self, alerts: &'a BTreeSet<Alert>) -> Vec<(&'a Alert, &'a Alert)> {
        let matching = |matchers: &'_ [String]| -> Vec<&'a Alert> {
            alerts.iter().filter(|alert| matchers.iter().all(|matcher| matches(matcher, alert))).collect()
        };
        let (sources, targets) = (matching(&self.source_matchers), matching(&self.target_matchers));
        let pairs = sources.iter().flat_map(|source| targets.iter().map(|target| (*source, *target)));
        let same_name = self.equal.iter().any(|label| label == "alertname");
        pairs.filter(|(source, target)| !same_name || source.name == target.name).collect()
    }
}

/// `label="value"` or `label=~"one|other"`: as much of the language as the file uses.
fn matcher(text: &str) -> (&str, Vec<&str>) {
    let (label, values) = text.split_once("=~").or_else(|| text.split_once('=')).expect("a matcher");
    let values = values.strip_prefix('"').and_then(|values| values.strip_suffix('"')).expect("quotes");
    (label, values.split('|').collect())
}

fn matches(text: &str, alert: &Alert) -> bool {
    let (label, values) = matcher(text);
    let is = |value: &&str| match value.strip_suffix(".+") {
        Some(beginning) => alert.label(label).starts_with(beginning),
        None => alert.label(label) == *value,
    };
    values.iter().any(is)
}

fn inhibitions() -> Vec<Inhibition> {
    let text = fs::read_to_string(Path::new(ROOT).join(CONFIG)).unwrap();
    serde_saphyr::from_str::<Config>(&text).unwrap().inhibit_rules
}

fn amtool(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("amtool").args(arguments).current_dir(ROOT).output();
    let output = output.expect("amtool is not installed: scripts/bootstrap alertmanager");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() { Ok(printed) } else { Err(printed + &String::from_utf8_lossy(&output.stderr)) }
}

#[test]
fn amtool_accepts_the_example() {
    let printed = amtool(&["check-config", CONFIG]).unwrap();
    assert!(printed.contains("SUCCESS") && printed.contains("6 receivers"), "{printed}");
}

#[test]
fn every_alert_reaches_who_should_hear_of_it_and_nobody_else() {
    let config = format!("--config.file={CONFIG}");
    let mut reached = BTreeSet::new();
    for alert in alerts() {
        let receiver = RECEIVERS.iter().find(|(severity, _)| *severity == alert.severity);
        let (_, receiver) = receiver.unwrap_or_else(|| panic!("nobody hears of {alert:?}"));
        let labels = [format!("alertname={}", alert.name), format!("severity={}", alert.severity)];
        let labels =
            labels.into_iter().chain(alert.labels.iter().map(|label| format!("{label}=x"))).collect::<Vec<_>>();
        let mut arguments = Vec::from(["config", "routes", "test", &config, "--verify.receivers", receiver]);
        arguments.extend(labels.iter().map(String::as_str));
        let printed = amtool(&arguments).unwrap_or_else(|printed| panic!("{alert:?}: {printed}"));
        assert_eq!(printed.lines().next(), Some(*receiver), "{alert:?}");
        reached.insert(*receiver);
    }
    assert_eq!(reached, RECEIVERS.map(|(_, receiver)| receiver).into(), "a receiver that nothing reaches");
    let unknown = amtool(&["config", "routes", "test", &config, "alertname=PostgresPrimaryDown", "severity=Critical"]);
    assert_eq!(unknown.as_deref().map(str::trim), Ok("unrouted"));
}

#[test]
fn the_failover_engine_hears_first_alone_and_at_once() {
    let text = fs::read_to_string(Path::new(ROOT).join(CONFIG)).unwrap();
    let config: Value = serde_saphyr::from_str(&text).unwrap();
    let route = &config["route"]["routes"][0];
    assert_eq!(route["matchers"], serde_json::json!(["severity=\"engine\""]));
    let waits = ["group_wait", "group_interval", "repeat_interval"].map(|wait| route[wait].as_str().unwrap());
    assert_eq!((waits, route["continue"].as_bool()), (["0s", "30s", "5m"], Some(false)));
    assert_eq!(route["group_by"], serde_json::json!(["alertname", "cluster"]));
    let authorization = &config["receivers"][0]["webhook_configs"][0]["http_config"]["authorization"];
    assert_eq!(authorization["credentials_file"], "pgvigil.token");
    let engine: Vec<_> =
        alerts().into_iter().filter(|alert| alert.severity == "engine").map(|alert| alert.name).collect();
    assert_eq!(engine, ["PostgresPrimaryUnreachable"]);
}

#[test]
fn an_inhibition_names_alerts_that_exist_and_labels_that_both_have() {
    let alerts = alerts();
    for inhibition in inhibitions() {
        let matchers = inhibition.source_matchers.iter().chain(&inhibition.target_matchers);
        for value in matchers.flat_map(|text| matcher(text).1).filter(|value| value.starts_with("Postgres")) {
            let exists = value.ends_with(".+") || alerts.iter().any(|alert| alert.name == value);
            assert!(exists, "{value} is inhibited or inhibits, and there is no such alert");
        }
        let pairs = inhibition.pairs(&alerts);
        assert!(
            !pairs.is_empty(),
            "{:?} ⊳ {:?} is about nothing",
            inhibition.source_matchers,
            inhibition.target_matchers
        );
        for (source, target) in pairs {
            for label in &inhibition.equal {
                // Two severities of one alert are one fault if their rules have the same labels, whichever these are.
                let same = source.name == target.name && source.labels == target.labels;
                let both = source.has(label) && target.has(label);
                assert!(both || same, "{source:?} ⊳ {target:?}: both lack {label}, or one does");
            }
            let alike = inhibition.equal.iter().any(|label| ["cluster", "instance"].contains(&label.as_str()));
            assert!(alike, "{} mutes {} of other clusters", source.name, target.name);
        }
    }
}

#[test]
fn no_inhibition_silences_what_is_louder_or_what_mutes_it() {
    let alerts = alerts();
    let mut mutes: BTreeMap<&Alert, BTreeSet<&Alert>> = BTreeMap::new();
    let inhibitions = inhibitions();
    for (source, target) in inhibitions.iter().flat_map(|inhibition| inhibition.pairs(&alerts)) {
        assert!(source.loudness() > 0, "{} {} wakes nobody and mutes {}", source.name, source.severity, target.name);
        assert!(
            source.loudness() >= target.loudness(),
            "a {} mutes the {} {}",
            source.severity,
            target.severity,
            target.name
        );
        // Alertmanager lets no alert mute itself.
        if source != target {
            mutes.entry(source).or_default().insert(target);
        }
    }
    for start in mutes.keys() {
        let mut next: Vec<&Alert> = Vec::from([*start]);
        let mut muted = BTreeSet::new();
        while let Some(alert) = next.pop() {
            let more = mutes.get(alert).into_iter().flatten().filter(|target| muted.insert(**target));
            next.extend(more);
        }
        assert!(!muted.contains(start), "{start:?} mutes what mutes it");
    }
}

#[test]
fn prometheus_accepts_what_the_documentation_shows() {
    let page = fs::read_to_string(Path::new(ROOT).join("docs/alertmanager.md")).unwrap();
    let shown = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let mut check = Command::new("promtool");
    check.args(["check", "config", "/dev/stdin"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut check = check.spawn().expect("promtool is not installed: scripts/bootstrap prometheus");
    check.stdin.take().unwrap().write_all(shown.as_bytes()).unwrap();
    let output = check.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_scan_sees_what_it_should() {
    let of = |expression| labels(expression).into_iter().collect::<Vec<_>>();
    assert_eq!(of("(\n max by (cluster, node) (x) and on (a) y"), ["cluster", "node"]);
    assert_eq!(of("(cluster_node:pgvigil_x:max == 1) and on (b) (max by (c) (y))"), ["cluster", "node"]);
    assert_eq!(of("max by (a) (cluster:pgvigil_x:max)"), ["a"]);
    assert_eq!(of("up{job=\"pgvigil\"} == 0"), ["instance", "job"]);
    assert_eq!(of("absent(up)"), [""; 0]);
}
