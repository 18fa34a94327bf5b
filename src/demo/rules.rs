//! The alert rules and routes that are shipped, with durations that a person can watch.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

use super::generated::write;
use crate::lab::Scale;

/// The files of `alerts/rules`.
const RULES: [(&str, &str); 9] = [
    ("archive.yml", include_str!("../../alerts/rules/archive.yml")),
    ("cluster.yml", include_str!("../../alerts/rules/cluster.yml")),
    ("objective.yml", include_str!("../../alerts/rules/objective.yml")),
    ("pgvigil.yml", include_str!("../../alerts/rules/pgvigil.yml")),
    ("primary.yml", include_str!("../../alerts/rules/primary.yml")),
    ("replay.yml", include_str!("../../alerts/rules/replay.yml")),
    ("slots.yml", include_str!("../../alerts/rules/slots.yml")),
    ("standby.yml", include_str!("../../alerts/rules/standby.yml")),
    ("sync.yml", include_str!("../../alerts/rules/sync.yml")),
];
const ROUTES: &str = include_str!("../../alerts/alertmanager.yml");
/// Where the shipped rules take pgvigil to listen.
const SHIPPED_AT: &str = "http://localhost:10187/";
/// Who hears of the alert that always fires: in the demo, nobody.
const DEAD_MAN: &str = "dead-man";

/// A minute of the shipped durations is 3 s.
pub(super) const SCALE: Scale = Scale { factor: 20, scrape: Duration::from_secs(1) };

/// Writes the rules into a directory; their runbooks are those of the pgvigil on this port.
pub(super) fn write_rules(dir: &Path, pgvigil_port: u16) -> anyhow::Result<()> {
    for (name, shipped) in RULES {
        let scaled = SCALE.rules(shipped).with_context(|| format!("alerts/rules/{name}"))?;
        // JSON is YAML.
        let text = serde_json::to_string_pretty(&scaled)?;
        write(&dir.join(name), &text.replace(SHIPPED_AT, &format!("http://127.0.0.1:{pgvigil_port}/")))?;
    }
    Ok(())
}

/// The configuration of Alertmanager: the shipped routes and inhibitions, and one webhook behind every receiver.
pub(super) fn routing(webhook: &str, token_file: &Path) -> anyhow::Result<String> {
    let mut config = SCALE.routes(ROUTES).context("alerts/alertmanager.yml")?;
    let receivers = config.get_mut("receivers").and_then(Value::as_array_mut);
    for receiver in receivers.context("alerts/alertmanager.yml has no receivers")? {
        let name = receiver.get("name").cloned().unwrap_or_default();
        let authorization = json!({ "credentials_file": token_file });
        let webhook = json!({ "url": webhook, "http_config": { "authorization": authorization } });
        let webhooks = if name == DEAD_MAN { json!([]) } else { json!([webhook]) };
        *receiver = json!({ "name": name, "webhook_configs": webhooks });
    }
    Ok(serde_json::to_string_pretty(&config)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_shipped_rules_are_in_the_demo() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("alerts/rules");
        let files = std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        let mut files: Vec<String> = files.collect();
        files.sort();
        assert_eq!(files, RULES.map(|(name, _)| name));
        for (name, shipped) in RULES {
            SCALE.rules(shipped).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(!shipped.contains("runbook_url") || shipped.contains(SHIPPED_AT), "{name}");
        }
    }
}
