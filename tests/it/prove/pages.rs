//! 200 pages that are open: what they cost the process, and that they cost the servers nothing.

use std::fmt::Write as _;
use std::time::Duration;

use pgvigil::lab::{Lab, LabError, Server, ServerOptions, StandbyOptions, Writer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::fixture::{ROOT, update};
use crate::live::client::connect;
use crate::live::watch::{Node, Vigil};

const PAGES: usize = 200;
/// Each of both measurements.
const MEASURED: Duration = Duration::from_secs(30);

/// A second of processor time, as `/proc` counts it.
const CLOCK_TICKS: f64 = 100.0;

/// Processor time of a process, in seconds.
fn processor(pid: i32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<f64> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse().unwrap())
        .collect();
    (fields[0] + fields[1]) / CLOCK_TICKS
}

/// Transactions of all databases: each question of pgvigil is one at least.
async fn questions(server: &Server) -> Result<f64, LabError> {
    let sql = "SELECT sum(xact_commit + xact_rollback)::text FROM pg_stat_database";
    Ok(server.value(sql).await?.and_then(|number| number.parse().ok()).unwrap_or(f64::NAN))
}

struct Cost {
    processor: f64,
    questions: f64,
}

async fn measure(pid: i32, standby: &Server) -> Result<Cost, LabError> {
    let (began, processor_before, before) = (Instant::now(), processor(pid), questions(standby).await?);
    sleep(MEASURED).await;
    let seconds = began.elapsed().as_secs_f64();
    let (processor_after, after) = (processor(pid), questions(standby).await?);
    Ok(Cost { processor: (processor_after - processor_before) / seconds, questions: (after - before) / seconds })
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_open_pages_cost_the_servers_nothing() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions { slot: Some("b".to_owned()), ..Default::default() }).await?;
    let c = lab.standby_of(&a, "c", StandbyOptions::default()).await?;
    let vigil = Vigil::start(&lab, &[Node::of(&a), Node::of(&b), Node::of(&c)]).await?;
    vigil.until_healthy(&["a", "b", "c"], &["b", "c"]).await;
    let writer = Writer::start(&a, 100).await?;
    let pid = vigil.process().id().pid;
    let alone = measure(pid, &b).await?;

    let mut pages = JoinSet::new();
    for _ in 0..PAGES {
        let mut stream = connect(vigil.port()).await;
        stream.write_all(b"GET /events?cluster=lab HTTP/1.1\r\nHost: lab\r\n\r\n").await.unwrap();
        pages.spawn(async move {
            let (mut piece, mut bytes) = (vec![0; 65536], 0);
            while let Ok(Ok(read @ 1..)) = timeout(Duration::from_secs(10), stream.read(&mut piece)).await {
                bytes += read;
            }
            bytes
        });
    }
    sleep(Duration::from_secs(3)).await;
    let opened = measure(pid, &b).await?;
    assert_eq!(pages.len(), PAGES);
    assert!(pages.try_join_next().is_none(), "a page was closed");
    drop(writer);
    vigil.process().signal(rustix::process::Signal::TERM)?;
    let sent: usize = pages.join_all().await.iter().sum();

    let mut text = String::from(
        "# 200 open status pages\n\nMade by `make prove-pages UPDATE=1`: a primary under 100 writes a second, two standbys, readings each 0.5 s, 30 s each.\n\n",
    );
    text.push_str("| | no page | 200 pages |\n|---|---|---|\n");
    let _ = writeln!(
        text,
        "| processor of pgvigil, % of a core | {:.1} | {:.1} |",
        100.0 * alone.processor,
        100.0 * opened.processor
    );
    let _ =
        writeln!(text, "| transactions on a standby, a second | {:.1} | {:.1} |", alone.questions, opened.questions);
    let _ = writeln!(
        text,
        "\nSent to all pages together: {} KiB.\n\nA {} build.",
        sent / 1024,
        if cfg!(debug_assertions) { "debug" } else { "release" }
    );
    println!("{text}");
    assert!(opened.processor - alone.processor < 0.2, "{text}");
    assert!((opened.questions - alone.questions).abs() < 0.1 * alone.questions + 1.0, "{text}");
    if update() {
        std::fs::write(std::path::Path::new(ROOT).join("docs/measured/pages.md"), text).unwrap();
    }
    lab.stop().await;
    Ok(())
}
