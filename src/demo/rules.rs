//! The alert rules and routes that are shipped, with durations that a person can watch.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

use super::generated::write;
use crate::assets::{self, RUNBOOK_BASE};
use crate::lab::Scale;

const ROUTES: &str = include_str!("../../alerts/alertmanager.yml");
/// Who hears of the alert that always fires: in the demo, nobody.
const DEAD_MAN: &str = "dead-man";

/// A minute of the shipped durations is 3 s.
pub(super) const SCALE: Scale = Scale { factor: 20, scrape: Duration::from_secs(1) };

/// Writes the rules into a directory; their runbooks are those of the pgvigil on this port.
pub(super) fn write_rules(dir: &Path, pgvigil_port: u16) -> anyhow::Result<()> {
    let runbooks = format!("http://127.0.0.1:{pgvigil_port}/runbooks");
    for file in assets::rules() {
        let scaled = SCALE.rules(file.text).with_context(|| format!("alerts/{}", file.path))?;
        // JSON is YAML.
        let text = serde_json::to_string_pretty(&scaled)?;
        write(&dir.join(file.stem()).with_extension("yml"), &text.replace(RUNBOOK_BASE, &runbooks))?;
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
    fn every_rule_file_can_be_shortened() {
        for file in assets::rules() {
            SCALE.rules(file.text).unwrap_or_else(|error| panic!("{}: {error}", file.path));
        }
    }
}
