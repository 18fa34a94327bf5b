//! A pgvigil that is killed after each record of its journal, and started again: the run ends right, and nothing is done twice.

use std::path::Path;
use std::time::Duration;

use pgvigil::lab::wait_until;
use pgvigil::runbook::journal::Reader;
use pgvigil::runbook::record::{Entry, Record};
use tokio::time::sleep;

use super::Outcome;
use super::loss;
use super::stage::{OVER, Play, SOON_AFTER, Stage};
use super::writable::Writable;

/// Points that are tried in each round.
const POINTS: usize = 12;
/// Of each round a third is in each test.
const TESTS: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_records_1_4_7_10() -> Outcome {
    all_points(1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_records_2_5_8_11() -> Outcome {
    all_points(2).await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_records_3_6_9_12() -> Outcome {
    all_points(3).await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_the_fence_runs() -> Outcome {
    let rounds = if std::env::var_os("LAB_ALL").is_some() { 5 } else { 1 };
    for round in 0..rounds {
        point(At::InTheFence, Duration::from_millis(round * 140)).await?;
    }
    Ok(())
}

/// Where pgvigil is killed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum At {
    /// When it has written so many records since the alert.
    Record(usize),
    /// When its fence runs.
    InTheFence,
}

/// One round; a hundred points and more with `LAB_ALL`, later and later after the record.
async fn all_points(first: usize) -> Outcome {
    let (rounds, last) = if std::env::var_os("LAB_ALL").is_some() { (7, 15) } else { (1, POINTS) };
    for round in 0..rounds {
        for number in (first..=last).step_by(TESTS) {
            point(At::Record(number), Duration::from_millis(round * 7)).await?;
        }
    }
    Ok(())
}

/// Kills pgvigil so long after that.
async fn point(at: At, pause: Duration) -> Outcome {
    let fence_thinks = if at == At::InTheFence { "0.7" } else { "0" };
    let mut stage = Stage::open(Play { fence_thinks, ..Play::default() }).await?;
    let client = stage.written().await?;
    let writable = Writable::watch(&stage.servers()).await?;
    client.wait_more(20).await?;
    let journal = stage.journal();
    let before = records(&journal).len();
    stage.a.kill_postmaster()?;
    let (answer, written) = tokio::join!(stage.alert_to(&stage.vigil), async {
        let written = wait_until(format!("{at:?}"), OVER, async || {
            let written = records(&journal).split_off(before);
            let is_there = match at {
                At::Record(number) => written.len() >= number,
                At::InTheFence => !stage.fenced().is_empty(),
            };
            if is_there {
                Ok(written)
            } else {
                Err(format!("{}\n{}", kinds(&written), stage.vigil.process().log_tail(3)))
            }
        });
        let written = written.await?;
        sleep(pause).await;
        stage.vigil.crash().await?;
        Ok::<_, pgvigil::lab::LabError>(written)
    });
    let written = kinds(&written?);
    println!("point {at:?} + {pause:?}: killed after {written}");
    stage.vigil.start_again(&stage.lab).await?;
    if answer.map_or(true, |answer| answer.status != 202) {
        // As Alertmanager does.
        let again = stage.alert().await;
        assert!([200, 202].contains(&again.status), "{}", again.text());
    }
    let run = stage.until_run("succeeded").await?;
    println!("then {}", kinds(&records(&journal).split_off(before)));
    let (whole, said) = stage.command(&["runbook", "history"]).await;
    assert!(whole, "{said}");
    assert_eq!(stage.runs().await.len(), 1);
    let fenced = stage.fenced();
    assert!(fenced.iter().all(|call| call.ends_with(run["id"].as_str().unwrap())), "{fenced:?}");
    // Once more only where the first was cut off; not at all where nothing was left of the server when the probe was asked.
    let least = usize::from(!written.ends_with("intended"));
    assert!((least..=2).contains(&fenced.len()), "{fenced:?}");
    let candidate = run["candidate"].as_str().unwrap().to_owned();
    let new = stage.server(&candidate);
    let first = async || client.first_by(&candidate).ok_or_else(String::new);
    wait_until("a row on the new primary", SOON_AFTER, first).await?;
    // Promoted once.
    let histories = "SELECT count(*) FROM pg_ls_waldir() WHERE name LIKE '%.history'";
    assert_eq!(new.value(histories).await?.as_deref(), Some("1"));
    assert_eq!(writable.never_two(), ["a", candidate.as_str()]);
    loss::judge(client, &run, &stage, new).await?;
    Ok(())
}

pub fn records(journal: &Path) -> Vec<Record> {
    Reader::open(journal).map(|reader| reader.map_while(Result::ok).collect()).unwrap_or_default()
}

pub fn kinds(records: &[Record]) -> String {
    let kind = |record: &Record| match &record.entry {
        Entry::Run(told) => told.event.kind(),
        Entry::Opened(_) => "opened",
        Entry::Received(_) => "received",
        _ => "other",
    };
    records.iter().map(kind).collect::<Vec<_>>().join(" ")
}
