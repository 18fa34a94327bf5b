//! Slots that are left behind, and what pgvigil says of them, against the servers' own word.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use pgvigil::lab::{Backend, Lab, LabError, Server, ServerOptions, wait_until};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::watch::{Node, Page, Vigil};

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
            // On a busy machine the load may be a second late, and makes up for it then.
            assert!((left - truth).abs() <= 0.2 * truth + 1.0, "pgvigil says {left:.1} s, truth is {truth:.1} s");
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
async fn an_idle_slot_tells_for_how_long_and_is_given_up_where_the_server_does() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default().set("autovacuum", "off")).await?;
    let vigil = Vigil::start(&lab, &[Node::of(&a)]).await?;
    let made = Instant::now();
    a.sql("SELECT pg_create_physical_replication_slot('left', true)").await?;
    let page = until_state(&vigil, "slot_invalidation", "none").await;
    let age = |page: &Page| page.get("slot_inactive_age_seconds", &slot("left"));
    if a.major() < 17 {
        assert_eq!(age(&page), None, "these servers do not tell");
        assert!(a.value("SELECT inactive_since FROM pg_replication_slots").await.is_err());
        lab.stop().await;
        return Ok(());
    }
    // It is as old as the slot, less what lies between a reading and its page.
    for least in [1.0, 2.0] {
        vigil
            .until(&format!("{least} s of idleness"), |page| match age(page) {
                Some(seen) if seen >= least => Ok(()),
                other => Err(format!("{other:?}")),
            })
            .await;
        let seen = age(&vigil.page().await).unwrap();
        let truth = made.elapsed().as_secs_f64();
        assert!(seen <= truth && truth - seen < 3.0, "{seen} of {truth}");
    }
    if a.major() < 18 {
        assert!(a.value("SHOW idle_replication_slot_timeout").await.is_err(), "these servers wait for ever");
        a.sql("CHECKPOINT").await?;
        assert_eq!(
            until_state(&vigil, "slot_wal_status", "reserved").await.one_of("slot_invalidation", &slot("left")),
            "none"
        );
        lab.stop().await;
        return Ok(());
    }
    a.alter(&[("idle_replication_slot_timeout", "1s")]).await?;
    a.sql("CHECKPOINT").await?;
    let told = a.value("SELECT invalidation_reason FROM pg_replication_slots WHERE slot_name = 'left'").await?;
    assert_eq!(told.as_deref(), Some("idle_timeout"), "the server's word");
    until_state(&vigil, "slot_invalidation", "idle_timeout").await;
    let page = until_status(&vigil, &a, "lost").await?;
    let kept = a.value("SELECT restart_lsn FROM pg_replication_slots").await?;
    assert!(kept.is_some(), "the server still names a position");
    assert!(page.matching(&["slot_retained_bytes", "left"]).is_empty(), "from which it keeps nothing");
    lab.stop().await;
    Ok(())
}
