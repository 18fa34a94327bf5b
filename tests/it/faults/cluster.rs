//! Promotions, wanted or not, and nodes that do not belong together any more.

use std::time::Duration;

use pgvigil::lab::{LabError, Server, StopMode, WireMode};
use tokio::time::sleep;

use super::cast::{Cast, OUTAGE, Topology};
use super::row::Row;

type Outcome = Result<(), LabError>;

const SOON: Duration = Duration::from_secs(20);
const TWO: Topology = Topology { standbys: &[("b", "a"), ("c", "a")], ..Topology::DEFAULT };

/// Lets `to` take over from `from`, which comes back as its standby. `rest` follows.
pub async fn switch(cast: &Cast, from: &Server, to: &Server) -> Outcome {
    // Whoever stops in order waits until its standbys have all.
    from.stop(StopMode::Fast).await?;
    sleep(OUTAGE).await;
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
        healing: &["PostgresRestarted", "PostgresStandbyDiverged", "PostgresFailoverHappened", "PostgresLagUnknown"],
        ..Row::default()
    }
    .run(
        async |cast| cast.b().promote().await,
        // The one that was promoted stays, and all others begin anew.
        async |cast| {
            cast.remake(&cast.a, cast.b()).await?;
            cast.remake(cast.standby("c"), cast.b()).await
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn old_primary_returns() -> Outcome {
    Row {
        fault: 30,
        name: "old-primary-returns",
        how: "the primary is killed, a standby promoted, and the old primary started again as it was",
        alerts: &[
            "PostgresNoStandby critical",
            "PostgresPrimaryUnreachable engine",
            "PostgresRestarted info node=a",
            "PostgresSplitBrain critical",
        ],
        healing: &["PostgresRestarted", "PostgresFailoverHappened"],
        ..Row::default()
    }
    .run(
        async |cast| {
            cast.a.kill();
            sleep(OUTAGE).await;
            cast.b().promote().await?;
            cast.a.start().await
        },
        async |cast| cast.remake(&cast.a, cast.b()).await,
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn old_primary_diverged() -> Outcome {
    Row {
        fault: 29,
        name: "old-primary-diverged",
        how: "in maintenance the primary is cut off from its standby and writes on, the standby is promoted, and a second \
              later the old primary becomes its standby without pg_rewind",
        topology: Topology { links: &["b"], ..TWO },
        alerts: &["PostgresStandbyDiverged critical node=a"],
        healing: &["PostgresRestarted", "PostgresFailoverHappened", "PostgresStandbyDisconnected"],
        ..Row::default()
    }
    .run(
        async |cast| {
            cast.maintain("start", &["--for", "10m"]).await?;
            cast.link("b").set(WireMode::Cut).await?;
            cast.write(1).await?;
            cast.standby("c").stop(StopMode::Fast).await?;
            cast.b().promote().await?;
            // pgvigil has to see both write, if only for a moment: of a standby that does not stream it cannot prove the timeline.
            sleep(Duration::from_millis(1_500)).await;
            cast.a.rejoin(cast.b(), None).await?;
            cast.remake(cast.standby("c"), cast.b()).await
        },
        async |cast| {
            cast.remake(&cast.a, cast.b()).await?;
            cast.maintain("end", &[]).await
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn old_primary_in_doubt() -> Outcome {
    Row {
        fault: 29,
        name: "old-primary-in-doubt",
        how: "the primary writes on unseen by its standby and by pgvigil and is killed, the standby is promoted, and the old \
              primary becomes its standby without pg_rewind",
        topology: Topology { links: &["b"], views: &["a"], ..Topology::DEFAULT },
        alerts: &[
            "PostgresFailoverHappened warning",
            "PostgresNoStandby critical",
            "PostgresPrimaryUnreachable engine",
            "PostgresReplayStalled critical node=a",
            "PostgresRestarted info node=a",
            "PostgresStandbyDisconnected warning node=a",
            "PostgresStandbyDiverged warning node=a",
        ],
        // What it received of its own WAL counts as a backlog, for the window of that rule.
        unseen: Duration::from_secs(15),
        healing: &["PostgresRestarted"],
        within: Duration::from_secs(75),
        ..Row::default()
    }
    .run(
        async |cast| {
            cast.view("a").set(WireMode::Cut).await?;
            cast.link("b").set(WireMode::Cut).await?;
            cast.write(1).await?;
            cast.a.kill();
            sleep(OUTAGE).await;
            cast.b().promote().await?;
            cast.view("a").set(WireMode::Pass).await?;
            cast.a.rejoin(cast.b(), None).await
        },
        async |cast| cast.remake(&cast.a, cast.b()).await,
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn left_behind() -> Outcome {
    Row {
        fault: 29,
        name: "standby-left-behind",
        how: "the primary stops in order and a standby is promoted; the other is not told to follow it",
        topology: TWO,
        alerts: &[
            "PostgresFailoverHappened warning",
            "PostgresNoStandby critical",
            "PostgresPrimaryUnreachable engine",
            "PostgresStandbyDown warning node=a",
            "PostgresTimelineBehind warning node=c",
        ],
        healing: &["PostgresRestarted"],
        ..Row::default()
    }
    .run(
        async |cast| {
            cast.a.stop(StopMode::Fast).await?;
            sleep(OUTAGE).await;
            cast.b().promote().await
        },
        async |cast| {
            cast.standby("c").configure(&[("primary_slot_name", "")]);
            cast.standby("c").repoint(cast.b().port()).await?;
            cast.a.rejoin(cast.b(), None).await
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn failover_that_worked() -> Outcome {
    Row {
        fault: 46,
        name: "failover-happened",
        how: "the primary stops in order, a standby is promoted a second later and all follow it; no maintenance",
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
        how: "three switchovers within a minute, announced as maintenance",
        alerts: &["PostgresFailoverFlapping critical"],
        within: Duration::from_secs(60),
        resolving: Duration::from_secs(240),
        ..Row::default()
    }
    .run(
        async |cast| {
            cast.maintain("start", &["--for", "10m"]).await?;
            // Until Prometheus knows.
            sleep(Duration::from_secs(3)).await;
            switch(cast, &cast.a, cast.b()).await?;
            switch(cast, cast.b(), &cast.a).await?;
            switch(cast, &cast.a, cast.b()).await
        },
        async |_| Ok(()),
    )
    .await
}
