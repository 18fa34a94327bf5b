//! Why replay stands still, made on a real standby in each way there is, and the queries that it cancels.

use std::time::Duration;

use pgvigil::lab::{Lab, LabError, Server, ServerOptions, StandbyOptions, StopMode, wait_until};
use tokio_postgres::Client;

use super::watch::{Node, Page, SOON, Vigil};

pub(super) async fn until(vigil: &Vigil, state: &str) {
    vigil
        .until_within(&format!("replay on b {state}"), 2 * SOON, |page| {
            let seen = state_of_b(page, "replay_wait");
            if seen == state { Ok(()) } else { Err(seen) }
        })
        .await;
}

/// A reading that was late leaves no state for a while.
fn state_of_b(page: &Page, family: &str) -> String {
    match page.matching(&[&format!("_{family}{{"), "node=\"b\""]).is_empty() {
        true => "absent".to_owned(),
        false => page.one_of(family, "node=\"b\""),
    }
}

pub(super) fn conflicts(page: &Page, cause: &str) -> Option<f64> {
    page.get("recovery_conflicts_total", &format!("node=\"b\",cause=\"{cause}\""))
}

/// A transaction of the standby that has read `orders` and goes on to see it as it is now.
async fn reader(b: &Server) -> Result<Client, LabError> {
    let client = b.connect().await?;
    b.query_on(&client, "BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
    b.query_on(&client, "SELECT count(*) FROM orders").await?;
    Ok(client)
}

/// Waits until replay in conflict has cancelled what was in its way, and the page has counted as many as the server.
pub(super) async fn until_cancelled(vigil: &Vigil, b: &Server, cause: &str) -> Result<(), LabError> {
    until(vigil, "waiting_for_wal").await;
    vigil
        .until(&format!("a conflict by {cause}"), |page| match conflicts(page, cause) {
            Some(1.0) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    let told = format!("SELECT sum(confl_{cause})::text FROM pg_stat_database_conflicts");
    assert_eq!(b.value(&told).await?.as_deref(), Some("1"), "the server's word");
    Ok(())
}

#[tokio::test]
async fn every_reason_for_replay_to_stand_still_is_named() -> Result<(), LabError> {
    let lab = Lab::new()?;
    // While this file is there, the restore command does not end.
    let held = lab.server_dir("held")?.join("held");
    let a = lab.primary("a", ServerOptions::default().set("autovacuum", "off")).await?;
    a.sql("CREATE TABLE orders (id int, words text)").await?;
    a.sql("INSERT INTO orders SELECT n FROM generate_series(1, 1000) AS n").await?;
    let options = StandbyOptions {
        restore_command: Some(format!("while test -e {}; do sleep 0.1; done; false", held.display())),
        server: ServerOptions::default().set("max_standby_streaming_delay", "5s"),
        ..StandbyOptions::default()
    };
    let b = lab.standby_of(&a, "b", options).await?;
    a.wait_streaming("b", SOON).await?;
    b.wait_caught_up(&a, SOON).await?;
    let vigil = Vigil::start(&lab, &[Node::of(&a), Node::of(&b)]).await?;
    until(&vigil, "waiting_for_wal").await;
    // The primary may be read later than the standby.
    vigil
        .until("the primary's own word", |page| {
            let words = page.matching(&["pgvigil_replay_wait{", "node=\"a\""]);
            if words.is_empty() { Err("absent".to_owned()) } else { Ok(()) }
        })
        .await;
    let page = vigil.page().await;
    assert_eq!(page.one_of("replay_wait", "node=\"a\""), "not_in_recovery");
    assert!(page.matching(&["recovery_conflicts_total", "node=\"a\""]).is_empty(), "a primary replays nothing");
    assert_eq!(conflicts(&page, "snapshot"), Some(0.0));
    assert_eq!(conflicts(&page, "logical_slot"), (b.major() >= 16).then_some(0.0));

    b.pause_replay().await?;
    a.sql("INSERT INTO orders VALUES (0)").await?;
    until(&vigil, "paused").await;
    b.resume_replay().await?;
    b.apply_delay(Duration::from_secs(3_600)).await?;
    a.sql("INSERT INTO orders VALUES (0)").await?;
    until(&vigil, "apply_delay").await;
    // In the midst of the delay replay does not get to where it would pause; before 14 that is not told.
    b.sql("SELECT pg_wal_replay_pause()").await?;
    let requested = if b.major() >= 14 { "pause_requested" } else { "paused" };
    vigil
        .until(requested, |page| match state_of_b(page, "replay_state") {
            seen if seen == requested => Ok(()),
            other => Err(other),
        })
        .await;
    until(&vigil, "apply_delay").await;
    b.resume_replay().await?;
    b.apply_delay(Duration::ZERO).await?;
    until(&vigil, "waiting_for_wal").await;

    // A row that somebody still sees is to go, then the table itself.
    let _reader = reader(&b).await?;
    a.sql("DELETE FROM orders WHERE id < 500").await?;
    // Whoever looked at the primary just then, pgvigil too, keeps the row for this once.
    wait_until("a conflict by a row that is gone", SOON, async || {
        a.sql("VACUUM orders").await.map_err(|error| error.to_string())?;
        let page = vigil.page().await;
        let rest = page.get("collector_rest_seconds", "node=\"b\",collector=\"replay_wait\"");
        match state_of_b(&page, "replay_wait").as_str() {
            "conflict" => Ok(()),
            other => {
                Err(format!("{other}; cancelled {:?}, its collector rests {rest:?}", conflicts(&page, "snapshot")))
            }
        }
    })
    .await?;
    until_cancelled(&vigil, &b, "snapshot").await?;
    let _reader = reader(&b).await?;
    a.sql("TRUNCATE orders").await?;
    until(&vigil, "conflict").await;
    until_cancelled(&vigil, &b, "lock").await?;

    // Work for as long as it takes to be seen. Before 15 nothing tells it from a restore command that runs.
    let writer = a.connect().await?;
    let work = tokio::spawn(async move {
        let rows = "INSERT INTO orders SELECT n, repeat('x', 20) FROM generate_series(1, 50000) AS n; TRUNCATE orders";
        while writer.batch_execute(rows).await.is_ok() {}
    });
    until(&vigil, if b.major() >= 15 { "replaying" } else { "unknown" }).await;
    work.abort();

    a.stop(StopMode::Fast).await?;
    until(&vigil, "retrying").await;
    std::fs::write(&held, "").expect("a file in the lab");
    until(&vigil, if b.major() >= 15 { "restore_command" } else { "unknown" }).await;
    std::fs::remove_file(&held).expect("the file");
    until(&vigil, "retrying").await;
    lab.stop().await;
    Ok(())
}
