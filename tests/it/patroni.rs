//! Patroni's API where it says little: a change is asked for once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pgvigil::config::Service;
use pgvigil::runbook::manager::patroni::Outcome;
use pgvigil::runbook::manager::patroni::client::{Change, Patroni};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const BEFORE: &str = r#"{"members": [{"name": "a", "role": "leader", "state": "running", "timeline": 1},
    {"name": "b", "role": "replica", "state": "streaming", "timeline": 1}]}"#;
const AFTER: &str = r#"{"members": [{"name": "a", "role": "replica", "state": "stopped"},
    {"name": "b", "role": "leader", "state": "running", "timeline": 2}]}"#;

/// Answers a switchover so (nothing: it closes the connection), and after that says that the cluster is so. Returns its port and the
/// number of changes that it was asked for.
async fn api(answer: &'static str, then: &'static str) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, asked) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
    let count = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = vec![0; 4096];
            let read = stream.read(&mut head).await.unwrap_or(0);
            let head = String::from_utf8_lossy(&head[..read]).into_owned();
            let (status, body) = if head.starts_with("POST") {
                count.fetch_add(1, Ordering::SeqCst);
                match answer.split_once(' ') {
                    Some((status, word)) => (status, word),
                    None => continue,
                }
            } else if head.starts_with("GET /config ") {
                ("200", "{}")
            } else {
                ("200", if count.load(Ordering::SeqCst) == 0 { BEFORE } else { then })
            };
            let text =
                format!("HTTP/1.1 {status} x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            let _ = stream.write_all(text.as_bytes()).await;
        }
    });
    (port, asked)
}

async fn switched(answer: &'static str, then: &'static str) -> Outcome {
    let (port, asked) = api(answer, then).await;
    let url: url::Url = format!("http://127.0.0.1:{port}").parse().unwrap();
    let mut other = url.clone();
    other.set_host(Some("localhost")).unwrap();
    let patroni = Patroni::new(Service { urls: vec![url, other], login: None, ca_file: None }, Duration::from_secs(5));
    let change = Change::Switchover { leader: "a", candidate: "b" };
    let outcome = patroni.change(change, Duration::from_millis(700)).await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 1, "{answer}");
    outcome
}

#[tokio::test]
async fn a_change_is_asked_for_once_whatever_is_answered() {
    let done = Outcome::Done { timeline: 2 };
    for answer in ["", "503 Switchover status unknown", "500 ", "200 Switched over", "202 Switchover scheduled"] {
        assert_eq!(switched(answer, AFTER).await, done, "{answer}");
        match switched(answer, BEFORE).await {
            Outcome::Unclear(why) => assert!(why.ends_with("a leads, and is running"), "{answer}: {why}"),
            other => panic!("{answer}: {other:?}"),
        }
    }
    // A refusal is believed at once.
    let refused = Outcome::Refused("leader name does not match (412)".to_owned());
    assert_eq!(switched("412 leader name does not match", AFTER).await, refused);
}
