//! Everything at once, for as long as one likes: servers die, freeze and come back, the network is cut and slow, the config changes, and
//! all the while pgvigil is scraped, looked at and told of alerts: `make soak`.

mod crowd;
mod meter;
mod wreck;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pgvigil::lab::{Lab, LabError, Server, ServerOptions, Spawn, StandbyOptions, Writer};
use tokio::time::Instant;

use crate::faults::table::build;
use crate::fixture::{ROOT, update};
use crate::live::failures::{PGVIGIL, opened};
use crate::prove::at;
use crowd::{CALM_WITHIN, Crowd};
use meter::Meter;
use wreck::{WRECKS, Wrecked};

const MINUTE: Duration = Duration::from_secs(60);
/// A scrape is to be answered within this.
const BAR: Duration = Duration::from_millis(50);
/// An open page hears a beat each second; silent for so long it would look dead to a person.
const SILENT: Duration = Duration::from_secs(10);
/// RSS of the end may be so much of what it was.
const FLAT: f64 = 1.1;
/// As many as scrapes, webhooks and runbooks' looks may have open at one moment by chance.
const SPARE_DESCRIPTORS: usize = 12;

/// The program: that of LAB_PGVIGIL, a release build, or the debug build of this test.
fn program() -> PathBuf {
    std::env::var_os("LAB_PGVIGIL").map_or_else(|| PGVIGIL.into(), PathBuf::from)
}

/// A primary with a standby that nothing happens to: what is missed of these is missed by our own fault.
async fn calm(lab: &Lab) -> Result<(Server, Server, Writer), LabError> {
    let x = lab.primary("x", ServerOptions::default()).await?;
    let y = lab.standby_of(&x, "y", StandbyOptions { slot: Some("y".to_owned()), ..Default::default() }).await?;
    let writer = Writer::start(&x, 10).await?;
    Ok((x, y, writer))
}

fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap();
    load.split(' ').next().unwrap_or_default().to_owned()
}

fn milliseconds(times: &[Duration]) -> String {
    format!("{:.1}, {:.1}, {:.1}, {:.1} ms", at(times, 0.5), at(times, 0.99), at(times, 0.999), at(times, 1.0))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn under_chaos_it_answers_in_time_misses_nothing_and_stays_small() -> Result<(), LabError> {
    let minutes: u32 =
        std::env::var("LAB_MINUTES").map_or(30, |minutes| minutes.parse().expect("LAB_MINUTES: a number"));
    let lab = Lab::new()?;
    let mut wrecked = Wrecked::start(&lab).await?;
    let calm = calm(&lab).await?;
    let port = lab.free_port()?;
    let config = wrecked.configure(&lab, port, &[&calm.0, &calm.1]);
    let spawn = Spawn::new("pgvigil", program()).arg("serve").arg("--config").arg(&config);
    let vigil = opened(lab.spawn(spawn)?, port).await?;
    wrecked.until_whole(&vigil).await?;
    let pid = vigil.process().id().pid;

    let (began, load_before) = (Instant::now(), load());
    let (meter, crowd) = (Meter::start(pid), Crowd::start(port, pid).await);
    let mut turns = BTreeMap::<&str, u32>::new();
    for wreck in WRECKS.iter().cycle().take_while(|_| began.elapsed() < minutes * MINUTE) {
        let played = wrecked.play(wreck, &vigil, turns.values().sum()).await;
        played.inspect_err(|error| println!("{wreck}, after {turns:?}: {error}; load average {}", load()))?;
        *turns.entry(wreck).or_default() += 1;
        assert!(vigil.process().ended().is_none(), "after {turns:?}: {}", vigil.process().log_tail(20));
    }
    let took = began.elapsed();
    let seen = crowd.stop().await;
    let (memory, descriptors) = meter.stop().await;
    let log = vigil.log();
    let ended = vigil.process().terminate(MINUTE).await?;

    let (first, last) = (memory.first(), memory.last());
    let (some, many) = (descriptors.first(), descriptors.last());
    let over = seen.scrapes.iter().filter(|scrape| scrape.took > BAR).count();
    let ours: Vec<_> = seen.scrapes.iter().filter(|scrape| scrape.took > BAR + scrape.waited).collect();
    let mut times: Vec<_> = seen.scrapes.iter().map(|scrape| scrape.took).collect();
    times.sort_unstable();
    let mut page = format!(
        "# Soak\n\nWritten by `UPDATE=1 make soak` (`tests/it/chaos.rs`), {}. A cluster of three to which everything happens in turn, and one of \
         two to which nothing does; `{}`, sample_interval 1 s, on a machine of {} processors that had other work too.\n\n| what | value |\n|---|---|\n",
        build(),
        if cfg!(debug_assertions) && std::env::var_os("LAB_PGVIGIL").is_none() {
            "a debug build"
        } else {
            "a release build"
        },
        std::thread::available_parallelism().map_or(0, usize::from),
    );
    let per_second = |count: usize| format!("{count}, {:.1}", count as f64 / took.as_secs_f64());
    for (what, value) in [
        ("time", format!("{:.1} min", took.as_secs_f64() / 60.0)),
        ("load average of the machine, before and after", format!("{load_before}, {}", load())),
        ("scrapes, a second", per_second(times.len())),
        ("of them not answered whole", seen.failures.len().to_string()),
        ("a scrape: median, p99, p99.9, most", milliseconds(&times)),
        ("scrapes over 50 ms", over.to_string()),
        ("of them not explained by the wait for a processor", ours.len().to_string()),
        ("webhooks, a second", per_second(seen.webhooks)),
        ("of them not taken in", seen.refused.len().to_string()),
        ("pages loaded, a second", per_second(seen.pages)),
        ("of them not answered with 200", seen.bad_pages.len().to_string()),
        ("status pages open all the time, opened anew", format!("{}, {}", crowd::OPEN, seen.reopened)),
        ("longest silence on one of them", format!("{:.1} s", seen.silence.as_secs_f64())),
        ("readings of the calm nodes that could be", format!("{:.0}", 2.0 * took.as_secs_f64())),
        ("of them made", format!("{:.0}", seen.readings)),
        ("oldest reading of a calm node on any page", format!("{:.2} s", seen.oldest.as_secs_f64())),
        ("pages on which a calm node was not up", seen.not_up.len().to_string()),
        ("ticks of the calm standby's lag: known, unknown", format!("{:.0}, {:.0}", seen.known, seen.unknown)),
        ("resident memory: median of the first quarter after the warm-up, of the last", format!("{first}, {last} KiB")),
        ("resident memory, most", format!("{} KiB", memory.most())),
        ("open descriptors: most of the first quarter after the warm-up, of the last", format!("{some}, {many}")),
        (
            "lines of the log, panics among them",
            format!("{}, {}", log.lines().count(), log.matches("panicked").count()),
        ),
    ] {
        let _ = writeln!(page, "| {what} | {value} |");
    }
    page.push_str("\n| what happened | times |\n|---|---|\n");
    for (wreck, times) in &turns {
        let _ = writeln!(page, "| {wreck} | {times} |");
    }
    let _ = writeln!(page, "\n{}", NOTES.trim());
    println!("{page}");
    if update() {
        std::fs::write(Path::new(ROOT).join("docs/measured/soak.md"), &page).expect("a file in docs");
    }
    let _ = std::fs::write(lab.path().join("memory"), format!("{memory:?}"));

    assert!(ended.success(), "it ended with {ended}");
    assert!(!log.contains("panicked"), "{log}");
    assert_eq!(seen.failures.first(), None, "the first of {} scrapes that were not whole", seen.failures.len());
    assert_eq!(seen.refused.first(), None, "the first of {} webhooks that were not taken in", seen.refused.len());
    assert_eq!(seen.bad_pages.first(), None, "the first of {} pages", seen.bad_pages.len());
    assert!(seen.silence < SILENT, "an open page heard nothing for {:?}", seen.silence);
    let of_calm: Vec<_> = log.lines().filter(|line| line.contains("cluster=\"calm\"")).collect();
    assert!(seen.not_up.is_empty(), "a calm node was not up: {:?}; {of_calm:#?}", seen.not_up);
    assert!(seen.oldest <= CALM_WITHIN, "a reading of a calm node was late: {:?}", seen.oldest);
    assert!(seen.readings > 0.98 * 2.0 * took.as_secs_f64() - 4.0, "{} readings in {took:?}", seen.readings);
    assert!(seen.unknown <= 0.0, "the calm standby's lag was unknown at {} ticks", seen.unknown);
    assert!(ours.is_empty(), "scrapes over {BAR:?}: {ours:?}");
    assert!(last as f64 <= FLAT * first as f64, "RSS grew from {first} to {last} KiB: {memory:?}");
    assert!(many <= some + SPARE_DESCRIPTORS, "{some} descriptors at first, {many} in the end: {descriptors:?}");
    wrecked.stop().await;
    drop(calm);
    lab.stop().await;
    Ok(())
}

const NOTES: &str = "
Resident memory and descriptors are looked at each second. The first fifth of the time is the warm-up; of the rest the first quarter is held \
against the last: memory by the median, at most 10 % more, descriptors by the most. A scrape is timed from the connection to the last \
byte, at the client, each by a connection of its own; it is whole if its length is the one announced and, where the format has an end, \
the end is there. What a scrape took beyond 50 ms is explained where the threads of pgvigil and of the client stood in the kernel's run \
queue for at least so long meanwhile (`/proc/PID/task/*/schedstat`): that is the machine's, not pgvigil's. A calm node's reading is late \
when it is older than sample_interval and timeouts.query together, 3 s.
";
