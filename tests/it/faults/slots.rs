//! Slots that keep WAL, near their limit and lost, and the limits of slots and walsenders.

use std::time::Duration;

use pgvigil::lab::{LabError, wait_until};

use super::cast::{Cast, Topology};
use super::row::Row;
use crate::live::copier::Copier;

type Outcome = Result<(), LabError>;

const SOON: Duration = Duration::from_secs(60);
/// The standby streams without its slot, which stands alone; what wal_keep_size keeps lets it follow on a busy machine.
const LIMITED: Topology = Topology {
    slots: false,
    primary: &[
        ("max_slot_wal_keep_size", "64MB"),
        ("wal_keep_size", "48MB"),
        ("min_wal_size", "2MB"),
        ("max_wal_size", "8MB"),
    ],
    ..Topology::DEFAULT
};

async fn make(cast: &Cast, slot: &str) -> Outcome {
    cast.a.sql(&format!("SELECT pg_create_physical_replication_slot('{slot}', true)")).await
}

async fn remove(cast: &Cast, slot: &str) -> Outcome {
    cast.a.sql(&format!("SELECT pg_drop_replication_slot('{slot}')")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn abandoned() -> Outcome {
    Row {
        fault: 24,
        name: "slot-abandoned",
        how: "a slot of no node, and 1.1 GiB of WAL",
        alerts: &["PostgresSlotAbandoned warning node=a slot=forgotten"],
        within: Duration::from_secs(120),
        ..Row::default()
    }
    .run(
        async |cast| {
            make(cast, "forgotten").await?;
            for _ in 0..11 {
                cast.write_evenly(100).await?;
            }
            Ok(())
        },
        async |cast| remove(cast, "forgotten").await,
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn retains() -> Outcome {
    Row {
        fault: 24,
        name: "slot-retains-wal",
        how: "a slot that nobody reads keeps 110 MB of WAL, 34 % of forty times max_wal_size",
        topology: Topology {
            slots: false,
            primary: &[("max_wal_size", "8MB"), ("min_wal_size", "2MB")],
            ..Topology::DEFAULT
        },
        alerts: &["PostgresSlotRetainsWal warning node=a slot=b"],
        ..Row::default()
    }
    .run(
        async |cast| {
            make(cast, "b").await?;
            cast.write_evenly(110).await
        },
        async |cast| remove(cast, "b").await,
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn at_risk() -> Outcome {
    Row {
        fault: 25,
        name: "slot-at-risk",
        how: "a slot that nobody reads keeps 60 of the 64 MB of max_slot_wal_keep_size",
        topology: LIMITED,
        alerts: &["PostgresSlotAtRisk critical node=a slot=b"],
        ..Row::default()
    }
    .run(
        async |cast| {
            make(cast, "b").await?;
            cast.write_evenly(60).await
        },
        async |cast| remove(cast, "b").await,
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn lost() -> Outcome {
    Row {
        fault: 26,
        name: "slot-lost",
        how: "WAL beyond max_slot_wal_keep_size since a slot was read, and a checkpoint",
        topology: LIMITED,
        alerts: &["PostgresSlotLost critical node=a slot=b"],
        ..Row::default()
    }
    .run(
        async |cast| {
            make(cast, "b").await?;
            let status = "SELECT wal_status FROM pg_replication_slots WHERE slot_name = 'b'";
            wait_until("the slot to be lost", SOON, async || {
                cast.write_evenly(90).await?;
                cast.a.sql("CHECKPOINT").await?;
                let status = cast.a.value(status).await?;
                if status.as_deref() == Some("lost") { Ok(()) } else { Err(format!("{status:?}")) }
            })
            .await
        },
        async |cast| remove(cast, "b").await,
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn walsenders_taken() -> Outcome {
    Row {
        fault: 35,
        name: "walsenders-taken",
        how: "all of max_wal_senders taken by copies of WAL; the standby streams",
        topology: Topology { settings: &[("max_wal_senders", "4")], ..Topology::DEFAULT },
        alerts: &["PostgresWalsendersNearLimit warning node=a"],
        ..Row::default()
    }
    .run(
        async |cast| {
            for number in 0..3 {
                let copier = Copier::connect(&cast.a, &format!("receivewal-{number}")).await.expect("a connection");
                cast.keep(copier.stream(&cast.a, false).await?);
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
async fn slots_taken() -> Outcome {
    Row {
        fault: 35,
        name: "slots-taken",
        how: "all of max_replication_slots taken",
        topology: Topology { settings: &[("max_replication_slots", "3")], ..Topology::DEFAULT },
        alerts: &["PostgresSlotsNearLimit warning node=a"],
        ..Row::default()
    }
    .run(
        async |cast| {
            make(cast, "one").await?;
            make(cast, "two").await
        },
        async |cast| {
            remove(cast, "one").await?;
            remove(cast, "two").await
        },
    )
    .await
}
