//! Quantities that runbook pages name of their alerts are those of the rules.

use std::collections::BTreeSet;
use std::fs;

use super::bundle::{self, Rule};
use super::case::seconds;
use crate::fixture::ROOT;

/// Where a page says when its alert fires, and when it does not.
const SECTIONS: &[&str] = &["Meaning", "Known false alarms"];

/// Quantities that are not the rule's, and whose they are.
const OTHERS: &[(&str, &str, &str)] = &[
    ("PostgresNodeUnreachable", "60 s", "wal_sender_timeout by default"),
    ("PostgresWalVolumeFilling", "ten minutes", "pgvigil's forecast: wal_volume_time_to_full_seconds"),
];

const WORDS: &[(&str, f64)] = &[
    ("one", 1.0),
    ("two", 2.0),
    ("three", 3.0),
    ("four", 4.0),
    ("five", 5.0),
    ("six", 6.0),
    ("ten", 10.0),
    ("fifteen", 15.0),
];

/// What a unit is in those of the rules: seconds, parts of one, bytes.
fn unit(word: &str) -> Option<f64> {
    Some(match word {
        "s" | "second" | "seconds" => 1.0,
        "min" | "minute" | "minutes" => 60.0,
        "h" | "hour" | "hours" => 3_600.0,
        "day" | "days" => 86_400.0,
        "%" => 0.01,
        "MiB" => 1_048_576.0,
        "GiB" => 1_073_741_824.0,
        _ => return None,
    })
}

/// The quantities of a text: as they are written, and what they are.
fn quantities(text: &str) -> Vec<(String, f64)> {
    let trim = |word: &'_ str| word.trim_matches(|c: char| !c.is_alphanumeric() && c != '%').to_owned();
    let words: Vec<String> = text.split_whitespace().map(trim).collect();
    let at = |index: usize| words.get(index).map_or("", String::as_str);
    let mut found = Vec::new();
    for index in 0..words.len() {
        match [at(index), at(index + 1), at(index + 2), at(index + 3)] {
            ["half", "an", "hour", _] => found.push(("half an hour".to_owned(), 1_800.0)),
            ["quarter", "of", "an", "hour"] => found.push(("quarter of an hour".to_owned(), 900.0)),
            ["a", "tenth", ..] => found.push(("a tenth".to_owned(), 0.1)),
            [number, word, ..] => {
                let known = WORDS.iter().find(|(word, _)| *word == number).map(|(_, value)| *value);
                let Some(value) = known.or_else(|| number.parse().ok()) else { continue };
                match unit(word) {
                    Some(unit) => found.push((format!("{number} {word}"), value * unit)),
                    // A part of something.
                    None if number.starts_with("0.") => found.push((number.to_owned(), value)),
                    None => {}
                }
            }
        }
    }
    found
}

/// The numbers of an expression, durations in seconds.
fn numbers(expr: &str) -> Vec<f64> {
    let words = expr.split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '_' | ':'));
    let words = words.filter(|word| word.starts_with(|first: char| first.is_ascii_digit()));
    let duration = |word: &str| word.ends_with(|last: char| "smhd".contains(last)).then(|| seconds(word) as f64);
    words.filter_map(|word| word.parse().ok().or_else(|| duration(word))).collect()
}

/// The alert's rules, and the recordings that these build on.
fn rules<'a>(all: &[&'a Rule], alert: &str) -> Vec<&'a Rule> {
    let mut found: Vec<&Rule> = all.iter().copied().filter(|rule| rule.alert.as_deref() == Some(alert)).collect();
    let mut next = 0;
    while let Some(rule) = found.get(next).copied() {
        for selector in bundle::selectors(&rule.expr) {
            let recorded = all.iter().find(|rule| rule.record.as_deref() == Some(selector.metric.as_str()));
            found.extend(recorded.filter(|rule| !found.iter().any(|known| known.name() == rule.name())));
        }
        next += 1;
    }
    found
}

/// Whether a rule has the quantity: as a wait, a window, a threshold, or a window after which it waits.
fn has(rules: &[&Rule], value: f64) -> bool {
    let near = |number: f64| (number - value).abs() <= value * 1e-6;
    let of_a_rule = |rule: &&Rule| {
        let wait = rule.wait.as_deref().map_or(0.0, |wait| seconds(wait) as f64);
        let mut numbers = numbers(&rule.expr);
        // Powers of two are written as such.
        numbers.extend(rule.expr.contains("1024 * 1024 * 1024").then_some(1_073_741_824.0));
        near(wait) || numbers.into_iter().any(|number| near(number) || near(number + wait) || near(1.0 / number))
    };
    rules.iter().any(of_a_rule)
}

#[test]
fn quantities_on_runbook_pages_are_those_of_their_rules() {
    let groups = bundle::groups();
    let all: Vec<&Rule> = groups.iter().flat_map(|group| &group.rules).collect();
    let alerts: BTreeSet<&str> = all.iter().filter_map(|rule| rule.alert.as_deref()).collect();
    let (mut held, mut strange, mut others) = (0, Vec::new(), BTreeSet::new());
    for alert in alerts {
        let page = fs::read_to_string(format!("{ROOT}/alerts/runbooks/{alert}.md")).unwrap();
        let rules = rules(&all, alert);
        let sections = page.split("\n## ").filter_map(|section| section.split_once('\n'));
        for (_, text) in sections.filter(|(heading, _)| SECTIONS.contains(heading)) {
            for (shown, value) in quantities(text) {
                if OTHERS.iter().any(|(of, what, _)| *of == alert && *what == shown) {
                    others.insert((alert, shown));
                } else if has(&rules, value) {
                    held += 1;
                } else {
                    strange.push(format!("{alert}: {shown}"));
                }
            }
        }
    }
    assert!(strange.is_empty(), "no rule of the alert has these: {strange:#?}");
    assert!(held > 30, "{held}");
    let said: BTreeSet<_> = OTHERS.iter().map(|(alert, shown, _)| (*alert, (*shown).to_owned())).collect();
    assert_eq!(others, said, "quantities of others that no page names");
}

#[test]
fn the_reader_of_quantities_sees_what_it_should() {
    let text = "More than 60 s, half an hour,\nor less than 15 % within ten\nminutes'; 0.6 of it, a tenth, and 9 rows.";
    let shown: Vec<_> = quantities(text).into_iter().map(|(shown, _)| shown).collect();
    assert_eq!(shown, ["60 s", "half an hour", "15 %", "ten minutes", "0.6", "a tenth"]);
    assert_eq!(numbers("max_over_time(x:y1:max[6h] offset 25m) > 0.15 and on (a) b5 < 3e"), [21_600.0, 1_500.0, 0.15]);
}
