//! What is no fault, and raises nothing.

use std::time::Duration;

use pgvigil::lab::LabError;

use super::cast::{Archiving, Topology};
use super::cluster::switch;
use super::row::Row;
use crate::live::copier::Copier;

type Outcome = Result<(), LabError>;

/// Scaled, ten minutes.
const LONG: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn idle() -> Outcome {
    Row {
        fault: 41,
        name: "idle",
        how: "nobody writes for 30 s, which stand for 10 minutes",
        topology: Topology { commits: 0, archive: Archiving::Watched, ..Topology::DEFAULT },
        settling: LONG,
        is_lag_held: true,
        ..Row::default()
    }
    .run(async |_| Ok(()), async |_| Ok(()))
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn bulk_load() -> Outcome {
    Row {
        fault: 42,
        name: "bulk-load",
        how: "1 GiB of WAL in bursts, as fast as it goes",
        topology: Topology { archive: Archiving::Watched, ..Topology::DEFAULT },
        ..Row::default()
    }
    .run(
        async |cast| {
            for _ in 0..20 {
                cast.write(50).await?;
            }
            Ok(())
        },
        async |_| Ok(()),
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn base_backup() -> Outcome {
    Row {
        fault: 43,
        name: "base-backup",
        how: "a base backup at 32 kB/s and its stream of WAL",
        settling: LONG,
        is_lag_held: true,
        ..Row::default()
    }
    .run(
        async |cast| {
            let backup = Copier::connect(&cast.a, "pg_basebackup").await.expect("a connection");
            cast.keep(backup.backup(&cast.a).await.expect("a backup"));
            let stream = Copier::connect(&cast.a, "pg_basebackup").await.expect("a connection");
            cast.keep(stream.stream(&cast.a, true).await?);
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
async fn checkpoints() -> Outcome {
    Row {
        fault: 44,
        name: "checkpoint-storm",
        how: "a checkpoint each half second and a vacuum full of every database, for 15 s",
        ..Row::default()
    }
    .run(
        async |cast| {
            for _ in 0..20 {
                cast.a.sql("CHECKPOINT").await?;
                cast.a.sql("VACUUM FREEZE").await?;
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            Ok(())
        },
        async |_| Ok(()),
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn planned_switchover() -> Outcome {
    Row {
        fault: 45,
        name: "planned-switchover",
        how: "maintenance is announced, the primary stops in order, a standby takes over and all follow it",
        topology: Topology { standbys: &[("b", "a"), ("c", "a")], ..Topology::DEFAULT },
        ..Row::default()
    }
    .run(
        async |cast| {
            cast.maintain("start", &["--for", "2m"]).await?;
            // Until Prometheus knows.
            tokio::time::sleep(Duration::from_secs(3)).await;
            switch(cast, &cast.a, cast.b()).await
        },
        async |cast| cast.maintain("end", &[]).await,
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn apply_delay() -> Outcome {
    Row {
        fault: 18,
        name: "apply-delay",
        how: "the standby replays an hour later on purpose",
        settling: LONG,
        is_lag_held: true,
        ..Row::default()
    }
    .run(
        async |cast| cast.b().apply_delay(Duration::from_secs(3_600)).await,
        async |cast| cast.b().apply_delay(Duration::ZERO).await,
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_archive() -> Outcome {
    Row {
        fault: 23,
        name: "archive-off",
        how: "archive_mode is off by design, while 200 MB of WAL are written",
        ..Row::default()
    }
    .run(
        async |cast| {
            for _ in 0..10 {
                cast.write(20).await?;
            }
            Ok(())
        },
        async |_| Ok(()),
    )
    .await
}
