//! A primary and two standbys, a pgvigil with runbooks that act, and hooks that fence.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use pgvigil::lab::{Lab, LabError, Role, Server, ServerOptions, StandbyOptions, wait_until};
use serde_json::{Value, json};

use crate::live::client::{Answer, exchange, try_get};
use crate::live::watch::{Node, SOON, Vigil};

const WEBHOOK: &str = "webhook-token-0123456789";
const OPS: &str = "ops-token-0123456789";
/// The runbook of all scenarios.
pub const BOOK: &str = "PostgresPrimaryUnreachable";
/// What follows at once.
pub const SOON_AFTER: Duration = Duration::from_secs(15);
/// A run is over within this.
pub const OVER: Duration = Duration::from_secs(40);

/// What a scenario starts with.
#[derive(Clone, Copy)]
pub struct Play {
    pub mode: &'static str,
    pub trigger: &'static str,
    pub sample_interval: &'static str,
    /// More steps after the promotion and the repointing, as YAML items.
    pub limits: &'static str,
    /// Settings of the servers.
    pub settings: &'static [(&'static str, &'static str)],
}

impl Default for Play {
    fn default() -> Self {
        Self {
            mode: "automatic",
            trigger: "[alert]",
            sample_interval: "100ms",
            limits: "{max_loss_bytes: 16777216, block_after_run: 0s, hang_limit: 1s}",
            settings: &[],
        }
    }
}

pub struct Stage {
    pub lab: Lab,
    pub a: Server,
    pub b: Server,
    pub c: Server,
    pub vigil: Vigil,
    pub config: PathBuf,
}

impl Stage {
    pub async fn open(play: Play) -> Result<Self, LabError> {
        let lab = Lab::new()?;
        let options =
            play.settings.iter().fold(ServerOptions::default(), |options, (name, value)| options.set(name, value));
        let a = lab.primary("a", options.clone()).await?;
        let standby =
            |slot: &str| StandbyOptions { slot: Some(slot.to_owned()), server: options.clone(), ..Default::default() };
        let b = lab.standby_of(&a, "b", standby("b")).await?;
        let c = lab.standby_of(&a, "c", standby("c")).await?;
        a.wait_streaming("b", SOON).await?;
        a.wait_streaming("c", SOON).await?;
        let (config, port) = Self::write_config(&lab, [&a, &b, &c], play)?;
        let vigil = Vigil::start_at(&lab, config.clone(), port).await?;
        vigil.until_healthy(&["a", "b", "c"], &["b", "c"]).await;
        Ok(Self { lab, a, b, c, vigil, config })
    }

    fn write_config(lab: &Lab, servers: [&Server; 3], play: Play) -> Result<(PathBuf, u16), LabError> {
        let port = lab.free_port()?;
        let (state, etc) = (lab.own_dir("state")?, lab.own_dir("etc")?);
        let books = lab.own_dir("books")?;
        let hook = |name: &str, text: String| {
            let path = etc.join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            path
        };
        std::fs::set_permissions(&etc, std::fs::Permissions::from_mode(0o755)).unwrap();
        // By the node's name, since a hook is told that.
        let dirs: String = servers
            .iter()
            .map(|server| format!("{}) dir={} ;;\n", server.name(), server.data_dir().display()))
            .collect();
        let head = format!("#!/bin/sh\ncase $PGV_OLD_PRIMARY_NODE in\n{dirs}*) exit 30 ;;\nesac\n");
        let each = "for p in /proc/[0-9]*; do\n  [ \"$(readlink $p/cwd)\" = \"$dir\" ] || continue\n";
        let fence = hook(
            "fence",
            format!(
                "{head}echo \"$PGV_KIND $PGV_RUN_ID\" >>{}/fenced\n{each}  kill -9 ${{p#/proc/}}\ndone\n",
                etc.display()
            ),
        );
        let probe = hook("is-fenced", format!("{head}{each}  exit 10\ndone\nexit 0\n"));
        let book = format!(
            "---\nalerts: [{BOOK}]\nclass: failover\nmode: {}\ntrigger: {}\nlimits: {}\nsteps:\n  \
             - fence: {{argv: [{}], probe: [{}], timeout: 10s}}\n  - promote: {{timeout: 30s}}\n  - repoint: {{timeout: 30s}}\n  \
             - verify: {{one_writable: true, standbys_streaming_within: 30s}}\n---\n# {BOOK}\n\nIn a test.\n",
            play.mode,
            play.trigger,
            play.limits,
            fence.display(),
            probe.display(),
        );
        std::fs::write(books.join(format!("{BOOK}.md")), book).unwrap();
        for (file, token) in [("webhook", WEBHOOK), ("ops", OPS)] {
            std::fs::write(lab.path().join(file), token).unwrap();
        }
        let node = |server: &&Server| {
            let more =
                format!(", admin_dsn: \"{}\", address: \"127.0.0.1:{}\"", server.dsn(Role::Superuser), server.port());
            Node::with(server.name(), &server.dsn(Role::Monitor), &more).yaml
        };
        let nodes: String = servers.iter().map(node).collect();
        let text = format!(
            "listen: 127.0.0.1:{port}\nstate_dir: {}\nsample_interval: {}\ncollect_interval: 1s\nlogin_interval: 1s\n\
             alertmanager: {{bearer_token_file: webhook}}\naccess:\n  - {{name: ops, role: admin, token_file: ops}}\n\
             runbook_dirs: [{}]\nclusters:\n  - name: lab\n    manager: none\n    \
             runbooks: {{mode: automatic, single_receiver: true}}\n    nodes:\n{nodes}",
            state.display(),
            play.sample_interval,
            books.display(),
        );
        let config = lab.path().join("pgvigil.yml");
        std::fs::write(&config, text).unwrap();
        Ok((config, port))
    }

    /// Hands in the alert as Alertmanager does.
    pub async fn alert(&self) -> Answer {
        let labels = json!({"alertname": BOOK, "cluster": "lab", "severity": "engine"});
        let now = jiff::Timestamp::now().to_string();
        let alert = json!({"status": "firing", "labels": labels, "annotations": {}, "startsAt": now, "endsAt": "0001-01-01T00:00:00Z", "fingerprint": "f"});
        let payload = json!({"version": "4", "receiver": "pgvigil", "groupKey": "{}", "status": "firing", "truncatedAlerts": 0, "alerts": [alert]});
        self.post("/alertmanager", WEBHOOK, &payload).await
    }

    /// What a person with all rights asks for.
    pub async fn ask(&self, path: &str, body: &Value) -> Answer {
        self.post(path, OPS, body).await
    }

    async fn post(&self, path: &str, token: &str, body: &Value) -> Answer {
        let body = body.to_string();
        let head = format!(
            "POST {path} HTTP/1.0\r\nHost: lab\r\nContent-Type: application/json\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        exchange(self.vigil.port(), format!("{head}{body}").as_bytes()).await.expect("an answer")
    }

    /// All runs, the open ones first, then the newest.
    pub async fn runs(&self) -> Vec<Value> {
        match try_get(self.vigil.port(), "/api/v1/runs").await {
            Ok(answer) => answer.json()["runs"].as_array().cloned().unwrap_or_default(),
            Err(_) => Vec::new(),
        }
    }

    /// The whole of a run.
    pub async fn run(&self, id: &str) -> Value {
        try_get(self.vigil.port(), &format!("/api/v1/runs/{id}")).await.expect("an answer").json()
    }

    /// Waits until the newest run has this phase or outcome.
    pub async fn until_run(&self, phase: &str) -> Result<Value, LabError> {
        let found = wait_until(format!("a run that is {phase}"), OVER, async || {
            let runs = self.runs().await;
            match runs.first() {
                Some(run) if run["phase"] == phase => Ok(run["id"].as_str().unwrap_or_default().to_owned()),
                other => Err(format!("{other:?}\n{}", self.vigil.process().log_tail(12))),
            }
        })
        .await?;
        Ok(self.run(&found).await)
    }
}
