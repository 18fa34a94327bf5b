//! What each query has to be: series, labels and words of the catalogue, one value of several observers, counters as rates.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use pgvigil::metric::family::{Kind, Observers};

use super::board::{Board, Query, items, place, text};
use crate::rules::bundle::{self, Selector};
use crate::rules::contract::{family, is_word, words};

/// Labels whose values are names and not words of ours.
const NAMES: &[&str] = &["cluster", "node", "standby", "instance", "upstream"];
/// Counters that are shown as they are, and why.
const AS_THEY_ARE: &[(&str, &str)] =
    &[("pgvigil_runbook_runs_total", "absent until the first run of its kind, which no increase would show")];

/// What recorded pages have, which are many.
static WORDS: LazyLock<BTreeSet<(String, String, String)>> = LazyLock::new(words);
/// What the rules record.
static RECORDED: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    bundle::groups().into_iter().flat_map(|group| group.rules).filter_map(|rule| rule.record).collect()
});

/// What is wrong with one query.
pub fn query(query: &Query) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut hold = |holds: bool, what: String| {
        if !holds {
            wrong.push(format!("{}: {what}", query.place));
        }
    };
    let selectors = bundle::selectors(&query.expr);
    hold(!selectors.is_empty(), "it asks for no series".to_owned());
    for Selector { metric, matchers, within } in &selectors {
        if metric == "ALERTS" || RECORDED.contains(metric) {
            let ours = matchers.iter().all(|(label, ..)| {
                ["alertname", "alertstate", "severity", "cluster", "node"].contains(&label.as_str())
            });
            hold(ours, format!("{metric} has no such label"));
            continue;
        }
        let Some(family) = family(metric) else {
            hold(false, format!("no family {metric}"));
            continue;
        };
        for (label, _, value) in matchers {
            hold(family.labels.contains(&label.as_str()), format!("{metric} has no {label}"));
            let known = |value: &str| is_word(&WORDS, metric, label, value);
            hold(NAMES.contains(&label.as_str()) || value.split('|').all(known), format!("{metric} {label}={value}"));
        }
        let takes = |label: &str, variable: &str| {
            matchers.iter().any(|(name, operator, value)| name == label && operator == "=~" && value == variable)
        };
        hold(
            !family.labels.contains(&"cluster") || takes("cluster", "$cluster"),
            format!("{metric} is asked for of all clusters"),
        );
        let values = matchers.iter().filter(|(_, operator, _)| !operator.starts_with('!'));
        let values = values.flat_map(|(label, _, value)| value.split('|').map(move |value| (label.as_str(), value)));
        let is_bucket = metric.ends_with("_bucket");
        let fits = match family.across(values) {
            Observers::Max => within == "max",
            // Of several counts below a bound the largest is that of the smallest value.
            Observers::Min => within == "min" || (is_bucket && within == "max" && query.kind == "heatmap"),
            Observers::Own => query.kind == "heatmap" || query.expr.contains("instance"),
        };
        hold(fits, format!("{metric} of several observers is not one value: it is within '{within}'"));
        let is_native = family.kind == Kind::Histogram && metric == family.name;
        let is_counter = family.kind == Kind::Counter || is_native || (family.kind == Kind::Histogram && is_bucket);
        let is_excused = AS_THEY_ARE.iter().any(|(name, _)| name == metric);
        hold(
            !is_counter || is_excused || is_rate(&query.expr, metric),
            format!("{metric} is a counter: take its rate"),
        );
    }
    // A panel that looks at the chosen nodes does so in all of its parts; one of whole clusters in none.
    let of_node = |selector: &&Selector| family(&selector.metric).is_some_and(|family| family.labels.contains(&"node"));
    let chosen = |selector: &&Selector| selector.matchers.iter().any(|(_, _, value)| value == "$node");
    let of_nodes: Vec<_> = selectors.iter().filter(of_node).collect();
    hold(of_nodes.iter().all(&chosen) || !of_nodes.iter().any(chosen), "$node counts for a part of it".to_owned());
    for window in query.expr.split('[').skip(1).filter_map(|rest| rest.split_once(']')) {
        hold(["$__rate_interval", "$__range"].contains(&window.0), format!("[{}] is no window of Grafana's", window.0));
    }
    for label in query.legend.split("{{").skip(1).filter_map(|rest| rest.split_once("}}")) {
        let kept = query.expr.contains(label.0) || recorded_has(&selectors, label.0);
        hold(kept, format!("no label {} for the legend", label.0));
    }
    if query.kind == "heatmap" {
        let by = query.expr.starts_with("sum by (le)") && query.legend == "{{le}}";
        hold(
            by && selectors.iter().all(|one| one.metric.ends_with("_bucket")),
            "a heatmap is of buckets by le".to_owned(),
        );
    }
    wrong
}

/// Whether all selectors are of recordings that keep this label.
fn recorded_has(selectors: &[Selector], label: &str) -> bool {
    selectors
        .iter()
        .any(|one| one.metric.split(':').next().is_some_and(|level| level.split('_').any(|part| part == label)))
}

/// Whether each time that a counter is named its rate or increase is taken.
fn is_rate(expr: &str, metric: &str) -> bool {
    let places = expr.match_indices(metric).map(|(at, _)| &expr[..at]);
    places.into_iter().all(|before| ["rate(", "increase("].iter().any(|function| before.ends_with(function)))
}

/// States that a panel draws and has no name for, and states of the series that it leaves out.
pub fn states(board: &Board) -> Vec<String> {
    let mut wrong = Vec::new();
    for panel in board.panels().filter(|panel| panel["type"] == "state-timeline") {
        let exprs: String = items(&panel["targets"]).map(|target| text(&target["expr"])).collect();
        let named: BTreeSet<_> = items(&panel["fieldConfig"]["defaults"]["mappings"])
            .flat_map(|mapping| mapping["options"].as_object().into_iter().flatten())
            .map(|(code, _)| code.clone())
            .collect();
        let selectors = bundle::selectors(&exprs);
        let asked: BTreeSet<_> = selectors
            .iter()
            .flat_map(|one| one.matchers.iter().map(move |(label, _, value)| (&one.metric, label, value)))
            .filter(|(_, label, _)| *label == "state")
            .map(|(metric, _, value)| (metric.clone(), value.clone()))
            .collect();
        let there =
            WORDS.iter().filter(|(metric, label, _)| label == "state" && asked.iter().any(|(of, _)| of == metric));
        for (metric, _, state) in there {
            if !asked.contains(&(metric.clone(), state.clone())) {
                wrong.push(format!("{}: {metric} may be {state}", place(board, panel)));
            }
        }
        // Each line of it gives one number, by itself or times something.
        let codes =
            exprs.split('*').skip(1).filter_map(|rest| rest.trim_start().split(|c: char| !c.is_ascii_digit()).next());
        for code in codes.filter(|code| !code.is_empty() && *code != "0") {
            if !named.contains(code) {
                wrong.push(format!("{}: {code} has no name", place(board, panel)));
            }
        }
    }
    wrong
}
