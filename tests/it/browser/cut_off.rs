//! A page whose pgvigil is gone must not look as if all were well.

use std::time::{Duration, Instant};

use super::Outcome;
use super::chromium::Browser;
use super::view::Cluster;

/// The page says that it is cut off within this.
const TOLD: Duration = Duration::from_secs(5);
/// It is live again within this, once there is a pgvigil again.
const BACK: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn a_page_says_so_and_comes_back_by_itself() -> Outcome {
    let mut cluster = Cluster::open().await?;
    let browser = Browser::open(&cluster.lab, "browser").await?;
    browser.goto_live(&cluster.at("/clusters/lab")).await?;
    browser.assert_no_error().await;
    let live =
        |value: &str| format!("return document.querySelector('#live[data-live={value}]') && window.same || null");
    let words = "return document.getElementById('live')?.outerHTML";

    browser.until("the page to be live", BACK, &live("yes"), words).await?;
    let killed = Instant::now();
    cluster.vigil.crash().await?;
    browser.until("the page to say that it is cut off", TOLD, &live("no"), words).await?;
    println!("cut off was shown {:.2} s after pgvigil was killed", killed.elapsed().as_secs_f64());
    let view = browser.view().await;
    let said = view.live_text.unwrap_or_default();
    assert!(said.to_lowercase().contains("lost"), "{said}");
    assert!(said.split(':').count() >= 3, "since when: {said}");
    let now = "return [...document.querySelectorAll('.now')].map(now => getComputedStyle(now, '::before').content)";
    let now = browser.read(now).await;
    let now = now.as_array().cloned().unwrap_or_default();
    let is_past = |said: &serde_json::Value| said.as_str().is_some_and(|said| said.contains("No longer known"));
    assert!(!now.is_empty() && now.iter().all(is_past), "what was well looks as if it were: {now:?}");
    browser.picture("cut-off").await;

    cluster.c.kill();
    cluster.vigil.start_again(&cluster.lab).await?;
    browser.until("the page to be live again", BACK, &live("yes"), words).await?;
    browser.until_state("c", BACK, "unreachable").await?;
    cluster.lab.stop().await;
    Ok(())
}
