//! A primary that is frozen, with writers in flight.

use std::time::Instant;

use pgvigil::lab::wait_until;

use super::Outcome;
use super::loss;
use super::stage::{Play, SOON_AFTER, Stage};
use super::writable::Writable;

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_primary_is_fenced_and_never_wakes() -> Outcome {
    let stage = Stage::open(Play::default()).await?;
    let client = stage.written().await?;
    let writable = Writable::watch(&stage.servers()).await?;
    client.wait_more(50).await?;
    let frozen = Instant::now();
    stage.a.freeze()?;
    let answer = stage.alert().await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let run = stage.until_run("succeeded").await?;
    let candidate = run["candidate"].as_str().unwrap().to_owned();
    let new = stage.server(&candidate);
    let first = wait_until("a row on the new primary", SOON_AFTER, async || {
        client.first_by(&candidate).ok_or_else(String::new)
    })
    .await?;
    println!("first write {:?} after the freeze", first - frozen);
    stage.a.thaw()?;
    assert!(!stage.a.running(), "what is fenced runs no more");
    client.wait_more(100).await?;
    let late: Vec<_> = client.acked().into_iter().filter(|row| row.by == "a" && row.at > first).collect();
    assert!(late.is_empty(), "acknowledged by the old primary after the new one wrote: {late:?}");
    assert_eq!(writable.never_two(), ["a", candidate.as_str()]);
    loss::judge(client, &run, &stage, new).await?;
    Ok(())
}
