//! The example configuration in a real Alertmanager, with alerts posted as Prometheus posts them: who hears of what, when,
//! and in which words. `UPDATE=1` records the notifications for the tests of what receives them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Uri};
use axum::routing::post;
use pgvigil::lab::{Lab, LabError, Scale, Spawn, Spawned, alertmanager, wait_until};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::client::{exchange, try_get};
use crate::fixture::{self, ROOT};

const TOKEN: &str = "secret-of-a-test";
const SOON: Duration = Duration::from_secs(10);
/// What Alertmanager waits is divided by this: a group of warnings waits 0.3 s at first, and 3 s then.
const FACTOR: u32 = 100;

/// One request to a receiver.
#[derive(Clone, Debug)]
struct Heard {
    at: Instant,
    receiver: String,
    headers: HeaderMap,
    body: Value,
}

impl Heard {
    /// Each alert of it: name, node, status.
    fn alerts(&self) -> Vec<String> {
        let alerts = self.body["alerts"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let line = |alert: &Value| {
            let labels = &alert["labels"];
            format!("{} {} {}", text(&labels["alertname"]), text(&labels["node"]), text(&alert["status"]))
        };
        alerts.map(line).collect()
    }
}

/// An Alertmanager with the example, and what it tells.
struct Chain {
    port: u16,
    heard: Arc<Mutex<Vec<Heard>>>,
    process: Arc<Spawned>,
    listener: JoinHandle<()>,
    _lab: Lab,
}

impl Drop for Chain {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl Chain {
    async fn start() -> Result<Self, LabError> {
        let lab = Lab::new()?;
        let heard = Arc::<Mutex<Vec<Heard>>>::default();
        let (listener, listens_at) = listen(Arc::clone(&heard)).await;
        std::fs::write(lab.path().join("pgvigil.token"), TOKEN).unwrap();
        let config = lab.path().join("alertmanager.yml");
        std::fs::write(&config, example(listens_at)).unwrap();
        let port = lab.free_port()?;
        let spawn = Spawn::new("alertmanager", alertmanager()?)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", lab.own_dir("data")?.display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--web.external-url=http://alertmanager.example/")
            .arg("--cluster.listen-address=");
        let process = lab.spawn(spawn)?;
        wait_until("Alertmanager to be ready", SOON, async || match try_get(port, "/-/ready").await {
            Ok(answer) if answer.status == 200 => Ok(()),
            answer => Err(format!("{answer:?}\n{}", process.log_tail(5))),
        })
        .await?;
        Ok(Self { port, heard, process, listener, _lab: lab })
    }

    /// Posts alerts in one request: name, severity, node, and whether they fire.
    async fn post(&self, alerts: &[(&str, &str, &str, bool)]) {
        let body: Value = alerts.iter().map(|alert| posted(*alert)).collect();
        let body = body.to_string();
        let head = "POST /api/v2/alerts HTTP/1.0\r\nHost: lab\r\nContent-Type: application/json";
        let request = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let answer = exchange(self.port, request.as_bytes()).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// Waits for a notification with exactly these alerts.
    async fn hears(&self, receiver: &str, alerts: &[&str]) -> Result<Heard, LabError> {
        wait_until(format!("{receiver} to hear of {alerts:?}"), SOON, async || {
            let heard = self.heard.lock().unwrap().clone();
            let found = heard.iter().find(|one| one.receiver == receiver && one.alerts() == alerts);
            let all = || heard.iter().map(|one| format!("{}: {:?}", one.receiver, one.alerts())).collect::<Vec<_>>();
            found.cloned().ok_or_else(|| format!("{:?}\n{}", all(), self.process.log_tail(5)))
        })
        .await
    }

    /// Whether Alertmanager mutes the one alert of this name, by another.
    async fn until_muted(&self, name: &str) -> Result<(), LabError> {
        wait_until(format!("{name} to be muted"), SOON, async || {
            let answer = try_get(self.port, "/api/v2/alerts").await?.json();
            let alert = answer.as_array().unwrap().iter().find(|alert| alert["labels"]["alertname"] == name).cloned();
            let by = alert.as_ref().and_then(|alert| alert["status"]["inhibitedBy"].as_array());
            if by.is_some_and(|by| !by.is_empty()) { Ok(()) } else { Err(format!("{alert:?}")) }
        })
        .await
    }
}

/// The example with every receiver here, and what it waits divided.
fn example(listens_at: u16) -> String {
    let text = std::fs::read_to_string(Path::new(ROOT).join("alerts/alertmanager.yml")).unwrap();
    let scale = Scale { factor: FACTOR, scrape: Duration::from_secs(1) };
    let mut config = scale.routes(&text).unwrap();
    for receiver in config["receivers"].as_array_mut().unwrap() {
        let url = format!("http://127.0.0.1:{listens_at}/{}", receiver["name"].as_str().unwrap());
        receiver["webhook_configs"][0]["url"] = url.into();
    }
    config.to_string()
}

/// Takes whatever is posted; the path is the receiver's name.
async fn listen(heard: Arc<Mutex<Vec<Heard>>>) -> (JoinHandle<()>, u16) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let take = async move |uri: Uri, headers: HeaderMap, body: Bytes| {
        let receiver = uri.path().trim_start_matches('/').to_owned();
        let body = serde_json::from_slice(&body).unwrap_or_default();
        heard.lock().unwrap().push(Heard { at: Instant::now(), receiver, headers, body });
    };
    let routes = Router::new().fallback(post(take));
    (tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() }), port)
}

/// An alert as it is posted; one that is over says since when.
fn posted((name, severity, node, fires): (&str, &str, &str, bool)) -> Value {
    let mut labels = json!({"alertname": name, "severity": severity, "cluster": "orders"});
    if !node.is_empty() {
        labels["node"] = node.into();
    }
    let mut alert = json!({
        "labels": labels,
        "annotations": {
            "summary": format!("{name} of cluster orders"),
            "runbook_url": format!("http://localhost:10187/runbooks/{name}"),
        },
        "generatorURL": "http://prometheus.example/graph?g0.expr=up&g0.tab=1",
    });
    if !fires {
        let now = Command::new("date").args(["--utc", "+%FT%T.%3NZ"]).output().unwrap();
        alert["endsAt"] = String::from_utf8(now.stdout).unwrap().trim().into();
    }
    alert
}

fn fixture(name: &str) -> PathBuf {
    Path::new(ROOT).join(format!("tests/fixtures/alertmanager/{name}.json"))
}

/// Without what is of one run: when.
fn timeless(body: &Value) -> Value {
    let mut body = body.clone();
    for alert in body["alerts"].as_array_mut().unwrap() {
        for time in ["startsAt", "endsAt"] {
            // A firing alert has no end; that is the same in every run.
            if alert[time].as_str().is_some_and(|at| !at.starts_with("0001-")) {
                alert[time] = "…".into();
            }
        }
    }
    body
}

/// Holds a notification against the recorded one, or records it.
fn compare(name: &str, heard: &Heard) {
    let path = fixture(name);
    if fixture::update() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, serde_json::to_string_pretty(&heard.body).unwrap() + "\n").unwrap();
    }
    let recorded = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut recorded = timeless(&serde_json::from_str(&recorded).unwrap());
    let mut body = timeless(&heard.body);
    // What later versions add is no difference.
    if let (Some(known), Some(body)) = (recorded.as_object_mut(), body.as_object_mut()) {
        body.retain(|key, _| known.contains_key(key));
    }
    assert_eq!(body, recorded, "{name}");
}

#[tokio::test]
async fn notifications_are_as_they_were_recorded() -> Result<(), LabError> {
    let chain = Chain::start().await?;
    let unreachable = |fires| ("PostgresPrimaryUnreachable", "engine", "", fires);
    let posted_at = Instant::now();
    chain.post(&[unreachable(true)]).await;
    let firing = chain.hears("pgvigil", &["PostgresPrimaryUnreachable - firing"]).await?;
    let took = firing.at - posted_at;
    // People's routes wait for 10 s and more.
    assert!(took < Duration::from_secs(5), "the failover engine heard after {took:?}");
    let header = |name: &str| firing.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    assert_eq!(header("authorization"), format!("Bearer {TOKEN}"));
    assert_eq!(header("content-type"), "application/json");
    assert!(header("user-agent").starts_with("Alertmanager/"), "{:?}", firing.headers);
    compare("firing", &firing);

    chain.post(&[unreachable(false)]).await;
    let disconnected = |node, fires| ("PostgresStandbyDisconnected", "warning", node, fires);
    chain.post(&[disconnected("b", true), disconnected("c", true)]).await;
    let resolved = chain.hears("pgvigil", &["PostgresPrimaryUnreachable - resolved"]).await?;
    compare("resolved", &resolved);
    let [b, c] = ["b", "c"].map(|node| format!("PostgresStandbyDisconnected {node}"));
    let group = chain.hears("ticket", &[&format!("{b} firing"), &format!("{c} firing")]).await?;
    assert_eq!(group.headers.get("authorization"), None, "the token is for pgvigil alone");
    compare("group", &group);

    chain.post(&[disconnected("b", false)]).await;
    let mixed = chain.hears("ticket", &[&format!("{b} resolved"), &format!("{c} firing")]).await?;
    compare("group-one-resolved", &mixed);
    let heard = chain.heard.lock().unwrap().clone();
    let strangers = heard.iter().filter(|one| !["pgvigil", "ticket"].contains(&one.receiver.as_str()));
    assert_eq!(strangers.map(|one| one.alerts()).collect::<Vec<_>>(), [[""; 0]; 0]);
    Ok(())
}

#[tokio::test]
async fn a_muted_alert_is_heard_when_what_mutes_it_ends() -> Result<(), LabError> {
    let chain = Chain::start().await?;
    let down = |fires| ("PostgresPrimaryDown", "critical", "", fires);
    let silent = ("PostgresStandbySilent", "warning", "b", true);
    chain.post(&[down(true), silent, ("PostgresArchiveHung", "warning", "a", true)]).await;
    chain.hears("page", &["PostgresPrimaryDown - firing"]).await?;
    chain.until_muted("PostgresStandbySilent").await?;
    // It waits as long as the muted one would.
    chain.hears("ticket", &["PostgresArchiveHung a firing"]).await?;
    let heard_of_it =
        || chain.heard.lock().unwrap().iter().any(|one| one.alerts()[0].starts_with("PostgresStandbySilent"));
    assert!(!heard_of_it(), "a muted alert reached somebody");

    let ended = Instant::now();
    chain.post(&[down(false)]).await;
    let heard = chain.hears("ticket", &["PostgresStandbySilent b firing"]).await?;
    assert!(heard.at > ended, "it was heard while the primary was down");
    Ok(())
}
