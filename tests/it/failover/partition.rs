//! A primary that only pgvigil cannot reach.

use pgvigil::lab::WireMode;
use serde_json::Value;

use super::Outcome;
use super::stage::{Play, Stage};
use super::writable::Writable;

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_only_we_miss_is_left_alone() -> Outcome {
    let stage = Stage::open(Play { wire: true, ..Play::default() }).await?;
    let client = stage.written().await?;
    let writable = Writable::watch(&stage.servers()).await?;
    let wire = stage.wire.as_ref().unwrap();
    for mode in [WireMode::BlackHole, WireMode::Cut] {
        wire.set(mode).await?;
        assert_eq!(stage.alert().await.status, 202);
        stage.until_run("blocked").await?;
        // Beyond the hang limit, too.
        client.wait_more(200).await?;
        let run = stage.until_run("blocked").await?;
        println!("{mode:?}: {}", reason(&run));
        assert!(reason(&run).starts_with("cut: "), "{run:#}");
        assert_eq!(run["fenced"], false);
        wire.set(WireMode::Pass).await?;
        let run = stage.until_run("recovered").await?;
        assert_eq!(run["steps_done"], 0, "{run:#}");
    }
    assert_eq!(stage.fenced(), [""; 0]);
    assert_eq!(writable.never_two(), ["a"]);
    assert_eq!(client.lost_on(&stage.a).await, []);
    Ok(())
}

/// What the guard of the primary's failure saw.
pub fn reason(run: &Value) -> &str {
    let guards = run["guards"].as_array().into_iter().flatten();
    guards.filter(|seen| seen["guard"] == "primary_gone").find_map(|seen| seen["value"].as_str()).unwrap_or_default()
}
