//! Maintenance as people start and end it: by command and by the API, over restarts and other configs.

use std::collections::BTreeSet;
use std::path::Path;

use pgvigil::lab::{Lab, LabError, Spawn, wait_until};
use serde_json::{Value, json};

use super::api::{Description, OPENAPI, status};
use super::client::{Answer, exchange, get};
use super::watch::{Node, Page, SOON, Vigil};

type Outcome = Result<(), LabError>;

const ROOT: &str = "root-token-0123456789";
const OPS: &str = "ops-token-0123456789";
const DEV: &str = "dev-token-0123456789";
const WEBHOOK: &str = "webhook-token-0123456789";
const ACCESS: &str = "alertmanager: {bearer_token_file: webhook}\naccess:\n  \
                      - {name: root, role: admin, token_file: root}\n  - {name: ops, role: approver, token_file: ops}\n";
const OTHER: &str =
    "  - name: other\n    nodes:\n      - {name: z, dsn: \"host=127.0.0.1 port=1 user=nobody dbname=postgres\"}\n";

fn one(lab: &Lab, port: u16, more: &str) -> String {
    let node = Node::with("a", "host=127.0.0.1 port=1 user=nobody dbname=postgres", "");
    Vigil::config_text(lab, port, &[node], &format!("{ACCESS}{more}"))
}

/// A pgvigil that watches the clusters `lab` and `other`, where nobody answers.
async fn two(lab: &Lab) -> Result<Vigil, LabError> {
    for (file, token) in [("root", ROOT), ("ops", OPS), ("dev", DEV), ("webhook", WEBHOOK)] {
        std::fs::write(lab.path().join(file), token).unwrap();
    }
    lab.own_dir("state")?;
    let (port, config) = (lab.free_port()?, lab.path().join("pgvigil.yml"));
    std::fs::write(&config, format!("{}{OTHER}", one(lab, port, ""))).unwrap();
    Vigil::start_at(lab, config, port).await
}

/// Runs `pgvigil maintenance` and gives what it printed, with its exit code.
async fn run(lab: &Lab, vigil: &Vigil, token: &str, arguments: &[&str]) -> Result<(String, Option<i32>), LabError> {
    let server = format!("http://127.0.0.1:{}", vigil.port());
    let command = Spawn::new("maintenance", env!("CARGO_BIN_EXE_pgvigil")).arg("maintenance");
    let command = arguments.iter().fold(command, |command, argument| command.arg(argument));
    let command = command.arg("--server").arg(server).arg("--token-file").arg(lab.path().join(token));
    let process = lab.spawn(command)?;
    let code = process.wait(SOON).await?.code();
    Ok((process.log(), code))
}

/// Sends `body` with `token`; `more` are further headers.
async fn post(port: u16, token: &str, more: &str, body: &str) -> Answer {
    let credential = if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
    let request = format!(
        "POST /api/v1/maintenance HTTP/1.0\r\nHost: lab\r\n{credential}{more}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    exchange(port, request.as_bytes()).await.unwrap()
}

const JSON: &str = "Content-Type: application/json\r\n";

/// `pgvigil_maintenance` of both clusters, and how long each has to go.
fn shown(page: &Page) -> [(Option<f64>, Option<f64>); 2] {
    let value = |name: &str, cluster: &str| page.series().get(&format!("{name}{{cluster=\"{cluster}\"}}")).copied();
    ["lab", "other"].map(|cluster| {
        (value("pgvigil_maintenance", cluster), value("pgvigil_maintenance_end_timestamp_seconds", cluster))
    })
}

/// Whether each cluster is in maintenance; its end is there if so, and not if not.
async fn in_maintenance(vigil: &Vigil) -> [bool; 2] {
    shown(&vigil.page().await).map(|(on, end)| {
        assert_eq!(on, Some(f64::from(u8::from(end.is_some()))));
        end.is_some()
    })
}

/// How often `path` holds a line with all of `words`.
fn said(vigil: &Vigil, words: &[&str]) -> usize {
    vigil.log().lines().filter(|line| words.iter().all(|word| line.contains(word))).count()
}

async fn described(vigil: &Vigil, cluster: &str) -> Value {
    let path = format!("/api/v1/clusters/{cluster}");
    let answer = get(vigil.port(), &path, "").await.json();
    Description::read().hold_to("get", "/api/v1/clusters/{cluster}", "200", &answer);
    answer["maintenance"].clone()
}

#[tokio::test]
async fn it_is_started_shown_kept_over_a_restart_and_ended() -> Outcome {
    let lab = Lab::new()?;
    let mut vigil = two(&lab).await?;
    assert_eq!(in_maintenance(&vigil).await, [false, false]);
    let (text, code) = run(&lab, &vigil, "ops", &["start", "--for", "30m"]).await?;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("2 clusters are watched: name those that are meant"), "{text}");

    let start = ["start", "--cluster", "lab", "--for", "30m", "--reason", "minor <b>upgrade</b>"];
    let (text, code) = run(&lab, &vigil, "ops", &start).await?;
    assert!(text.starts_with("cluster lab: in maintenance until ") && text.ends_with(" GMT\n"), "{text}");
    assert_eq!(code, Some(0));
    // On the next page, without waiting for the next interval.
    assert_eq!(in_maintenance(&vigil).await, [true, false]);
    let now = described(&vigil, "lab").await;
    assert_eq!((&now["by"], &now["reason"]), (&json!("ops"), &json!("minor <b>upgrade</b>")));
    assert_eq!((now["until"].as_f64().unwrap() - now["since"].as_f64().unwrap()).round(), 1800.0);
    assert_eq!(shown(&vigil.page().await)[0].1, now["until"].as_f64());
    assert_eq!(described(&vigil, "other").await, Value::Null);
    let url = format!("http://127.0.0.1:{}", vigil.port());
    let (table, _) = status(&lab, &["--server", &url]).await?;
    assert!(table.contains("\nin maintenance until ") && table.contains(" GMT, by ops: minor <b>"), "{table}");
    assert_eq!(table.matches("in maintenance").count(), 1, "{table}");
    let page = vigil.get("/", "").await.unwrap();
    assert!(page.contains("In maintenance until") && page.contains("minor &lt;b&gt;"), "{page}");
    assert_eq!(said(&vigil, &["INFO", "maintenance began", "cluster=\"lab\"", "caller=\"ops\"", "until="]), 1);
    assert!(!vigil.log().contains("upgrade"), "the log holds no words of anybody");

    // At once: a crash in the next moment forgets nothing.
    vigil.process().kill();
    vigil.restart(&lab).await?;
    assert_eq!(in_maintenance(&vigil).await, [true, false]);
    assert_eq!(described(&vigil, "lab").await, now);

    // Another start replaces the end.
    let (text, code) = run(&lab, &vigil, "root", &["start", "--all", "--for", "1h"]).await?;
    assert!(text.contains("cluster lab: in") && text.contains("cluster other: in") && code == Some(0), "{text}");
    let later = described(&vigil, "lab").await;
    assert!(later["until"].as_f64() > now["until"].as_f64() && later["reason"].is_null(), "{later}");
    let (text, code) = run(&lab, &vigil, "ops", &["end", "--cluster", "lab", "--cluster", "other"]).await?;
    assert_eq!(
        (text.as_str(), code),
        ("cluster lab: not in maintenance\ncluster other: not in maintenance\n", Some(0))
    );
    assert_eq!(in_maintenance(&vigil).await, [false, false]);
    assert_eq!(said(&vigil, &["maintenance was ended", "caller=\"ops\""]), 2);
    vigil.restart(&lab).await?;
    assert_eq!(in_maintenance(&vigil).await, [false, false], "what was ended does not come back");
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn it_ends_by_itself_and_a_removed_cluster_takes_it_along() -> Outcome {
    let lab = Lab::new()?;
    let vigil = two(&lab).await?;
    let (text, code) = run(&lab, &vigil, "ops", &["start", "--cluster", "lab", "--for", "1s"]).await?;
    assert_eq!(code, Some(0), "{text}");
    vigil
        .until("its end", |page| match shown(page)[0] {
            (Some(0.0), None) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    let over = "maintenance is over: its end has come";
    wait_until("one line", SOON, async || match said(&vigil, &[over, "cluster=\"lab\"", "until="]) {
        1 => Ok(()),
        other => Err(format!("{other}")),
    })
    .await?;

    let (text, code) = run(&lab, &vigil, "ops", &["start", "--all", "--for", "1h"]).await?;
    assert_eq!(code, Some(0), "{text}");
    let reloaded = async |text: String, cluster: usize, expected: (bool, bool)| {
        vigil.replace_config(&text);
        vigil
            .until("the other config", |page| match shown(page)[cluster] {
                (on, end) if (on.is_some(), end.is_some()) == expected => Ok(()),
                other => Err(format!("{other:?}")),
            })
            .await;
    };
    let both = |more: &str| format!("{}{OTHER}", one(&lab, vigil.port(), more));
    reloaded(one(&lab, vigil.port(), ""), 1, (false, false)).await;
    assert_eq!(shown(&vigil.page().await)[0].0, Some(1.0), "a reload keeps it");
    reloaded(both(""), 1, (true, false)).await;
    assert_eq!(in_maintenance(&vigil).await, [true, false]);
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn who_may_not_or_asks_for_what_there_is_not_changes_nothing() -> Outcome {
    let lab = Lab::new()?;
    let vigil = two(&lab).await?;
    let port = vigil.port();
    let start = r#"{"action": "start", "clusters": ["lab"], "for": "30m"}"#;
    let description = Description::read();
    let mut statuses = BTreeSet::new();
    for (token, more) in [
        ("", ""),
        ("wrong-token-0123456789", ""),
        (WEBHOOK, ""),
        (OPS, "Sec-Fetch-Site: cross-site\r\n"),
        (ROOT, "Origin: http://elsewhere\r\n"),
    ] {
        let answer = post(port, token, &format!("{JSON}{more}"), start).await;
        assert_eq!(answer.status, 403, "{token} {more}");
        statuses.insert(answer.status.to_string());
    }
    let (secret, long) = ("hunter2-a-secret", "x".repeat(201));
    let reason = |reason: &str| json!({"action": "start", "all": true, "for": "1m", "reason": reason}).to_string();
    for (body, status, why) in [
        (String::new(), 400, "send a JSON object such as"),
        ("[]".into(), 400, "send a JSON object such as"),
        (r#"{"action": "stop", "all": true}"#.into(), 400, "send a JSON object such as"),
        (format!(r#"{{"action": "end", "all": "{secret}"}}"#), 400, "send a JSON object such as"),
        (format!(r#"{{"action": "end", "{secret}": true}}"#), 400, "send a JSON object such as"),
        (r#"{"action": "start", "clusters": ["lab"]}"#.into(), 400, "for is missing"),
        (start.replace("30m", "25h"), 400, "for is too long: the most is 24h"),
        (start.replace("30m", "30"), 400, "for has no unit"),
        (start.replace("30m", "0s"), 400, "for is too short: the least is 1s"),
        (r#"{"action": "end", "all": true, "for": "1m"}"#.into(), 400, "an end takes neither"),
        (r#"{"action": "end", "all": true, "clusters": ["lab"]}"#.into(), 400, "keep one"),
        (r#"{"action": "end", "clusters": []}"#.into(), 400, "clusters is empty"),
        (r#"{"action": "start", "for": "1m"}"#.into(), 400, "2 clusters are watched"),
        (reason(&long), 400, "reason is too long: the most is 200 characters"),
        (reason("a\nb"), 400, "reason has control characters"),
        (
            r#"{"action": "start", "clusters": ["lab", "nobody"], "for": "1m"}"#.into(),
            404,
            "there is no cluster nobody",
        ),
        ("x".repeat(70_000), 413, ""),
    ] {
        let answer = post(port, OPS, JSON, &body).await;
        let text = answer.text();
        assert_eq!(answer.status, status, "{why}: {text}");
        assert!(text.contains(why) && !text.contains(secret), "{why}: {text}");
        if status != 413 {
            description.hold_to("post", "/api/v1/maintenance", &status.to_string(), &answer.json());
        }
        statuses.insert(status.to_string());
    }
    let plain = post(port, OPS, "Content-Type: text/plain\r\n", start).await;
    assert_eq!(plain.status, 415, "{}", plain.text());
    statuses.insert("415".to_owned());
    assert_eq!(get(port, "/api/v1/maintenance", "").await.status, 405, "nothing changes by GET");
    assert_eq!(in_maintenance(&vigil).await, [false, false], "all or nothing");
    assert!(!vigil.log().contains("maintenance"), "{}", vigil.log());

    for token in [OPS, ROOT] {
        let answer = post(port, token, JSON, start).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        description.hold_to("post", "/api/v1/maintenance", "200", &answer.json());
        assert_eq!((&answer.json()["kept"], &answer.json()["note"]), (&json!(true), &Value::Null));
    }
    statuses.insert("200".to_owned());
    assert_eq!(in_maintenance(&vigil).await, [true, false]);
    let described: Value = serde_saphyr::from_str(OPENAPI).expect("YAML");
    let described = described["paths"]["/api/v1/maintenance"]["post"]["responses"].as_object().expect("responses");
    assert_eq!(described.keys().cloned().collect::<BTreeSet<_>>(), statuses);

    // Who may look alone, where looking needs a credential.
    vigil.replace_config(&one(&lab, port, "  - {name: dev, role: viewer, token_file: dev}\n"));
    wait_until("a credential to look", SOON, async || match get(port, "/-/ready", "").await.status {
        401 => Ok(()),
        other => Err(format!("{other}")),
    })
    .await?;
    assert_eq!(post(port, DEV, JSON, start).await.status, 403);
    let (text, code) = run(&lab, &vigil, "dev", &["end"]).await?;
    assert!(code == Some(1) && text.contains("answers 403 Forbidden: The role of this credential"), "{text}");
    // One cluster is watched now, and needs no name.
    let (text, code) = run(&lab, &vigil, "ops", &["end"]).await?;
    assert_eq!((text.as_str(), code), ("cluster lab: not in maintenance\n", Some(0)));
    for (arguments, why) in [
        (&["start", "--for", "25h"][..], "is too long: the most is 24h"),
        (&["start"], "--for <TIME>"),
        (&["start", "--for", "1m", "--reason", &long], "the most is 200 characters"),
        (&["end", "--all", "--cluster", "lab"], "cannot be used with"),
    ] {
        let (text, code) = run(&lab, &vigil, "ops", arguments).await?;
        assert!(code == Some(2) && text.contains(why), "{code:?} {text}");
    }
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_kept_is_in_force_and_said() -> Outcome {
    let lab = Lab::new()?;
    let vigil = two(&lab).await?;
    // A file in the place of the directory.
    let state = lab.path().join("state");
    let away = lab.path().join("away");
    std::fs::rename(&state, &away).unwrap();
    std::fs::write(&state, "").unwrap();
    let (text, code) = run(&lab, &vigil, "ops", &["start", "--all", "--for", "1h"]).await?;
    assert_eq!(code, Some(0));
    assert!(text.contains("note: kept in memory alone") && text.contains("state_dir cannot be written"), "{text}");
    assert_eq!(in_maintenance(&vigil).await, [true, true]);
    assert!(Path::new(&away).exists() && said(&vigil, &["ERROR", "cluster=\"lab\""]) >= 1, "{}", vigil.log());
    lab.stop().await;
    Ok(())
}
