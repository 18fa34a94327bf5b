//! What each board and panel has to be, whatever it asks. Each function says what is wrong; nothing is well.

use std::collections::BTreeSet;
use std::path::Path;

use pgvigil::assets::RUNBOOK_BASE;
use serde_json::{Value, json};

use super::board::{Board, items, place, text, uids};
use crate::fixture::ROOT;

/// The units of ours, by their ids in Grafana.
const UNITS: &[&str] = &["binBps", "bytes", "cps", "dtdurations", "none", "percentunit", "s", "short"];
const TYPES: &[&str] = &["bargauge", "heatmap", "nodeGraph", "stat", "state-timeline", "table", "timeseries"];
const WIDTH: i64 = 24;

/// What is wrong with a board as a whole.
pub fn board(board: &Board) -> Vec<String> {
    let (json, name) = (&board.json, &board.name);
    let mut wrong = Vec::new();
    let mut hold = |holds: bool, what: &str| {
        if !holds {
            wrong.push(format!("{name}: {what}"));
        }
    };
    hold(json["uid"] == name.as_str(), "its uid is its file's name");
    hold(json["schemaVersion"].as_i64().is_some_and(|version| version >= 39), "schemaVersion is 39 or newer");
    hold(json["editable"] == false, "editable is false");
    hold(json["tags"] == json!(["pgvigil"]), "its tag is pgvigil");
    hold(json["refresh"] == "30s", "it is refreshed each 30 s");
    hold(json["time"] == json!({"from": "now-6h", "to": "now"}), "it shows 6 h");
    hold(json["graphTooltip"] == 1, "panels share the cross");
    hold(text(&json["title"]).starts_with("pgvigil: "), "its title says whose it is");
    hold(text(&json["description"]).ends_with('.'), "it has a description");
    for key in ["id", "__inputs", "__requires", "__elements", "iteration"] {
        hold(json.get(key).is_none(), &format!("{key} is of an export or of one Grafana"));
    }
    let variable = |at: usize| &json["templating"]["list"][at];
    let is = |at: usize, wanted: Value| {
        wanted.as_object().into_iter().flatten().all(|(key, value)| variable(at)[key] == *value)
    };
    hold(items(&json["templating"]["list"]).count() == 3, "its variables are datasource, cluster and node");
    hold(
        is(0, json!({"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"})),
        "datasource",
    );
    let asked = json!({"type": "query", "refresh": 2, "datasource": {"type": "prometheus", "uid": "${datasource}"}});
    hold(is(1, asked.clone()) && is(1, json!({"name": "cluster", "label": "Cluster"})), "cluster");
    let several = json!({"name": "node", "label": "Node", "multi": true, "includeAll": true, "allValue": ".+"});
    hold(is(2, asked) && is(2, several), "node");
    hold(items(&json["annotations"]["list"]).count() >= 3, "annotations say when roles changed and runbooks ran");
    let links: BTreeSet<_> = items(&json["links"])
        .filter(|link| link["includeVars"] == true && link["keepTime"] == true)
        .filter_map(|link| text(&link["url"]).strip_prefix("/d/"))
        .collect();
    hold(uids().iter().filter(|uid| *uid != name).all(|uid| links.contains(uid.as_str())), "it leads to all others");
    let pretty =
        serde_json::to_string_pretty(&json).is_ok_and(|pretty| pretty.lines().count() == board.text.lines().count());
    hold(pretty && board.text.ends_with("}\n"), "it is printed with an indent of two");
    wrong
}

/// What is wrong with a panel, whatever its type.
pub fn panel(board: &Board, panel: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut hold = |holds: bool, what: &str| {
        if !holds {
            wrong.push(format!("{}: {what}", place(board, panel)));
        }
    };
    let (kind, defaults) = (text(&panel["type"]), &panel["fieldConfig"]["defaults"]);
    hold(TYPES.contains(&kind), "its type is one that is tested");
    hold(!text(&panel["title"]).is_empty(), "it has a title");
    hold(text(&panel["description"]).len() > 20 && text(&panel["description"]).ends_with('.'), "it has a description");
    hold(UNITS.contains(&text(&defaults["unit"])), "it has a unit");
    hold(items(&panel["targets"]).count() > 0, "it asks something");
    let source = json!({"type": "prometheus", "uid": "${datasource}"});
    hold(panel["datasource"] == source, "it asks ${datasource}");
    hold(items(&panel["targets"]).all(|target| target["datasource"] == source), "every query asks ${datasource}");
    let letters: BTreeSet<_> = items(&panel["targets"]).map(|target| text(&target["refId"])).collect();
    hold(letters.len() == items(&panel["targets"]).count(), "every query has a name of its own");
    // What is not known is a gap, and never 0.
    let custom = &defaults["custom"];
    hold(kind != "timeseries" || custom["spanNulls"] == false, "null is a gap");
    hold(
        panel.get("nullPointMode").is_none() && !["0", "0 s"].contains(&text(&defaults["noValue"])),
        "nothing is no 0",
    );
    let units = items(&panel["fieldConfig"]["overrides"]).flat_map(|one| items(&one["properties"]));
    hold(units.filter(|one| one["id"] == "unit").all(|one| UNITS.contains(&text(&one["value"]))), "units of columns");
    let of_type = match kind {
        "heatmap" => {
            let heat = |target: &Value| target["format"] == "heatmap" && target["instant"] == false;
            let axis = panel["options"]["yAxis"]["unit"] == defaults["unit"];
            axis && panel["options"]["calculate"] == false && items(&panel["targets"]).all(heat)
        }
        "table" | "nodeGraph" => items(&panel["targets"]).all(|one| one["format"] == "table" && one["instant"] == true),
        "stat" | "bargauge" => items(&panel["targets"]).all(|one| one["instant"] == true),
        _ => items(&panel["targets"]).all(|one| one["range"] == true && one["format"] == "time_series"),
    };
    hold(of_type, "its queries are of the form that its type draws");
    hold(kind != "nodeGraph" || letters == BTreeSet::from(["edges", "nodes"]), "a graph is of nodes and edges");
    hold(kind != "state-timeline" || items(&defaults["mappings"]).count() > 0, "states have names");
    wrong.extend(columns(board, panel));
    wrong
}

/// Columns that a table hides, names or draws otherwise, and that it does not have.
fn columns(board: &Board, panel: &Value) -> Vec<String> {
    let count = items(&panel["targets"]).count();
    let mut there: BTreeSet<String> = BTreeSet::from(["Time".to_owned()]);
    for target in items(&panel["targets"]) {
        there.insert(if count > 1 { format!("Value #{}", text(&target["refId"])) } else { "Value".to_owned() });
        let words = text(&target["expr"]).split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        there.extend(words.map(str::to_owned));
    }
    let organize = items(&panel["transformations"]).find(|one| one["id"] == "organize").map(|one| &one["options"]);
    let keys = |name: &str| organize.and_then(|options| options[name].as_object()).into_iter().flatten();
    let mut wrong = Vec::new();
    for part in ["excludeByName", "indexByName", "renameByName"] {
        let strange = keys(part).filter(|(key, _)| !there.contains(*key));
        wrong.extend(strange.map(|(key, _)| format!("{}: no column {key} to {part}", place(board, panel))));
    }
    let shown: BTreeSet<_> = keys("renameByName").map(|(_, shown)| text(shown)).collect();
    for one in items(&panel["fieldConfig"]["overrides"]) {
        let name = text(&one["matcher"]["options"]);
        if !shown.contains(name) {
            wrong.push(format!("{}: no column {name} to draw otherwise", place(board, panel)));
        }
    }
    for sorted in items(&panel["options"]["sortBy"]) {
        let name = text(&sorted["displayName"]);
        if !shown.contains(name) {
            wrong.push(format!("{}: no column {name} to sort by", place(board, panel)));
        }
    }
    wrong
}

/// Panels that lie over each other or beyond the edge, and numbers that are given twice.
pub fn grid(board: &Board) -> Vec<String> {
    let mut wrong = Vec::new();
    let side = |panel: &Value, name: &str| panel["gridPos"][name].as_i64().unwrap_or(-1);
    let panels: Vec<_> = board.all_panels().collect();
    for (at, one) in panels.iter().enumerate() {
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|name| side(one, name));
        if x < 0 || y < 0 || w < 1 || h < 1 || x + w > WIDTH {
            wrong.push(format!("{}: it lies beyond the edge", place(board, one)));
        }
        for other in &panels[at + 1..] {
            let [ox, oy, ow, oh] = ["x", "y", "w", "h"].map(|name| side(other, name));
            if x < ox + ow && ox < x + w && y < oy + oh && oy < y + h {
                wrong.push(format!("{}: it lies over {}", place(board, one), text(&other["title"])));
            }
            if one["id"] == other["id"] {
                wrong.push(format!("{}: it has the id of {}", place(board, one), text(&other["title"])));
            }
            if one["title"] == other["title"] && one["type"] != "row" && other["type"] != "row" {
                wrong.push(format!("{}: another has its title", place(board, one)));
            }
        }
    }
    wrong
}

/// Links to boards and runbooks that are not there.
pub fn links(board: &Board) -> Vec<String> {
    fn urls<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("url").and_then(Value::as_str));
                map.values().for_each(|value| urls(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| urls(value, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    urls(&board.json, &mut found);
    let boards = uids();
    let leads = |url: &str| {
        if let Some(rest) = url.strip_prefix("/d/") {
            let uid = rest.split('?').next().unwrap_or_default();
            return boards.iter().any(|board| board == uid);
        }
        let Some(page) = url.strip_prefix(RUNBOOK_BASE).and_then(|rest| rest.strip_prefix('/')) else { return false };
        // The name of an alert, as a row has it.
        page == "${__value.text}" || Path::new(ROOT).join(format!("alerts/runbooks/{page}.md")).exists()
    };
    found.into_iter().filter(|url| !leads(url)).map(|url| format!("{}: {url} leads nowhere", board.name)).collect()
}
