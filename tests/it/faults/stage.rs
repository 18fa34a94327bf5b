//! A Prometheus, an Alertmanager and a webhook's listener that all rows of a run share.

use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use pgvigil::lab::{Lab, LabError, Scale, Spawn, Spawned, alertmanager, prometheus, wait_until};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::prometheus::Api;
use super::webhook::{Heard, Webhook};
use crate::fixture::ROOT;
use crate::live::client::try_get;
use crate::scaled::{Rules, SCALE, shipped, write};

const ANSWERS_WITHIN: Duration = Duration::from_secs(30);

/// What watches the clusters of the rows. It ends with the last row that has it.
pub struct Stage {
    pub api: Api,
    webhook: Webhook,
    targets: PathBuf,
    _programs: [Arc<Spawned>; 2],
    _lab: Lab,
}

impl Stage {
    /// The stage of this process; rows that run at the same time have the same one.
    pub async fn shared() -> Result<Arc<Self>, LabError> {
        static SHARED: Mutex<Weak<Stage>> = Mutex::const_new(Weak::new());
        let mut shared = SHARED.lock().await;
        if let Some(stage) = shared.upgrade() {
            return Ok(stage);
        }
        let stage = Arc::new(Self::open(SCALE.scrape, &shipped(SCALE), SCALE).await?);
        *shared = Arc::downgrade(&stage);
        Ok(stage)
    }

    /// A stage of its own, which scrapes and evaluates at this interval, with these rules; `waits`: how much shorter Alertmanager waits.
    pub async fn open(interval: Duration, rules: &Rules, waits: Scale) -> Result<Self, LabError> {
        let lab = Lab::new()?;
        let webhook = Webhook::open().expect("a port to listen on");
        let (targets, rules_dir, own) = (lab.own_dir("targets")?, lab.own_dir("rules")?, lab.own_dir("etc")?);
        write(rules, &rules_dir);
        let manager_config = own.join("alertmanager.yml");
        std::fs::write(&manager_config, routing(webhook.port(), waits)).expect("a file in the lab");
        let manager_port = lab.free_port()?;
        let manager = Spawn::new("alertmanager", alertmanager()?)
            .arg(format!("--config.file={}", manager_config.display()))
            .arg(format!("--storage.path={}", lab.own_dir("alertmanager")?.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{manager_port}"))
            .arg("--cluster.listen-address=");
        let interval = format!("{}s", interval.as_secs());
        // The files' paths have no quotes in them: a lab chooses its name.
        let config = format!(
            "global: {{scrape_interval: {interval}, evaluation_interval: {interval}, scrape_timeout: {interval}}}\n\
             rule_files: ['{}/*']\n\
             alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{manager_port}']}}]}}]}}\n\
             scrape_configs:\n\
             - job_name: pgvigil\n  honor_labels: true\n  file_sd_configs: [{{files: ['{}/*.yml']}}]\n",
            rules_dir.display(),
            targets.display(),
        );
        let prometheus_config = own.join("prometheus.yml");
        std::fs::write(&prometheus_config, config).expect("a file in the lab");
        let port = lab.free_port()?;
        let watcher = Spawn::new("prometheus", prometheus()?)
            .arg(format!("--config.file={}", prometheus_config.display()))
            .arg(format!("--storage.tsdb.path={}", lab.own_dir("prometheus")?.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let programs = [lab.spawn(manager)?, lab.spawn(watcher)?];
        for (program, port) in programs.iter().zip([manager_port, port]) {
            wait_until(format!("{} to be ready", program.name()), ANSWERS_WITHIN, async || {
                match try_get(port, "/-/ready").await {
                    Ok(answer) if answer.status == 200 => Ok(()),
                    answer => Err(format!("{answer:?}\n{}", program.log_tail(5))),
                }
            })
            .await?;
        }
        Ok(Self { api: Api { port }, webhook, targets, _programs: programs, _lab: lab })
    }

    /// Scrapes these ports until what is returned is dropped.
    pub fn scrape(&self, name: &str, ports: &[u16]) -> Scraped {
        let file = self.targets.join(format!("{name}.yml"));
        let targets: Vec<_> = ports.iter().map(|port| format!("'127.0.0.1:{port}'")).collect();
        let part = file.with_extension("part");
        std::fs::write(&part, format!("- targets: [{}]\n", targets.join(", "))).expect("a file in the lab");
        std::fs::rename(&part, &file).expect("a file in the lab");
        Scraped { file }
    }

    /// What came to the webhook so far.
    pub fn heard(&self) -> Vec<Heard> {
        self.webhook.heard()
    }
}

/// Targets that are scraped.
pub struct Scraped {
    file: PathBuf,
}

impl Drop for Scraped {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}

/// The shipped routes and inhibitions with shorter waits. Every receiver is the listener, and a group that was sent is sent again
/// within a second, so that what resolves is told as soon as that.
fn routing(port: u16, waits: Scale) -> String {
    let text = std::fs::read_to_string(format!("{ROOT}/alerts/alertmanager.yml")).expect("alerts/alertmanager.yml");
    let mut config = waits.routes(&text).unwrap_or_else(|error| panic!("alerts/alertmanager.yml: {error}"));
    hasten(&mut config["route"]);
    for receiver in config["receivers"].as_array_mut().into_iter().flatten() {
        let url = format!("http://127.0.0.1:{port}/");
        *receiver = json!({"name": receiver["name"], "webhook_configs": [{"url": url, "send_resolved": true}]});
    }
    config.to_string()
}

fn hasten(route: &mut Value) {
    if !route["group_interval"].is_null() {
        route["group_interval"] = "1s".into();
    }
    route["routes"].as_array_mut().into_iter().flatten().for_each(hasten);
}
