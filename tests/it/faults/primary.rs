//! The primary dies, hangs, is out of reach, or takes no logins.

use std::time::Duration;

use pgvigil::lab::{Backend, LabError, WireMode};

use super::cast::Topology;
use super::row::Row;

type Outcome = Result<(), LabError>;

#[tokio::test(flavor = "multi_thread")]
async fn killed() -> Outcome {
    Row {
        fault: 1,
        name: "primary-killed",
        how: "SIGKILL to all processes of the primary",
        alerts: &["PostgresPrimaryUnreachable engine", "PostgresPrimaryDown critical"],
        healing: &["PostgresRestarted"],
        ..Row::default()
    }
    .run(async |cast| cast.kill("a"), async |cast| cast.a.start().await)
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn frozen() -> Outcome {
    Row {
        fault: 2,
        name: "primary-frozen",
        how: "SIGSTOP to all processes of the primary",
        alerts: &["PostgresPrimaryUnreachable engine", "PostgresPrimaryDown critical"],
        unseen: Duration::from_secs(3),
        ..Row::default()
    }
    .run(async |cast| cast.a.freeze(), async |cast| cast.a.thaw())
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn postmaster_frozen() -> Outcome {
    Row {
        fault: 3,
        name: "postmaster-frozen",
        how: "SIGSTOP to the primary's postmaster alone",
        alerts: &["PostgresLoginsFail critical node=a"],
        unseen: Duration::from_secs(3),
        ..Row::default()
    }
    .run(async |cast| cast.a.freeze_process(Backend::Postmaster).await.map(drop), async |cast| cast.a.thaw())
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_taken() -> Outcome {
    Row {
        fault: 3,
        name: "connections-taken",
        how: "all of max_connections taken on the primary",
        topology: Topology { settings: &[("max_connections", "12")], ..Topology::default() },
        alerts: &["PostgresLoginsFail critical node=a"],
        ..Row::default()
    }
    .run(
        async |cast| {
            while let Ok(client) = cast.a.connect().await {
                cast.keep(client);
            }
            Ok(())
        },
        async |cast| {
            cast.release();
            Ok(())
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn crashed_and_back() -> Outcome {
    Row {
        fault: 4,
        name: "primary-crash-restart",
        how: "SIGKILL to all processes of the primary, and started 2 s later",
        alerts: &["PostgresPrimaryUnreachable engine", "PostgresRestarted info node=a"],
        ..Row::default()
    }
    .run(
        async |cast| {
            cast.a.kill();
            tokio::time::sleep(Duration::from_secs(2)).await;
            cast.a.start().await
        },
        async |_| Ok(()),
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn host_gone() -> Outcome {
    Row {
        fault: 5,
        name: "primary-host-gone",
        how: "nothing comes through to the primary any more, from pgvigil and from the standby",
        topology: Topology { links: &["b"], views: &["a"], ..Topology::default() },
        alerts: &["PostgresPrimaryUnreachable engine", "PostgresPrimaryDown critical"],
        unseen: Duration::from_secs(4),
        ..Row::default()
    }
    .run(
        async |cast| {
            cast.link("b").set(WireMode::BlackHole).await?;
            cast.view("a").set(WireMode::BlackHole).await
        },
        async |cast| {
            cast.link("b").set(WireMode::Pass).await?;
            cast.view("a").set(WireMode::Pass).await
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn out_of_our_reach() -> Outcome {
    Row {
        fault: 10,
        name: "primary-unreachable",
        how: "nothing comes through from pgvigil to the primary; the standby streams on",
        topology: Topology { views: &["a"], ..Topology::default() },
        alerts: &["PostgresPrimaryUnreachable engine", "PostgresNodeUnreachable warning node=a"],
        unseen: Duration::from_secs(4),
        ..Row::default()
    }
    .run(
        async |cast| cast.view("a").set(WireMode::BlackHole).await,
        async |cast| cast.view("a").set(WireMode::Pass).await,
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn out_of_reach_of_one_observer() -> Outcome {
    Row {
        fault: 10,
        name: "one-observer-cut-off",
        how: "nothing comes through to the primary from one of two pgvigil",
        topology: Topology { views: &["a"], observers: 2, ..Topology::default() },
        settling: Duration::from_secs(15),
        ..Row::default()
    }
    .run(
        async |cast| cast.view("a").set(WireMode::BlackHole).await,
        async |cast| cast.view("a").set(WireMode::Pass).await,
    )
    .await
}
