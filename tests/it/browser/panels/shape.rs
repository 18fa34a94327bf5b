//! What each type of panel needs to draw anything.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::ask::{Ask, Series};
use crate::dashboards::board::{Board, Query, items, text};

/// Buckets of a heatmap: fewer are no picture.
const BUCKETS: usize = 8;

/// Whether the panel of a query can draw these series; else what is missing.
pub fn is_drawn(board: &Board, query: &Query, series: &[Series]) -> Result<(), String> {
    if !series.iter().any(|one| !one.values.is_empty()) {
        return Err("no data".to_owned());
    }
    let parts: Vec<_> = query.place.splitn(3, ": ").collect();
    let panel = board.panels().find(|panel| {
        parts.get(1).is_some_and(|title| panel["title"] == *title) && panel["type"] == query.kind.as_str()
    });
    match (query.kind.as_str(), panel) {
        ("annotation", _) => Ok(()),
        (kind, Some(panel)) => {
            legend(query, series)?;
            match kind {
                "heatmap" => heatmap(series),
                "table" => table(panel, query, series),
                "nodeGraph" => graph(query, series),
                "state-timeline" => states(panel, series),
                "stat" | "bargauge" => single(series),
                _ => Ok(()),
            }
        }
        (kind, None) => Err(format!("no {kind} of this title")),
    }
}

/// What the legend names is there, so that no two lines have one name.
fn legend(query: &Query, series: &[Series]) -> Result<(), String> {
    let named: Vec<_> = query.legend.split("{{").skip(1).filter_map(|rest| Some(rest.split_once("}}")?.0)).collect();
    let mut seen = BTreeSet::new();
    for one in series.iter().filter(|_| !named.is_empty()) {
        let names: Vec<_> = named.iter().map(|label| one.labels.get(*label).cloned()).collect();
        // An alert of no node, or of no cluster, has no such label.
        if names.contains(&None) && !query.expr.contains("ALERTS") {
            return Err(format!("{named:?} in {:?}", one.labels));
        }
        if !seen.insert(names.clone()) {
            return Err(format!("two lines are called {names:?}"));
        }
    }
    Ok(())
}

fn heatmap(series: &[Series]) -> Result<(), String> {
    let bounds: BTreeSet<_> = series.iter().filter_map(|one| one.labels.get("le")).collect();
    let is_counted = series.iter().flat_map(|one| &one.values).any(|value| *value > 0.0);
    let only = series.iter().all(|one| one.labels.keys().all(|label| label == "le"));
    match bounds.len() >= BUCKETS && is_counted && only && bounds.iter().any(|bound| *bound == "+Inf") {
        true => Ok(()),
        false => Err(format!("{} buckets, counted: {is_counted}, le alone: {only}", bounds.len())),
    }
}

/// The labels that the table shows as columns, and that this query's expression makes, are in each row.
fn table(panel: &Value, query: &Query, series: &[Series]) -> Result<(), String> {
    let by = query.expr.split("by (").skip(1).filter_map(|rest| rest.split_once(')')).map(|(labels, _)| labels);
    let made: BTreeSet<_> = by.flat_map(|labels| labels.split(", ")).collect();
    let organize = items(&panel["transformations"]).find(|one| one["id"] == "organize");
    let shown = organize.and_then(|one| one["options"]["renameByName"].as_object()).into_iter().flatten();
    let shown: Vec<_> = shown.map(|(name, _)| name.as_str()).filter(|name| !name.starts_with("Value")).collect();
    // Of what it aggregates within it keeps what its outermost aggregation says, which is first.
    let outermost =
        query.expr.split("by (").nth(1).and_then(|rest| rest.split_once(')')).map_or("", |(labels, _)| labels);
    let kept: BTreeSet<_> = outermost.split(", ").collect();
    for one in series {
        let has = |label: &&str| one.labels.get(*label).is_some_and(|value| !value.is_empty());
        let optional = ["cluster", "node"].iter().any(|label| query.expr.contains("ALERTS") && kept.contains(label));
        let missing: Vec<_> =
            shown.iter().filter(|label| kept.contains(*label) && made.contains(*label) && !has(label)).collect();
        if !missing.is_empty() && !optional {
            return Err(format!("no {missing:?} in {:?}", one.labels));
        }
    }
    Ok(())
}

fn graph(query: &Query, series: &[Series]) -> Result<(), String> {
    let is_nodes = query.place.ends_with(": nodes");
    let wanted: &[&str] =
        if is_nodes { &["id", "title", "subtitle", "color"] } else { &["id", "source", "target", "mainstat"] };
    let mut ids = BTreeSet::new();
    for one in series {
        if let Some(label) = wanted.iter().find(|label| one.labels.get(**label).is_none_or(String::is_empty)) {
            return Err(format!("no {label} in {:?}", one.labels));
        }
        if !ids.insert(&one.labels["id"]) {
            return Err(format!("{} twice", one.labels["id"]));
        }
    }
    let names: BTreeSet<_> = series
        .iter()
        .flat_map(|one| {
            if is_nodes { Vec::from(["id"]) } else { Vec::from(["source", "target"]) }
                .into_iter()
                .map(|label| one.labels[label].as_str())
        })
        .collect();
    // An arrow from or to a node that is not drawn ends Grafana's panel with an error.
    let all = BTreeSet::from(["lab/a", "lab/b", "lab/c"]);
    if names.is_subset(&all) && (!is_nodes || names == all) { Ok(()) } else { Err(format!("{names:?}")) }
}

fn states(panel: &Value, series: &[Series]) -> Result<(), String> {
    let named: BTreeMap<_, _> = items(&panel["fieldConfig"]["defaults"]["mappings"])
        .flat_map(|mapping| mapping["options"].as_object().into_iter().flatten())
        .map(|(code, named)| (code.as_str(), text(&named["text"])))
        .collect();
    match series.iter().flat_map(|one| &one.values).find(|value| !named.contains_key(value.to_string().as_str())) {
        Some(value) => Err(format!("{value} has no name")),
        None => Ok(()),
    }
}

fn single(series: &[Series]) -> Result<(), String> {
    match series.iter().find(|one| one.values.len() != 1) {
        Some(one) => Err(format!("{} values in {:?}", one.values.len(), one.labels)),
        None => Ok(()),
    }
}

/// What boards say of a standby that is paused, and of an archive that fails.
pub async fn shows_the_pause(ask: &Ask) {
    let boards = crate::dashboards::board::boards();
    let queries: Vec<_> = boards.iter().flat_map(Board::queries).collect();
    for (place, label, of, value) in [
        ("pgvigil-replication: Replay: A", "node", "c", 3.0),
        ("pgvigil-replication: Replay: A", "node", "b", 1.0),
        ("pgvigil-wal: Archiving: A", "node", "a", 1.0),
        ("pgvigil-fleet: Roles: A", "node", "a", 1.0),
        ("pgvigil-fleet: Roles: A", "node", "c", 2.0),
    ] {
        let query = queries.iter().find(|query| query.place == place).unwrap_or_else(|| panic!("no {place}"));
        let series = ask.series(query).await.unwrap();
        let shown = series.iter().find(|one| one.labels.get(label).is_some_and(|name| name == of));
        assert_eq!(shown.and_then(|one| one.values.last()), Some(&value), "{place} of {of}: {series:?}");
    }
    let nodes = queries.iter().find(|query| query.place == "pgvigil-fleet: Topology: nodes").unwrap();
    let series = ask.series(nodes).await.unwrap();
    let said: BTreeSet<_> =
        series.iter().map(|one| (one.labels["title"].as_str(), one.labels["subtitle"].as_str())).collect();
    assert_eq!(said, BTreeSet::from([("a", "primary"), ("b", "standby"), ("c", "standby, replay is paused")]));
    let edges = queries.iter().find(|query| query.place == "pgvigil-fleet: Topology: edges").unwrap();
    let series = ask.series(edges).await.unwrap();
    let arrows: BTreeSet<_> = series.iter().map(|one| one.labels["id"].as_str()).collect();
    assert_eq!(arrows, BTreeSet::from(["lab/a lab/b", "lab/a lab/c"]));
}
