//! Synchronous replication that is not satisfied.

use std::time::Duration;

use pgvigil::lab::LabError;

use super::cast::Topology;
use super::row::Row;

type Outcome = Result<(), LabError>;

#[tokio::test(flavor = "multi_thread")]
async fn commits_hang() -> Outcome {
    Row {
        fault: 33,
        name: "sync-standby-killed",
        how: "SIGKILL to the only synchronous standby of two, while somebody writes",
        topology: Topology {
            standbys: &[("b", "a"), ("c", "a")],
            primary: &[("synchronous_standby_names", "b")],
            ..Topology::DEFAULT
        },
        alerts: &["PostgresCommitsBlocked critical node=a", "PostgresStandbyDown warning node=b"],
        healing: &["PostgresRestarted"],
        unseen: Duration::from_secs(10),
        ..Row::default()
    }
    .run(async |cast| cast.kill("b"), async |cast| cast.b().start().await)
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn names_nobody() -> Outcome {
    Row {
        fault: 34,
        name: "sync-names-nobody",
        how: "synchronous_standby_names names a standby that does not exist; nobody writes",
        topology: Topology { commits: 0, primary: &[("autovacuum", "off")], ..Topology::DEFAULT },
        alerts: &["PostgresSyncUnsatisfied warning node=a"],
        ..Row::default()
    }
    .run(
        async |cast| cast.a.alter(&[("synchronous_standby_names", "nobody")]).await,
        async |cast| cast.a.alter(&[("synchronous_standby_names", "")]).await,
    )
    .await
}
