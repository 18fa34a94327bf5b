//! A standby dies, hangs, loses its stream, or follows somebody else.

use std::time::Duration;

use pgvigil::lab::{
    Backend, LabError, Role, Server, ServerOptions, StandbyOptions, StopMode, Wire, WireMode, wait_until,
};
use rustix::process::Signal;

use super::cast::{Archiving, Topology};
use super::row::Row;

type Outcome = Result<(), LabError>;

const TWO: Topology = Topology { standbys: &[("b", "a"), ("c", "a")], ..Topology::DEFAULT };

#[tokio::test(flavor = "multi_thread")]
async fn killed() -> Outcome {
    Row {
        fault: 6,
        name: "standby-killed",
        how: "SIGKILL to all processes of one of two standbys",
        topology: TWO,
        alerts: &["PostgresStandbyDown warning node=b"],
        healing: &["PostgresRestarted"],
        ..Row::default()
    }
    .run(async |cast| cast.kill("b"), async |cast| cast.b().start().await)
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn last_one_killed() -> Outcome {
    Row {
        fault: 6,
        name: "last-standby-killed",
        how: "SIGKILL to all processes of the only standby",
        alerts: &["PostgresNoStandby critical", "PostgresStandbyDown warning node=b"],
        healing: &["PostgresRestarted"],
        ..Row::default()
    }
    .run(async |cast| cast.kill("b"), async |cast| cast.b().start().await)
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn frozen() -> Outcome {
    Row {
        fault: 7,
        name: "standby-frozen",
        how: "SIGSTOP to all processes of one of two standbys, until its walsender gives it up and longer",
        topology: Topology { settings: &[("wal_sender_timeout", "6s"), ("wal_receiver_status_interval", "1s")], ..TWO },
        alerts: &["PostgresStandbySilent warning node=b", "PostgresStandbyDown warning node=b"],
        ..Row::default()
    }
    .run(async |cast| cast.b().freeze(), async |cast| cast.b().thaw())
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn walreceiver_frozen() -> Outcome {
    Row {
        fault: 8,
        name: "walreceiver-frozen",
        how: "SIGSTOP to the walreceiver alone",
        topology: Topology { settings: &[("wal_sender_timeout", "45s"), ("wal_receiver_timeout", "45s")], ..TWO },
        alerts: &["PostgresStandbySilent warning node=b"],
        ..Row::default()
    }
    .run(async |cast| cast.b().freeze_process(Backend::WalReceiver).await.map(drop), async |cast| cast.b().thaw())
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn half_open() -> Outcome {
    Row {
        fault: 8,
        name: "link-half-open",
        how: "the stream to the standby stays open and nothing comes through",
        topology: Topology {
            settings: &[("wal_sender_timeout", "45s"), ("wal_receiver_timeout", "45s")],
            links: &["b"],
            ..TWO
        },
        alerts: &["PostgresStandbySilent warning node=b"],
        ..Row::default()
    }
    .run(
        async |cast| cast.link("b").set(WireMode::BlackHole).await,
        async |cast| cast.link("b").set(WireMode::Pass).await,
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_off() -> Outcome {
    Row {
        fault: 9,
        name: "link-cut",
        how: "the standby's connections to the primary are closed and refused; pgvigil reaches both",
        topology: Topology { links: &["b"], ..TWO },
        alerts: &["PostgresStandbyDisconnected warning node=b"],
        ..Row::default()
    }
    .run(async |cast| cast.link("b").set(WireMode::Cut).await, async |cast| cast.link("b").set(WireMode::Pass).await)
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn flapping() -> Outcome {
    Row {
        fault: 11,
        name: "link-flapping",
        how: "the walsender is ended 8 times, each time the standby streams again",
        topology: TWO,
        alerts: &["PostgresStandbyLinkFlapping warning node=b"],
        ..Row::default()
    }
    .run(
        async |cast| {
            for _ in 0..8 {
                let old = cast.a.signal_process(Backend::WalSender("b"), Signal::TERM).await?;
                wait_until("another walsender", Duration::from_secs(10), async || {
                    let new = cast.a.process_of(Backend::WalSender("b")).await?;
                    if new == old { Err("the old one".to_owned()) } else { Ok(()) }
                })
                .await?;
                // Two within one reading would be counted as one.
                tokio::time::sleep(Duration::from_millis(2_200)).await;
            }
            Ok(())
        },
        async |_| Ok(()),
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_network() -> Outcome {
    Row {
        fault: 12,
        name: "network-slow",
        how: "1 KB/s from the primary to the standby, while more than that is written",
        topology: Topology { links: &["b"], commits: 50, ..TWO },
        alerts: &["PostgresReceiveLagHigh warning node=b"],
        within: Duration::from_secs(180),
        ..Row::default()
    }
    .run(
        async |cast| cast.link("b").set(WireMode::Throttle(1_000)).await,
        async |cast| cast.link("b").set(WireMode::Pass).await,
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn lag_objective_missed() -> Outcome {
    Row {
        fault: 12,
        name: "network-slow-for-a-while",
        how: "the same for less than a minute: the standby is seconds behind, and the lag objective's budget burns",
        topology: Topology { links: &["b"], commits: 50, ..TWO },
        alerts: &["PostgresLagBudgetBurn warning node=b"],
        is_lag_held: true,
        ..Row::default()
    }
    .run(
        async |cast| cast.link("b").set(WireMode::Throttle(1_000)).await,
        async |cast| cast.link("b").set(WireMode::Pass).await,
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_upstream() -> Outcome {
    Row {
        fault: 31,
        name: "wrong-upstream",
        how: "primary_conninfo leads to a server that is no node of the cluster, once a standby of the primary",
        topology: TWO,
        alerts: &["PostgresWrongUpstream warning node=b"],
        ..Row::default()
    }
    .run(
        async |cast| {
            let wire = Wire::to(cast.a.port()).await?;
            let options = StandbyOptions { through_port: Some(wire.port()), ..StandbyOptions::default() };
            let stranger = cast.lab.standby_of(&cast.a, "stranger", options).await?;
            cast.b().configure(&[("primary_slot_name", "")]);
            cast.b().repoint(stranger.port()).await?;
            stranger.wait_streaming("b", Duration::from_secs(10)).await?;
            // While the primary feeds somebody whom pgvigil does not know, that might be the standby by another name.
            wire.set(WireMode::Cut).await?;
            cast.keep((wire, stranger));
            Ok(())
        },
        async |cast| {
            cast.b().configure(&[("primary_slot_name", "b")]);
            cast.b().repoint(cast.a.port()).await?;
            cast.release();
            Ok(())
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn password_wrong() -> Outcome {
    Row {
        fault: 37,
        name: "replication-password-wrong",
        how: "the password of the standby's role is changed on the primary, and its walsender ended",
        topology: Topology { links: &["b"], ..TWO },
        alerts: &["PostgresStandbyDisconnected warning node=b"],
        ..Row::default()
    }
    .run(
        async |cast| {
            cast.a.sql("ALTER ROLE replicator PASSWORD 'another'").await?;
            cast.a.signal_process(Backend::WalSender("b"), Signal::TERM).await.map(drop)
        },
        async |cast| cast.a.sql(&format!("ALTER ROLE replicator PASSWORD '{}'", Role::Replicator.password())).await,
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn hba_rejects() -> Outcome {
    Row {
        fault: 37,
        name: "replication-hba-rejects",
        how: "pg_hba.conf of the primary rejects replication, and the walsender is ended",
        topology: TWO,
        alerts: &["PostgresStandbyDisconnected warning node=b"],
        ..Row::default()
    }
    .run(
        async |cast| {
            rewrite_hba(&cast.a, |text| format!("host replication all all reject\n{text}")).await?;
            cast.a.signal_process(Backend::WalSender("b"), Signal::TERM).await.map(drop)
        },
        async |cast| rewrite_hba(&cast.a, |text| text.replacen("host replication all all reject\n", "", 1)).await,
    )
    .await
}

async fn rewrite_hba(server: &Server, change: impl Fn(&str) -> String) -> Outcome {
    let path = server.data_dir().join("pg_hba.conf");
    let text = std::fs::read_to_string(&path).expect("the server's file");
    std::fs::write(&path, change(&text)).expect("the server's file");
    server.reload().await
}

#[tokio::test(flavor = "multi_thread")]
async fn not_readable() -> Outcome {
    Row {
        fault: 38,
        name: "standby-not-readable",
        how: "the standby is started again with hot_standby off",
        topology: TWO,
        alerts: &["PostgresStandbyNotReadable warning node=b"],
        healing: &["PostgresRestarted"],
        ..Row::default()
    }
    .run(
        async |cast| {
            cast.b().configure(&[("hot_standby", "off")]);
            cast.b().stop(StopMode::Fast).await?;
            cast.b().spawn()
        },
        async |cast| {
            cast.b().configure(&[("hot_standby", "on")]);
            cast.b().stop(StopMode::Fast).await?;
            cast.b().start().await
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn wal_gone() -> Outcome {
    Row {
        fault: 39,
        name: "standby-wal-gone",
        how: "the standby is cut off, and the primary removes the WAL that it needs next",
        topology: Topology {
            slots: false,
            links: &["b"],
            primary: &[("wal_keep_size", "0"), ("min_wal_size", "2MB"), ("max_wal_size", "4MB")],
            archive: Archiving::On,
            ..TWO
        },
        alerts: &["PostgresStandbyNeedsRebuild critical node=b"],
        healing: &["PostgresRestarted"],
        unseen: Duration::from_secs(5),
        ..Row::default()
    }
    .run(
        async |cast| {
            cast.link("b").set(WireMode::Cut).await?;
            let gone = "SELECT count(*)::text FROM pg_ls_waldir() WHERE name = '";
            let needed = cast.a.value("SELECT pg_walfile_name(pg_current_wal_lsn())").await?.unwrap_or_default();
            wait_until("the segment to be removed", Duration::from_secs(10), async || {
                cast.write(4).await?;
                cast.a.sql("CHECKPOINT").await?;
                let left = cast.a.value(&format!("{gone}{needed}'")).await?;
                if left.as_deref() == Some("0") { Ok(()) } else { Err(format!("{left:?}")) }
            })
            .await?;
            cast.link("b").set(WireMode::Pass).await
        },
        async |cast| {
            let restore = pgvigil::lab::Archive::restore_command(&cast.archive());
            cast.b().configure(&[("restore_command", &restore)]);
            cast.b().restart().await
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn cascade_upstream_dies() -> Outcome {
    Row {
        fault: 40,
        name: "cascade-upstream-killed",
        how: "SIGKILL to a standby that feeds another",
        topology: Topology { standbys: &[("b", "a"), ("c", "b"), ("d", "a")], ..Topology::DEFAULT },
        alerts: &["PostgresStandbyDown warning node=b"],
        healing: &["PostgresRestarted"],
        ..Row::default()
    }
    .run(async |cast| cast.kill("b"), async |cast| cast.b().start().await)
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn another_system() -> Outcome {
    Row {
        fault: 32,
        name: "standby-made-anew",
        how: "the data directory of a standby is replaced by that of a new initdb",
        topology: TWO,
        alerts: &["PostgresForeignSystem critical node=b", "PostgresRestarted info node=b"],
        ..Row::default()
    }
    .run(
        async |cast| {
            let other = cast.lab.primary("other", ServerOptions::default().fresh_identity()).await?;
            other.stop(StopMode::Fast).await?;
            cast.b().stop(StopMode::Fast).await?;
            swap(other.data_dir(), cast.b().data_dir());
            cast.keep(other.data_dir().to_owned());
            cast.b().start().await
        },
        async |cast| {
            cast.b().stop(StopMode::Fast).await?;
            swap(&cast.lab.path().join("other/data"), cast.b().data_dir());
            cast.b().start().await
        },
    )
    .await
}

/// Lets two directories change places.
fn swap(one: &std::path::Path, other: &std::path::Path) {
    let aside = one.with_extension("aside");
    for (from, to) in [(one, aside.as_path()), (other, one), (aside.as_path(), other)] {
        std::fs::rename(from, to).expect("directories of the lab");
    }
}
