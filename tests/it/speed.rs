//! From a primary that is killed or frozen to the first committed write on the new one: `make bench-failover`.

mod chain;

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use pgvigil::clock::Wall;
use pgvigil::lab::{LabError, Server, wait_until};
use pgvigil::runbook::record::Entry;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::failover::crash;
use crate::failover::loss::{self, Lost};
use crate::failover::stage::{OVER, Play, Stage};
use crate::failover::writable::Writable;
use crate::faults::table::build;
use crate::fixture::{ROOT, update};
use chain::Chain;

/// What starts the failover, and how often it is measured unless `LAB_RUNS` says otherwise.
const WAYS: [(Way, usize); 3] = [(Way::Alert, 10), (Way::Observation, 50), (Way::Frozen, 10)];
/// The runbook's `hang_limit`, in seconds.
const HANG_LIMIT: f64 = 1.0;

/// How a run comes about.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// Killed, and told of by Prometheus and Alertmanager.
    Alert,
    /// Killed, and seen by pgvigil itself.
    Observation,
    /// Frozen, and seen by pgvigil itself.
    Frozen,
}

impl Way {
    const fn words(self) -> &'static str {
        match self {
            Self::Alert => "killed; Prometheus at 1 s, Alertmanager",
            Self::Observation => "killed; own observation at 100 ms, timeouts of 150 ms",
            Self::Frozen => "frozen; the same; after the hang limit of 1 s",
        }
    }

    /// Median and most, in seconds.
    const fn bar(self) -> &'static str {
        match self {
            Self::Alert => "median 3.5",
            Self::Observation => "median 0.5, most 1",
            Self::Frozen => "most 1.5",
        }
    }

    const fn play(self) -> Play {
        let play = Play::DEFAULT;
        match self {
            Self::Alert => play,
            Self::Observation | Self::Frozen => {
                Play { trigger: "[observation]", sample_interval: "100ms", timeout: "150ms", ..play }
            }
        }
    }
}

/// One failover.
struct Measured {
    seconds: f64,
    lost: Lost,
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_fault_to_the_first_write_on_the_new_primary() -> Result<(), LabError> {
    let runs = std::env::var("LAB_RUNS").ok().and_then(|runs| runs.parse::<usize>().ok());
    let mut page = head();
    for (way, usual) in WAYS {
        if std::env::var("LAB_WAY").is_ok_and(|only| !way.words().starts_with(&only)) {
            continue;
        }
        let (mut seconds, mut lost, mut failed) = (Vec::new(), Vec::new(), 0);
        for number in 0..runs.unwrap_or(usual) {
            match once(way, number).await {
                Ok(measured) => {
                    println!("{}: {:.3} s, {:?}", way.words(), measured.seconds, measured.lost);
                    seconds.push(measured.seconds);
                    lost.push(measured.lost);
                }
                Err(error) => {
                    println!("{}: {error}", way.words());
                    failed += 1;
                }
            }
        }
        seconds.sort_by(f64::total_cmp);
        let time = |index: usize| seconds.get(index).map_or_else(|| "-".to_owned(), |time| format!("{time:.2}"));
        let most = |of: fn(&Lost) -> u64| lost.iter().map(of).max().unwrap_or_default();
        let _ = writeln!(
            page,
            "| {} | {} | {failed} | {} | {} to {} | {} | {} | {} to {} | {} |",
            way.words(),
            seconds.len(),
            time(seconds.len() / 2),
            time(0),
            time(seconds.len().saturating_sub(1)),
            way.bar(),
            most(|lost| lost.bytes),
            lost.iter().map(|lost| lost.reported).min().unwrap_or_default(),
            most(|lost| lost.reported),
            lost.iter().map(|lost| lost.rows).sum::<usize>(),
        );
    }
    let load = std::fs::read_to_string("/proc/loadavg").unwrap();
    let _ = writeln!(page, "\nLoad average of the machine at the end: {}.", load.split(' ').next().unwrap_or_default());
    page.push_str(PEERS);
    println!("{page}");
    if update() {
        std::fs::write(Path::new(ROOT).join("docs/measured/failover.md"), page).expect("a file in docs");
    }
    Ok(())
}

async fn once(way: Way, number: usize) -> Result<Measured, LabError> {
    let stage = Stage::open(way.play()).await?;
    let chain = if way == Way::Alert { Some(Chain::start(&stage).await?) } else { None };
    let client = stage.written().await?;
    let writable = Writable::watch(&stage.servers()).await?;
    let long = long_writer(&stage.a).await?;
    client.wait_more(100).await?;
    // All phases of a second.
    sleep(Duration::from_millis(number as u64 * 137 % 1000)).await;
    let since = Instant::now();
    match way {
        Way::Frozen => stage.a.freeze()?,
        Way::Alert | Way::Observation => stage.a.kill_postmaster()?,
    }
    let first = wait_until("a row on a new primary", OVER, async || {
        let first = ["b", "c"].map(|name| client.first_by(name)).into_iter().flatten().next();
        first.ok_or_else(|| stage.vigil.process().log_tail(12))
    })
    .await?;
    let run = stage.until_run("succeeded").await?;
    if way == Way::Frozen {
        stage.a.thaw()?;
    }
    tell_times(&stage, since);
    long.abort();
    assert!(!stage.a.running(), "what is fenced runs no more");
    let candidate = run["candidate"].as_str().expect("a candidate").to_owned();
    assert_eq!(writable.never_two(), ["a", candidate.as_str()]);
    let lost = loss::judge(client, &run, &stage, stage.server(&candidate)).await?;
    drop(chain);
    let hung = if way == Way::Frozen { HANG_LIMIT } else { 0.0 };
    Ok(Measured { seconds: (first - since).as_secs_f64() - hung, lost })
}

/// Prints where the time went.
fn tell_times(stage: &Stage, fault: Instant) {
    let fault = Wall::now().as_seconds() - fault.elapsed().as_secs_f64();
    for record in crash::records(&stage.journal()) {
        let after = record.at.wall.as_seconds() - fault;
        if let Entry::Run(told) = &record.entry
            && after > 0.0
        {
            println!("  {after:.3} {}", told.event.kind());
        }
    }
}

/// A statement that commits again and again and never waits: its process outlives the postmaster until it is fenced.
async fn long_writer(server: &Server) -> Result<JoinHandle<()>, LabError> {
    server.sql("CREATE TABLE long_writer (id bigint)").await?;
    let session = server.connect().await?;
    Ok(tokio::spawn(async move {
        let _ = session
            .batch_execute(
                "DO $$ BEGIN FOR i IN 1..1000000 LOOP INSERT INTO long_writer VALUES (i); COMMIT; \
                 PERFORM sum(g) FROM generate_series(1, 30000) g; END LOOP; END $$",
            )
            .await;
    }))
}

fn head() -> String {
    format!(
        "# From the fault to the first committed write on the new primary\n\n\
         Written by `UPDATE=1 make bench-failover` (`tests/it/speed.rs`), {}, the release build on a machine with two cores. Three servers, \
         asynchronous; a client that writes each 5 ms and tries every server each 5 ms; a statement that commits without a pause and \
         outlives the postmaster; a fence whose success is probed; `max_loss_bytes` 16 MiB. In each run it was asserted \
         that never two servers took writes, that the fenced one runs no more, and that the WAL which was lost (measured afterwards \
         on the old primary's files) is at most what the run reported.\n\n\
         | fault, and what starts the failover | n | no failover | median s | range s | bar s | most WAL lost, bytes | reported, bytes | \
         acknowledged rows lost, of all runs |\n|---|---|---|---|---|---|---|---|---|\n",
        build()
    )
}

/// What was measured of others, once, on another day.
const PEERS: &str = "\n## Others\n\nMeasured by us on another day on such a machine, two nodes, a client at the same pace, as their median (range) and n; \
                     the timers of their defaults, and the tightest that each allows. None fences by proof in these runs.\n\n\
                     | fault | Patroni | tight | repmgr | tight | pg_auto_failover | tight |\n|---|---|---|---|---|---|---|\n\
                     | agent and PostgreSQL killed | 25.9 (20.7-29.8) 5 | 20.1 (19.4-20.5) 6 | 51.4 (50.8-52.1) 5 | 1.88 (1.17-2.09) 6 | \
                     50.7 (50.5-50.9) 5 | 4.3 (3.9-9.8) 7 |\n\
                     | PostgreSQL alone killed | restarted in place 5.4 (4.0-12.2) 5 | 2.2 (1.7-2.9) 5 | 51.4 (50.2-51.6) 3 | \
                     1.70 (1.21-2.32) 5 | in place 5.0 (5.0-5.0) 3 | in place 5.0 (5), new 4.6 (1) |\n\
                     | both frozen | 27.7 (26.7-30.9) 3 | 22.0 (21.6-22.5) 4 | 67.0 (66.5-67.7) 3 | 9.7 (9.1-10.2) 6 | 54.3 (53.6-57.0) 3 | \
                     4.6 (4.4-5.2) 6 |\n\
                     | writes that the thawed old primary acknowledged | 35-84, all lost | 35-60, all lost | thousands, all lost | \
                     thousands, all lost | 0-1 | 0-1 |\n";
