//! What takes minutes, run by hand: `make prove-reload`, `make prove-webhook`, `make prove-pages`, `make prove-checks`, `make prove-backup`.

mod backup;
mod checks;
mod exporter;
mod pages;
mod webhook;

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use pgvigil::lab::{Lab, LabError, ServerOptions, Spawn, StandbyOptions};
use rustix::process::Signal;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::fixture::{ROOT, update};
use crate::live::client::exchange;
use crate::live::failures::{PGVIGIL, opened};
use crate::live::systemd::Ear;
use crate::live::watch::{Node, Vigil};

const RELOADS: usize = 1000;
const SCRAPES_EACH: Duration = Duration::from_millis(20);
/// Between two of them.
const RELOAD_EACH: Duration = Duration::from_millis(100);
/// One that takes longer is told of.
const RELOAD_WITHIN: Duration = Duration::from_secs(10);

pub fn open_fds(pid: i32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

pub fn resident_kib(pid: i32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

pub fn at(sorted: &[Duration], part: f64) -> f64 {
    let index = (part * (sorted.len() - 1) as f64).round() as usize;
    1000.0 * sorted[index].as_secs_f64()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_reloads_under_scrapes_cost_no_scrape_and_no_descriptor() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions::default()).await?;
    let c = lab.standby_of(&a, "c", StandbyOptions::default()).await?;
    let (port, _, mut ear) = (lab.free_port()?, lab.own_dir("state")?, Ear::new(&lab));
    // Three that are each another reload: a node comes, a node goes, a slot's name and the intervals change; and one that is refused.
    let three = [Node::of(&a), Node::of(&b), Node::of(&c)];
    let two = [Node::of(&a), Node::of(&b)];
    let texts = [
        Vigil::config_text(&lab, port, &three, ""),
        Vigil::config_text(&lab, port, &two, ""),
        Vigil::config_text(&lab, port, &two, "")
            .replace("{name: b,", "{name: b, slot: other,")
            .replace("_interval: 1s", "_interval: 2s")
            .replace("500ms", "400ms"),
        Vigil::config_text(&lab, port, &two, "archive_hung: 30s\n"),
    ];
    let config = lab.path().join("pgvigil.yml");
    std::fs::write(&config, &texts[1]).unwrap();
    let spawn = Spawn::new("pgvigil", PGVIGIL).arg("serve").arg("--config").arg(&config);
    let vigil = opened(lab.spawn(spawn.env("NOTIFY_SOCKET", &ear.path))?, port).await?;
    vigil.until_healthy(&["a", "b"], &["b"]).await;
    let pid = vigil.process().id().pid;

    let done = Arc::new(AtomicBool::new(false));
    let scraping = tokio::spawn({
        let done = done.clone();
        async move {
            let (mut times, mut failures, mut scrapes) = (Vec::new(), Vec::new(), tokio::task::JoinSet::new());
            let mut ticks = interval(SCRAPES_EACH);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            while !done.load(Relaxed) {
                ticks.tick().await;
                scrapes.spawn(async move {
                    let began = Instant::now();
                    let answer = exchange(port, b"GET /metrics HTTP/1.0\r\nHost: lab\r\n\r\n").await?;
                    let whole =
                        answer.status == 200 && answer.text().contains("pgvigil_node_up{cluster=\"lab\",node=\"a\"} 1");
                    let states = || {
                        answer
                            .text()
                            .lines()
                            .filter(|line| line.contains("node_state") && line.ends_with(" 1"))
                            .map(str::to_owned)
                            .collect::<Vec<_>>()
                            .concat()
                    };
                    if whole { Ok(began.elapsed()) } else { Err(format!("{} {}", answer.head, states())) }
                });
                while let Some(scrape) = scrapes.try_join_next() {
                    match scrape.unwrap() {
                        Ok(time) => times.push(time),
                        Err(error) => failures.push(error),
                    }
                }
            }
            for scrape in scrapes.join_all().await {
                match scrape {
                    Ok(time) => times.push(time),
                    Err(error) => failures.push(error),
                }
            }
            (times, failures)
        }
    });

    let began = Instant::now();
    let (mut fds, mut resident, mut times) = (Vec::new(), Vec::new(), Vec::new());
    let mut turns = interval(RELOAD_EACH);
    for number in 0..RELOADS {
        turns.tick().await;
        let new = config.with_extension("new");
        std::fs::write(&new, &texts[number % texts.len()]).unwrap();
        std::fs::rename(&new, &config).unwrap();
        let (asked, before) = (Instant::now(), ear.count("READY=1"));
        vigil.process().signal(Signal::HUP)?;
        while ear.count("READY=1") == before {
            assert!(asked.elapsed() < RELOAD_WITHIN, "reload {number} did not end");
            sleep(Duration::from_millis(2)).await;
        }
        times.push(asked.elapsed());
        if number % 10 == 9 {
            fds.push(open_fds(pid));
            resident.push(resident_kib(pid));
        }
    }
    let took = began.elapsed();
    done.store(true, Relaxed);
    let (mut scrapes, failures) = scraping.await.unwrap();
    let reloads = ear.count("RELOADING=1");
    assert_eq!(vigil.log().lines().filter(|line| line.contains("panicked")).count(), 0, "{}", vigil.log());
    assert_eq!(failures.len(), 0, "the first of the scrapes that failed: {:?}", failures.first());

    scrapes.sort_unstable();
    times.sort_unstable();
    let tenth = fds.len() / 10;
    let most = |part: &[usize]| part.iter().copied().max().unwrap_or_default();
    let (first, last) = (most(&fds[..tenth]), most(&fds[fds.len() - tenth..]));
    let (resident_first, resident_last) = (most(&resident[..tenth]), most(&resident[resident.len() - tenth..]));
    let mut page = String::from(
        "# Reloads under scrapes\n\nWritten by `UPDATE=1 make prove-reload` (`tests/it/prove.rs`), a debug build on \
         a machine with two busy cores. Every fourth config is one that is refused.\n\n| what | value |\n|---|---|\n",
    );
    for (what, value) in [
        ("reloads asked for, one after the other, by SIGHUP", RELOADS.to_string()),
        ("reloads done, those by the file's change too", reloads.to_string()),
        ("time for all", format!("{:.0} s", took.as_secs_f64())),
        (
            "a reload, from the signal to its end: median, p99, most",
            format!("{:.1}, {:.1}, {:.1} ms", at(&times, 0.5), at(&times, 0.99), at(&times, 1.0)),
        ),
        ("scrapes, 50 a second, each a connection of its own", scrapes.len().to_string()),
        ("scrapes that failed", failures.len().to_string()),
        (
            "a scrape: median, p99, most",
            format!("{:.1}, {:.1}, {:.1} ms", at(&scrapes, 0.5), at(&scrapes, 0.99), at(&scrapes, 1.0)),
        ),
        ("most descriptors in the first tenth, in the last tenth", format!("{first}, {last}")),
        (
            "most resident memory in the first tenth, in the last tenth",
            format!("{resident_first}, {resident_last} KiB"),
        ),
        ("lines of the log", vigil.log().lines().count().to_string()),
    ] {
        let _ = writeln!(page, "| {what} | {value} |");
    }
    println!("{page}");
    // As many as scrapes may be open at one moment.
    assert!(last <= first + 4, "{first} descriptors at first, {last} in the end: {fds:?}");
    assert!(scrapes.len() as f64 > 0.9 * took.as_secs_f64() / SCRAPES_EACH.as_secs_f64(), "{} scrapes", scrapes.len());
    assert!(took < Duration::from_secs(180), "{took:?}");
    if update() {
        std::fs::write(Path::new(ROOT).join("docs/measured/reload.md"), page).unwrap();
    }
    assert_eq!(a.value("SELECT count(*) FROM pg_stat_activity WHERE usename = 'pgvigil'").await?.as_deref(), Some("2"));
    lab.stop().await;
    Ok(())
}
