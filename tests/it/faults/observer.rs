//! pgvigil itself: gone, hung, locked out, half blind.

use std::time::Duration;

use pgvigil::lab::{LabError, Role, Server};

use super::cast::Topology;
use super::row::Row;

type Outcome = Result<(), LabError>;

/// Ends what pgvigil has open, so that it has to log in anew.
async fn disconnect(server: &Server) -> Outcome {
    server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'pgvigil'").await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed() -> Outcome {
    Row {
        fault: 49,
        name: "observer-killed",
        how: "SIGKILL to the only pgvigil of a cluster",
        alerts: &["PostgresClusterNotWatched critical", "PostgresObserverDown warning instance=pgvigil-0"],
        ..Row::default()
    }
    .run(async |cast| cast.kill_vigil(), async |cast| cast.revive().await)
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn frozen() -> Outcome {
    Row {
        fault: 49,
        name: "observer-frozen",
        how: "SIGSTOP to the only pgvigil of a cluster",
        alerts: &["PostgresClusterNotWatched critical", "PostgresObserverDown warning instance=pgvigil-0"],
        unseen: Duration::from_secs(1),
        ..Row::default()
    }
    .run(async |cast| cast.vigil().process().freeze(), async |cast| cast.vigil().process().thaw())
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_killed() -> Outcome {
    Row {
        fault: 49,
        name: "one-observer-killed",
        how: "SIGKILL to one of two pgvigil of a cluster",
        topology: Topology { observers: 2, ..Topology::DEFAULT },
        alerts: &["PostgresObserverDown warning instance=pgvigil-0"],
        ..Row::default()
    }
    .run(async |cast| cast.kill_vigil(), async |cast| cast.revive().await)
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn password_wrong() -> Outcome {
    Row {
        fault: 50,
        name: "pgvigil-password-wrong",
        how: "the password of pgvigil's role is changed, and all of its connections are ended",
        alerts: &[
            "PostgresNodeRejectsPgvigil warning node=a",
            "PostgresNodeRejectsPgvigil warning node=b",
            "PostgresPrimaryUnreachable engine",
        ],
        ..Row::default()
    }
    .run(
        async |cast| {
            cast.a.sql("ALTER ROLE pgvigil PASSWORD 'another'").await?;
            cast.b().wait_caught_up(&cast.a, Duration::from_secs(10)).await?;
            disconnect(&cast.a).await?;
            disconnect(cast.b()).await
        },
        async |cast| cast.a.sql(&format!("ALTER ROLE pgvigil PASSWORD '{}'", Role::Monitor.password())).await,
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn privilege_missing() -> Outcome {
    Row {
        fault: 50,
        name: "pgvigil-privilege-missing",
        how: "pg_monitor is revoked from pgvigil's role",
        alerts: &["PostgresMonitorPrivilegeMissing warning node=a", "PostgresMonitorPrivilegeMissing warning node=b"],
        ..Row::default()
    }
    .run(
        async |cast| cast.a.sql("REVOKE pg_monitor FROM pgvigil").await,
        async |cast| cast.a.sql("GRANT pg_monitor TO pgvigil").await,
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn collector_fails() -> Outcome {
    Row {
        fault: 51,
        name: "collector-failing",
        how: "pg_ls_waldir() may not be called by pg_monitor any more",
        alerts: &["PostgresCollectorFailing warning node=a", "PostgresCollectorFailing warning node=b"],
        ..Row::default()
    }
    .run(
        async |cast| cast.a.sql("REVOKE EXECUTE ON FUNCTION pg_ls_waldir() FROM pg_monitor").await,
        async |cast| cast.a.sql("GRANT EXECUTE ON FUNCTION pg_ls_waldir() TO pg_monitor").await,
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn config_rejected() -> Outcome {
    Row {
        fault: 0,
        name: "config-rejected",
        how: "pgvigil's config file gets a key that nobody knows",
        alerts: &["PostgresObserverConfigRejected warning instance=pgvigil-0"],
        ..Row::default()
    }
    .run(
        async |cast| {
            cast.vigil().replace_config("no_such_key: 1\n");
            Ok(())
        },
        async |cast| {
            cast.vigil().replace_config(&cast.configs[0]);
            Ok(())
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn state_not_saved() -> Outcome {
    Row {
        fault: 0,
        name: "state-not-saved",
        how: "state_dir is moved away and a file takes its place",
        alerts: &["PostgresObserverStateNotSaved warning instance=pgvigil-0"],
        within: Duration::from_secs(60),
        ..Row::default()
    }
    .run(
        async |cast| {
            let state = cast.lab.path().join("state-0");
            std::fs::rename(&state, state.with_extension("aside")).expect("a directory of the lab");
            std::fs::write(&state, "").expect("a file in the lab");
            Ok(())
        },
        async |cast| {
            let state = cast.lab.path().join("state-0");
            std::fs::remove_file(&state).expect("a file in the lab");
            std::fs::rename(state.with_extension("aside"), &state).expect("a directory of the lab");
            Ok(())
        },
    )
    .await
}
