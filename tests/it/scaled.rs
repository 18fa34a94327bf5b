//! The shipped rules as the live fault matrix and the replay of what it recorded use them: with shorter durations.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use pgvigil::lab::Scale;
use serde_json::Value;

use crate::fixture::ROOT;

/// 1 m becomes 3 s.
pub const SCALE: Scale = Scale { factor: 20, scrape: Duration::from_secs(1) };

/// The alert of the lag objective. It counts seconds, which no factor divides, in windows that are divided: its budget burns so much
/// faster than it would.
pub const LAG_OBJECTIVE: &str = "PostgresLagBudgetBurn";
/// The file that has it, and nothing else.
const LAG_OBJECTIVE_FILE: &str = "objective.yml";

/// Files of rules by name.
pub type Rules = BTreeMap<String, Value>;

/// The shipped rules, with durations divided by this.
pub fn shipped(scale: Scale) -> Rules {
    let dir = Path::new(ROOT).join("alerts/rules");
    let entries = std::fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let files = entries.map(|entry| {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let rules = scale.rules(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path.file_name().unwrap().to_string_lossy().into_owned(), rules)
    });
    files.collect()
}

/// The same, without the lag objective unless it is held to.
pub fn held(is_lag_held: bool) -> Rules {
    let mut rules = shipped(SCALE);
    if !is_lag_held {
        rules.remove(LAG_OBJECTIVE_FILE).expect("alerts/rules/objective.yml");
    }
    rules
}

/// Every rule of a file of rules.
fn rules(file: &Value) -> impl Iterator<Item = &Value> {
    let groups = file["groups"].as_array().into_iter().flatten();
    groups.flat_map(|group| group["rules"].as_array().into_iter().flatten())
}

/// Writes files of rules where Prometheus and promtool read them: JSON is YAML.
pub fn write(files: &Rules, dir: &Path) {
    for (name, file) in files {
        std::fs::write(dir.join(name), serde_json::to_string_pretty(file).unwrap()).unwrap();
    }
}

/// A regular expression that matches the names of what is scraped and named in the rules.
pub fn metrics(files: &Rules) -> String {
    let mut names = Vec::from(["up"]);
    for rule in files.values().flat_map(rules) {
        let expression = rule["expr"].as_str().unwrap_or_default();
        let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | ':'));
        names.extend(words.filter(|word| word.starts_with("pgvigil_") && !word.contains(':')));
    }
    names.sort_unstable();
    names.dedup();
    names.join("|")
}
