//! The rules as text: groups, alerts, and the series that their expressions select.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::fixture::ROOT;

#[derive(Debug, Deserialize)]
struct RuleFile {
    groups: Vec<Group>,
}

/// A group of rules, evaluated one after the other.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    pub name: String,
    pub rules: Vec<Rule>,
}

/// An alert, or a recording.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub alert: Option<String>,
    pub record: Option<String>,
    pub expr: String,
    #[serde(default, rename = "for")]
    pub wait: Option<String>,
    #[serde(default)]
    pub keep_firing_for: Option<String>,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

impl Rule {
    pub fn name(&self) -> &str {
        self.alert.as_deref().or(self.record.as_deref()).unwrap_or("")
    }

    pub fn severity(&self) -> &str {
        self.labels.get("severity").map_or("", String::as_str)
    }
}

/// The files of rules, sorted.
pub fn paths() -> Vec<String> {
    let dir = Path::new(ROOT).join("alerts/rules");
    let mut paths: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path().display().to_string()).collect();
    paths.sort();
    paths
}

/// All groups of all files.
pub fn groups() -> Vec<Group> {
    let read = |path: String| {
        let text = fs::read_to_string(&path).unwrap();
        let file: RuleFile = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        file.groups
    };
    paths().into_iter().flat_map(read).collect()
}

/// What an expression selects: a metric, and what its labels are to be.
#[derive(Clone, Debug)]
pub struct Selector {
    pub metric: String,
    /// Label, operator, value.
    pub matchers: Vec<(String, String, String)>,
    /// The aggregation directly around it, the labels that it keeps, and what stands between: `max`, `rate`, … empty if there is none.
    pub within: String,
}

impl Selector {
    /// Whether a series is selected.
    pub fn takes<'a>(&self, metric: &str, label: impl Fn(&str) -> &'a str) -> bool {
        let fits = |(name, operator, wanted): &(String, String, String)| {
            let any = wanted.split('|').any(|wanted| wanted == label(name));
            any != operator.starts_with('!')
        };
        self.metric == metric && self.matchers.iter().all(fits)
    }
}

/// A name, as of a metric or a function.
fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// Whether a name is that of a series of ours or of a recording of ours.
fn is_series(name: &str) -> bool {
    name.starts_with("pgvigil_") || name.contains(":pgvigil_") || name == "up" || name == "ALERTS"
}

const AGGREGATIONS: &[&str] = &["max", "min", "sum", "count", "count_values", "group", "avg"];

/// The selectors of an expression, in order. Text in quotes names none, but in the queries of annotations, which are read by themselves.
pub fn selectors(expr: &str) -> Vec<Selector> {
    let mut found = Vec::new();
    // The names before each parenthesis that is open: of an aggregation also with its clause.
    let mut open: Vec<String> = Vec::new();
    let mut before = String::new();
    let mut rest = expr;
    while let Some(first) = rest.chars().next() {
        if first == '"' {
            let end = rest[1..].find('"').unwrap_or_else(|| panic!("{expr}"));
            rest = &rest[end + 2..];
        } else if is_name(first) {
            let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
            let name = &rest[..end];
            rest = &rest[end..];
            if is_series(name) {
                let matchers = braced(&mut rest);
                let within = open.iter().rev().find(|name| AGGREGATIONS.contains(&name.as_str()));
                let within = within.cloned().unwrap_or_default();
                found.push(Selector { metric: name.to_owned(), matchers, within });
            } else if ["by", "without"].contains(&name) && AGGREGATIONS.contains(&before.as_str()) {
                // The clause stands between an aggregation and its parenthesis.
                let end = rest.find(')').unwrap_or_else(|| panic!("{expr}"));
                rest = &rest[end + 1..];
            } else {
                before = name.to_owned();
            }
        } else {
            match first {
                '(' => open.push(std::mem::take(&mut before)),
                ')' => drop(open.pop()),
                c if c.is_whitespace() => {}
                _ => before.clear(),
            }
            rest = &rest[first.len_utf8()..];
        }
    }
    found
}

/// Reads the braces after a metric's name, if there are any.
fn braced(rest: &mut &str) -> Vec<(String, String, String)> {
    let Some(inside) = rest.strip_prefix('{') else { return Vec::new() };
    let end = inside.find('}').unwrap_or_else(|| panic!("{rest}"));
    let (inside, after) = (&inside[..end], &inside[end + 1..]);
    *rest = after;
    let matcher = |text: &str| {
        let at = text.find(['=', '!']).unwrap_or_else(|| panic!("{inside}"));
        let quote = text.find('"').unwrap_or_else(|| panic!("{inside}"));
        let value = text[quote..].trim().trim_matches('"');
        (text[..at].trim().to_owned(), text[at..quote].trim().to_owned(), value.to_owned())
    };
    inside.split(',').filter(|text| !text.trim().is_empty()).map(matcher).collect()
}

#[test]
fn selectors_are_read_with_what_is_around_them() {
    let expr = "max by (cluster, node) (rate(pgvigil_x_total{state=~\"a|b\", node!=\"c\"}[5m])) > 0 unless on (cluster) cluster:pgvigil_y:max == 1";
    let found = selectors(expr);
    let seen: Vec<_> = found.iter().map(|selector| (selector.metric.as_str(), selector.within.as_str())).collect();
    assert_eq!(seen, [("pgvigil_x_total", "max"), ("cluster:pgvigil_y:max", "")]);
    let label = |name: &str| if name == "state" { "b" } else { "d" };
    assert!(found[0].takes("pgvigil_x_total", label) && !found[0].takes("pgvigil_x_total", |_| "c"));
}
