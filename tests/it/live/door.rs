//! The HTTP door: what it shows, what it never shows, and that no client can keep it from others.

use std::time::Duration;

use pgvigil::lab::{Lab, LabError, Role, ServerOptions, StandbyOptions, wait_until};
use rustix::process::Signal;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use super::client::{Answer, connect, exchange, get, read_all, request};
use super::watch::{Node, SOON, Vigil};

type Outcome = Result<(), LabError>;

pub const PAGES: [&str; 6] = ["/", "/metrics", "/-/healthy", "/-/ready", "/api/v1/clusters", "/api/v1/clusters/lab"];

/// A node that nobody listens for.
fn nowhere(name: &str) -> Node {
    Node::with(name, "host=127.0.0.1 port=1 user=nobody dbname=postgres", "")
}

/// How many connections of clients pgvigil holds: those of its port that it has taken out of the kernel's queue.
fn taken(port: u16) -> usize {
    const ESTABLISHED: &str = "01";
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let own = format!(":{port:04X}");
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row.len() > 9 && row[1].ends_with(&own) && row[3] == ESTABLISHED && row[9] != "0").count()
}

#[tokio::test]
async fn with_every_database_down_all_pages_answer_and_nothing_changes_by_them() -> Outcome {
    let lab = Lab::new()?;
    let unknown = Node::with("b", "host=no-such-host.invalid user=nobody dbname=postgres", "");
    let vigil = Vigil::start(&lab, &[nowhere("a"), unknown]).await?;
    vigil.until_state("a", "unreachable").await;
    for path in PAGES {
        let answer = get(vigil.port(), path, "").await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(!answer.body.is_empty(), "{path}");
        for method in ["POST", "PUT", "DELETE", "PATCH"] {
            let answer = request(vigil.port(), method, path, "Content-Length: 0\r\n").await;
            assert_eq!(answer.status, 403, "{method} {path}");
        }
        let head = request(vigil.port(), "HEAD", path, "").await;
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
    }
    let start = get(vigil.port(), "/", "").await.text();
    for part in [">a<", ">b<", "unreachable", "nothing listens at this address"] {
        assert!(start.contains(part), "no {part} in {start}");
    }
    for path in
        ["/api/v1/clusters/other", "/api/v1/clusters/lab/", "/api/v1/nothing", "/metrics/", "/../etc/passwd", "/%00"]
    {
        let answer = get(vigil.port(), path, "").await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.text().contains("there is no such") || answer.text().contains("There is no such"), "{path}");
    }
    let missing = get(vigil.port(), "/api/v1/clusters/other", "").await.json();
    assert!(missing["error"].as_str().unwrap().contains("/api/v1/clusters lists them"), "{missing}");
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn the_api_tells_source_and_age_of_every_fact() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions::default()).await?;
    a.wait_streaming("b", SOON).await?;
    let vigil = Vigil::start(&lab, &[Node::of(&a), Node::of(&b)]).await?;
    vigil.until_healthy(&["a", "b"], &["b"]).await;
    let every_fact = |answer: &serde_json::Value| -> Result<usize, String> {
        let mut count = 0;
        for node in answer["nodes"].as_array().unwrap() {
            assert!(node["login"].is_null() || node["login"]["age_seconds"].is_number(), "{node}");
            for (name, fact) in node["facts"].as_object().unwrap() {
                assert!(fact["source"].as_str().is_some_and(|source| !source.is_empty()), "{name}: {fact}");
                let age = fact["age_seconds"].as_f64().ok_or_else(|| format!("{name}: {fact}"))?;
                assert!((0.0..SOON.as_secs_f64()).contains(&age), "{name} is {age} s old");
                assert!(
                    fact["error"].is_null() && !fact["value"].is_null() || name == "wal_receiver",
                    "{name}: {fact}"
                );
                count += 1;
            }
        }
        Ok(count)
    };
    let facts = wait_until("every fact", SOON, async || {
        every_fact(&get(vigil.port(), "/api/v1/clusters/lab", "").await.json())
    })
    .await?;
    assert!(facts >= 18, "{facts} facts");
    let all = get(vigil.port(), "/api/v1/clusters", "").await.json();
    assert_eq!(all["clusters"][0]["name"], "lab");
    assert_eq!(all["clusters"][0]["primary"], "a");
    assert_eq!(all["clusters"][0]["nodes"].as_array().unwrap().len(), 2);
    b.kill();
    vigil.until_state("b", "unreachable").await;
    let failure = &get(vigil.port(), "/api/v1/clusters/lab", "").await.json()["nodes"][1]["failure"];
    assert!(failure["age_seconds"].is_number() && failure["source"].is_string(), "{failure}");
    assert_eq!(failure["value"]["state"], "unreachable");
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn what_a_server_says_is_text_and_no_markup() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let dsn = a.dsn(Role::Monitor).replace("dbname=postgres", "dbname='<b>&x'");
    let vigil = Vigil::start(&lab, &[Node::with("a", &dsn, "")]).await?;
    vigil.until_state("a", "rejecting").await;
    let start = get(vigil.port(), "/", "").await;
    assert!(start.header("content-type").unwrap().starts_with("text/html"));
    assert!(start.text().contains("&lt;b&gt;&amp;x"), "{}", start.text());
    // The page has such marks of its own.
    assert!(!start.text().contains("<b>&"));
    let facts = get(vigil.port(), "/api/v1/clusters/lab", "").await;
    assert_eq!(facts.header("content-type"), Some("application/json"));
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_client_that_wastes_time_is_cut_off() -> Outcome {
    let lab = Lab::new()?;
    let vigil = Vigil::start(&lab, &[nowhere("a")]).await?;
    let port = vigil.port();
    let began = Instant::now();
    let silent = async {
        read_all(&mut connect(port).await).await;
    };
    let one_letter = async {
        let mut stream = connect(port).await;
        stream.write_all(b"P").await.unwrap();
        read_all(&mut stream).await;
    };
    let dribbles = async {
        let mut stream = connect(port).await;
        stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        // Always a little more, never the end.
        while stream.write_all(b"X: y\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert!(began.elapsed() < SOON, "a dribbling client is still there");
        }
    };
    let asks_once = async {
        let mut stream = connect(port).await;
        stream.write_all(b"GET /-/ready HTTP/1.1\r\nHost: lab\r\n\r\n").await.unwrap();
        assert_eq!(Answer::of(&read_all(&mut stream).await).unwrap().status, 200);
    };
    tokio::join!(silent, one_letter, dribbles, asks_once);
    println!("all cut off after {:?}", began.elapsed());

    // One that asks and never reads: more than the kernel keeps for it.
    let mut deaf = connect(port).await;
    let asking = async {
        loop {
            if deaf.write_all(b"GET /metrics HTTP/1.1\r\nHost: lab\r\n\r\n").await.is_err() {
                break;
            }
        }
    };
    // Sooner or later nothing more goes in; then it is cut off.
    let _ = tokio::time::timeout(SOON, asking).await;
    wait_until("its connection ended", SOON, async || match taken(port) {
        0 => Ok(()),
        some => Err(format!("{some} are there")),
    })
    .await?;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_request_that_is_too_large_is_refused() -> Outcome {
    let lab = Lab::new()?;
    let vigil = Vigil::start(&lab, &[nowhere("a")]).await?;
    let huge = "x".repeat(1 << 20);
    let many: String = (0..1000).map(|number| format!("X-{number}: y\r\n")).collect();
    for (what, request, statuses) in [
        ("a header", format!("GET / HTTP/1.1\r\nHost: lab\r\nX: {huge}\r\n\r\n"), [431, 431]),
        ("headers", format!("GET / HTTP/1.1\r\nHost: lab\r\n{many}\r\n"), [431, 431]),
        ("a path", format!("GET /{huge} HTTP/1.1\r\nHost: lab\r\n\r\n"), [414, 431]),
        (
            "a body",
            format!("POST /metrics HTTP/1.1\r\nHost: lab\r\nContent-Length: {}\r\n\r\n{huge}", huge.len()),
            [403, 403],
        ),
        ("no request at all", "\u{0}\u{1}\r\n\r\n".to_owned(), [400, 400]),
    ] {
        let answer = exchange(vigil.port(), request.as_bytes()).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(statuses.contains(&answer.status), "{what}: {}", answer.head);
    }
    assert_eq!(get(vigil.port(), "/-/ready", "").await.status, 200);
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn idle_connections_keep_nobody_out_and_there_is_a_bound() -> Outcome {
    let lab = Lab::new()?;
    let vigil = Vigil::start(&lab, &[nowhere("a")]).await?;
    let mut held = Vec::new();
    for _ in 0..200 {
        held.push(connect(vigil.port()).await);
    }
    let began = Instant::now();
    for path in PAGES {
        assert_eq!(get(vigil.port(), path, "").await.status, 200, "{path}");
    }
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    // Those beyond the bound are closed at once, so that descriptors are left for the servers.
    for _ in 0..300 {
        held.push(connect(vigil.port()).await);
    }
    wait_until("a word on the bound", SOON, async || {
        let log = vigil.log();
        if log.contains("an HTTP connection could not be taken") { Ok(()) } else { Err(log) }
    })
    .await?;
    assert_eq!(vigil.log().matches("could not be taken").count(), 1, "said once");
    drop(held);
    wait_until("everybody let in again", SOON, async || {
        let answer = exchange(vigil.port(), b"GET /-/ready HTTP/1.0\r\n\r\n").await?;
        if answer.status == 200 { Ok(()) } else { Err(answer.head) }
    })
    .await?;
    wait_until("their connections ended", SOON, async || match taken(vigil.port()) {
        0 => Ok(()),
        some => Err(format!("{some} are there")),
    })
    .await?;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_signal_ends_it_in_order_and_in_time() -> Outcome {
    let lab = Lab::new()?;
    for (signal, name) in [(Signal::TERM, "SIGTERM"), (Signal::INT, "SIGINT")] {
        let vigil = Vigil::start(&lab, &[nowhere("a")]).await?;
        // One request under way that ends, one that never does, and one connection that asks nothing.
        let (mut ends, mut never, _idle) =
            (connect(vigil.port()).await, connect(vigil.port()).await, connect(vigil.port()).await);
        for stream in [&mut ends, &mut never] {
            stream.write_all(b"GET /-/ready HTTP/1.1\r\nHost: lab\r\n").await.unwrap();
        }
        // Until the server has them, it knows of none.
        wait_until("the connections taken", SOON, async || match taken(vigil.port()) {
            3 => Ok(()),
            other => Err(format!("{other} are there")),
        })
        .await?;
        vigil.process().signal(signal)?;
        let began = Instant::now();
        wait_until("the door closed", SOON, async || match exchange(vigil.port(), b"GET / HTTP/1.0\r\n\r\n").await {
            Ok(answer) => Err(answer.head),
            Err(_) => Ok(()),
        })
        .await?;
        ends.write_all(b"\r\n").await.unwrap();
        let answer = Answer::of(&read_all(&mut ends).await).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((answer.status, answer.text().as_str()), (200, "pgvigil is ready.\n"), "{name}");
        let status = vigil.process().wait(Duration::from_secs(3)).await?;
        println!("{name}: ended after {:?}", began.elapsed());
        assert!(began.elapsed() < Duration::from_secs(3), "{name}: {:?}", began.elapsed());
        assert_eq!(status.code(), Some(0), "{name}");
        assert!(vigil.log().contains("pgvigil has stopped"), "{}", vigil.log());
    }
    lab.stop().await;
    Ok(())
}
