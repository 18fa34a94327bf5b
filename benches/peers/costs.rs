//! What it costs: the server's CPU, its connections, our memory.

use std::time::{Duration, Instant};

use pgvigil::lab::{ProcessId, Role};
use tokio::time::sleep;

use super::figures::{Spread, ms, percentile, short};
use super::report::{Bar, Report};
use super::scene::{Exporter, GIVEN_UP, Pace, Scene, connections, node_up};
use super::{Effort, client, process};

/// CPU that the server spends on one fast reading, and on one scrape of the peer.
pub async fn cpu(scene: &Scene, effort: Effort, report: &mut Report) -> anyhow::Result<()> {
    report.section("CPU of the primary");
    let window = effort.window(Duration::from_secs(20));
    for (slots, bar) in [(1, 0.25), (200, 1.0)] {
        scene.slots(slots).await?;
        let postmaster = scene.postmaster().await?;
        let idle = idle_rate(postmaster, window / 2).await;
        let (mut backend, mut tree, mut own) = (Vec::new(), Vec::new(), Vec::new());
        let mut fresh = Vec::new();
        let pgvigil = scene.pgvigil(Pace::ReadingsAlone).await?;
        let pids = backends(scene).await?;
        for _ in 0..effort.rounds().min(3) {
            let sum = || pids.iter().map(|pid| process::precise_cpu_ms(*pid)).sum::<f64>();
            let before = (readings(&pgvigil)?, sum(), process::tree_cpu_ms(postmaster), process::cpu_ms(pgvigil.id()));
            let started = Instant::now();
            sleep(window).await;
            let spent = (
                sum() - before.1,
                process::tree_cpu_ms(postmaster) - before.2,
                process::cpu_ms(pgvigil.id()) - before.3,
            );
            let idle = idle * started.elapsed().as_secs_f64();
            let count = readings(&pgvigil)? - before.0;
            anyhow::ensure!(count > window.as_secs_f64() * 8.0, "only {count} readings in {window:?}");
            backend.push(spent.0 / count);
            tree.push((spent.1 - idle) / count);
            own.push(spent.2 / count);
            fresh.extend(fresh_pages(&pgvigil, 100).await?);
        }
        pgvigil.stop().await?;
        let peer: Vec<_> = (0..effort.rounds()).map(|_| peer_cpu(scene, postmaster, idle)).collect::<Result<_, _>>()?;
        let name = |what: &str| format!("2 standbys, {slots} slots: {what}");
        let peer = Some(Spread::of(&peer));
        report.figures(
            &name("ms a reading (pgvigil's backend) or scrape (whole server)"),
            Spread::of(&backend),
            peer,
            &Bar::Most(bar),
        );
        report.figures(
            &name("ms a reading or scrape, whole server, idle rate taken off"),
            Spread::of(&tree),
            peer,
            &Bar::None,
        );
        report.figures(&name("pgvigil's own ms a reading of all three nodes"), Spread::of(&own), None, &Bar::None);
        report.figures(&name("a page made anew, p50 ms"), Spread::of(&[percentile(&fresh, 0.5)]), None, &Bar::None);
        report.figures(&name("a page made anew, p99 ms"), Spread::of(&[percentile(&fresh, 0.99)]), None, &Bar::None);
    }
    scene.slots(1).await?;
    report.figures(
        "the least: SELECT 1, prepared, ten times a second, ms each",
        Spread::of(&[least(scene, window).await?]),
        None,
        &Bar::None,
    );
    let postmaster = scene.postmaster().await?;
    let idle = idle_rate(postmaster, window / 2).await;
    let pgvigil = scene.pgvigil(Pace::Default { login: "15s" }).await?;
    let ours = idle_rate(postmaster, effort.window(Duration::from_secs(60))).await - idle;
    pgvigil.stop().await?;
    let theirs = peer_cpu(scene, postmaster, idle)? / 15.0;
    report.figures(
        "ms a second, all that pgvigil does at its defaults; the peer scraped each 15 s",
        Spread::of(&[ours]),
        Some(Spread::of(&[theirs])),
        &Bar::None,
    );
    report.note(
        "A reading: sample_interval 100 ms, the slow collectors and login probes put off. A page made anew: scraped less often \
         than that, so that each scrape renders.",
    );
    Ok(())
}

/// Server CPU in ms a second while nobody scrapes.
async fn idle_rate(postmaster: ProcessId, window: Duration) -> f64 {
    let (before, started) = (process::tree_cpu_ms(postmaster), Instant::now());
    sleep(window).await;
    (process::tree_cpu_ms(postmaster) - before) / started.elapsed().as_secs_f64()
}

fn peer_cpu(scene: &Scene, postmaster: ProcessId, idle: f64) -> anyhow::Result<f64> {
    let mut client = scene.peer.client()?;
    let (before, started) = (process::tree_cpu_ms(postmaster), Instant::now());
    for _ in 0..50 {
        client.scrape()?;
    }
    let idle = idle * started.elapsed().as_secs_f64();
    Ok((process::tree_cpu_ms(postmaster) - before - idle) / 50.0)
}

/// What any statement costs a backend that has slept for 100 ms.
async fn least(scene: &Scene, window: Duration) -> anyhow::Result<f64> {
    let client = scene.a.connect_as(Role::Monitor).await?;
    let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await?.get(0);
    let statement = client.prepare("SELECT 1").await?;
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    let (before, started, mut count) = (process::precise_cpu_ms(pid), Instant::now(), 0.0);
    while started.elapsed() < window {
        ticks.tick().await;
        client.query(&statement, &[]).await?;
        count += 1.0;
    }
    Ok((process::precise_cpu_ms(pid) - before) / count)
}

async fn backends(scene: &Scene) -> anyhow::Result<Vec<i32>> {
    let rows = scene.a.query("SELECT pid FROM pg_stat_activity WHERE application_name = 'pgvigil'").await?;
    Ok(rows.iter().filter_map(|row| row.first()?.as_ref()?.parse().ok()).collect())
}

fn readings(pgvigil: &Exporter) -> anyhow::Result<f64> {
    let series = r#"pgvigil_collector_duration_seconds_count{cluster="bench",node="a",collector="fast"}"#;
    client::value(&pgvigil.page()?, series).ok_or_else(|| anyhow::anyhow!("no {series}"))
}

/// Scrapes that each find the kept page too old.
pub async fn fresh_pages(pgvigil: &Exporter, count: usize) -> anyhow::Result<Vec<f64>> {
    let mut client = pgvigil.client()?;
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        sleep(Duration::from_millis(113)).await;
        times.push(ms(client.scrape()?.took));
    }
    Ok(times)
}

/// Connections that each has to the primary: usually, at a frozen server, and under a limit.
pub async fn connected(scene: &Scene, effort: Effort, report: &mut Report) -> anyhow::Result<()> {
    report.section("Connections to the primary");
    let pgvigil = scene.pgvigil(Pace::Default { login: "1s" }).await?;
    let window = effort.window(Duration::from_secs(10));
    let ours = watched(scene, "pgvigil", window).await?;
    let mut client = scene.peer.client()?;
    for _ in 0..20 {
        client.scrape()?;
    }
    let theirs = process::connections_to(scene.peer.id(), scene.a.port());
    let words = |(usual, most): (usize, usize)| format!("{usual} kept, {most} at most");
    report.words(
        "usually, with a login each second",
        &words(ours),
        &format!("{theirs} kept"),
        "2 kept, 3 at most",
        Some(ours.0 == 2 && ours.1 <= 3),
    );
    scene.a.freeze()?;
    pgvigil.wait_for("the freeze on the page", |page| client::value(page, &node_up("a")) == Some(0.0)).await?;
    let mut most = 0;
    let mut client = pgvigil.client()?;
    for _ in 0..1_000 {
        client.scrape()?;
        most = most.max(process::connections_to(pgvigil.id(), scene.a.port()));
    }
    for _ in 0..20 {
        let mut client = client::Client::connect(scene.peer.port, Duration::from_millis(200))?;
        anyhow::ensure!(client.scrape().is_err(), "the peer answered on a frozen server");
    }
    let theirs = process::connections_to(scene.peer.id(), scene.a.port());
    report.words(
        "frozen, during 1,000 scrapes (the peer: 20 given up)",
        &format!("{most} at most"),
        &theirs.to_string(),
        "3 at most",
        Some(most <= 3),
    );
    scene.a.thaw()?;
    scene.settle(&pgvigil).await?;
    let after = watched(scene, "pgvigil", window / 2).await?;
    report.words("after the thaw", &words(after), "–", "2 kept, 3 at most", Some(after.0 == 2 && after.1 <= 3));
    pgvigil.stop().await?;
    scene.a.sql(&format!("ALTER ROLE {} CONNECTION LIMIT 2", Role::Monitor.name())).await?;
    let pgvigil = scene.pgvigil(Pace::Default { login: "1s" }).await?;
    let limited = watched(scene, "pgvigil", window / 2).await?;
    let page = pgvigil.page()?;
    let failing =
        page.lines().filter(|line| line.starts_with("pgvigil_collector_success") && line.ends_with(" 0")).count();
    let says = pgvigil.process.log().contains("raise the role's CONNECTION LIMIT");
    let good = limited.1 <= 2 && failing == 0 && says;
    let words = format!("{}, {failing} collectors without a reading, the log says so: {says}", words(limited));
    report.words("under CONNECTION LIMIT 2", &words, "–", "works with 2 and says so", Some(good));
    scene.a.sql(&format!("ALTER ROLE {} CONNECTION LIMIT -1", Role::Monitor.name())).await?;
    pgvigil.stop().await
}

/// The usual and the greatest number of connections within `window`.
async fn watched(scene: &Scene, name: &str, window: Duration) -> anyhow::Result<(usize, usize)> {
    let client = scene.a.connect().await?;
    let (mut seen, started) = (Vec::new(), Instant::now());
    while started.elapsed() < window {
        seen.push(connections(&client, name).await? as f64);
        sleep(Duration::from_millis(2)).await;
    }
    Ok((percentile(&seen, 0.5) as usize, percentile(&seen, 1.0) as usize))
}

/// Memory of both, after the same work.
pub async fn memory(scene: &Scene, effort: Effort, report: &mut Report) -> anyhow::Result<()> {
    report.section("Memory, MB");
    scene.slots(1).await?;
    let pgvigil = scene.pgvigil(Pace::Default { login: "1s" }).await?;
    sleep(effort.window(Duration::from_secs(20))).await;
    put_memory("watching", &pgvigil, &scene.peer, report, &Bar::Most(12.0));
    scene.slots(200).await?;
    for exporter in [&pgvigil, &scene.peer] {
        let scrapers: Vec<_> = (0..16)
            .map(|_| {
                let client = client::Client::connect(exporter.port, GIVEN_UP);
                std::thread::spawn(move || {
                    let mut client = client?;
                    (0..10).try_for_each(|_| client.scrape().map(drop))
                })
            })
            .collect();
        for scraper in scrapers {
            scraper.join().map_err(|_| anyhow::anyhow!("a scraper panicked"))??;
        }
    }
    put_memory("200 slots, after 16 scrapers at once", &pgvigil, &scene.peer, report, &Bar::None);
    let peaks = [pgvigil.id(), scene.peer.id()].map(|id| process::memory_mb(id, "VmHWM"));
    report.note(&format!("Peaks (VmHWM): pgvigil {}, the peer {}.", short(peaks[0]), short(peaks[1])));
    scene.slots(1).await?;
    pgvigil.stop().await
}

fn put_memory(name: &str, pgvigil: &Exporter, peer: &Exporter, report: &mut Report, bar: &Bar) {
    for (line, bar) in [("VmRSS", bar), ("RssAnon", &Bar::None)] {
        let [ours, theirs] = [pgvigil, peer].map(|exporter| Spread::of(&[process::memory_mb(exporter.id(), line)]));
        report.figures(&format!("{name}: {line}"), ours, Some(theirs), bar);
    }
}
