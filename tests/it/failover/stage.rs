//! A primary and two standbys, a pgvigil with runbooks that act, and hooks that fence.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use pgvigil::lab::{Lab, LabError, Role, Server, ServerOptions, StandbyOptions, Wire, wait_until};
use pgvigil::runbook::journal::directory;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::client::Client;
use crate::live::client::{Answer, exchange, try_get};
use crate::live::watch::{Node, SOON, Vigil};

pub const WEBHOOK: &str = "webhook-token-0123456789";
pub const OPS: &str = "ops-token-0123456789";
pub const VIEWER: &str = "viewer-token-0123456789";
/// What the config says of runbooks where there is one pgvigil.
const ALONE: &str = "{mode: automatic, single_receiver: true}";
/// The runbook of all scenarios.
pub const BOOK: &str = "PostgresPrimaryUnreachable";
/// What follows at once.
pub const SOON_AFTER: Duration = Duration::from_secs(30);
/// A run is over within this.
pub const OVER: Duration = Duration::from_secs(60);

/// What a scenario starts with.
#[derive(Clone, Copy)]
pub struct Play {
    pub mode: &'static str,
    pub trigger: &'static str,
    pub sample_interval: &'static str,
    /// For a connection, and for a query.
    pub timeout: &'static str,
    pub limits: &'static str,
    /// Settings of the servers.
    pub settings: &'static [(&'static str, &'static str)],
    /// Whether pgvigil reaches the primary through a wire.
    pub wire: bool,
    /// How long the fence thinks before it does anything, in seconds.
    pub fence_thinks: &'static str,
}

impl Play {
    pub const DEFAULT: Self = Self {
        mode: "automatic",
        trigger: "[alert]",
        // A busy machine is late by less than two of these.
        sample_interval: "500ms",
        timeout: "2s",
        // A segment: what is written first holds whole pages, and a busy machine is blind for longer.
        limits: "{max_loss_bytes: 16777216, block_after_run: 0s, hang_limit: 1s}",
        settings: &[],
        wire: false,
        fence_thinks: "0",
    };
}

impl Default for Play {
    fn default() -> Self {
        Self::DEFAULT
    }
}

pub struct Stage {
    pub lab: Lab,
    pub a: Server,
    pub b: Server,
    pub c: Server,
    pub vigil: Vigil,
    pub config: PathBuf,
    /// Between pgvigil and the primary alone.
    pub wire: Option<Wire>,
}

impl Stage {
    pub async fn open(play: Play) -> Result<Self, LabError> {
        Self::open_with(play, ALONE).await
    }

    /// `runbooks`: what the config says of them.
    pub async fn open_with(play: Play, runbooks: &str) -> Result<Self, LabError> {
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
        let wire = if play.wire { Some(Wire::to(a.port()).await?) } else { None };
        Self::write_book(&lab, [&a, &b, &c], play)?;
        let nodes = Self::nodes([&a, &b, &c], wire.as_ref());
        let (config, port) = Self::write_config(&lab, "pgvigil", play, runbooks, &nodes)?;
        let vigil = Vigil::start_at(&lab, config.clone(), port).await?;
        vigil.until_healthy(&["a", "b", "c"], &["b", "c"]).await;
        // What a pgvigil after this one has to know.
        let memory = lab.path().join("pgvigil-state/lab.lag-history.json");
        wait_until("the memory of whom the primary feeds", SOON, async || {
            let text = std::fs::read_to_string(&memory).unwrap_or_default();
            if text.contains("\"promised\":{") { Ok(()) } else { Err(text.chars().take(200).collect()) }
        })
        .await?;
        Ok(Self { lab, a, b, c, vigil, config, wire })
    }

    /// Another pgvigil on the same cluster, with a journal of its own.
    pub async fn another(&self, play: Play, runbooks: &str) -> Result<Vigil, LabError> {
        let nodes = Self::nodes(self.servers(), None);
        let (config, port) = Self::write_config(&self.lab, "another", play, runbooks, &nodes)?;
        let vigil = Vigil::start_at(&self.lab, config, port).await?;
        vigil.until_healthy(&["a", "b", "c"], &["b", "c"]).await;
        Ok(vigil)
    }

    /// Where the journal is.
    pub fn journal(&self) -> PathBuf {
        directory(&self.lab.path().join("pgvigil-state"))
    }

    /// What the command line answers: whether it is content, and what it says.
    pub async fn command(&self, args: &[&str]) -> (bool, String) {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_pgvigil"));
        command.arg("--config").arg(&self.config).args(args).kill_on_drop(true);
        let done = timeout(OVER, command.output()).await.expect("an end").expect("an answer");
        (done.status.success(), String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned())
    }

    /// All servers.
    pub fn servers(&self) -> [&Server; 3] {
        [&self.a, &self.b, &self.c]
    }

    /// The server of this name.
    pub fn server(&self, name: &str) -> &Server {
        self.servers().into_iter().find(|server| server.name() == name).expect("a server of that name")
    }

    /// A client that writes, after its first rows.
    pub async fn written(&self) -> Result<Client, LabError> {
        let client = Client::start(&self.a, &self.servers()).await;
        client.wait_more(50).await?;
        Ok(client)
    }

    /// What the fence was called for: kind and run of each call.
    pub fn fenced(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.lab.path().join("etc/fenced")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The runbook and its hooks.
    fn write_book(lab: &Lab, servers: [&Server; 3], play: Play) -> Result<(), LabError> {
        let etc = lab.own_dir("etc")?;
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
        let each = "for p in /proc/[0-9]*; do\n  [ $p/cwd -ef \"$dir\" ] || continue\n";
        let fence = hook(
            "fence",
            format!(
                "{head}echo \"$PGV_KIND $PGV_RUN_ID\" >>{}/fenced\nsleep {}\n{each}  kill -9 ${{p#/proc/}}\ndone\n",
                etc.display(),
                play.fence_thinks,
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
        for (file, token) in [("webhook", WEBHOOK), ("ops", OPS), ("viewer", VIEWER)] {
            std::fs::write(lab.path().join(file), token).unwrap();
        }
        Ok(())
    }

    /// The nodes of the config, the first of which pgvigil reaches through `wire`.
    fn nodes(servers: [&Server; 3], wire: Option<&Wire>) -> String {
        let node = |server: &&Server| {
            let port = wire.filter(|_| server.name() == "a").map_or(server.port(), Wire::port);
            let dsn = |role| Server::dsn_through(port, role);
            let more = format!(", admin_dsn: \"{}\", address: \"127.0.0.1:{}\"", dsn(Role::Superuser), server.port());
            Node::with(server.name(), &dsn(Role::Monitor), &more).yaml
        };
        servers.iter().map(node).collect()
    }

    fn write_config(
        lab: &Lab,
        name: &str,
        play: Play,
        runbooks: &str,
        nodes: &str,
    ) -> Result<(PathBuf, u16), LabError> {
        let port = lab.free_port()?;
        let state = lab.own_dir(&format!("{name}-state"))?;
        let text = format!(
            "listen: 127.0.0.1:{port}\nstate_dir: {}\nsample_interval: {}\ncollect_interval: 1s\nlogin_interval: 1s\n\
             timeouts: {{connect: {}, query: {}}}\nalertmanager: {{bearer_token_file: webhook}}\naccess:\n  - {{name: ops, role: admin, token_file: ops}}\n\
             runbook_dirs: [{}]\nclusters:\n  - name: lab\n    manager: none\n    \
             runbooks: {runbooks}\n    nodes:\n{nodes}",
            state.display(),
            play.sample_interval,
            play.timeout,
            play.timeout,
            lab.path().join("books").display(),
        );
        let config = lab.path().join(format!("{name}.yml"));
        std::fs::write(&config, text).unwrap();
        Ok((config, port))
    }

    /// Hands in the alert as Alertmanager does.
    pub async fn alert(&self) -> Answer {
        self.alert_to(&self.vigil).await.expect("an answer")
    }

    /// The same to this pgvigil, which may end meanwhile.
    pub async fn alert_to(&self, vigil: &Vigil) -> Result<Answer, String> {
        let labels = json!({"alertname": BOOK, "cluster": "lab", "severity": "engine"});
        let now = jiff::Timestamp::now().to_string();
        let alert = json!({"status": "firing", "labels": labels, "annotations": {}, "startsAt": now, "endsAt": "0001-01-01T00:00:00Z", "fingerprint": "f"});
        let payload = json!({"version": "4", "receiver": "pgvigil", "groupKey": "{}", "status": "firing", "truncatedAlerts": 0, "alerts": [alert]});
        try_post(vigil.port(), "/alertmanager", WEBHOOK, &payload).await
    }

    /// What a person with all rights asks for.
    pub async fn ask(&self, path: &str, body: &Value) -> Answer {
        self.post(path, OPS, body).await
    }

    /// The same with a token.
    pub async fn post(&self, path: &str, token: &str, body: &Value) -> Answer {
        try_post(self.vigil.port(), path, token, body).await.expect("an answer")
    }

    /// All runs, the open ones first, then the newest.
    pub async fn runs(&self) -> Vec<Value> {
        runs_of(&self.vigil).await
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
        .await;
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                // What its guards say is what one asks first.
                for run in self.runs().await {
                    println!("{:#}", self.run(run["id"].as_str().unwrap_or_default()).await);
                }
                println!("{}", self.vigil.log());
                return Err(error);
            }
        };
        Ok(self.run(&found).await)
    }
}

/// All runs that this pgvigil tells of.
pub async fn runs_of(vigil: &Vigil) -> Vec<Value> {
    match try_get(vigil.port(), "/api/v1/runs").await {
        Ok(answer) => answer.json()["runs"].as_array().cloned().unwrap_or_default(),
        Err(_) => Vec::new(),
    }
}

async fn try_post(port: u16, path: &str, token: &str, body: &Value) -> Result<Answer, String> {
    let body = body.to_string();
    let head = format!(
        "POST {path} HTTP/1.0\r\nHost: lab\r\nContent-Type: application/json\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    exchange(port, format!("{head}{body}").as_bytes()).await
}
