//! The alert rules and routes that are shipped, with durations that a person can watch.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

use super::generated::{Webhook, write};
use crate::assets::{self, RUNBOOK_BASE};
use crate::lab::Scale;

/// In the bundle.
const ROUTES: &str = "alertmanager.yml";
/// Who hears of the alert that always fires: in the demo, nobody.
const DEAD_MAN: &str = "dead-man";
/// Who hears of what is for runbooks.
const ENGINE: &str = "pgvigil";

/// A minute of the shipped durations is 3 s.
pub(super) const SCALE: Scale = Scale { factor: 20, scrape: Duration::from_secs(1) };

/// Writes the rules into a directory; their runbooks are those of the pgvigil on this port.
pub(super) fn write_rules(dir: &Path, pgvigil_port: u16) -> anyhow::Result<()> {
    let runbooks = format!("http://127.0.0.1:{pgvigil_port}/runbooks");
    for shipped in assets::rules() {
        let scaled = SCALE.rules(shipped.text).with_context(|| shipped.path)?;
        // JSON is YAML.
        let text = serde_json::to_string_pretty(&scaled)?.replace(RUNBOOK_BASE, &runbooks);
        write(&dir.join(format!("{}.yml", shipped.stem())), &text)?;
    }
    Ok(())
}

/// The configuration of Alertmanager: the shipped routes and inhibitions, the bell behind every receiver, and pgvigil behind its own.
pub(super) fn routing(bell: &Webhook, pgvigil: &Webhook) -> anyhow::Result<String> {
    let shipped = assets::all().into_iter().find(|asset| asset.path == ROUTES).context("no routes are built in")?;
    let mut config = SCALE.routes(shipped.text).context(ROUTES)?;
    let receivers = config.get_mut("receivers").and_then(Value::as_array_mut);
    for receiver in receivers.context("the shipped routes have no receivers")? {
        let name = receiver.get("name").cloned().unwrap_or_default();
        let heard: &[&Webhook] = match name.as_str() {
            Some(DEAD_MAN) => &[],
            Some(ENGINE) => &[bell, pgvigil],
            _ => &[bell],
        };
        let webhooks = heard.iter().map(|Webhook { url, token_file }| {
            let authorization = json!({ "credentials_file": token_file });
            json!({ "url": url, "http_config": { "authorization": authorization } })
        });
        let webhooks: Vec<Value> = webhooks.collect();
        *receiver = json!({ "name": name, "webhook_configs": webhooks });
    }
    Ok(serde_json::to_string_pretty(&config)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_shipped_rules_can_be_scaled() {
        let rules = assets::rules();
        assert!(rules.iter().any(|file| file.path == "rules/primary.yml"));
        for file in rules {
            SCALE.rules(file.text).unwrap_or_else(|error| panic!("{}: {error}", file.path));
        }
    }

    #[test]
    fn every_receiver_but_the_dead_man_s_rings_the_bell_and_one_wakes_pgvigil() {
        let to = |url: &str| Webhook { url: url.to_owned(), token_file: "/t".into() };
        let config = routing(&to("http://127.0.0.1:1/"), &to("http://127.0.0.1:2/alertmanager")).unwrap();
        let config: Value = serde_json::from_str(&config).unwrap();
        let receivers = config["receivers"].as_array().unwrap();
        let mute = receivers.iter().filter(|one| one["webhook_configs"].as_array().is_none_or(Vec::is_empty));
        assert_eq!(mute.map(|one| &one["name"]).collect::<Vec<_>>(), ["dead-man"]);
        let told = |url: &str| {
            let hears = |one: &&Value| one["webhook_configs"].as_array().unwrap().iter().any(|hook| hook["url"] == url);
            receivers.iter().filter(hears).count()
        };
        assert_eq!(told("http://127.0.0.1:1/"), receivers.len() - 1);
        assert_eq!(told("http://127.0.0.1:2/alertmanager"), 1);
        assert!(!config.to_string().contains(".example"), "{config}");
    }
}
