//! The boards of `dashboards/` as files: whole, drawn alike, and asking for what there is. `browser::panels` asks a real Prometheus.

pub mod board;
mod panel;
mod query;

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use self::board::{Board, Filled, boards, filled};

/// All that is wrong with a board.
fn wrong(board: &Board) -> Vec<String> {
    let of_panels = board.panels().flat_map(|one| panel::panel(board, one));
    let of_queries = board.queries().into_iter().flat_map(|one| query::query(&one));
    let whole = [panel::board(board), panel::grid(board), panel::links(board), query::states(board)];
    of_panels.chain(of_queries).chain(whole.into_iter().flatten()).collect()
}

#[test]
fn every_board_is_as_it_should_be() {
    let boards = boards();
    assert_eq!(boards.len(), 4);
    let wrong: Vec<_> = boards.iter().flat_map(wrong).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// promtool has Prometheus' own parser.
#[test]
fn prometheus_parses_every_query() {
    let by = Filled { cluster: "main", node: "(a|b)", rate_interval: "1m", range: "6h" };
    let queries = boards().into_iter().flat_map(|board| board.queries());
    let rule = |(at, query): (usize, board::Query)| json!({"record": format!("q{at}"), "expr": filled(&query.expr, &by), "labels": {"place": query.place}});
    let rules: Vec<_> = queries.enumerate().map(rule).collect();
    assert!(rules.len() > 150, "{}", rules.len());
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("dashboards.json");
    fs::write(&path, json!({"groups": [{"name": "boards", "rules": rules}]}).to_string()).unwrap();
    let output =
        Command::new("promtool").args(["check", "rules"]).arg(&path).output().expect("promtool is not installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&[output.stdout, output.stderr].concat()));
}

/// The first panel of a type.
fn first<'a>(json: &'a mut Value, kind: &str) -> &'a mut Value {
    json["panels"].as_array_mut().unwrap().iter_mut().find(|panel| panel["type"] == kind).unwrap()
}

type Breakage = (&'static str, fn(&mut Value));

/// What is done to a board, and a part of what is then said.
const BREAKAGES: &[Breakage] = &[
    ("no family pgvigil_node_upp", |json| {
        first(json, "stat")["targets"][0]["expr"] = "max by (node) (pgvigil_node_upp)".into()
    }),
    ("has no nod", |json| replace(json, "timeseries", "node=~", "nod=~")),
    ("stage=replay", |json| replace(json, "timeseries", "stage=\"replayed\"", "stage=\"replay\"")),
    ("of several observers is not one value", |json| replace(json, "timeseries", "min by", "max by")),
    ("of several observers is not one value", |json| replace(json, "timeseries", "min by", "avg by")),
    ("is asked for of all clusters", |json| replace(json, "timeseries", "cluster=~\"$cluster\", ", "")),
    ("is no window of Grafana's", |json| replace(json, "heatmap", "$__rate_interval", "5m")),
    ("is a counter", |json| replace(json, "heatmap", "increase", "max_over_time")),
    ("a heatmap is of buckets by le", |json| replace(json, "heatmap", "sum by (le)", "sum by (node)")),
    ("no label nobody for the legend", |json| {
        first(json, "timeseries")["targets"][0]["legendFormat"] = "{{nobody}}".into()
    }),
    ("it has a unit", |json| first(json, "heatmap")["fieldConfig"]["defaults"]["unit"] = Value::Null),
    ("it has a unit", |json| first(json, "state-timeline")["fieldConfig"]["defaults"]["unit"] = "seconds".into()),
    ("it has a description", |json| first(json, "heatmap")["description"] = "".into()),
    ("it has a title", |json| first(json, "state-timeline")["title"] = "".into()),
    ("it asks ${datasource}", |json| first(json, "stat")["datasource"]["uid"] = "P1".into()),
    ("every query asks ${datasource}", |json| first(json, "heatmap")["targets"][0]["datasource"]["uid"] = "P1".into()),
    ("null is a gap", |json| first(json, "timeseries")["fieldConfig"]["defaults"]["custom"]["spanNulls"] = true.into()),
    ("nothing is no 0", |json| first(json, "stat")["fieldConfig"]["defaults"]["noValue"] = "0".into()),
    ("of the form that its type draws", |json| first(json, "heatmap")["targets"][0]["format"] = "time_series".into()),
    ("of the form that its type draws", |json| first(json, "table")["targets"][0]["instant"] = false.into()),
    ("may be paused", |json| replace(json, "state-timeline", "state=\"paused\"", "state=\"running\"")),
    ("has no name", |json| {
        first(json, "state-timeline")["fieldConfig"]["defaults"]["mappings"] = json!([{"options": {"1": {}}}])
    }),
    ("no column Lag to draw otherwise", |json| {
        first(json, "table")["fieldConfig"]["overrides"] = json!([{"matcher": {"options": "Lag"}}])
    }),
    ("no column lag to renameByName", |json| {
        first(json, "table")["transformations"] =
            json!([{"id": "organize", "options": {"renameByName": {"lag": "Lag"}}}])
    }),
    ("it lies over", |json| first(json, "heatmap")["gridPos"]["y"] = 0.into()),
    ("it lies beyond the edge", |json| first(json, "heatmap")["gridPos"]["x"] = 20.into()),
    ("it has the id of", |json| first(json, "heatmap")["id"] = 1.into()),
    ("leads nowhere", |json| json["links"][0]["url"] = "/d/pgvigil-none".into()),
    ("leads nowhere", |json| {
        first(json, "heatmap")["links"][0]["url"] = "http://localhost:10187/runbooks/PostgresNothing".into()
    }),
    ("leads nowhere", |json| first(json, "heatmap")["links"][0]["url"] = "https://elsewhere.example/".into()),
    ("its uid is its file's name", |json| json["uid"] = "pgvigil-wal".into()),
    ("editable is false", |json| json["editable"] = true.into()),
    ("schemaVersion is 39 or newer", |json| json["schemaVersion"] = 30.into()),
    ("__inputs is of an export", |json| json["__inputs"] = json!([])),
    ("node", |json| json["templating"]["list"][2]["multi"] = false.into()),
    ("cluster", |json| json["templating"]["list"][1]["refresh"] = 1.into()),
    ("datasource", |json| json["templating"]["list"][0]["label"] = "Prometheus".into()),
];

/// Changes the first query of the first panel of a type.
fn replace(json: &mut Value, kind: &str, from: &str, to: &str) {
    let expr = &mut first(json, kind)["targets"][0]["expr"];
    let text = expr.as_str().unwrap();
    assert!(text.contains(from), "{text} has no {from}");
    *expr = text.replace(from, to).into();
}

#[test]
fn a_board_that_is_broken_is_told_of() {
    let board = boards().into_iter().find(|board| board.name == "pgvigil-replication").unwrap();
    for (said, change) in BREAKAGES {
        let mut broken = board.clone();
        change(&mut broken.json);
        let wrong = wrong(&broken);
        assert!(wrong.iter().any(|one| one.contains(said)), "{said}: {wrong:?}");
    }
}
