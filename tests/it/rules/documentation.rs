//! `docs/alerts.md` lists the alerts as the rules have them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use super::bundle::{self, Rule};
use crate::fixture::{self, ROOT};

const BEGIN: &str = "<!-- The table is written by the test that checks it, with UPDATE=1. -->\n";
const END: &str = "\n<!-- End of the table. -->";

/// A row for each alert: its severities with how long it waits for each, and what it says.
fn table() -> String {
    let groups = bundle::groups();
    let mut table = String::from("| alert | severity, after | says |\n|---|---|---|\n");
    let rules: Vec<_> = groups.iter().flat_map(|group| &group.rules).filter(|rule| rule.alert.is_some()).collect();
    let mut of_alert: BTreeMap<&str, Vec<&Rule>> = BTreeMap::new();
    for rule in rules {
        of_alert.entry(rule.name()).or_default().push(rule);
    }
    for (name, rules) in of_alert {
        let severity = |rule: &&Rule| format!("{} {}", rule.severity(), rule.wait.as_deref().unwrap_or("at once"));
        let severities: Vec<_> = rules.iter().map(severity).collect();
        let says = rules[0].annotations["summary"].replace("{{ $labels.", "*").replace(" }}", "*");
        let _ = writeln!(table, "| `{name}` | {} | {says} |", severities.join(", "));
    }
    table
}

#[test]
fn the_page_lists_every_alert() {
    let path = format!("{ROOT}/docs/alerts.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (listed, after) = rest.split_once(END).unwrap();
    let table = table();
    if fixture::update() {
        fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
    } else {
        assert!(listed == table, "docs/alerts.md is out of date: run this test with UPDATE=1");
    }
}
