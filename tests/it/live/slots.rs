//! Slots that are left behind, slots that spill, and what pgvigil says of them, against the servers' own word.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use pgvigil::lab::{Backend, Lab, LabError, Role, Server, ServerOptions, wait_until};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::watch::{Node, Page, SOON, Vigil};

const MEBIBYTE: f64 = 1_048_576.0;

fn slot(name: &str) -> String {
    format!("node=\"a\",slot=\"{name}\"")
}

/// Waits until this family of the slot `left` has this state.
async fn until_state(vigil: &Vigil, family: &str, state: &str) -> Page {
    let labels = slot("left");
    vigil
        .until(&format!("{family} {state}"), |page| {
            if page.matching(&[&format!("_{family}{{"), &labels]).is_empty() {
                return Err("no such slot".to_owned());
            }
            let seen = page.one_of(family, &labels);
            if seen == state { Ok(()) } else { Err(seen) }
        })
        .await;
    vigil.page().await
}

/// About 800 KiB of WAL a second, until dropped.
struct Load(JoinHandle<()>);

impl Load {
    async fn on(server: &Server) -> Result<Self, LabError> {
        let client = server.connect().await?;
        Ok(Self(tokio::spawn(async move {
            let mut ticks = interval(Duration::from_millis(50));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            loop {
                ticks.tick().await;
                let message = "SELECT pg_logical_emit_message(true, 'load', repeat('x', 40960))";
                if client.batch_execute(message).await.is_err() {
                    return;
                }
            }
        })))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Waits until the page shows the status, and asserts that the server says the same.
async fn until_status(vigil: &Vigil, a: &Server, status: &str) -> Result<Page, LabError> {
    let page = until_state(vigil, "slot_wal_status", status).await;
    let told = a.value("SELECT wal_status FROM pg_replication_slots WHERE slot_name = 'left'").await?;
    assert_eq!(told.as_deref(), Some(status), "the server's word");
    Ok(page)
}

#[tokio::test]
async fn a_slot_left_alone_goes_from_reserved_to_lost_when_it_said() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let options = ServerOptions::default()
        .set("max_slot_wal_keep_size", "8MB")
        .set("max_wal_size", "4MB")
        .set("min_wal_size", "2MB")
        .set("wal_keep_size", "0")
        .set("max_replication_slots", "7")
        .set("autovacuum", "off");
    let a = lab.primary("a", options).await?;
    let load = Load::on(&a).await?;
    let vigil = Vigil::start(&lab, &[Node::of(&a)]).await?;
    let used = |page: &Page| ["slots_used", "slots_limit"].map(|name| page.of_node(name, "a"));
    vigil
        .until("no slot of seven", |page| match used(page) {
            [Some(0.0), Some(7.0)] => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    let page = vigil.page().await;
    assert_eq!(["walsenders_used", "walsenders_limit"].map(|name| page.of_node(name, "a")), [Some(0.0), Some(10.0)]);

    let client = a.connect().await?;
    let safe = async || -> Result<f64, LabError> {
        let sql = "SELECT coalesce(safe_wal_size, 0)::text FROM pg_replication_slots WHERE slot_name = 'left'";
        Ok(a.query_on(&client, sql).await?.remove(0).remove(0).unwrap().parse().unwrap())
    };
    // The slot begins at the last checkpoint, and until it is to be lost none follows, so that no state is missed.
    a.sql("CHECKPOINT").await?;
    a.freeze_process(Backend::Checkpointer).await?;
    a.sql("SELECT pg_create_physical_replication_slot('left', true)").await?;
    let most = safe().await?;
    let page = until_status(&vigil, &a, "reserved").await?;
    let seen = page.get("slot_safe_bytes", &slot("left")).unwrap();
    assert!(most > 7.0 * MEBIBYTE && (safe().await?..=most).contains(&seen), "{seen} of {most}");
    until_state(&vigil, "slot_invalidation", "none").await;

    // What the page said while the slot was still safe, and when.
    let forecasts: RefCell<Vec<(Instant, f64)>> = RefCell::default();
    let until_safe_is = async |most: f64| {
        wait_until(format!("{most} to be safe"), Duration::from_secs(30), async || {
            let seen = Instant::now();
            let left = vigil.page().await.get("slot_time_to_lost_seconds", &slot("left"));
            forecasts.borrow_mut().extend(left.map(|left| (seen, left)));
            let safe = safe().await?;
            if safe <= most { Ok(()) } else { Err(format!("{safe} are, {:?}", forecasts.borrow().last())) }
        })
        .await
    };
    until_safe_is(4.0 * MEBIBYTE).await?;
    until_status(&vigil, &a, "extended").await?;
    until_safe_is(0.0).await?;
    let unsafe_at = Instant::now();
    let forecasts = forecasts.into_inner();
    let mut checked = 0;
    for (seen, left) in &forecasts {
        let truth = unsafe_at.duration_since(*seen).as_secs_f64();
        // The nearer the end, the more the time between a reading and its page weighs.
        if truth >= 4.0 {
            assert!((left - truth).abs() <= 0.2 * truth, "pgvigil says {left:.1} s, truth is {truth:.1} s");
            checked += 1;
        }
    }
    assert!(checked >= 3, "{forecasts:?}");
    drop(load);

    let page = until_status(&vigil, &a, "unreserved").await?;
    assert!(page.get("slot_safe_bytes", &slot("left")).is_some_and(|safe| safe <= 0.0));
    assert_eq!(page.get("slot_time_to_lost_seconds", &slot("left")), Some(0.0));
    a.thaw()?;
    a.sql("CHECKPOINT").await?;
    until_status(&vigil, &a, "lost").await?;
    let page = until_state(&vigil, "slot_invalidation", "wal_removed").await;
    // And it stays, while everything that was counted in bytes is gone.
    assert_eq!(page.one_of("slot_wal_status", &slot("left")), "lost");
    for name in ["slot_safe_bytes", "slot_retained_bytes", "slot_time_to_lost_seconds"] {
        assert!(page.matching(&[name, "left"]).is_empty(), "{name}");
    }
    assert_eq!(page.get("slot_active", &slot("left")), Some(0.0));
    if a.major() >= 17 {
        let idle = page.get("slot_inactive_age_seconds", &slot("left")).unwrap();
        let truth = "SELECT extract(epoch FROM clock_timestamp() - inactive_since) FROM pg_replication_slots";
        let truth: f64 = a.value(truth).await?.unwrap().parse().unwrap();
        assert!(idle <= truth && truth - idle < 3.0, "{idle} {truth}");
    }
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_logical_slot_that_spills_counts_what_it_spilled() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let options = ServerOptions::default()
        .set("wal_level", "logical")
        .set("logical_decoding_work_mem", "64kB")
        .set("max_prepared_transactions", "2");
    let a = lab.primary("a", options).await?;
    // pgoutput is part of every server; test_decoding is not of every package.
    let two_phase = if a.major() >= 14 { ", false, true" } else { "" };
    a.sql(&format!("SELECT pg_create_logical_replication_slot('feed', 'pgoutput'{two_phase})")).await?;
    a.sql("CREATE TABLE orders (id int PRIMARY KEY, words text)").await?;
    a.sql("CREATE PUBLICATION orders FOR TABLE orders").await?;
    let vigil = Vigil::start(&lab, &[Node::of(&a)]).await?;
    a.sql("INSERT INTO orders SELECT n, repeat('x', 100) FROM generate_series(1, 5000) AS n").await?;
    let take = "SELECT count(*) FROM pg_logical_slot_get_binary_changes('feed', NULL, NULL, \
                'proto_version', '1', 'publication_names', 'orders')";
    let changes: u32 = a.value(take).await?.unwrap().parse().unwrap();
    assert!(changes >= 5000, "{changes}");

    // A transaction later the catalogue's horizon is a transaction older.
    for _ in 0..5 {
        a.sql("SELECT txid_current()").await?;
    }
    let client = a.connect_as(Role::Monitor).await?;
    let truth = async |column: &str, from: &str| -> Option<f64> {
        let sql = format!("SELECT {column} FROM {from} WHERE slot_name = 'feed'");
        a.query_on(&client, &sql).await.unwrap().remove(0).remove(0).map(|cell| cell.parse().unwrap())
    };
    let age = truth("age(catalog_xmin)", "pg_replication_slots").await;
    assert!(age >= Some(5.0), "{age:?}");
    vigil
        .until("the age of catalog_xmin", |page| {
            let seen = page.get("slot_catalog_xmin_age_transactions", &slot("feed"));
            if seen == age { Ok(()) } else { Err(format!("{seen:?}, truth is {age:?}")) }
        })
        .await;
    assert_eq!(vigil.page().await.get("slot_xmin_age_transactions", &slot("feed")), None);
    if a.major() < 14 {
        assert!(vigil.page().await.matching(&["slot_spilled"]).iter().all(|(series, _)| !series.contains("feed")));
        lab.stop().await;
        return Ok(());
    }
    // The server tells of it within a second of the decoding's end.
    for (family, column, least) in [
        ("slot_spilled_transactions_total", "spill_txns", 1.0),
        ("slot_spilled_bytes_total", "spill_bytes", 500_000.0),
        ("slot_decoded_transactions_total", "total_txns", 1.0),
        ("slot_decoded_bytes_total", "total_bytes", 500_000.0),
        ("slot_streamed_transactions_total", "stream_txns", 0.0),
        ("slot_streamed_bytes_total", "stream_bytes", 0.0),
    ] {
        wait_until(family, SOON, async || {
            let told = truth(column, "pg_stat_replication_slots").await;
            let seen = vigil.page().await.get(family, &slot("feed"));
            if seen == told && seen >= Some(least) { Ok(()) } else { Err(format!("{seen:?}, truth is {told:?}")) }
        })
        .await?;
    }
    let page = vigil.page().await;
    assert_eq!(page.get("slot_two_phase", &slot("feed")), Some(1.0));
    let since_17 = (a.major() >= 17).then_some(0.0);
    assert_eq!(page.get("slot_failover", &slot("feed")), since_17);
    assert_eq!(page.get("slot_synced", &slot("feed")), since_17);
    lab.stop().await;
    Ok(())
}
