//! The archive command fails, hangs, keeps nothing or is too slow; the archive has a gap.

use std::time::{Duration, SystemTime};

use pgvigil::lab::{Archive, LabError, wait_until};

use super::cast::{Archiving, Cast, Topology};
use super::row::Row;

type Outcome = Result<(), LabError>;

const SOON: Duration = Duration::from_secs(20);
const ARCHIVED: Topology = Topology { archive: Archiving::On, ..Topology::DEFAULT };

/// Lets the command work again.
async fn mend(cast: &Cast) -> Outcome {
    cast.a.archive(&Archive::Into(cast.archive())).await?;
    cast.a.switch_wal().await.map(drop)
}

/// Gives the command something to do.
async fn change(cast: &Cast, archive: &Archive) -> Outcome {
    cast.a.archive(archive).await?;
    cast.a.switch_wal().await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn failing() -> Outcome {
    Row {
        fault: 19,
        name: "archive-failing",
        how: "archive_command is /bin/false",
        topology: ARCHIVED,
        alerts: &["PostgresArchiveFailing warning node=a"],
        ..Row::default()
    }
    .run(async |cast| change(cast, &Archive::Broken).await, mend)
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn hung() -> Outcome {
    Row {
        fault: 20,
        name: "archive-hung",
        how: "archive_command does not end",
        topology: ARCHIVED,
        alerts: &["PostgresArchiveHung warning node=a"],
        ..Row::default()
    }
    .run(async |cast| change(cast, &Archive::Hung).await, mend)
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn noop() -> Outcome {
    Row {
        fault: 21,
        name: "archive-noop",
        how: "archive_command is 'cd .'",
        topology: ARCHIVED,
        alerts: &["PostgresArchiveNoop warning node=a"],
        within: Duration::from_secs(75),
        ..Row::default()
    }
    .run(async |cast| change(cast, &Archive::Noop).await, mend)
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn turned_off() -> Outcome {
    Row {
        fault: 21,
        name: "archive-turned-off",
        how: "archive_mode of the primary is turned off though pgvigil is told of an archive, and the primary started again; nobody writes",
        topology: Topology { archive: Archiving::Watched, commits: 0, ..Topology::DEFAULT },
        alerts: &[
            "PostgresArchiveOff warning node=a",
            "PostgresPrimaryUnreachable engine",
            "PostgresRestarted info node=a",
        ],
        healing: &["PostgresRestarted", "PostgresPrimaryUnreachable"],
        within: Duration::from_secs(75),
        ..Row::default()
    }
    .run(
        async |cast| {
            cast.a.configure(&[("archive_mode", "off")]);
            cast.restart(&cast.a).await
        },
        async |cast| {
            cast.a.configure(&[("archive_mode", "on")]);
            cast.restart(&cast.a).await
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn unset() -> Outcome {
    Row {
        fault: 21,
        name: "archive-unset",
        how: "archive_mode is on and archive_command empty",
        topology: ARCHIVED,
        alerts: &["PostgresArchiveUnset warning node=a"],
        ..Row::default()
    }
    .run(async |cast| change(cast, &Archive::Unset).await, mend)
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn gap() -> Outcome {
    Row {
        fault: 21,
        name: "archive-gap",
        how: "a segment is taken out of the archive",
        topology: Topology { archive: Archiving::Watched, ..Topology::DEFAULT },
        alerts: &["PostgresArchiveGap critical"],
        within: Duration::from_secs(75),
        unseen: Duration::from_secs(3),
        ..Row::default()
    }
    .run(
        async |cast| {
            let mut names = Vec::new();
            for _ in 0..4 {
                names.push(cast.a.switch_wal().await?);
            }
            let last = cast.archive().join(&names[3]);
            wait_until("the segments in the archive", SOON, async || {
                if last.exists() { Ok(()) } else { Err("not there".to_owned()) }
            })
            .await?;
            std::fs::rename(cast.archive().join(&names[1]), cast.archive().join("aside")).expect("a segment");
            std::fs::write(cast.archive().join("name"), &names[1]).expect("a file");
            Ok(())
        },
        async |cast| {
            let name = std::fs::read_to_string(cast.archive().join("name")).expect("a file");
            std::fs::rename(cast.archive().join("aside"), cast.archive().join(name)).expect("a segment");
            Ok(())
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn backlog() -> Outcome {
    Row {
        fault: 22,
        name: "archive-backlog",
        how: "archive_command takes 2 s a segment, 60 segments wait, and their .ready files are set back by 10 minutes",
        topology: ARCHIVED,
        alerts: &["PostgresArchiveBacklog warning node=a"],
        within: Duration::from_secs(90),
        ..Row::default()
    }
    .run(
        async |cast| {
            cast.a
                .alter(&[("archive_command", &format!("sleep 2; {}", Archive::Into(cast.archive()).command()))])
                .await?;
            for _ in 0..60 {
                cast.a.switch_wal().await?;
            }
            let status = cast.a.data_dir().join("pg_wal/archive_status");
            for file in std::fs::read_dir(status).expect("a directory").flatten() {
                if file.path().extension().is_some_and(|extension| extension == "ready") {
                    let ago = SystemTime::now() - Duration::from_secs(600);
                    // One may be archived at this moment.
                    let _ =
                        std::fs::File::options().append(true).open(file.path()).and_then(|file| file.set_modified(ago));
                }
            }
            Ok(())
        },
        mend,
    )
    .await
}
