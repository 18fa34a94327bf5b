//! Prometheus with the shipped rules of the primary and Alertmanager in front of a pgvigil, all at one second or less.

use std::sync::Arc;

use pgvigil::lab::{LabError, Spawn, Spawned, alertmanager, prometheus, wait_until};
use serde_json::Value;

use crate::failover::stage::{SOON_AFTER, Stage, WEBHOOK};
use crate::faults::prometheus::Api;
use crate::fixture::ROOT;
use crate::live::client::try_get;

/// The chain from the page to the webhook. Dropping it ends it.
pub struct Chain {
    _programs: [Arc<Spawned>; 2],
}

impl Chain {
    /// One that knows its way: Prometheus has scraped, and has found its Alertmanager.
    pub async fn start(stage: &Stage) -> Result<Self, LabError> {
        let lab = &stage.lab;
        let (own, port, manager_port) = (lab.own_dir("chain")?, lab.free_port()?, lab.free_port()?);
        let manager_config = own.join("alertmanager.yml");
        let pgvigil = stage.vigil.port();
        let text = format!(
            "route: {{receiver: pgvigil, group_by: [alertname, cluster], group_wait: 0s, group_interval: 1s}}\n\
             receivers:\n- name: pgvigil\n  webhook_configs:\n  - url: http://127.0.0.1:{pgvigil}/alertmanager\n    \
             http_config: {{authorization: {{credentials: {WEBHOOK}}}}}\n"
        );
        std::fs::write(&manager_config, text).expect("a file in the lab");
        let manager = Spawn::new("alertmanager", alertmanager()?)
            .arg(format!("--config.file={}", manager_config.display()))
            .arg(format!("--storage.path={}", own.join("alertmanager").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{manager_port}"))
            .arg("--cluster.listen-address=");
        let config = own.join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s, scrape_timeout: 1s}}\n\
             rule_files: ['{ROOT}/alerts/rules/primary.yml']\n\
             alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{manager_port}']}}]}}]}}\n\
             scrape_configs:\n- job_name: pgvigil\n  honor_labels: true\n  \
             static_configs: [{{targets: ['127.0.0.1:{pgvigil}']}}]\n"
        );
        std::fs::write(&config, text).expect("a file in the lab");
        let watcher = Spawn::new("prometheus", prometheus()?)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", own.join("prometheus").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let chain = Self { _programs: [lab.spawn(manager)?, lab.spawn(watcher)?] };
        wait_until("Prometheus to have found its Alertmanager", SOON_AFTER, async || {
            let answer = try_get(port, "/api/v1/alertmanagers").await?;
            // It says 503, and no JSON, while it starts.
            if answer.status != 200 {
                return Err(answer.text());
            }
            let found = answer.json()["data"]["activeAlertmanagers"].as_array().is_some_and(|all| !all.is_empty());
            if found { Ok(()) } else { Err(answer.text()) }
        })
        .await?;
        wait_until("Prometheus to see a primary", SOON_AFTER, async || {
            let seen = Api { port }.query("cluster:pgvigil_primary_seen:max == 1").await?;
            if seen.is_empty() { Err(Value::Null.to_string()) } else { Ok(()) }
        })
        .await?;
        Ok(chain)
    }
}
