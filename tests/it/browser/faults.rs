//! What a page that is open shows of servers that die, stop and fall out.

use std::time::{Duration, Instant};

use super::Outcome;
use super::audit::assert_accessible;
use super::chromium::Browser;
use super::view::Cluster;
use crate::live::watch::SOON;

/// A standby that is killed is shown as gone within this.
const TURNS: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn are_shown_without_a_reload_each_in_its_own_words() -> Outcome {
    let cluster = Cluster::open().await?;
    let browser = Browser::open(&cluster.lab, "browser").await?;
    browser.goto_live(&cluster.at("/clusters/lab")).await?;

    cluster.b.pause_replay().await?;
    let paused = "return document.querySelector('tr[data-node=b][data-replay=paused]') && window.same || null";
    let row = "return document.querySelector('tr[data-node=b]')?.outerHTML";
    browser.until("b to be paused", SOON, paused, row).await?;
    let view = browser.view().await;
    let (paused, healthy) = (view.rows["b"].clone(), view.rows["c"].clone());
    assert!(paused.text().to_lowercase().contains("paused"), "{paused:?}");
    assert!(!healthy.text().to_lowercase().contains("paused"), "{healthy:?}");
    assert_eq!(paused.state, "up");

    cluster.c.freeze()?;
    browser.until_state("c", SOON, "timeout").await?;
    let view = browser.view().await;
    let frozen = view.rows["c"].clone();
    assert!(frozen.text().to_lowercase().contains("timeout") || frozen.text().contains("no answer"), "{frozen:?}");
    assert_eq!(view.rows["b"].replay.as_deref(), Some("paused"));
    let looks = browser
        .read(
            "const look = node => document.querySelector(`#topology svg [data-node=${node}]`).innerHTML
                 .replace(/[-\\d.]+/g, '').replaceAll(`>${node}<`, '><');
             return ['a', 'b', 'c'].map(look)",
        )
        .await;
    assert!(looks[0] != looks[1] && looks[1] != looks[2] && looks[0] != looks[2], "two look the same: {looks:#}");
    browser.picture("paused-and-frozen").await;
    assert_accessible(&browser).await;
    cluster.c.thaw()?;
    cluster.b.resume_replay().await?;
    browser.until_state("c", SOON, "up").await?;

    let killed = Instant::now();
    cluster.c.kill();
    browser.until_state("c", TURNS, "unreachable").await?;
    println!("a killed standby was shown {:.2} s after the kill", killed.elapsed().as_secs_f64());
    let view = browser.view().await;
    assert!(view.same && view.live.as_deref() == Some("yes"), "{:?}", view.live_text);
    assert!(view.rows["c"].text().to_lowercase().contains("unreachable"), "{:?}", view.rows["c"]);
    assert_eq!(view.rows["b"].state, "up");
    assert_eq!(view.split_brain, None);
    browser.picture("killed-standby").await;
    browser.assert_no_error().await;
    cluster.lab.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_primaries_are_an_alert() -> Outcome {
    let cluster = Cluster::open().await?;
    let browser = Browser::open(&cluster.lab, "browser").await?;
    browser.goto_live(&cluster.at("/clusters/lab")).await?;
    cluster.b.promote().await?;
    cluster.a.sql("CREATE TABLE of_a AS SELECT generate_series(1, 1000)").await?;
    cluster.b.sql("CREATE TABLE of_b AS SELECT generate_series(1, 1000)").await?;
    let alert = "return document.querySelector('#split-brain[role=alert]') && window.same || null";
    browser.until("a split brain", SOON, alert, "return document.querySelector('#topology')?.innerText").await?;
    let view = browser.view().await;
    let words = view.split_brain.clone().unwrap_or_default();
    assert!(words.to_lowercase().contains("split brain") && words.contains('a') && words.contains('b'), "{words}");
    assert_eq!((view.rows["a"].role.as_str(), view.rows["b"].role.as_str()), ("primary", "primary"));
    browser.picture("split-brain").await;
    assert_accessible(&browser).await;
    browser.be_a_telephone().await;
    browser.goto_live(&cluster.at("/")).await?;
    assert!(browser.view().await.split_brain.is_some());
    browser.picture("split-brain-phone").await;
    browser.assert_no_error().await;
    cluster.lab.stop().await;
    Ok(())
}
