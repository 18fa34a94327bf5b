//! Alerts that are handed in, by a real Alertmanager and by hand: what is answered, and what the journal has of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pgvigil::lab::{Lab, LabError, Spawn, Spawned, alertmanager, wait_until};
use serde_json::{Value, json};

use super::client::{Answer, exchange, get, try_get};
use super::failures::{PGVIGIL, lines, opened, until_logged};
use super::watch::{SOON, Vigil};

type Outcome = Result<(), LabError>;

const TOKEN: &str = "webhook-token-0123456789";
const OPS: &str = "ops-token-0123456789";
const ALERT: &str = "PostgresPrimaryUnreachable";

/// The config of a pgvigil that watches nothing that is there, with these clusters.
pub fn config(lab: &Lab, port: u16, state: &Path, clusters: &[&str]) -> PathBuf {
    for (file, token) in [("webhook", TOKEN), ("ops", OPS)] {
        std::fs::write(lab.path().join(file), token).unwrap();
    }
    let cluster = |name: &&str| {
        format!(
            "  - name: {name}\n    nodes:\n      - {{name: a, dsn: \"host=127.0.0.1 port=1 user=nobody dbname=postgres\"}}\n"
        )
    };
    let text = format!(
        "listen: 127.0.0.1:{port}\nstate_dir: {}\nalertmanager: {{bearer_token_file: webhook}}\naccess:\n  \
         - {{name: ops, role: admin, token_file: ops}}\nclusters:\n{}",
        state.display(),
        clusters.iter().map(cluster).collect::<String>()
    );
    let path = lab.path().join("pgvigil.yml");
    std::fs::write(&path, text).unwrap();
    path
}

/// A request as Alertmanager makes it, about one node of a cluster.
pub fn payload(cluster: &str, node: &str) -> Value {
    let labels = json!({"alertname": ALERT, "cluster": cluster, "node": node, "severity": "critical"});
    let alert = json!({
        "status": "firing", "labels": labels, "annotations": {"summary": "it does not answer"},
        "startsAt": "2026-11-23T00:26:20.678156364Z", "endsAt": "0001-01-01T00:00:00Z", "fingerprint": format!("fp-{node}"),
    });
    json!({"version": "4", "receiver": "pgvigil", "groupKey": "{}", "status": "firing", "truncatedAlerts": 0, "alerts": [alert]})
}

/// Hands in a body by somebody's token.
pub async fn post(port: u16, token: &str, body: &str) -> Result<Answer, String> {
    let length = body.len();
    let head = format!(
        "POST /alertmanager HTTP/1.0\r\nHost: lab\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n"
    );
    exchange(port, format!("{head}{body}").as_bytes()).await
}

pub async fn hand_in(port: u16, payload: &Value) -> Result<Answer, String> {
    post(port, TOKEN, &payload.to_string()).await
}

/// What `pgvigil runbook history` printed, and its exit code.
pub async fn history(lab: &Lab, config: &Path, arguments: &[&str]) -> Result<(String, Option<i32>), LabError> {
    let command = Spawn::new("history", PGVIGIL).arg("runbook").arg("history").arg("--config").arg(config);
    let process = lab.spawn(arguments.iter().fold(command, |command, argument| command.arg(*argument)))?;
    let code = process.wait(SOON).await?.code();
    Ok((process.log(), code))
}

/// How often the journal has an alert of this kind about each node.
pub async fn recorded(lab: &Lab, config: &Path, kind: &str) -> Result<BTreeMap<String, usize>, LabError> {
    let (text, code) = history(lab, config, &["--json"]).await?;
    assert_eq!(code, Some(0), "{text}");
    let mut nodes = BTreeMap::new();
    for line in text.lines() {
        let record: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let alert = &record["entry"][kind];
        let alert = if kind == "ignored" { &alert["alert"] } else { alert };
        if let Some(node) = alert["labels"]["node"].as_str() {
            *nodes.entry(node.to_owned()).or_default() += 1;
        }
    }
    Ok(nodes)
}

/// A series of pgvigil's own process.
pub async fn series(port: u16, name: &str) -> Result<f64, String> {
    let page = try_get(port, "/metrics?self=1").await?;
    let text = page.text();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("pgvigil_{name} ")));
    line.ok_or_else(|| format!("no {name}: {text:.300}"))?.parse().map_err(|_| line.unwrap_or_default().to_owned())
}

pub async fn until(vigil: &Vigil, name: &str, good: impl Fn(f64) -> bool) -> Outcome {
    wait_until(name, 2 * SOON, async || match series(vigil.port(), name).await {
        Ok(value) if good(value) => Ok(()),
        other => Err(format!("{other:?}\n{}", vigil.process().log_tail(10))),
    })
    .await
}

/// A real Alertmanager that tells the pgvigil at `vigil`, and again each second.
async fn start_alertmanager(lab: &Lab, vigil: u16) -> Result<(Arc<Spawned>, u16), LabError> {
    let (port, config) = (lab.free_port()?, lab.path().join("alertmanager.yml"));
    let text = format!(
        "route: {{receiver: pgvigil, group_by: [alertname, cluster], group_wait: 0s, group_interval: 1s, repeat_interval: 1s}}\n\
         receivers:\n  - name: pgvigil\n    webhook_configs:\n      - url: http://127.0.0.1:{vigil}/alertmanager\n        \
         http_config: {{authorization: {{credentials_file: {}}}}}\n",
        lab.path().join("webhook").display()
    );
    std::fs::write(&config, text).unwrap();
    let spawn = Spawn::new("alertmanager", alertmanager()?)
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.path={}", lab.own_dir("alerts")?.display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg("--cluster.listen-address=");
    let process = lab.spawn(spawn)?;
    wait_until("Alertmanager", SOON, async || match try_get(port, "/-/ready").await {
        Ok(answer) if answer.status == 200 => Ok(()),
        other => Err(format!("{other:?}\n{}", process.log_tail(5))),
    })
    .await?;
    Ok((process, port))
}

/// Tells Alertmanager of an alert, as Prometheus does; `more` are more fields.
async fn fire(port: u16, node: &str, more: &str) {
    let body = format!(
        "[{{\"labels\":{{\"alertname\":\"{ALERT}\",\"cluster\":\"orders\",\"node\":\"{node}\"}},\
         \"startsAt\":\"2026-11-23T00:00:00Z\"{more}}}]"
    );
    let request = format!(
        "POST /api/v2/alerts HTTP/1.0\r\nHost: lab\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = exchange(port, request.as_bytes()).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn a_real_alertmanager_is_heard_once_and_known_again_after_a_restart() -> Outcome {
    let lab = Lab::new()?;
    let (port, state) = (lab.free_port()?, lab.own_dir("state")?);
    let config = config(&lab, port, &state, &["orders"]);
    let mut vigil = Vigil::start_at(&lab, config.clone(), port).await?;
    until(&vigil, "journal_writable", |writable| writable == 1.0).await?;
    let (_running, alerts) = start_alertmanager(&lab, port).await?;
    // Without an end it would count from when Alertmanager heard of it, for its resolve_timeout.
    fire(alerts, "a", ",\"endsAt\":\"2099-01-01T00:00:00Z\"").await;
    until(&vigil, "webhook_alerts_total{outcome=\"new\"}", |count| count == 1.0).await?;
    until(&vigil, "webhook_alerts_total{outcome=\"duplicate\"}", |count| count >= 1.0).await?;
    until_logged(&vigil, "an alert was recorded").await?;
    assert_eq!(lines(&vigil.log(), &["an alert was recorded", ALERT, "cluster=\"orders\"", "\"firing\""]).len(), 1);

    vigil.restart(&lab).await?;
    until(&vigil, "webhook_alerts_total{outcome=\"duplicate\"}", |count| count >= 1.0).await?;
    assert_eq!(series(port, "webhook_alerts_total{outcome=\"new\"}").await, Ok(0.0), "known from the journal");
    fire(alerts, "a", ",\"endsAt\":\"2026-11-23T00:00:10Z\"").await;
    until(&vigil, "webhook_alerts_total{outcome=\"new\"}", |count| count == 1.0).await?;
    assert_eq!(recorded(&lab, &config, "received").await?, BTreeMap::from([("a".to_owned(), 2)]), "its end is news");

    let (table, code) = history(&lab, &config, &["--cluster", "orders"]).await?;
    assert_eq!(code, Some(0), "{table}");
    for words in
        ["SEQ", "received", "orders", "PostgresPrimaryUnreachable firing since 2026-11-23T00:00:00Z", "resolved"]
    {
        assert!(table.contains(words), "no {words} in {table}");
    }
    println!("{table}");
    assert_eq!(history(&lab, &config, &["--cluster", "none"]).await?, (String::new(), Some(0)));
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn who_may_hand_in_what_and_what_is_said() -> Outcome {
    let lab = Lab::new()?;
    let (port, state) = (lab.free_port()?, lab.own_dir("state")?);
    let path = config(&lab, port, &state, &["orders"]);
    let vigil = Vigil::of(lab.spawn(Spawn::new("pgvigil", PGVIGIL).arg("serve").arg("--config").arg(&path))?, port);
    let vigil = opened_of(vigil).await?;
    let (new, unknown) = (payload("orders", "a"), payload("billing", "z"));
    let text = |value: &Value| value.to_string();
    let large = |most: usize| {
        let mut all = payload("orders", "many");
        let one = &payload("orders", "n")["alerts"][0];
        let numbered = (0..1000).map(|number| {
            let mut alert = one.clone();
            (alert["fingerprint"], alert["labels"]["node"]) = (json!(format!("{number}")), json!(format!("n{number}")));
            alert["annotations"]["text"] = json!("x".repeat(most / 1000 - 260));
            alert
        });
        all["alerts"] = numbered.collect();
        all.to_string()
    };
    let (fits, too_large) = (large(1_000_000), large(1_200_000));
    assert!(
        fits.len() > 900_000 && fits.len() < 1 << 20 && too_large.len() > 1 << 20,
        "{} {}",
        fits.len(),
        too_large.len()
    );
    for (what, token, body, status, said) in [
        ("nobody", "nobody-token-0123456", text(&new), 403, "nobody's"),
        ("new", TOKEN, text(&new), 202, "1 recorded, 0 known before, 0 ignored"),
        ("again", TOKEN, text(&new), 200, "0 recorded, 1 known before, 0 ignored"),
        ("again by another", OPS, text(&new), 200, "0 recorded, 1 known before, 0 ignored"),
        ("not ours", TOKEN, text(&unknown), 200, "0 recorded, 0 known before, 1 ignored"),
        ("not ours again", TOKEN, text(&unknown), 200, "0 recorded, 1 known before, 0 ignored"),
        (
            "nothing",
            TOKEN,
            text(&json!({"version": "4", "receiver": "r", "groupKey": "", "alerts": []})),
            200,
            "0 recorded",
        ),
        ("no JSON", TOKEN, "alerts!".to_owned(), 400, "the body is no JSON object"),
        ("its own payload", TOKEN, "{\"text\": \"down\"}".to_owned(), 400, "remove `payload` from the webhook_config"),
        ("a bad time", TOKEN, text(&new).replace("2026-11-23T", "monday "), 400, "alerts[0].startsAt: "),
        ("large", TOKEN, fits, 202, "1000 recorded"),
        ("too large", TOKEN, too_large, 413, "set max_alerts"),
    ] {
        let answer = post(port, token, &body).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
        assert!(answer.text().contains(said) && answer.text().lines().count() == 1, "{what}: {}", answer.text());
    }
    let chunks = format!("10000\r\n{}\r\n", "x".repeat(0x10000)).repeat(17);
    let chunked = format!(
        "POST /alertmanager HTTP/1.1\r\nHost: lab\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\n\
         Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"
    );
    assert_eq!(exchange(port, chunked.as_bytes()).await.map(|answer| answer.status), Ok(413), "no length said before");
    let looked = get(port, "/alertmanager", &format!("Authorization: Bearer {OPS}\r\n")).await;
    assert_eq!(looked.status, 405);
    for (code, count) in [("2xx", 7.0), ("4xx", 6.0), ("5xx", 0.0)] {
        assert_eq!(series(port, &format!("webhook_requests_total{{code=\"{code}\"}}")).await, Ok(count), "{code}");
    }
    assert_eq!(series(port, "webhook_alerts_total{outcome=\"unknown_cluster\"}").await, Ok(1.0));
    until_logged(&vigil, "the config has no cluster \"billing\": add it, or route its alerts elsewhere").await?;
    until_logged(&vigil, "alerts were refused: the body is no JSON object").await?;
    assert_eq!(recorded(&lab, &path, "ignored").await?, BTreeMap::from([("z".to_owned(), 1)]), "once");

    // Another pgvigil may not write the same journal.
    let (other_port, other) = (lab.free_port()?, lab.path().join("other.yml"));
    let its_text = std::fs::read_to_string(&path).unwrap().replace(&port.to_string(), &other_port.to_string());
    std::fs::write(&other, its_text).unwrap();
    let second = Vigil::start_at(&lab, other, other_port).await?;
    let refused = hand_in(other_port, &new).await.unwrap();
    let pid = vigil.process().id().pid;
    assert_eq!(refused.status, 503);
    assert!(refused.text().contains(&format!("is locked by process {pid}: another pgvigil")), "{}", refused.text());
    assert_eq!(series(other_port, "journal_writable").await, Ok(0.0));
    second.process().terminate(SOON).await?;

    // The cluster is ours at last.
    config(&lab, port, &state, &["orders", "billing"]);
    until_logged(&vigil, "the config was read again and is in force").await?;
    assert_eq!(hand_in(port, &unknown).await.map(|answer| answer.status), Ok(202));

    // What is altered is found by whoever reads, and nothing is written behind it.
    vigil.process().terminate(SOON).await?;
    let journal = state.join("journal/00000000000000000001.jsonl");
    let altered = std::fs::read_to_string(&journal).unwrap().replacen("\"billing\"", "\"milling\"", 1);
    std::fs::write(&journal, &altered).unwrap();
    let (said, code) = history(&lab, &path, &[]).await?;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("record 3 is not what was written") && said.contains("PostgresPrimaryUnreachable"), "{said}");
    let vigil = Vigil::start_at(&lab, path, port).await?;
    let refused = hand_in(port, &payload("orders", "b")).await.unwrap();
    assert_eq!(refused.status, 503);
    assert!(refused.text().contains("move its directory away to begin a new journal"), "{}", refused.text());
    assert_eq!(std::fs::read_to_string(&journal).unwrap(), altered);
    vigil.process().terminate(SOON).await?;
    lab.stop().await;
    Ok(())
}

async fn opened_of(vigil: Vigil) -> Result<Vigil, LabError> {
    wait_until("pgvigil's door", SOON, async || try_get(vigil.port(), "/-/ready").await.map(drop)).await?;
    Ok(vigil)
}

#[tokio::test]
async fn a_disk_that_is_full_refuses_until_there_is_room_and_nothing_is_lost() -> Outcome {
    let lab = Lab::new()?;
    let (port, state) = (lab.free_port()?, lab.own_dir("state")?);
    let path = config(&lab, port, &state, &["orders"]);
    // A file system that only pgvigil sees, and that goes with it.
    let script = "mount -t tmpfs -o size=64k tmpfs \"$1\" && exec \"$2\" serve --config \"$3\"";
    let spawn = Spawn::new("pgvigil", "unshare").arg("-rm").arg("sh").arg("-c").arg(script).arg("sh");
    let process = lab.spawn(spawn.arg(&state).arg(PGVIGIL).arg(path))?;
    let vigil = opened(process.clone(), port).await.unwrap_or_else(|error| panic!("{error}\n{}", process.log()));
    let seen = PathBuf::from(format!("/proc/{}/root{}", process.id().pid, state.display()));
    until(&vigil, "journal_writable", |writable| writable == 1.0).await?;
    let filler = seen.join("filler");
    let full = std::fs::write(&filler, vec![0; 100_000]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    // The file's last block has room for a few.
    let mut promised = Vec::new();
    let refused = loop {
        let node = format!("n{}", promised.len());
        let answer = hand_in(port, &payload("orders", &node)).await.unwrap();
        match answer.status {
            202 => promised.push(node),
            _ => break answer,
        }
        assert!(promised.len() < 30, "the disk has room");
    };
    assert_eq!(refused.status, 503);
    let said = refused.text();
    for words in
        ["No space left on device", "the journal cannot be written: make ", "with free space, or set state_dir"]
    {
        assert!(said.contains(words), "no {words} in {said}");
    }
    let (_running, alerts) = start_alertmanager(&lab, port).await?;
    fire(alerts, "by-alertmanager", ",\"endsAt\":\"2099-01-01T00:00:00Z\"").await;
    until(&vigil, "webhook_requests_total{code=\"5xx\"}", |count| count >= 4.0).await?;
    assert!(series(port, "journal_errors_total").await.unwrap() >= 1.0);
    assert_eq!(series(port, "journal_writable").await, Ok(0.0));
    assert_eq!(lines(&vigil.log(), &["ERROR", "alerts are refused with 503"]).len(), 1, "{}", vigil.log());

    std::fs::remove_file(&filler).unwrap();
    let accepted = promised.len() as f64 + 1.0;
    until(&vigil, "webhook_alerts_total{outcome=\"new\"}", |count| count == accepted).await?;
    until_logged(&vigil, "the journal is written again").await?;
    let answer = hand_in(port, &payload("orders", &promised[0])).await.unwrap();
    assert_eq!(answer.status, 200, "what was promised is known");
    let outside = lab.path().join("outside.yml");
    let text = std::fs::read_to_string(lab.path().join("pgvigil.yml")).unwrap();
    std::fs::write(&outside, text.replace(&*state.to_string_lossy(), &seen.to_string_lossy())).unwrap();
    let nodes = recorded(&lab, &outside, "received").await?;
    for node in promised.iter().map(String::as_str).chain(["by-alertmanager"]) {
        assert_eq!(nodes.get(node), Some(&1), "{node} in {nodes:?}");
    }
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn killed_at_any_moment_it_has_what_it_promised() -> Outcome {
    let lab = Lab::new()?;
    let (port, state) = (lab.free_port()?, lab.own_dir("state")?);
    let path = config(&lab, port, &state, &["orders"]);
    let mut promised = Vec::new();
    for round in 0..4 {
        let vigil = Vigil::start_at(&lab, path.clone(), port).await?;
        let senders: Vec<_> = (0..8)
            .map(|sender| {
                tokio::spawn(async move {
                    let mut promised = Vec::new();
                    for number in 0.. {
                        let node = format!("r{round}-s{sender}-{number}");
                        match hand_in(port, &payload("orders", &node)).await {
                            Ok(answer) if answer.status == 202 => promised.push(node),
                            _ => break,
                        }
                    }
                    promised
                })
            })
            .collect();
        until(&vigil, "webhook_alerts_total{outcome=\"new\"}", |count| count >= 40.0).await?;
        vigil.process().kill();
        for sender in senders {
            promised.extend(sender.await.unwrap());
        }
        let nodes = recorded(&lab, &path, "received").await?;
        let lost: Vec<_> = promised.iter().filter(|node| nodes.get(*node) != Some(&1)).collect();
        assert!(lost.is_empty(), "promised and not there once: {lost:?}");
        assert!(nodes.values().all(|count| *count == 1), "twice: {nodes:?}");
        assert!(nodes.len() >= promised.len() && nodes.len() <= promised.len() + 8 * (round + 1), "{}", nodes.len());
    }
    let (second, first) = (Duration::from_secs(1), &promised[0]);
    let vigil = Vigil::start_at(&lab, path, port).await?;
    let again = tokio::time::timeout(10 * second, hand_in(port, &payload("orders", first))).await;
    assert_eq!(again.unwrap().map(|answer| answer.status), Ok(200), "known from before all the kills");
    vigil.process().terminate(SOON).await?;
    lab.stop().await;
    Ok(())
}
