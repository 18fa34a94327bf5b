//! Scrapes: one after another, sixteen at once, and both with the primary in trouble.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::client::value;
use super::figures::{Spread, ms, percentile, short};
use super::report::{Bar, Report};
use super::scene::{Exporter, GIVEN_UP, Pace, Scene, node_up};
use super::{Effort, process};

const AT_ONCE: usize = 16;

/// What a run of scrapes gave.
struct Run {
    p50: f64,
    p99: f64,
    per_second: f64,
    /// Pages that did not say what they should.
    bad: usize,
}

/// One after another on one connection. `good` judges each page, beside the time that is measured.
fn in_turn(exporter: &Exporter, count: usize, good: impl Fn(&str) -> bool) -> anyhow::Result<Run> {
    let mut client = exporter.client()?;
    let mut times = Vec::with_capacity(count);
    let mut bad = 0;
    for _ in 0..count {
        let answer = client.scrape()?;
        times.push(ms(answer.took));
        bad += usize::from(answer.status != 200 || !good(answer.body));
    }
    Ok(Run::of(&times, times.iter().sum::<f64>() / 1e3, bad))
}

/// Sixteen scrapers, each on its own connection, as fast as they are answered.
fn at_once(exporter: &Exporter, each: usize) -> anyhow::Result<Run> {
    let mut clients = Vec::new();
    for _ in 0..AT_ONCE {
        clients.push(exporter.client()?);
    }
    let started = Instant::now();
    let scrapers = clients.into_iter().map(|mut client| {
        std::thread::spawn(move || {
            let mut bad = 0;
            let mut times = Vec::with_capacity(each);
            for _ in 0..each {
                let answer = client.scrape()?;
                times.push(ms(answer.took));
                bad += usize::from(answer.status != 200);
            }
            Ok::<_, std::io::Error>((times, bad))
        })
    });
    let scrapers: Vec<_> = scrapers.collect();
    let (mut times, mut bad) = (Vec::new(), 0);
    for scraper in scrapers {
        let (some, wrong) = scraper.join().map_err(|_| anyhow::anyhow!("a scraper panicked"))??;
        times.extend(some);
        bad += wrong;
    }
    Ok(Run::of(&times, started.elapsed().as_secs_f64(), bad))
}

impl Run {
    fn of(times: &[f64], seconds: f64, bad: usize) -> Self {
        Self {
            p50: percentile(times, 0.5),
            p99: percentile(times, 0.99),
            per_second: times.len() as f64 / seconds,
            bad,
        }
    }
}

fn spread(runs: &[Run], figure: impl Fn(&Run) -> f64) -> Spread {
    Spread::of(&runs.iter().map(figure).collect::<Vec<_>>())
}

/// Both take turns for several rounds.
pub async fn healthy(scene: &Scene, effort: Effort, report: &mut Report) -> anyhow::Result<()> {
    let pgvigil = scene.pgvigil(Pace::Default { login: "15s" }).await?;
    report.section("Scrapes, all well");
    for slots in [1, 10, 50, 200] {
        scene.slots(slots).await?;
        let newest = format!(r#"slot="slot_{:03}""#, slots - 1);
        pgvigil.wait_for("all slots on the page", |page| page.contains(&newest)).await?;
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        let (mut our_cpu, mut their_cpu) = (Vec::new(), Vec::new());
        for _ in 0..effort.rounds() {
            let before = process::cpu_ms(pgvigil.id());
            ours.push(in_turn(&pgvigil, 2_000, |page| page.contains(&newest))?);
            our_cpu.push((process::cpu_ms(pgvigil.id()) - before) / 2_000.0);
            let before = process::cpu_ms(scene.peer.id());
            theirs.push(in_turn(&scene.peer, 200, |page| value(page, "pg_up") == Some(1.0))?);
            their_cpu.push((process::cpu_ms(scene.peer.id()) - before) / 200.0);
        }
        let name = |what: &str| format!("{slots} slots: {what}");
        report.figures(
            &name("p50 ms"),
            spread(&ours, |run| run.p50),
            Some(spread(&theirs, |run| run.p50)),
            &Bar::Part(0.05),
        );
        let bar = if slots == 200 { Bar::Most(1.0) } else { Bar::None };
        report.figures(&name("p99 ms"), spread(&ours, |run| run.p99), Some(spread(&theirs, |run| run.p99)), &bar);
        report.figures(
            &name("exporter's CPU ms a scrape"),
            Spread::of(&our_cpu),
            Some(Spread::of(&their_cpu)),
            &Bar::None,
        );
        let (our_page, their_page) = (pgvigil.page()?, scene.peer.page()?);
        report.figures(&name("page kB"), kilobytes(&our_page), Some(kilobytes(&their_page)), &Bar::None);
        report.figures(&name("series"), series(&our_page), Some(series(&their_page)), &Bar::None);
        let bad = ours.iter().chain(&theirs).map(|run| run.bad).sum::<usize>();
        anyhow::ensure!(bad == 0, "{bad} pages were not as they should be");
        if [1, 200].contains(&slots) {
            sixteen(&pgvigil, &scene.peer, effort, &name(""), report)?;
        }
    }
    statements(scene, &pgvigil, effort, report).await?;
    scene.slots(1).await?;
    pgvigil.stop().await
}

fn kilobytes(page: &str) -> Spread {
    Spread::of(&[page.len() as f64 / 1e3])
}

fn series(page: &str) -> Spread {
    Spread::of(&[page
        .lines()
        .filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()) && line.contains(' '))
        .count() as f64])
}

fn sixteen(ours: &Exporter, peer: &Exporter, effort: Effort, name: &str, report: &mut Report) -> anyhow::Result<()> {
    let (mut our_runs, mut their_runs) = (Vec::new(), Vec::new());
    for _ in 0..effort.rounds() {
        our_runs.push(at_once(ours, 200)?);
        their_runs.push(at_once(peer, 10)?);
    }
    let both = |figure: fn(&Run) -> f64| (spread(&our_runs, figure), Some(spread(&their_runs, figure)));
    let (ours, theirs) = both(|run| run.p99);
    report.figures(&format!("{name}16 at once, p99 ms"), ours, theirs, &Bar::Most(5.0));
    let (ours, theirs) = both(|run| run.per_second);
    report.figures(&format!("{name}16 at once, scrapes/s"), ours, theirs, &Bar::None);
    Ok(())
}

/// Counts the statements in the server's own log, with and without scrapes.
async fn statements(scene: &Scene, pgvigil: &Exporter, effort: Effort, report: &mut Report) -> anyhow::Result<()> {
    scene.a.alter(&[("log_statement", "all")]).await?;
    let window = effort.window(Duration::from_secs(10));
    let count = |name: &str| {
        let log = scene.a.log();
        let of = |line: &&str| line.contains("LOG:  execute") || line.contains("LOG:  statement");
        log.lines().filter(of).filter(|line| line.contains(name)).count() as f64
    };
    let seconds = window.as_secs_f64();
    let before = count(" pgvigil LOG:");
    sleep(window).await;
    let idle = count(" pgvigil LOG:") - before;
    let before = count(" pgvigil LOG:");
    let (mut scrapes, started, mut client) = (0, Instant::now(), pgvigil.client()?);
    while started.elapsed() < window {
        client.scrape()?;
        scrapes += 1;
    }
    let busy = count(" pgvigil LOG:") - before;
    let unnamed = " [unknown] LOG:";
    let before = count(unnamed);
    in_turn(&scene.peer, 20, |_| true)?;
    let theirs = (count(unnamed) - before) / 20.0;
    scene.a.sql("ALTER SYSTEM RESET log_statement").await?;
    scene.a.reload().await?;
    let words = format!(
        "{}/s without scrapes, {}/s with {}/s",
        short(idle / seconds),
        short(busy / seconds),
        short(f64::from(scrapes) / seconds)
    );
    let same = (busy - idle).abs() <= 0.05 * idle.max(20.0) + 5.0;
    report.words(
        "statements in the server's log",
        &words,
        &format!("{} a scrape", short(theirs)),
        "a scrape runs none",
        Some(same),
    );
    Ok(())
}

/// What is done to the primary.
#[derive(Clone, Copy)]
enum Fault {
    Frozen,
    Killed,
    Full,
}

/// Both again with one node in trouble: the one that the peer watches.
pub async fn troubled(scene: &Scene, effort: Effort, report: &mut Report) -> anyhow::Result<()> {
    let pgvigil = scene.pgvigil(Pace::Default { login: "1s" }).await?;
    report.section("Scrapes, one of three nodes in trouble");
    for (fault, name) in [(Fault::Frozen, "frozen"), (Fault::Killed, "killed"), (Fault::Full, "full")] {
        let mut held = Vec::new();
        match fault {
            Fault::Frozen => scene.a.freeze()?,
            Fault::Killed => scene.a.kill(),
            Fault::Full => {
                while let Ok(client) = scene.a.connect().await {
                    held.push(client);
                }
            }
        }
        let told = |page: &str| match fault {
            Fault::Frozen | Fault::Killed => value(page, &node_up("a")) == Some(0.0),
            Fault::Full => value(page, r#"pgvigil_node_login_ok{cluster="bench",node="a"}"#) == Some(0.0),
        };
        pgvigil.wait_for("the fault on the page", told).await?;
        let whole = |page: &str| {
            let position =
                |node| page.contains(&format!(r#"pgvigil_wal_position_bytes{{cluster="bench",node="{node}""#));
            told(page) && ["b", "c"].iter().all(|node| value(page, &node_up(node)) == Some(1.0) && position(node))
        };
        let runs: Vec<_> = (0..effort.rounds()).map(|_| in_turn(&pgvigil, 2_000, whole)).collect::<Result<_, _>>()?;
        let peer = peer_in_trouble(&scene.peer, if matches!(fault, Fault::Frozen) { 2 } else { 5 });
        let bad = runs.iter().map(|run| run.bad).sum::<usize>();
        let of = runs.len() * 2_000;
        report.words(
            &format!("{name}: pages that are 200 and whole"),
            &format!("{} of {of}", of - bad),
            &peer,
            "all",
            Some(bad == 0),
        );
        report.figures(&format!("{name}: p50 ms"), spread(&runs, |run| run.p50), None, &Bar::None);
        report.figures(&format!("{name}: p99 ms"), spread(&runs, |run| run.p99), None, &Bar::Most(1.0));
        let crowd: Vec<_> = (0..effort.rounds()).map(|_| at_once(&pgvigil, 200)).collect::<Result<_, _>>()?;
        report.figures(&format!("{name}: 16 at once, p99 ms"), spread(&crowd, |run| run.p99), None, &Bar::Most(5.0));
        report.figures(
            &format!("{name}: 16 at once, scrapes/s"),
            spread(&crowd, |run| run.per_second),
            None,
            &Bar::None,
        );
        match fault {
            Fault::Frozen => scene.a.thaw()?,
            Fault::Killed => scene.a.start().await?,
            Fault::Full => drop(held),
        }
        scene.settle(&pgvigil).await?;
    }
    pgvigil.stop().await
}

/// What the peer answers, in words.
fn peer_in_trouble(peer: &Exporter, count: usize) -> String {
    let (mut times, mut up, mut silent) = (Vec::new(), Vec::new(), 0);
    for _ in 0..count {
        match peer.client().and_then(|mut client| {
            let answer = client.scrape()?;
            times.push(ms(answer.took));
            Ok(value(answer.body, "pg_up"))
        }) {
            Ok(said) => up.push(said.map_or_else(|| "none".to_owned(), short)),
            Err(_) => silent += 1,
        }
    }
    up.dedup();
    match silent {
        0 => format!("{} ms, pg_up {}", Spread::of(&times), up.join(", ")),
        _ => format!("no answer in {} s, {silent} of {count}", GIVEN_UP.as_secs()),
    }
}
