//! Replay stands still, or is slow, or cancels queries.

use std::time::Duration;

use pgvigil::lab::{Backend, LabError, wait_until};
use rustix::process::Signal;
use tokio::time::sleep;

use super::cast::{Cast, Topology};
use super::row::Row;

type Outcome = Result<(), LabError>;

const SOON: Duration = Duration::from_secs(20);
const NO_AUTOVACUUM: Topology = Topology { primary: &[("autovacuum", "off")], ..Topology::DEFAULT };

#[tokio::test(flavor = "multi_thread")]
async fn paused() -> Outcome {
    Row {
        fault: 13,
        name: "replay-paused",
        how: "pg_wal_replay_pause() on the standby",
        alerts: &["PostgresReplayPaused warning node=b"],
        ..Row::default()
    }
    .run(async |cast| cast.b().pause_replay().await, async |cast| cast.b().resume_replay().await)
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn in_conflict() -> Outcome {
    Row {
        fault: 14,
        name: "replay-conflict",
        how: "a transaction of the standby reads rows that the primary has vacuumed; max_standby_streaming_delay is -1",
        topology: Topology { standby: &[("max_standby_streaming_delay", "-1")], ..NO_AUTOVACUUM },
        alerts: &["PostgresReplayConflict warning node=b"],
        ..Row::default()
    }
    .run(
        async |cast| {
            cast.a.sql("CREATE TABLE orders AS SELECT n FROM generate_series(1, 1000) AS n").await?;
            cast.b().wait_caught_up(&cast.a, SOON).await?;
            reader(cast).await?;
            cast.a.sql("DELETE FROM orders WHERE n < 500").await?;
            let waits = "SELECT wait_event FROM pg_stat_activity WHERE backend_type = 'startup'";
            wait_until("replay to be in conflict", SOON, async || {
                // Whoever looked at the primary just then keeps the rows for this once.
                cast.a.sql("VACUUM orders").await?;
                let wait = cast.b().value(waits).await?.unwrap_or_default();
                if wait.starts_with("RecoveryConflict") { Ok(()) } else { Err(wait) }
            })
            .await
        },
        async |cast| {
            cast.release();
            Ok(())
        },
    )
    .await
}

/// A transaction of the standby that has read `orders` and goes on to see it as it is now.
async fn reader(cast: &Cast) -> Outcome {
    let client = cast.b().connect().await?;
    cast.b().query_on(&client, "BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
    cast.b().query_on(&client, "SELECT count(*) FROM orders").await?;
    cast.keep(client);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn slow() -> Outcome {
    Row {
        fault: 15,
        name: "replay-slow",
        how: "the startup process of the standby is stopped but for a millisecond every two seconds, 20,000 rows a second",
        alerts: &["PostgresReplayLagHigh warning node=b"],
        within: Duration::from_secs(240),
        ..Row::default()
    }
    .run(
        async |cast| {
            let startup = cast.b().process_of(Backend::Startup).await?;
            cast.a.sql("CREATE TABLE bulk (id int, filler text)").await?;
            let primary = cast.a.clone();
            cast.keep(Aborted(tokio::spawn(async move {
                loop {
                    let _ = primary.sql("INSERT INTO bulk SELECT n, 'x' FROM generate_series(1, 20000) AS n").await;
                    sleep(Duration::from_secs(1)).await;
                }
            })));
            cast.keep(Aborted(tokio::spawn(async move {
                loop {
                    let _ = startup.signal(Signal::STOP);
                    sleep(Duration::from_secs(2)).await;
                    let _ = startup.signal(Signal::CONT);
                    sleep(Duration::from_millis(1)).await;
                }
            })));
            Ok(())
        },
        async |cast| {
            cast.release();
            cast.b().thaw()
        },
    )
    .await
}

/// A task that ends when this is dropped.
pub struct Aborted(pub tokio::task::JoinHandle<()>);

impl Drop for Aborted {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stalled() -> Outcome {
    Row {
        fault: 16,
        name: "replay-stalled",
        how: "SIGSTOP to the standby's startup process",
        alerts: &["PostgresReplayStalled critical node=b"],
        unseen: Duration::from_secs(15),
        ..Row::default()
    }
    .run(async |cast| cast.b().freeze_process(Backend::Startup).await.map(drop), async |cast| cast.b().thaw())
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn cancels() -> Outcome {
    Row {
        fault: 17,
        name: "replay-cancels",
        how: "25 transactions of the standby are cancelled by vacuums of the primary, max_standby_streaming_delay is 0",
        topology: Topology { standby: &[("max_standby_streaming_delay", "0")], ..NO_AUTOVACUUM },
        alerts: &["PostgresReplayConflictCancels info node=b"],
        within: Duration::from_secs(60),
        ..Row::default()
    }
    .run(
        async |cast| {
            cast.a.sql("CREATE TABLE orders AS SELECT n FROM generate_series(1, 1000) AS n").await?;
            for _ in 0..25 {
                cast.b().wait_caught_up(&cast.a, SOON).await?;
                reader(cast).await?;
                cast.a.sql("DELETE FROM orders; INSERT INTO orders SELECT n FROM generate_series(1, 10) AS n").await?;
                cast.a.sql("VACUUM orders").await?;
            }
            cast.release();
            Ok(())
        },
        async |_| Ok(()),
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn setting_too_low() -> Outcome {
    Row {
        fault: 36,
        name: "setting-too-low",
        how: "max_connections of the primary is raised above the standby's, which replays an hour later on purpose, and does not \
              stream again before it has replayed",
        alerts: &[
            "PostgresNoStandby critical",
            "PostgresPrimaryUnreachable engine",
            "PostgresRestarted info node=a",
            "PostgresStandbyDisconnected warning node=b",
            "PostgresStandbySettingTooLow warning node=b",
        ],
        healing: &["PostgresRestarted"],
        unseen: Duration::from_secs(5),
        ..Row::default()
    }
    .run(
        async |cast| {
            cast.b().apply_delay(Duration::from_secs(3_600)).await?;
            cast.a.sql("CREATE TABLE later ()").await?;
            cast.a.configure(&[("max_connections", "60")]);
            cast.restart(&cast.a).await
        },
        async |cast| {
            cast.b().configure(&[("max_connections", "60")]);
            cast.b().restart().await?;
            cast.b().apply_delay(Duration::ZERO).await
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn blocked_by_settings() -> Outcome {
    Row {
        fault: 36,
        name: "replay-blocked-by-settings",
        how: "max_connections of the primary is raised above the standby's, and the primary started again",
        alerts: &[
            "PostgresPrimaryUnreachable engine",
            "PostgresReplayBlockedBySettings critical node=b",
            "PostgresRestarted info node=a",
        ],
        healing: &["PostgresRestarted", "PostgresLagUnknown"],
        unseen: Duration::from_secs(5),
        ..Row::default()
    }
    .run(
        async |cast| {
            cast.a.configure(&[("max_connections", "60")]);
            cast.restart(&cast.a).await
        },
        async |cast| {
            cast.b().configure(&[("max_connections", "60")]);
            cast.b().restart().await
        },
    )
    .await
}
