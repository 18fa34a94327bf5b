//! The status page of a real cluster, and what comes to a page that is open.

use std::time::Duration;

use pgvigil::lab::{Lab, LabError, ServerOptions, StandbyOptions, wait_until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::client::{connect, get};
use super::watch::{Node, SOON, Vigil};

type Outcome = Result<(), LabError>;

/// A page that is open, without a browser.
pub struct Open {
    stream: TcpStream,
    heard: String,
}

impl Open {
    pub async fn at(port: u16, path: &str) -> Self {
        let mut stream = connect(port).await;
        let request = format!("GET {path} HTTP/1.1\r\nHost: lab\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        Self { stream, heard: String::new() }
    }

    /// Waits until an event has these words.
    pub async fn until(&mut self, words: &str) {
        let reading = async {
            while !self.heard.contains(words) {
                let mut piece = vec![0; 65536];
                let read = self.stream.read(&mut piece).await.expect("a stream");
                assert!(read > 0, "the stream ended without {words}: {}", self.heard);
                self.heard.push_str(&String::from_utf8_lossy(&piece[..read]));
            }
        };
        if timeout(SOON, reading).await.is_err() {
            panic!("{words} did not come: {}", self.heard);
        }
    }

    /// How often these words came until now.
    pub fn count(&self, words: &str) -> usize {
        self.heard.matches(words).count()
    }

    /// Waits for the end.
    pub async fn ends(mut self) {
        let mut rest = Vec::new();
        timeout(Duration::from_secs(3), self.stream.read_to_end(&mut rest)).await.expect("an end in time").unwrap();
    }
}

#[tokio::test]
async fn a_killed_standby_comes_to_an_open_page_and_the_end_does_too() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions { slot: Some("b".to_owned()), ..Default::default() }).await?;
    let vigil = Vigil::start(&lab, &[Node::of(&a), Node::of(&b)]).await?;
    vigil.until_healthy(&["a", "b"], &["b"]).await;
    let page = wait_until("a page with a candidate", SOON, async || {
        let page = get(vigil.port(), "/", "").await;
        if page.text().contains("A failover now would work: to b") { Ok(page) } else { Err(page.text()) }
    })
    .await?;
    assert!(page.header("content-security-policy").is_some_and(|policy| policy.contains("script-src 'self'")));
    let text = page.text();
    for part in [
        "<title>pgvigil: lab</title>",
        "<tr data-node=\"a\" data-state=\"up\" data-role=\"primary\">",
        "<tr data-node=\"b\" data-state=\"up\" data-role=\"standby\" data-replay=\"running\">",
        "<tr data-slot=\"b\">",
        "data-events=\"/events?cluster=lab\"",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert_eq!(get(vigil.port(), "/clusters/lab", "").await.status, 200);
    for nowhere in ["/clusters/nobody", "/runs/nobody", "/events?cluster=nobody", "/events?run=nobody"] {
        assert_eq!(get(vigil.port(), nowhere, "").await.status, 404, "{nowhere}");
    }
    assert_eq!(get(vigil.port(), "/events?cluster=lab&run=x", "").await.status, 400);
    for file in ["/page/page.css", "/page/page.js", "/page/icon.svg"] {
        let answer = get(vigil.port(), file, "").await;
        let known = format!("If-None-Match: {}\r\n", answer.header("etag").expect("a tag"));
        assert_eq!((answer.status, get(vigil.port(), file, &known).await.status), (200, 304), "{file}");
    }

    let mut open = Open::at(vigil.port(), "/events?cluster=lab").await;
    open.until("event: beat").await;
    open.until("data-node=\"b\" data-state=\"up\"").await;
    // The lab's servers run without fsync; a mended check goes from an open page.
    open.until("<article data-check=\"fsync\" data-severity=\"error\">").await;
    open.until("<code>on a: ALTER SYSTEM SET fsync = 'on';</code>").await;
    for (path, status, words) in [
        ("/checks/", 200, "<a href=\"fsync\">fsync</a>"),
        ("/checks/fsync", 200, "<h1 id=\"fsync\">fsync</h1>"),
        ("/checks/fsnyc", 404, "<a href=\"/checks/fsync\">fsync</a>"),
    ] {
        let page = get(vigil.port(), path, "").await;
        assert!(page.status == status && page.text().contains(words), "{path}: {}", page.text());
    }
    b.kill();
    open.until("data-node=\"b\" data-state=\"unreachable\"").await;
    open.until("<article data-check=\"node_reachable\" data-severity=\"error\">").await;
    // What did not change is not sent again.
    assert!(open.count("<section id=\"runs\"") == 1 && open.count("event: beat") > 1, "{}", open.heard);
    vigil.process().signal(rustix::process::Signal::TERM)?;
    open.ends().await;
    lab.stop().await;
    Ok(())
}
