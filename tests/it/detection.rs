//! How soon a dead or frozen primary is told of, at three intervals: `make prove-detection`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pgvigil::lab::{LabError, Scale, wait_until};
use tokio::time::{Instant, sleep};

use crate::faults::cast::{Cast, Topology};
use crate::faults::row::Watched;
use crate::faults::stage::Stage;
use crate::faults::table::build;
use crate::fixture::{ROOT, update};
use crate::scaled::{SCALE, shipped};

/// Clusters, each with its own phase; all intervals watch the same ones.
const CLUSTERS: [&str; 5] = ["detection-1", "detection-2", "detection-3", "detection-4", "detection-5"];
/// Kills of each, and freezes.
const EACH: usize = 2;
/// Between scrapes, and between evaluations, in seconds.
const INTERVALS: [u64; 3] = [1, 5, 15];
/// The alerts, with their `for` as it runs here: that of the second is divided.
const ALERTS: [(&str, u64); 2] =
    [("PostgresPrimaryUnreachable engine", 0), ("PostgresPrimaryDown critical", 60 / SCALE.factor as u64)];
/// Alertmanager waits for 30 ms at most.
const AT_ONCE: Scale = Scale { factor: 1_000, ..SCALE };
/// pgvigil's own interval and deadline, for which a frozen server is not known to be one.
const PATIENCE: f64 = 1.0 + 2.0;
/// Multiples of it lie evenly between whole numbers.
const GOLDEN: f64 = 0.618_034;
const WITHIN: Duration = Duration::from_secs(90);
const QUIET_WITHIN: Duration = Duration::from_secs(180);

/// Seconds until the webhook had an alert, by interval, alert and whether the primary was frozen.
type Times = BTreeMap<(u64, &'static str, bool), Vec<f64>>;

fn bound(interval: u64, hold: u64) -> f64 {
    (interval + interval + hold.div_ceil(interval) * interval + 1) as f64
}

/// One cluster and its faults, one after the other.
async fn suffer(number: usize, stages: &[Arc<Stage>]) -> Result<Times, LabError> {
    let name = CLUSTERS[number];
    let cast = Cast::start(name, &Topology::DEFAULT).await?;
    let watched: Vec<_> = stages.iter().map(|stage| Watched::start(Arc::clone(stage), &cast)).collect();
    let mut times = Times::new();
    for (turn, is_freeze) in [false, true].repeat(EACH).into_iter().enumerate() {
        for watched in &watched {
            wait_until(format!("{name} to be quiet"), QUIET_WITHIN, async || {
                let now = watched.now().await;
                let rules = now.firing.keys().chain(&now.pending).filter(|alert| alert.contains("PostgresPrimary"));
                let left: Vec<_> = rules.collect();
                let up = watched.is_scraped().await;
                if left.is_empty() && up { Ok(()) } else { Err(format!("{left:?}, scraped: {up}")) }
            })
            .await?;
        }
        // Quiet begins with an evaluation, so that faults at once would all have one phase: they are spread over all of them.
        let phase = (GOLDEN * (number * EACH + turn / 2) as f64).fract();
        sleep(Duration::from_secs_f64(phase * INTERVALS[2] as f64)).await;
        let since = Instant::now();
        if is_freeze {
            cast.a.freeze()?
        } else {
            cast.a.kill()
        }
        for (watched, interval) in watched.iter().zip(INTERVALS) {
            for (alert, _) in ALERTS {
                let heard = wait_until(format!("{name}: {alert} at {interval} s"), WITHIN, async || {
                    watched.first_since(alert, since).ok_or_else(|| "not heard".to_owned())
                });
                times.entry((interval, alert, is_freeze)).or_default().push((heard.await? - since).as_secs_f64());
            }
        }
        if is_freeze { cast.a.thaw()? } else { cast.a.start().await? }
    }
    drop(watched);
    cast.lab.clone().stop().await;
    Ok(times)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_dies_or_freezes_is_told_of_ten_times_in_ten() -> Result<(), LabError> {
    // Only the two alerts and what they build on; a window of minutes at 15 s is of others.
    let mut rules = shipped(SCALE);
    rules.retain(|name, _| name == "primary.yml");
    let mut stages = Vec::new();
    for interval in INTERVALS {
        stages.push(Arc::new(Stage::open(Duration::from_secs(interval), &rules, AT_ONCE).await?));
    }
    let mut times = Times::new();
    for told in futures_util::future::try_join_all((0..CLUSTERS.len()).map(|number| suffer(number, &stages))).await? {
        told.into_iter().for_each(|(key, seconds)| times.entry(key).or_default().extend(seconds));
    }
    let mut page = format!(
        "# How soon a primary that is gone is told of\n\n\
         Written by `UPDATE=1 make prove-detection` (`tests/it/detection.rs`), {}, a debug build on a machine with two cores. \
         {} clusters, scraped by three Prometheus at once; the rules of `alerts/rules/primary.yml`, with the `for: 1m` of \
         PostgresPrimaryDown divided by {}; Alertmanager waits for 30 ms at most. Seconds from the fault, \
         which comes at evenly spread moments of the longest interval, until the webhook had the alert.\n\n\
         The bound is scrape + evaluation + `for`, rounded up to the evaluation, + 1 s. A frozen server still accepts \
         connections: pgvigil knows it after its own interval and deadline, {PATIENCE:.0} s, which come on top.\n\n\
         | interval | fault | alert | fired | median | most | bound |\n|---|---|---|---|---|---|---|\n",
        build(),
        CLUSTERS.len(),
        SCALE.factor,
    );
    let mut late = Vec::new();
    for ((interval, alert, is_freeze), seconds) in &mut times {
        seconds.sort_by(f64::total_cmp);
        let hold = ALERTS.iter().find(|(name, _)| name == alert).map_or(0, |(_, hold)| *hold);
        let (fault, patience) = if *is_freeze { ("frozen", PATIENCE) } else { ("killed", 0.0) };
        let (median, most) = (seconds[seconds.len() / 2], seconds[seconds.len() - 1]);
        let bound = bound(*interval, hold);
        let told = if *is_freeze { format!("{bound:.0} + {patience:.0}") } else { format!("{bound:.0}") };
        let fired = format!("{} of {}", seconds.len(), CLUSTERS.len() * EACH);
        let _ = writeln!(page, "| {interval} s | {fault} | {alert} | {fired} | {median:.1} | {most:.1} | {told} |");
        if most > bound + patience {
            late.push(format!("{alert} at {interval} s, {fault}: {most:.1} s"));
        }
    }
    println!("{page}");
    assert!(late.is_empty(), "{late:#?}");
    if update() {
        std::fs::write(Path::new(ROOT).join("docs/measured/detection.md"), page).expect("a file in docs");
    }
    Ok(())
}
