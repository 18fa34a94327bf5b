//! The boards held to the types of Grafana's own package, by the TypeScript compiler; `scripts/bootstrap grafana-schema` fetches both.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::dashboards::board::{Board, boards};
use crate::fixture::ROOT;

/// What the compiler says of a board; nothing if it is content.
fn said(name: &str, boards: &[Board]) -> String {
    let modules = Command::new(format!("{ROOT}/scripts/bootstrap")).arg("where-grafana-schema").output().unwrap();
    let modules = String::from_utf8(modules.stdout).unwrap().trim().to_owned();
    assert!(Path::new(&modules).join("typescript").exists(), "run scripts/bootstrap grafana-schema");
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("grafana-{name}"));
    std::fs::create_dir_all(&scratch).unwrap();
    let write = |board: &Board| {
        let path = scratch.join(format!("{}.json", board.name));
        std::fs::write(&path, board.json.to_string()).unwrap();
        path
    };
    let files: Vec<_> = boards.iter().map(write).collect();
    let check = format!("{ROOT}/scripts/grafana/check.mjs");
    let output = Command::new("node").arg(check).arg(modules).arg(&scratch).args(files).output().expect("node");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() == said.is_empty(), "{said}");
    said
}

/// The first panel of a type.
fn first<'a>(json: &'a mut Value, kind: &str) -> &'a mut Value {
    json["panels"].as_array_mut().unwrap().iter_mut().find(|panel| panel["type"] == kind).unwrap()
}

#[test]
fn every_board_is_of_the_types_that_grafana_publishes() {
    assert_eq!(said("boards", &boards()), "");
    // All of it at once, as the compiler tells of each: a start of it takes seconds.
    let mut broken = boards().into_iter().find(|board| board.name == "pgvigil-replication").unwrap();
    let json = &mut broken.json;
    first(json, "heatmap")["options"]["bucketBound"] = "auto".into();
    first(json, "timeseries")["fieldConfig"]["defaults"]["custom"]["stacking"]["mode"] = "stack".into();
    first(json, "state-timeline")["options"].as_object_mut().unwrap().remove("rowHeight");
    first(json, "table")["fieldConfig"]["overrides"][0]["properties"][0]["id"] = "units".into();
    first(json, "stat")["options"]["colorMode"] = "text".into();
    json["templating"]["list"][1]["refresh"] = json!(7);
    let said = said("broken", &[broken]);
    for part in ["bucketBound", "\"stack\"", "rowHeight", "\"units\"", "\"text\"", "'7'"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}
