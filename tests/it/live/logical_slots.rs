//! Logical slots: their statistics, those that are synced to a standby, and those that a standby must give up.

use pgvigil::lab::{Lab, LabError, Role, Server, ServerOptions, StandbyOptions, wait_until};

use super::watch::{Node, Page, SOON, Vigil};

/// What one primary and one standby of logical slots need.
fn logical() -> ServerOptions {
    ServerOptions::default().set("wal_level", "logical").set("autovacuum", "off")
}

/// A primary `a` with its standby `b`, which streams through the slot `b`.
async fn pair(lab: &Lab, standby: ServerOptions) -> Result<(Server, Server), LabError> {
    let a = lab.primary("a", logical()).await?;
    let options = StandbyOptions { slot: Some("b".to_owned()), server: standby, ..Default::default() };
    let b = lab.standby_of(&a, "b", options).await?;
    a.wait_streaming("b", SOON).await?;
    Ok((a, b))
}

fn of(node: &str, slot: &str) -> String {
    format!("node=\"{node}\",slot=\"{slot}\"")
}

/// Waits until the page shows these values of a slot, by family.
async fn until(vigil: &Vigil, node: &str, slot: &str, expected: &[(&str, Option<f64>)]) {
    vigil
        .until(&format!("{slot} on {node}: {expected:?}"), |page| {
            let seen: Vec<_> = expected.iter().map(|(family, _)| page.get(family, &of(node, slot))).collect();
            let good = seen.iter().zip(expected).all(|(seen, (_, expected))| seen == expected);
            if good { Ok(()) } else { Err(format!("{seen:?}")) }
        })
        .await;
}

#[tokio::test]
async fn a_slot_that_spills_and_streams_counts_both() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let options = logical().set("logical_decoding_work_mem", "64kB").set("max_prepared_transactions", "2");
    let a = lab.primary("a", options).await?;
    // pgoutput is part of every server; test_decoding is not of every package.
    let two_phase = if a.major() >= 14 { ", false, true" } else { "" };
    a.sql(&format!("SELECT pg_create_logical_replication_slot('feed', 'pgoutput'{two_phase})")).await?;
    a.sql("CREATE TABLE orders (id int PRIMARY KEY, words text)").await?;
    a.sql("CREATE PUBLICATION orders FOR TABLE orders").await?;
    let vigil = Vigil::start(&lab, &[Node::of(&a)]).await?;
    let take = async |first: u32, options: &str| -> Result<(), LabError> {
        let rows =
            format!("INSERT INTO orders SELECT n, repeat('x', 100) FROM generate_series({first}, {first} + 4999) AS n");
        a.sql(&rows).await?;
        let changes = format!(
            "SELECT count(*) FROM pg_logical_slot_get_binary_changes('feed', NULL, NULL, 'publication_names', 'orders', {options})"
        );
        let changes: u32 = a.value(&changes).await?.unwrap().parse().unwrap();
        assert!(changes >= 5000, "{changes}");
        Ok(())
    };
    take(1, "'proto_version', '1'").await?;

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
    let ages = [("slot_catalog_xmin_age_transactions", age), ("slot_xmin_age_transactions", None)];
    until(&vigil, "a", "feed", &ages).await;
    if a.major() < 14 {
        // These servers count nothing for a slot.
        let page = vigil.page().await;
        for counted in ["slot_decoded", "slot_spilled", "slot_streamed", "slot_two_phase"] {
            assert!(page.matching(&[counted]).is_empty(), "{counted}");
        }
        lab.stop().await;
        return Ok(());
    }
    // The server tells of it within a second of the decoding's end.
    let counted = async |expected: &[(&str, &str, f64, f64)]| -> Result<(), LabError> {
        for (family, column, least, most) in expected {
            wait_until(*family, SOON, async || {
                let told = truth(column, "pg_stat_replication_slots").await;
                let seen = vigil.page().await.get(family, &of("a", "feed"));
                let within = seen.is_some_and(|seen| (*least..=*most).contains(&seen));
                if seen == told && within { Ok(()) } else { Err(format!("{seen:?}, truth is {told:?}")) }
            })
            .await?;
        }
        Ok(())
    };
    const MANY: f64 = 500_000.0;
    const ANY: f64 = f64::MAX;
    counted(&[
        ("slot_spilled_transactions_total", "spill_txns", 1.0, ANY),
        ("slot_spilled_bytes_total", "spill_bytes", MANY, ANY),
        ("slot_decoded_transactions_total", "total_txns", 1.0, ANY),
        ("slot_decoded_bytes_total", "total_bytes", MANY, ANY),
        ("slot_streamed_transactions_total", "stream_txns", 0.0, 0.0),
        ("slot_streamed_bytes_total", "stream_bytes", 0.0, 0.0),
    ])
    .await?;
    take(10_000, "'proto_version', '2', 'streaming', 'on'").await?;
    counted(&[
        ("slot_streamed_transactions_total", "stream_txns", 1.0, ANY),
        ("slot_streamed_bytes_total", "stream_bytes", MANY, ANY),
        ("slot_decoded_bytes_total", "total_bytes", 2.0 * MANY, ANY),
    ])
    .await?;
    let since_17 = (a.major() >= 17).then_some(0.0);
    let flags = [("slot_two_phase", Some(1.0)), ("slot_failover", since_17), ("slot_synced", since_17)];
    until(&vigil, "a", "feed", &flags).await;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_failover_slot_is_synced_on_the_standby_and_not_on_the_primary() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let (a, b) = pair(&lab, logical().set("hot_standby_feedback", "on")).await?;
    let vigil = Vigil::start(&lab, &[Node::of(&a), Node::of(&b)]).await?;
    let own = [("slot_active", Some(0.0)), ("slot_synced", None), ("slot_failover", None)];
    if a.major() < 17 {
        // No such slots: nothing is said of it, on either node.
        a.sql("SELECT pg_create_logical_replication_slot('feed', 'pgoutput')").await?;
        until(&vigil, "a", "feed", &own).await;
        let two_phase = (a.major() >= 14).then_some(0.0);
        until(&vigil, "a", "feed", &[("slot_two_phase", two_phase), ("slot_synced", None)]).await;
        assert!(vigil.page().await.matching(&["slot_", "feed", "node=\"b\""]).is_empty());
        lab.stop().await;
        return Ok(());
    }
    let upstream = b.value("SHOW primary_conninfo").await?.unwrap();
    let upstream = format!("{upstream} dbname=postgres");
    b.alter(&[("primary_conninfo", &upstream), ("sync_replication_slots", "on")]).await?;
    a.sql("SELECT pg_create_logical_replication_slot('feed', 'pgoutput', false, false, true)").await?;
    a.sql("SELECT pg_create_logical_replication_slot('local', 'pgoutput')").await?;
    wait_until("the slot to be synced", 2 * SOON, async || {
        // What the standby has must reach what the slot needs.
        a.sql("SELECT pg_log_standby_snapshot(), pg_replication_slot_advance('feed', pg_current_wal_lsn())").await?;
        let told = b.query("SELECT slot_name FROM pg_replication_slots WHERE synced AND NOT temporary").await?;
        if told == [[Some("feed".to_owned())]] { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .await?;
    until(&vigil, "a", "feed", &[("slot_failover", Some(1.0)), ("slot_synced", Some(0.0))]).await;
    until(&vigil, "a", "local", &[("slot_failover", Some(0.0)), ("slot_synced", Some(0.0))]).await;
    until(&vigil, "b", "feed", &[("slot_failover", Some(1.0)), ("slot_synced", Some(1.0))]).await;
    let page = vigil.page().await;
    assert!(page.matching(&["slot_", "\"local\"", "node=\"b\""]).is_empty(), "it stays behind");
    until_states(&vigil, "b", "feed", ["none", "reserved"]).await;
    lab.stop().await;
    Ok(())
}

/// Waits until the page has these states of a slot: why it was given up, and whether its WAL is there.
async fn until_states(vigil: &Vigil, node: &str, slot: &str, expected: [&str; 2]) {
    let labels = of(node, slot);
    vigil
        .until(&format!("{slot} on {node}: {expected:?}"), |page| {
            let families = ["slot_invalidation", "slot_wal_status"];
            if families.iter().any(|family| page.matching(&[family, &labels]).is_empty()) {
                return Err("no such slot".to_owned());
            }
            let seen = families.map(|family| page.one_of(family, &labels));
            if seen == expected { Ok(()) } else { Err(seen.join(", ")) }
        })
        .await;
}

/// Waits until the page names the end of the slot, and asserts that the server's own words agree.
async fn until_ended(vigil: &Vigil, b: &Server, slot: &str, reason: &str) -> Result<Page, LabError> {
    // 16 does not tell the two causes apart.
    let expected = if b.major() == 16 { "conflicting" } else { reason };
    until_states(vigil, "b", slot, [expected, "lost"]).await;
    let column = if b.major() == 16 { "CASE WHEN conflicting THEN 'conflicting' END" } else { "invalidation_reason" };
    let told = b.value(&format!("SELECT {column} FROM pg_replication_slots WHERE slot_name = '{slot}'")).await?;
    assert_eq!(told.as_deref(), Some(expected), "the server's word");
    Ok(vigil.page().await)
}

#[tokio::test]
async fn what_a_standby_gives_a_slot_up_for_is_named() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let (a, b) = pair(&lab, logical()).await?;
    let vigil = Vigil::start(&lab, &[Node::of(&a), Node::of(&b)]).await?;
    let make = "SELECT pg_create_logical_replication_slot('{}', 'pgoutput')";
    if b.major() < 16 {
        assert!(b.sql(&make.replace("{}", "feed")).await.is_err(), "these standbys have no logical slots");
        until_states(&vigil, "a", "b", ["none", "reserved"]).await;
        until(&vigil, "a", "b", &[("slot_active", Some(1.0))]).await;
        let page = vigil.page().await;
        assert!(page.matching(&["slot_invalidation", "node=\"b\""]).is_empty());
        lab.stop().await;
        return Ok(());
    }
    for slot in ["rows", "level"] {
        // The standby waits for a word of the primary on its running transactions.
        let client = b.connect().await?;
        let making = tokio::spawn({
            let make = make.replace("{}", slot);
            async move { client.batch_execute(&make).await }
        });
        wait_until("the slot to be made", SOON, async || {
            a.sql("SELECT pg_log_standby_snapshot()").await?;
            if making.is_finished() { Ok(()) } else { Err("not yet".to_owned()) }
        })
        .await?;
        making.await.expect("no panic").expect("a logical slot");
        until_states(&vigil, "b", slot, ["none", "reserved"]).await;
        if slot == "rows" {
            a.sql("CREATE TABLE passing (); DROP TABLE passing").await?;
            a.sql("VACUUM FULL pg_class").await?;
        } else {
            a.configure(&[("wal_level", "replica")]);
            a.restart().await?;
        }
        let reason = if slot == "rows" { "rows_removed" } else { "wal_level_insufficient" };
        let page = until_ended(&vigil, &b, slot, reason).await?;
        for name in ["slot_retained_bytes", "slot_safe_bytes", "slot_time_to_lost_seconds"] {
            assert!(page.matching(&[name, &of("b", slot)]).is_empty(), "{name}");
        }
    }
    // The end of one is not that of the other.
    until_ended(&vigil, &b, "rows", "rows_removed").await?;
    until_states(&vigil, "a", "b", ["none", "reserved"]).await;
    lab.stop().await;
    Ok(())
}
