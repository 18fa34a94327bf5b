//! Each scenario twenty times: `make prove-routing`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};

use super::stage::{FALL, INTER};
use super::{Measured, Outcome, scenarios};
use crate::faults::table::build;
use crate::fixture::{ROOT, update};

/// How often, unless LAB_TIMES says otherwise.
const TIMES: usize = 20;
/// Scenarios under way at one moment, each with servers of its own, unless LAB_TEST_THREADS says otherwise.
const AT_ONCE: usize = 2;

type Scenario = fn() -> Pin<Box<dyn Future<Output = Outcome> + Send>>;

const SCENARIOS: [(&str, Scenario); 6] = [
    ("the primary is stopped and the standby promoted", || Box::pin(scenarios::planned())),
    ("the primary is killed and the standby promoted at once", || Box::pin(scenarios::killed())),
    ("the primary freezes, the standby is promoted, the old primary thaws", || Box::pin(scenarios::frozen())),
    ("a standby is promoted beside a primary that goes on", || Box::pin(scenarios::split())),
    ("the pgvigil beside the primary is restarted, killed and frozen", || Box::pin(scenarios::observer())),
    ("standbys fall behind by more than the limit and catch up", || Box::pin(scenarios::reads())),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_line_is_green_twenty_times_in_a_row() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<usize>().ok());
    let (times, at_once) = (number("LAB_TIMES").unwrap_or(TIMES), number("LAB_TEST_THREADS").unwrap_or(AT_ONCE));
    let rounds = (0..times).flat_map(|_| 0..SCENARIOS.len());
    let played: Vec<_> = stream::iter(rounds)
        .map(|number| async move {
            let measured = match tokio::spawn(SCENARIOS[number].1()).await {
                Ok(Ok(measured)) => Some(measured),
                Ok(Err(error)) => {
                    println!("failed: {}: {error}", SCENARIOS[number].0);
                    None
                }
                // The panic said why.
                Err(_) => None,
            };
            (number, measured)
        })
        .buffer_unordered(at_once)
        .collect()
        .await;
    let mut green = [0; SCENARIOS.len()];
    let mut figures = BTreeMap::<(usize, &str), (Duration, Vec<Duration>)>::new();
    for (number, measured) in &played {
        let Some(measured) = measured else { continue };
        // One beyond its bound is told of, and is a figure like the others.
        match measured.iter().filter(|one| one.took > one.bound).map(|one| one.what).collect::<Vec<_>>() {
            late if late.is_empty() => green[*number] += 1,
            late => println!("too late: {}: {}", SCENARIOS[*number].0, late.join(", ")),
        }
        for Measured { what, took, bound } in measured {
            figures.entry((*number, what)).or_insert((*bound, Vec::new())).1.push(*took);
        }
    }
    let page = page(times, &green, figures);
    println!("{page}");
    if update() {
        std::fs::write(Path::new(ROOT).join("docs/measured/routing.md"), page).unwrap();
    }
    assert_eq!(green, [times; SCENARIOS.len()], "how often each scenario was green");
}

fn page(times: usize, green: &[usize], figures: BTreeMap<(usize, &str), (Duration, Vec<Duration>)>) -> String {
    let mut page = format!(
        "# Clients through HAProxy\n\n\
         Written by `UPDATE=1 make prove-routing` (`tests/it/routing`), {}, a debug build on a machine with two busy cores. \
         `deploy/haproxy.cfg` as it ships (`inter {}ms fall {FALL}`), a pgvigil beside each server with its default intervals, an \
         append-only writer and, for reads, four readers. The reads' limit is 1 s instead of 5 s. A scenario is green when every figure is within its bound, every \
         acknowledged row is on the server that it should be on, and the writes never went back to a server that they had left.\n\n\
         | scenario | green |\n|---|---|\n",
        build(),
        INTER.as_millis(),
    );
    for ((what, _), green) in SCENARIOS.iter().zip(green) {
        let _ = writeln!(page, "| {what} | {green} of {times} |");
    }
    page.push_str("\nSeconds:\n\n| what | median | most | bound |\n|---|---|---|---|\n");
    for ((_, what), (bound, mut took)) in figures {
        took.sort_unstable();
        let seconds = |took: Option<&Duration>| took.map_or(0.0, Duration::as_secs_f64);
        let (median, most) = (seconds(took.get(took.len() / 2)), seconds(took.last()));
        let _ = writeln!(page, "| {what} | {median:.1} | {most:.1} | {:.1} |", bound.as_secs_f64());
    }
    page
}
