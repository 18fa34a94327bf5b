//! What the boards look at: a primary and two standbys in load, two pgvigil with all that they can have, and a Prometheus.

use std::fmt::Write as _;
use std::time::Duration;

use pgvigil::lab::{Archive, Lab, LabError, Role, Server, ServerOptions, StandbyOptions, Writer, wait_until};
use serde_json::{Value, json};

use super::SOON;
use super::ask::{Ask, CLUSTER, now};
use crate::faults::stage::{Scraped, Stage as Watching};
use crate::live::client::{Answer, exchange, try_get};
use crate::live::watch::Vigil;
use crate::scaled::{SCALE, shipped};

const WEBHOOK: &str = "webhook-token-0123456789";
const OPS: &str = "ops-token-0123456789";
const BOOK: &str = "PostgresPrimaryUnreachable";
const COMMITS: u32 = 50;
const FAILED_OVER: Duration = Duration::from_secs(45);

pub struct Stage {
    pub a: Server,
    pub c: Server,
    _b: Server,
    vigils: Vec<Vigil>,
    from: f64,
    prometheus: u16,
    _writer: Writer,
    _scraped: Scraped,
    _watching: Watching,
    lab: Lab,
}

impl Stage {
    pub async fn open() -> Result<Self, LabError> {
        let lab = Lab::new()?;
        let archive = lab.server_dir("wal")?;
        let options = || {
            ServerOptions::default()
                .archive(&Archive::Into(archive.clone()))
                .set("max_slot_wal_keep_size", "512MB")
                .set("wal_receiver_status_interval", "1s")
        };
        let a = lab.primary("a", options()).await?;
        // What a standby has otherwise than the primary, and what it keeps there from vacuum.
        let standby = |slot: &str| {
            let server = options().set("checkpoint_timeout", "301s").set("hot_standby_feedback", "on");
            StandbyOptions { slot: Some(slot.to_owned()), server, ..StandbyOptions::default() }
        };
        let b = lab.standby_of(&a, "b", standby("b")).await?;
        let c = lab.standby_of(&a, "c", standby("c")).await?;
        a.wait_streaming("b", SOON).await?;
        a.wait_streaming("c", SOON).await?;
        a.alter(&[("synchronous_standby_names", "ANY 1 (b, c)")]).await?;
        let writer = Writer::start(&a, COMMITS).await?;

        Self::write_book(&lab)?;
        let watching = Watching::open(SCALE.scrape, &shipped(SCALE), SCALE).await?;
        let mut vigils = Vec::new();
        for number in 0..2 {
            let (config, port) = Self::write_config(&lab, number, [&a, &b, &c], &archive)?;
            vigils.push(Vigil::start_at(&lab, config, port).await?);
        }
        let ports: Vec<_> = vigils.iter().map(Vigil::port).collect();
        let from = now();
        let scraped = watching.scrape(CLUSTER, &ports);
        // Something to archive, and files that were.
        a.switch_wal().await?;
        for vigil in &vigils {
            vigil.until_healthy(&["a", "b", "c"], &["b", "c"]).await;
        }
        a.switch_wal().await?;
        let prometheus = watching.api.port;
        let stage = Self {
            a,
            c,
            _b: b,
            vigils,
            from,
            prometheus,
            _writer: writer,
            _scraped: scraped,
            _watching: watching,
            lab,
        };
        // A request, and another after it was scraped, so that there is a rate of them.
        let first = stage.post("/alertmanager", WEBHOOK, &alert("PostgresWatchdog")).await;
        assert_eq!(first.status, 202, "{}", first.text());
        let ask = stage.ask();
        wait_until("a scrape of the first request", SOON, async || {
            let series = ask.expr("sum(pgvigil_webhook_duration_seconds_count) > 0", true).await?;
            if series.is_empty() { Err("none".to_owned()) } else { Ok(()) }
        })
        .await?;
        let second = stage.post("/alertmanager", WEBHOOK, &alert("PostgresWatchdog")).await;
        assert!(second.status < 300, "{}", second.text());
        Ok(stage)
    }

    pub fn ask(&self) -> Ask {
        Ask { port: self.prometheus, from: self.from }
    }

    fn write_book(lab: &Lab) -> Result<(), LabError> {
        let books = lab.own_dir("books")?;
        // Nothing is left to fence where the postmaster is dead.
        let book = format!(
            "---\nalerts: [{BOOK}]\nclass: failover\nmode: manual\ntrigger: [alert]\n\
             limits: {{max_loss_bytes: 1073741824, block_after_run: 0s, hang_limit: 1s}}\nsteps:\n  \
             - fence: {{argv: [/bin/true], probe: [/bin/true], timeout: 10s}}\n  - promote: {{timeout: 30s}}\n  - repoint: {{timeout: 30s}}\n  \
             - verify: {{one_writable: true, standbys_streaming_within: 30s}}\n---\n# {BOOK}\n\nIn a test.\n"
        );
        std::fs::write(books.join(format!("{BOOK}.md")), book).unwrap();
        for (file, token) in [("webhook", WEBHOOK), ("ops", OPS)] {
            std::fs::write(lab.path().join(file), token).unwrap();
        }
        Ok(())
    }

    fn write_config(
        lab: &Lab,
        number: usize,
        servers: [&Server; 3],
        archive: &std::path::Path,
    ) -> Result<(std::path::PathBuf, u16), LabError> {
        let port = lab.free_port()?;
        let state = lab.own_dir(&format!("state-{number}"))?;
        let mut text = format!(
            "listen: 127.0.0.1:{port}\nstate_dir: {}\nsample_interval: 500ms\ncollect_interval: 1s\nlogin_interval: 1s\n\
             archive_hung_after: 3s\nalertmanager: {{bearer_token_file: webhook}}\n\
             access:\n  - {{name: ops, role: admin, token_file: ops}}\nrunbook_dirs: [{}]\nclusters:\n  - name: {CLUSTER}\n    \
             manager: none\n    runbooks: {{mode: manual, single_receiver: true}}\n    archive_dir: {}\n    nodes:\n",
            state.display(),
            lab.path().join("books").display(),
            archive.display(),
        );
        for server in servers {
            let _ = writeln!(
                text,
                "      - {{name: {}, dsn: \"{}\", admin_dsn: \"{}\", address: \"127.0.0.1:{}\", data_dir: {}}}",
                server.name(),
                server.dsn(Role::Monitor),
                server.dsn(Role::Superuser),
                server.port(),
                server.data_dir().display(),
            );
        }
        let config = lab.path().join(format!("pgvigil-{number}.yml"));
        std::fs::write(&config, text).unwrap();
        Ok((config, port))
    }

    /// Writes WAL that the archive does not take.
    pub async fn pile_up(&self) -> Result<(), LabError> {
        let one = "pg_logical_emit_message(false, 'lab', repeat('x', 1048000))";
        for _ in 0..4 {
            self.a.sql(&format!("SELECT count({one}) FROM generate_series(1, 12)")).await?;
            self.a.switch_wal().await?;
        }
        Ok(())
    }

    /// Says that somebody works on the cluster.
    pub async fn maintain(&self) {
        let body = json!({"action": "start", "clusters": [CLUSTER], "for": "5s", "reason": "a test"});
        let answer = self.post("/api/v1/maintenance", OPS, &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// Has the alert start a run, and a person approve it; returns when it is over.
    pub async fn fail_over(&self) -> Result<(), LabError> {
        wait_until("a run that waits for a person", FAILED_OVER, async || {
            let answer = self.post("/alertmanager", WEBHOOK, &alert(BOOK)).await;
            let run = self.newest().await?;
            if run["phase"] == "awaiting" { Ok(()) } else { Err(format!("{}; {run}", answer.text())) }
        })
        .await?;
        // It waits for as long as somebody thinks: for two scrapes at least.
        let ask = self.ask();
        wait_until("a scrape of the run that waits", SOON, async || {
            let expr = format!("sum(pgvigil_runbook_awaiting_approval{{cluster=\"{CLUSTER}\"}}) > 0");
            let series = ask.expr(&expr, true).await?;
            if series.is_empty() { Err("nothing waits".to_owned()) } else { Ok(()) }
        })
        .await?;
        wait_until("the run to end", FAILED_OVER, async || {
            let run = self.newest().await?;
            // A guard that blocked since it was approved has a person asked again.
            if run["phase"] == "awaiting" {
                let path = format!("/api/v1/runs/{}/approve", run["id"].as_str().unwrap());
                self.post(&path, OPS, &json!({"plan": run["plan"], "comment": "a test"})).await;
            }
            if run["phase"] == "succeeded" || run["phase"] == "degraded" { Ok(()) } else { Err(run.to_string()) }
        })
        .await
    }

    async fn newest(&self) -> Result<Value, String> {
        let runs = try_get(self.vigils[0].port(), "/api/v1/runs").await?.json();
        Ok(runs["runs"][0].clone())
    }

    async fn post(&self, path: &str, token: &str, body: &Value) -> Answer {
        post(self.vigils[0].port(), path, token, body).await.expect("an answer")
    }

    pub async fn end(self) {
        drop(self.vigils);
        self.lab.stop().await;
    }
}

/// The alert as Alertmanager hands it in.
fn alert(name: &str) -> Value {
    let labels = json!({"alertname": name, "cluster": CLUSTER, "severity": "engine"});
    let now = jiff::Timestamp::now().to_string();
    let alert = json!({"status": "firing", "labels": labels, "annotations": {}, "startsAt": now, "endsAt": "0001-01-01T00:00:00Z", "fingerprint": "f"});
    json!({"version": "4", "receiver": "pgvigil", "groupKey": "{}", "status": "firing", "truncatedAlerts": 0, "alerts": [alert]})
}

async fn post(port: u16, path: &str, token: &str, body: &Value) -> Result<Answer, String> {
    let body = body.to_string();
    let request = format!(
        "POST {path} HTTP/1.0\r\nHost: lab\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    exchange(port, request.as_bytes()).await
}
