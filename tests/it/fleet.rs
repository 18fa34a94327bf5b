//! `docs/fleet.md`: what it shows is a config, and what it keeps for years is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use pgvigil::metric::catalog;
use pgvigil::metric::family::Kind;
use serde_json::Value;

use crate::fixture::ROOT;

/// The blocks of the document in this language.
pub fn blocks(language: &str) -> Vec<String> {
    let page = fs::read_to_string(Path::new(ROOT).join("docs/fleet.md")).unwrap();
    let begin = format!("```{language}\n");
    page.split(&begin).skip(1).filter_map(|rest| rest.split("```").next()).map(str::to_owned).collect()
}

#[test]
fn prometheus_takes_every_example() {
    let dir = std::env::temp_dir().join(format!("pgvigil-fleet-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let of_prometheus = blocks("yaml").into_iter().filter(|block| !block.contains("clusters:\n"));
    let files: Vec<_> = of_prometheus
        .enumerate()
        .map(|(number, block)| {
            let path = dir.join(format!("{number}.yml"));
            fs::write(&path, block).unwrap();
            path
        })
        .collect();
    assert_eq!(files.len(), 4);
    let output = Command::new("promtool").args(["check", "config"]).args(&files).output();
    let output = output.expect("promtool is not installed: scripts/bootstrap prometheus");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn what_is_kept_for_years_is_in_the_catalogue() {
    let block = blocks("yaml").into_iter().find(|block| block.contains("remote_write")).unwrap();
    let config: Value = serde_saphyr::from_str(&block).unwrap();
    let writes = config["remote_write"].as_array().unwrap();
    assert_eq!(writes.len(), 3);
    let families = catalog::families();
    let series = families.iter().flat_map(|family| match family.kind {
        Kind::Histogram => ["_bucket", "_sum", "_count"].map(|part| format!("{}{part}", family.name)).to_vec(),
        Kind::Gauge | Kind::Counter => vec![family.name.to_owned()],
    });
    let series: BTreeSet<_> = series.collect();
    for write in writes {
        let regex = write["write_relabel_configs"][0]["regex"].as_str().unwrap();
        let (ours, others) = regex.strip_prefix("pgvigil_(").and_then(|rest| rest.split_once(')')).unwrap();
        assert_eq!(others, "|ALERTS|up");
        for name in ours.split('|') {
            assert!(series.contains(&format!("pgvigil_{name}")), "{name}");
        }
    }
}
