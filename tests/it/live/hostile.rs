//! What no server and no client of good will sends: garbage, halves, floods. Each costs its own node or connection, and nobody else.

use std::time::Duration;

use pgvigil::lab::{Lab, LabError, ServerOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::client::{exchange, get};
use super::failures::lines;
use super::watch::{Node, SOON, Vigil};
use crate::config;

/// What a flood sends in all: more than pgvigil may take in, and little enough for the machine.
const FLOOD: usize = 192 << 20;
/// What pgvigil may need at its worst.
const MOST_RESIDENT_KIB: u64 = 150 << 10;

/// In the place of a status: the connection is closed without a word, as HTTP/2 wants it of those who do not speak it.
const CLOSED: u16 = 0;

/// How a server misbehaves.
#[derive(Clone, Copy, Debug)]
enum Lie {
    /// Sends this after the first message of the client, and closes.
    Says(&'static [u8]),
    /// Sends this, and then nothing more.
    Hangs(&'static [u8]),
    /// Sends this, and then this again and again.
    Floods(&'static [u8], &'static [u8]),
    /// Lets one log in, and answers every query by these messages.
    Answers(fn() -> Vec<u8>),
    /// The same, and then this again and again.
    AnswersAndFloods(fn() -> Vec<u8>, fn() -> Vec<u8>),
}
use Lie::{Answers, AnswersAndFloods, Floods, Hangs, Says};

/// Name, what it does, the state that the node is in then, and a word of the log.
static LIES: &[(&str, Lie, &str, &str)] = &[
    ("closes", Says(b""), "unreachable", "reason="),
    ("http", Says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "unreachable", "reason="),
    ("smtp", Says(b"220 mail.example ESMTP\r\n"), "unreachable", "reason="),
    ("zeros", Says(&[0; 64]), "unreachable", "reason="),
    ("high-bytes", Says(&[0xff; 64]), "unreachable", "reason="),
    ("tls-alert", Says(&[0x15, 3, 3, 0, 2, 2, 40]), "unreachable", "reason="),
    ("unknown-login", Says(b"R\0\0\0\x08\0\0\0\x63"), "unreachable", "reason="),
    ("cleartext-then-closes", Says(b"R\0\0\0\x08\0\0\0\x03"), "unreachable", "reason="),
    ("short-message", Says(b"R\0\0\0\x01\0\0\0\0"), "unreachable", "reason="),
    ("negative-length", Says(b"R\xff\xff\xff\xff\0\0\0\0"), "unreachable", "reason="),
    ("ready-before-login", Says(b"Z\0\0\0\x05I"), "unreachable", "reason="),
    ("error-without-fields", Says(b"E\0\0\0\x05\0"), "unreachable", "reason="),
    ("silent", Hangs(b""), "timeout", "reason=\"timeout\""),
    ("half-a-message", Hangs(b"R\0\0\0"), "timeout", "reason=\"timeout\""),
    ("half-a-login", Hangs(b"R\0\0\0\x08\0\0\0\0"), "timeout", "reason=\"timeout\""),
    ("no-version", Says(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I"), "unreachable", "reason="),
    ("huge-message", Floods(b"R\x7f\xff\xff\xf0", &[b'x'; 65536]), "", "reason="),
    ("endless-notices", Floods(b"R\0\0\0\x08\0\0\0\0", &NOTICES), "", "reason="),
    ("endless-parameters", Floods(b"R\0\0\0\x08\0\0\0\0", &PARAMETERS), "", "reason="),
    ("no-columns", Answers(|| rows(0, &[])), "unknown", "cannot be read"),
    ("too-few-cells", Answers(|| rows(2, &[1])), "unreachable", "not_postgres"),
    ("too-many-cells", Answers(|| rows(1, &[9])), "unreachable", "not_postgres"),
    ("many-rows", Answers(|| rows(1, &[1; 10_000])), "unknown", "cannot be read"),
    ("endless-rows", AnswersAndFloods(|| rows(1, &[1]), || row(1).repeat(4096)), "", "node="),
];

const NOTICE: &[u8; 16] = b"N\0\0\0\x0fSNOTICE\0Mx\0";
static NOTICES: [u8; 16 * 4096] = repeated(NOTICE);
const PARAMETER: &[u8; 16] = b"S\0\0\0\x0fabcdef\0ghi\0";
static PARAMETERS: [u8; 16 * 4096] = repeated(PARAMETER);

const fn repeated(piece: &[u8; 16]) -> [u8; 16 * 4096] {
    let (mut all, mut at) = ([0; 16 * 4096], 0);
    while at < all.len() {
        all[at] = piece[at % 16];
        at += 1;
    }
    all
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[tag], &length[..], body].concat()
}

/// A row of so many cells.
fn row(cells: u16) -> Vec<u8> {
    let mut body = cells.to_be_bytes().to_vec();
    (0..cells).for_each(|_| body.extend_from_slice(b"\0\0\0\x01x"));
    message(b'D', &body)
}

/// A description of `columns` columns of text, and then rows of so many cells.
fn rows(columns: u16, cells: &[u16]) -> Vec<u8> {
    let mut body = columns.to_be_bytes().to_vec();
    (0..columns).for_each(|_| body.extend_from_slice(b"col\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0"));
    let described = message(b'T', &body);
    cells.iter().fold(described, |all, cells| [all, row(*cells)].concat())
}

const LOGGED_IN: &[u8] =
    b"R\0\0\0\x08\0\0\0\0S\0\0\0\x18server_version\x0016.1\0K\0\0\0\x0c\0\0\0\x01\0\0\0\x02Z\0\0\0\x05I";

async fn lie(listener: TcpListener, lie: Lie) {
    // A flood comes once; whoever asks again gets the beginning alone.
    let mut flooded = false;
    while let Ok((stream, _)) = listener.accept().await {
        let floods = !std::mem::replace(&mut flooded, true);
        tokio::spawn(async move { answer(stream, lie, floods).await });
    }
}

async fn answer(mut stream: TcpStream, lie: Lie, floods: bool) -> std::io::Result<()> {
    let mut bytes = vec![0; 65536];
    // All of what a client says first, so that closing is no reset.
    if stream.read(&mut bytes).await? == 0 {
        return Ok(());
    }
    match lie {
        Says(words) => stream.write_all(words).await?,
        Hangs(words) => {
            stream.write_all(words).await?;
            while stream.read(&mut bytes).await? > 0 {}
        }
        Floods(words, again) => {
            stream.write_all(words).await?;
            flood(&mut stream, again, floods).await?;
        }
        Answers(reply) | AnswersAndFloods(reply, _) => {
            stream.write_all(LOGGED_IN).await?;
            let (reply, mut asked) = (reply(), Vec::new());
            let described = 1 + length_of(&reply);
            loop {
                while asked.len() < 5 || asked.len() < 1 + length_of(&asked) {
                    match stream.read(&mut bytes).await? {
                        0 => return Ok(()),
                        length => asked.extend_from_slice(&bytes[..length]),
                    }
                }
                let message: Vec<u8> = asked.drain(..1 + length_of(&asked)).collect();
                match message[0] {
                    b'P' => stream.write_all(b"1\0\0\0\x04").await?,
                    b'D' => stream.write_all(&[b"t\0\0\0\x06\0\0", &reply[..described]].concat()).await?,
                    b'B' => stream.write_all(b"2\0\0\0\x04").await?,
                    b'E' => {
                        stream.write_all(&reply[described..]).await?;
                        if let AnswersAndFloods(_, again) = lie {
                            flood(&mut stream, &again(), floods).await?;
                        }
                        stream.write_all(b"C\0\0\0\x0dSELECT 1\0").await?;
                    }
                    b'Q' => stream.write_all(b"C\0\0\0\x08SET\0Z\0\0\0\x05I").await?,
                    b'C' => stream.write_all(b"3\0\0\0\x04").await?,
                    b'S' => stream.write_all(b"Z\0\0\0\x05I").await?,
                    _ => return Ok(()),
                }
            }
        }
    }
    Ok(())
}

/// The length that stands in a message after its first byte, and counts itself.
fn length_of(message: &[u8]) -> usize {
    usize::try_from(u32::from_be_bytes(message[1..5].try_into().unwrap())).unwrap()
}

async fn flood(stream: &mut TcpStream, again: &[u8], floods: bool) -> std::io::Result<()> {
    let mut sent = 0;
    while floods && sent < FLOOD {
        stream.write_all(again).await?;
        sent += again.len();
    }
    // Then silence, until the other side has enough.
    stream.read(&mut [0; 4096]).await.map(drop)
}

/// Requests that are none, or too much, and the statuses that are right for them.
fn requests() -> Vec<(&'static str, Vec<u8>, &'static [u16])> {
    let text = |text: &str| text.as_bytes().to_vec();
    let get = |path: &str| format!("GET {path} HTTP/1.0\r\nHost: lab\r\n\r\n").into_bytes();
    vec![
        ("garbage", text("\u{1}\u{2}\u{3}\r\n\r\n"), &[400]),
        ("no version", text("GET /\r\n\r\n"), &[400]),
        ("a version to come", text("GET / HTTP/9.9\r\n\r\n"), &[400, 505]),
        ("no host", text("GET / HTTP/1.1\r\nConnection: close\r\n\r\n"), &[200, 400]),
        ("a header without a colon", text("GET / HTTP/1.1\r\nHost lab\r\n\r\n"), &[400]),
        ("a header with a zero byte", text("GET / HTTP/1.1\r\nHost: l\0b\r\n\r\n"), &[400]),
        ("two lengths", text("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"), &[400]),
        ("a negative length", text("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n"), &[400]),
        (
            "length and chunks",
            text(
                "POST /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            ),
            &[400, 403],
        ),
        (
            "a chunk that is none",
            text("POST /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"),
            &[400, 403],
        ),
        ("an unknown method", text("BREW / HTTP/1.0\r\n\r\n"), &[403]),
        (
            "a proxy's request",
            text("CONNECT db1:5432 HTTP/1.1\r\nHost: db1:5432\r\nConnection: close\r\n\r\n"),
            &[400, 403, 404],
        ),
        ("another site's URL", text("GET http://elsewhere.example/metrics HTTP/1.0\r\n\r\n"), &[200, 400, 404]),
        ("a path upwards", get("/../../etc/passwd"), &[400, 404]),
        ("an escaped path upwards", get("/..%2f..%2fetc%2fpasswd"), &[400, 404]),
        ("a bad escape", get("/api/v1/clusters/%zz"), &[400, 404]),
        ("a path that is not UTF-8", get("/api/v1/clusters/%ff%fe"), &[400, 404]),
        ("a cluster that is not there", get("/metrics?cluster=no"), &[404]),
        ("a question that is not known", get("/metrics?clusters=lab"), &[400]),
        ("a scope twice", get("/metrics?cluster=lab&cluster=lab"), &[400]),
        ("self that is not 1", get("/metrics?self=yes"), &[400]),
        ("a long question", get(&format!("/metrics?cluster={}", "x".repeat(20_000))), &[404, 414, 431]),
        ("TLS", vec![0x16, 3, 1, 0, 5, 1, 0, 0, 1, 3, b'\r', b'\n', b'\r', b'\n'], &[400]),
        ("HTTP/2", text("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), &[CLOSED, 400, 505]),
        ("a server's protocol", text("\0\0\0\u{8}\u{4}\u{d2}\u{16}/\r\n\r\n"), &[400]),
    ]
}

fn peak_resident_kib(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn whoever_sends_what_nobody_should_harms_himself_alone() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let good = lab.primary("good", ServerOptions::default()).await?;
    let (mut nodes, mut liars) = (vec![Node::of(&good)], tokio::task::JoinSet::new());
    for (name, what, ..) in LIES {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let dsn = format!("host=127.0.0.1 port={port} user=m password=x dbname=postgres sslmode=disable");
        nodes.push(Node::with(name, &dsn, ""));
        liars.spawn(lie(listener, *what));
    }
    let vigil = Vigil::start(&lab, &nodes).await?;
    vigil.until_state("good", "up").await;
    let bad: Vec<_> = requests();
    for (what, request, statuses) in &bad {
        let answer = exchange(vigil.port(), request).await;
        let status = answer.as_ref().map_or(CLOSED, |answer| answer.status);
        assert!(statuses.contains(&status), "{what}: {answer:?}");
    }
    let mut wrong = Vec::new();
    for (name, what, state, word) in LIES {
        let said = pgvigil::lab::wait_until(format!("a word on {name}"), SOON, async || {
            match lines(&vigil.log(), &[&format!("node=\"{name}\""), word]) {
                said if said.is_empty() => Err("none".to_owned()),
                said => Ok(said),
            }
        })
        .await;
        let seen = vigil.page().await.state(name);
        let line = said.map_or_else(|error| error.to_string(), |said| said[0].clone());
        println!("{name}: {seen}: {line}");
        if !(state.is_empty() || seen == *state) || line.len() > 2000 {
            wrong.push(format!("{name} ({what:?}) is {seen}: {line}"));
        }
    }
    let page = vigil.page().await;
    assert_eq!(page.state("good"), "up");
    assert_eq!(lines(&vigil.log(), &["node=\"good\"", "WARN"]), [""; 0]);
    assert_eq!(get(vigil.port(), "/-/ready", "").await.status, 200);
    let peak = peak_resident_kib(vigil.process().id().pid);
    let all = [LIES.len(), bad.len(), config::mistakes().len()];
    println!(
        "{} bad inputs: {} servers, {} requests, {} configs; at most {peak} KiB",
        all.iter().sum::<usize>(),
        all[0],
        all[1],
        all[2]
    );
    assert_eq!(wrong, [""; 0]);
    assert!(peak < MOST_RESIDENT_KIB, "{peak} KiB");
    assert!(all.iter().sum::<usize>() >= 60);
    assert_eq!(vigil.process().terminate(Duration::from_secs(5)).await?.code(), Some(0));
    lab.stop().await;
    Ok(())
}
