//! A primary that is killed.

use std::time::Instant;

use super::Outcome;
use super::client::Client;
use super::stage::{Play, SOON_AFTER, Stage};
use pgvigil::lab::wait_until;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_primary_is_fenced_and_replaced() -> Outcome {
    let stage = Stage::open(Play::default()).await?;
    let client = Client::start(&stage.a, &[&stage.a, &stage.b, &stage.c]).await;
    wait_until("rows", SOON_AFTER, async || {
        if client.acked().len() > 50 { Ok(()) } else { Err(client.acked().len().to_string()) }
    })
    .await?;
    let killed = Instant::now();
    stage.a.kill_postmaster()?;
    let answer = stage.alert().await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let run = stage.until_run("succeeded").await?;
    println!("{run:#}");
    println!("{}", stage.vigil.log());
    let candidate = run["candidate"].as_str().unwrap();
    let (new, other) = if candidate == "b" { (&stage.b, "c") } else { (&stage.c, "b") };
    wait_until("a row on the new primary", SOON_AFTER, async || client.first_by(candidate).ok_or_else(String::new))
        .await?;
    println!("first write after {:?}", client.first_by(candidate).unwrap() - killed);
    new.wait_streaming(other, SOON_AFTER).await?;
    let lost = client.lost_on(new).await;
    println!("lost {}", lost.len());
    assert!(!stage.a.running());
    Ok(())
}
