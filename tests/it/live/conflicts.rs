//! Queries of a standby that stand in the way of replay, of each kind that the server counts; `replay` has those by row and by lock.

use pgvigil::lab::{Lab, LabError, Role, Server, ServerOptions, StandbyOptions, wait_until};
use tokio_postgres::Client;

use super::replay::{conflicts, until, until_cancelled};
use super::watch::{Node, SOON, Vigil};

/// A transaction of the standby whose cursor stands in the one page of `orders`, which has rows that were never committed.
async fn cursor(a: &Server, b: &Server) -> Result<Client, LabError> {
    a.sql("BEGIN; INSERT INTO orders VALUES (1), (2), (3); ROLLBACK").await?;
    a.sql("INSERT INTO orders VALUES (0)").await?;
    b.wait_caught_up(a, SOON).await?;
    let client = b.connect().await?;
    b.query_on(&client, "BEGIN").await?;
    b.query_on(&client, "DECLARE c CURSOR FOR SELECT id FROM orders").await?;
    b.query_on(&client, "FETCH 1 FROM c").await?;
    Ok(client)
}

/// A primary with the tables `orders` and `stock`, its standby, and who watches them.
async fn pair(lab: &Lab) -> Result<(Server, Server, Vigil), LabError> {
    let a = lab.primary("a", ServerOptions::default().set("autovacuum", "off")).await?;
    a.sql("CREATE TABLE orders (id int); CREATE TABLE stock (id int)").await?;
    let server = ServerOptions::default().set("max_standby_streaming_delay", "3s");
    let b = lab.standby_of(&a, "b", StandbyOptions { server, ..Default::default() }).await?;
    a.wait_streaming("b", SOON).await?;
    let vigil = Vigil::start(lab, &[Node::of(&a), Node::of(&b)]).await?;
    until(&vigil, "waiting_for_wal").await;
    Ok((a, b, vigil))
}

/// Waits until the page counts one conflict of each of `causes`, and none of the others.
async fn only(vigil: &Vigil, causes: &[&str]) {
    let told = ["tablespace", "lock", "snapshot", "bufferpin", "deadlock"];
    let told = told.map(|cause| (cause, Some(if causes.contains(&cause) { 1.0 } else { 0.0 })));
    vigil
        .until(&format!("{told:?}"), |page| match told.map(|(cause, _)| (cause, conflicts(page, cause))) {
            seen if seen == told => Ok(()),
            seen => Err(format!("{seen:?}")),
        })
        .await;
}

#[tokio::test]
async fn a_query_that_stands_in_a_page_is_counted_and_so_is_its_deadlock_with_replay() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let (a, b, vigil) = pair(&lab).await?;

    // A page cannot be cleaned while somebody stands in it.
    let _cursor = cursor(&a, &b).await?;
    a.sql("VACUUM orders").await?;
    until(&vigil, "conflict").await;
    until_cancelled(&vigil, &b, "bufferpin").await?;

    // The same, and whoever stands in the page waits for a lock that replay holds.
    let cursor = cursor(&a, &b).await?;
    let owner = a.connect().await?;
    a.query_on(&owner, "BEGIN").await?;
    a.query_on(&owner, "LOCK TABLE stock").await?;
    // The standby gets the lock's record with the next commit.
    a.sql("SELECT pg_logical_emit_message(true, 'lab', 'commit')").await?;
    let locked =
        "SELECT count(*)::text FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 'stock'::regclass";
    wait_until("the lock on the standby", SOON, async || match b.value(locked).await? {
        Some(count) if count == "1" => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await?;
    let waiter = tokio::spawn(async move { cursor.batch_execute("SELECT count(*) FROM stock").await.is_err() });
    let waits = "SELECT count(*)::text FROM pg_locks WHERE NOT granted";
    wait_until("somebody to wait for it", SOON, async || match b.value(waits).await? {
        Some(count) if count == "1" => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await?;
    a.sql("VACUUM orders").await?;
    assert!(waiter.await.expect("the waiter ends"), "it was cancelled");
    a.query_on(&owner, "ROLLBACK").await?;
    until_cancelled(&vigil, &b, "deadlock").await?;
    only(&vigil, &["bufferpin", "deadlock"]).await;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_query_that_sorts_in_a_tablespace_that_goes_is_counted() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let (a, b, vigil) = pair(&lab).await?;
    let owner = a.connect().await?;
    a.query_on(&owner, "SET allow_in_place_tablespaces = on").await?;
    a.query_on(&owner, "CREATE TABLESPACE spill LOCATION ''").await?;
    b.wait_caught_up(&a, SOON).await?;
    let sorter = b.connect().await?;
    b.query_on(&sorter, "SET temp_tablespaces = 'spill'; SET work_mem = '64kB'").await?;
    b.query_on(&sorter, "BEGIN").await?;
    let sort = "DECLARE c CURSOR FOR SELECT n FROM generate_series(1, 100000) AS n ORDER BY n DESC";
    b.query_on(&sorter, sort).await?;
    b.query_on(&sorter, "FETCH 1 FROM c").await?;
    a.query_on(&owner, "DROP TABLESPACE spill").await?;
    until(&vigil, "conflict").await;
    until_cancelled(&vigil, &b, "tablespace").await?;
    only(&vigil, &["tablespace"]).await;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_logical_slot_in_the_way_of_replay_is_counted() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let logical = ServerOptions::default().set("wal_level", "logical").set("autovacuum", "off");
    let a = lab.primary("a", logical.clone()).await?;
    if a.major() < 16 {
        // Their standbys have no logical slots, and the series is not there; see `replay`.
        lab.stop().await;
        return Ok(());
    }
    a.sql("CREATE TABLE orders (id int PRIMARY KEY); CREATE PUBLICATION orders FOR TABLE orders").await?;
    a.sql("CREATE DATABASE copy").await?;
    let b = lab.standby_of(&a, "b", StandbyOptions { server: logical, ..Default::default() }).await?;
    a.wait_streaming("b", SOON).await?;
    let vigil = Vigil::start(&lab, &[Node::of(&a), Node::of(&b)]).await?;
    vigil
        .until("no conflict", |page| match conflicts(page, "logical_slot") {
            Some(0.0) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    // The slot begins where the primary tells who is running.
    let server = b.clone();
    let made =
        tokio::spawn(async move { server.sql("SELECT pg_create_logical_replication_slot('feed', 'pgoutput')").await });
    wait_until("the slot", SOON, async || {
        a.sql("SELECT pg_log_standby_snapshot()").await?;
        if made.is_finished() { Ok(()) } else { Err("it waits for the primary".to_owned()) }
    })
    .await?;
    made.await.expect("the slot is made")?;
    let config: tokio_postgres::Config =
        a.dsn(Role::Superuser).replace("dbname=postgres", "dbname=copy").parse().unwrap();
    let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let subscribe = format!(
        "CREATE TABLE orders (id int PRIMARY KEY);
         CREATE SUBSCRIPTION feed CONNECTION '{}' PUBLICATION orders WITH (create_slot = false, copy_data = false)",
        b.dsn(Role::Superuser)
    );
    client.batch_execute(&subscribe).await.unwrap();
    wait_until("the slot to be in use", SOON, async || {
        match b.value("SELECT active FROM pg_replication_slots WHERE slot_name = 'feed'").await? {
            Some(yes) if yes == "t" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await?;
    // Rows of the catalogue go that it needs to read what was written before.
    a.sql("CREATE TABLE passing (id int)").await?;
    a.sql("DROP TABLE passing").await?;
    wait_until("the slot to be given up", SOON, async || {
        a.sql("VACUUM pg_class").await?;
        match b.value("SELECT conflicting FROM pg_replication_slots WHERE slot_name = 'feed'").await? {
            Some(yes) if yes == "t" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await?;
    wait_until("the conflict", SOON, async || {
        let told = b.value("SELECT sum(confl_active_logicalslot)::text FROM pg_stat_database_conflicts").await?;
        let seen = conflicts(&vigil.page().await, "logical_slot");
        let told = told.and_then(|told| told.parse().ok());
        if seen >= Some(1.0) && seen == told { Ok(()) } else { Err(format!("{seen:?}, the server says {told:?}")) }
    })
    .await?;
    lab.stop().await;
    Ok(())
}
