//! A failover that pgvigil's own observation starts.

use std::time::Instant;

use pgvigil::lab::wait_until;

use super::Outcome;
use super::loss;
use super::stage::{Play, SOON_AFTER, Stage};
use super::writable::Writable;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_primary_is_replaced_without_an_alert() -> Outcome {
    let stage = Stage::open(Play { trigger: "[observation]", sample_interval: "100ms", ..Play::default() }).await?;
    let client = stage.written().await?;
    let writable = Writable::watch(&stage.servers()).await?;
    client.wait_more(50).await?;
    let killed = Instant::now();
    stage.a.kill_postmaster()?;
    let run = stage.until_run("succeeded").await?;
    let candidate = run["candidate"].as_str().unwrap().to_owned();
    let new = stage.server(&candidate);
    let first = wait_until("a row on the new primary", SOON_AFTER, async || {
        client.first_by(&candidate).ok_or_else(String::new)
    })
    .await?;
    println!("first write {:?} after the kill", first - killed);
    assert!(!stage.a.running());
    assert_eq!(stage.runs().await.len(), 1);
    assert_eq!(writable.never_two(), ["a", candidate.as_str()]);
    loss::judge(client, &run, &stage, new).await?;
    Ok(())
}
