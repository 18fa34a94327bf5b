//! A primary that is killed.

use std::time::Instant;

use pgvigil::lab::wait_until;

use super::Outcome;
use super::loss;
use super::stage::{Play, SOON_AFTER, Stage};
use super::writable::Writable;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_primary_is_fenced_and_replaced() -> Outcome {
    let stage = Stage::open(Play::default()).await?;
    let client = stage.written().await?;
    let writable = Writable::watch(&stage.servers()).await?;
    client.wait_more(50).await?;
    let killed = Instant::now();
    stage.a.kill_postmaster()?;
    let answer = stage.alert().await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let run = stage.until_run("succeeded").await?;
    println!("{run:#}");
    let candidate = run["candidate"].as_str().unwrap().to_owned();
    let (new, other) = (stage.server(&candidate), if candidate == "b" { "c" } else { "b" });
    let first = wait_until("a row on the new primary", SOON_AFTER, async || {
        client.first_by(&candidate).ok_or_else(String::new)
    })
    .await?;
    println!("first write {:?} after the kill", first - killed);
    new.wait_streaming(other, SOON_AFTER).await?;
    assert!(!stage.a.running());
    assert_eq!(writable.never_two(), ["a", candidate.as_str()]);
    loss::judge(client, &run, &stage, new).await?;
    Ok(())
}
