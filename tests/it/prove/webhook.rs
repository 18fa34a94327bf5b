//! A thousand webhooks at fifty at a time: `make prove-webhook`.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pgvigil::lab::{Lab, LabError};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::at;
use crate::fixture::{ROOT, update};
use crate::live::watch::Vigil;
use crate::live::webhook::{config, hand_in, payload, recorded, series, until};

const WEBHOOKS: usize = 1000;
const AT_ONCE: usize = 50;
/// Each alert is handed in so often.
const TIMES: usize = 4;
const BAR: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_at_fifty_at_a_time_are_each_recorded_once_and_answered_soon() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let (port, state) = (lab.free_port()?, lab.own_dir("state")?);
    let path = config(&lab, port, &state, &["orders"]);
    let vigil = Vigil::start_at(&lab, path.clone(), port).await?;
    // Those who come while it is opened wait for that too.
    until(&vigil, "journal_writable", |writable| writable == 1.0).await?;
    let (room, mut asking) = (Arc::new(Semaphore::new(AT_ONCE)), JoinSet::new());
    let began = Instant::now();
    for number in 0..WEBHOOKS {
        let place = room.clone().acquire_owned().await.unwrap();
        asking.spawn(async move {
            // Those of one alert come close to each other, some at once.
            let payload = payload("orders", &format!("n{}", number / TIMES));
            let asked = Instant::now();
            let answer = hand_in(port, &payload).await;
            drop(place);
            (answer.map(|answer| answer.status), asked.elapsed())
        });
    }
    let answers = asking.join_all().await;
    let took = began.elapsed();
    let count = |status: u16| answers.iter().filter(|(answer, _)| *answer == Ok(status)).count();
    let (new, known) = (count(202), count(200));
    let mut times: Vec<_> = answers.iter().map(|(_, time)| *time).collect();
    times.sort_unstable();
    let nodes = recorded(&lab, &path, "received").await?;
    // The page is made anew at most once a sample interval.
    until(&vigil, "webhook_duration_seconds_count", |count| count >= WEBHOOKS as f64).await?;
    let mut page = String::from(
        "# Webhooks\n\nWritten by `UPDATE=1 make prove-webhook` (`tests/it/prove/webhook.rs`): each a connection of its own, and its \
         answer after an fsync, once the journal is open; a debug build on a machine with two busy cores.\n\n| what | value |\n|---|---|\n",
    );
    for (what, value) in [
        ("webhooks, so many at a time", format!("{WEBHOOKS}, {AT_ONCE}")),
        ("alerts in them, each so often", format!("{}, {TIMES}", WEBHOOKS / TIMES)),
        ("answered 202, 200, anything else", format!("{new}, {known}, {}", WEBHOOKS - new - known)),
        ("alerts in the journal, of them more than once", {
            format!("{}, {}", nodes.len(), nodes.values().filter(|count| **count > 1).count())
        }),
        ("an answer: median, p99, most", {
            format!("{:.1}, {:.1}, {:.1} ms", at(&times, 0.5), at(&times, 0.99), at(&times, 1.0))
        }),
        ("of them within 100 ms from head to answer, by pgvigil's own histogram", {
            let within = series(port, "webhook_duration_seconds_bucket{le=\"0.1\"}").await.unwrap();
            format!("{within}")
        }),
        ("load average of the machine at the end", {
            let load = std::fs::read_to_string("/proc/loadavg").unwrap();
            load.split(' ').next().unwrap_or_default().to_owned()
        }),
        ("time for all", format!("{:.2} s", took.as_secs_f64())),
    ] {
        let _ = writeln!(page, "| {what} | {value} |");
    }
    println!("{page}");
    assert_eq!((new, known), (WEBHOOKS / TIMES, WEBHOOKS - WEBHOOKS / TIMES));
    assert_eq!(
        (nodes.len(), nodes.values().sum::<usize>()),
        (WEBHOOKS / TIMES, WEBHOOKS / TIMES),
        "none lost, none twice"
    );
    if update() {
        std::fs::write(Path::new(ROOT).join("docs/measured/webhook.md"), page).unwrap();
    }
    assert!(at(&times, 0.99) < 1000.0 * BAR.as_secs_f64(), "p99 is {:.1} ms", at(&times, 0.99));
    lab.stop().await;
    Ok(())
}
