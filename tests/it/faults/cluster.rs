//! Promotions, wanted or not, and nodes that do not belong together any more.

use std::time::Duration;

use pgvigil::lab::{LabError, Server, StopMode};

use super::cast::{Cast, Topology};
use super::row::Row;

type Outcome = Result<(), LabError>;

const SOON: Duration = Duration::from_secs(20);
const OUTAGE: Duration = Duration::from_secs(4);
const TWO: Topology = Topology { standbys: &[("b", "a"), ("c", "a")], ..Topology::DEFAULT };

/// Lets `to` take over from `from`, which comes back as its standby. `rest` follows.
pub async fn switch(cast: &Cast, from: &Server, to: &Server) -> Outcome {
    // Whoever stops in order waits until its standbys have all.
    from.stop(StopMode::Fast).await?;
    // Long enough for a scrape and an evaluation to see it.
    tokio::time::sleep(OUTAGE).await;
    to.promote().await?;
    for name in ["a", "b", "c"].into_iter().filter(|name| *name != to.name()) {
        let Some(server) = cast.node(name) else { continue };
        if name == from.name() {
            from.rejoin(to, Some(name)).await?;
        } else {
            to.sql(&format!("SELECT pg_create_physical_replication_slot('{name}', true) WHERE NOT EXISTS (SELECT 1 FROM pg_replication_slots WHERE slot_name = '{name}')")).await?;
            server.repoint(to.port()).await?;
        }
        to.wait_streaming(name, SOON).await?;
    }
    // Nobody reads the slots of those who are standbys now.
    for name in ["a", "b", "c"] {
        from.sql(&format!(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '{name}'"
        ))
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn split_brain() -> Outcome {
    Row {
        fault: 28,
        name: "split-brain",
        how: "a standby is promoted while the primary goes on",
        topology: TWO,
        alerts: &["PostgresSplitBrain critical"],
        healing: &[
            "PostgresRestarted",
            "PostgresStandbyDiverged",
            "PostgresPrimaryUnreachable",
            "PostgresFailoverHappened",
        ],
        ..Row::default()
    }
    .run(async |cast| cast.b().promote().await, async |cast| cast.remake("b").await)
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn failover_that_worked() -> Outcome {
    Row {
        fault: 46,
        name: "failover-happened",
        how: "the primary stops in order, a standby is promoted 4 s later and all follow it; no maintenance",
        topology: TWO,
        alerts: &[
            "PostgresFailoverHappened warning",
            "PostgresPrimaryUnreachable engine",
            "PostgresRestarted info node=a",
        ],
        within: Duration::from_secs(60),
        ..Row::default()
    }
    .run(async |cast| switch(cast, &cast.a, cast.b()).await, async |_| Ok(()))
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn flapping() -> Outcome {
    Row {
        fault: 47,
        name: "failover-flapping",
        how: "the primary is changed three times within a minute; no maintenance",
        alerts: &[
            "PostgresFailoverFlapping critical",
            "PostgresFailoverHappened warning",
            "PostgresPrimaryUnreachable engine",
            "PostgresRestarted info node=a",
            "PostgresRestarted info node=b",
        ],
        within: Duration::from_secs(60),
        resolving: Duration::from_secs(240),
        ..Row::default()
    }
    .run(
        async |cast| {
            switch(cast, &cast.a, cast.b()).await?;
            switch(cast, cast.b(), &cast.a).await?;
            switch(cast, &cast.a, cast.b()).await
        },
        async |_| Ok(()),
    )
    .await
}
