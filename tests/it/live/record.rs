//! Every statement on real servers. With `UPDATE=1` the rows become the fixtures of the golden pages; without, the committed
//! fixtures must have the columns that this server returns. `LAB_PG_BIN` names the server.

use std::time::Duration;

use pgvigil::clock::Moment;
use pgvigil::collector::slots::Slot;
use pgvigil::collector::snapshot::{Exchange, Snapshot};
use pgvigil::collector::walsender_kind::WalsenderKind;
use pgvigil::collector::{COLLECTORS, CollectError};
use pgvigil::lab::{Archive, Lab, LabError, Role, Server, ServerOptions, StandbyOptions, StopMode, Writer, wait_until};
use pgvigil::pg::lsn::Timeline;
use pgvigil::pg::version::ServerVersion;
use tokio::task::JoinHandle;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::copier::Copier;
use crate::fixture::{self, Answer};

const SOON: Duration = Duration::from_secs(20);
const GRANTS: &str = include_str!("../../../deploy/grants.sql");

/// Asks `server` everything as `role`, and writes the answers or compares them with what was written.
async fn record(server: &Server, role: Role, fixtures: &str) -> Result<Snapshot, LabError> {
    let client = server.connect_as(role).await?;
    let number = client.query_one("SELECT current_setting('server_version_num')", &[]).await.unwrap();
    let version = ServerVersion(number.get::<_, String>(0).parse().unwrap());
    let mut snapshot = Snapshot { version: Some(version), ..Snapshot::default() };
    for collector in COLLECTORS {
        let what = format!("{} on {} as {}", collector.name(), fixtures, role.name());
        let sql = collector.sql().pick(version).unwrap_or_else(|| panic!("no statement for {version}: {what}"));
        let statement = client.prepare(sql).await.unwrap_or_else(|error| panic!("{what}: {error:?}"));
        assert!(statement.columns().iter().all(|column| *column.type_() == Type::TEXT), "{what}: a column is not text");
        let sent = Moment::now();
        let path = fixture::path(version.major(), fixtures, collector.name());
        let rows = match client.query(&statement, &[]).await {
            Ok(rows) => rows,
            // A function that the role may not call: the session names the grant, no record reaches the collector.
            Err(error) if role == Role::Plain && error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                assert_eq!(collector.grant(), Some("pg_monitor"), "{what}");
                assert!(!path.exists(), "{what}");
                continue;
            }
            Err(error) => panic!("{what}: {error:?}"),
        };
        let exchange = Exchange { sent, received: Moment::now() };
        let answer = Answer {
            server_version: version.0,
            columns: statement.columns().iter().map(|column| column.name().to_owned()).collect(),
            rows: rows.iter().map(|row| (0..row.len()).map(|cell| row.get(cell)).collect()).collect(),
        };
        let cells = || answer.rows.iter().flatten().flatten();
        assert!(cells().all(|cell| !cell.contains(role.password())), "{what}: a password left the server");
        if fixture::update() {
            answer.write(&path);
        }
        let committed = Answer::read(&path).unwrap_or_else(|| panic!("no {}: run with UPDATE=1", path.display()));
        assert_eq!(committed.columns, answer.columns, "{what}");
        match collector.store(&answer.records(), &mut snapshot, exchange) {
            Ok(()) => {}
            Err(CollectError::MissingGrant(grant)) => {
                assert_eq!((role, collector.grant()), (Role::Plain, Some(grant)), "{what}");
            }
            Err(error) => panic!("{what}: {error}"),
        }
    }
    Ok(snapshot)
}

/// Logical replication to another database of the same server, whose slot cannot be made by CREATE SUBSCRIPTION itself.
pub(super) async fn feed_a_subscription(a: &Server) -> Result<(), LabError> {
    a.sql("CREATE TABLE orders (id int PRIMARY KEY)").await?;
    a.sql("CREATE PUBLICATION orders FOR TABLE orders").await?;
    a.sql("CREATE DATABASE copy").await?;
    a.sql("SELECT pg_create_logical_replication_slot('orders_feed', 'pgoutput')").await?;
    let dsn = a.dsn(Role::Superuser);
    let config: tokio_postgres::Config = dsn.replace("dbname=postgres", "dbname=copy").parse().unwrap();
    let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let subscribe = format!(
        "CREATE TABLE orders (id int PRIMARY KEY);
         CREATE SUBSCRIPTION orders_feed CONNECTION '{dsn}' PUBLICATION orders WITH (create_slot = false, copy_data = false)"
    );
    client.batch_execute(&subscribe).await.unwrap();
    a.wait_streaming("orders_feed", SOON).await
}

/// The names of what a node's walsenders feed, of one kind.
fn fed(snapshot: &Snapshot, kind: WalsenderKind) -> Vec<&str> {
    let senders = snapshot.senders().filter(|(_, other)| *other == kind);
    senders.map(|(walsender, _)| walsender.application_name.as_str()).collect()
}

/// Behind `b` another standby, and, all at once, a base backup with its stream of WAL and a receiver of WAL.
async fn record_cascade(lab: &Lab, b: &Server) -> Result<(), LabError> {
    let server = ServerOptions::default().set("wal_receiver_status_interval", "1s").set("hot_standby_feedback", "on");
    let d = lab.standby_of(b, "d", StandbyOptions { server, ..Default::default() }).await?;
    let connect = async |name: &str| Copier::connect(b, name).await.expect("a replication connection");
    let backup = connect("pg_basebackup").await.backup(b).await.expect("a base backup");
    let streams =
        [connect("pg_basebackup").await.stream(b, true).await?, connect("nightly").await.stream(b, false).await?];
    let running = "SELECT count(*) = 1 AND (SELECT count(replay_lsn) = 1 AND count(backend_xmin) = 1 AND count(reply_time) = 3 \
                   FROM pg_stat_replication) FROM pg_stat_progress_basebackup WHERE backup_total > 0 AND backup_streamed > 0";
    wait_until("a standby, a backup and two streams", SOON, async || match b.value(running).await? {
        Some(yes) if yes == "t" => Ok(()),
        other => Err(format!("{other:?} {:?}", b.query("SELECT * FROM pg_stat_replication").await?)),
    })
    .await?;
    let cascade = record(b, Role::Monitor, "cascade").await?;
    assert_eq!(fed(&cascade, WalsenderKind::Standby), ["d"]);
    assert_eq!(fed(&cascade, WalsenderKind::Backup), ["pg_basebackup"]);
    assert_eq!(fed(&cascade, WalsenderKind::WalStream), ["pg_basebackup", "nightly"]);
    assert_eq!(cascade.base_backups.map(|fact| fact.value.len()), Some(1));
    drop((backup, streams));
    d.stop(StopMode::Immediate).await
}

/// A commit that waits for a standby that is gone, until it is cancelled.
async fn hang_a_commit(a: &Server) -> Result<JoinHandle<Result<(), LabError>>, LabError> {
    a.alter(&[("synchronous_standby_names", "b")]).await?;
    let server = a.clone();
    let commit = tokio::spawn(async move { server.sql("SELECT pg_logical_emit_message(true, 'lab', 'hangs')").await });
    let waiting = "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    wait_until("a commit to hang", SOON, async || match a.value(waiting).await? {
        Some(yes) if yes == "t" => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await?;
    Ok(commit)
}

/// Archiving fails, and the slot that `b` has left falls too far behind.
async fn bring_trouble(a: &Server) -> Result<(), LabError> {
    a.archive(&Archive::Broken).await?;
    a.alter(&[("max_slot_wal_keep_size", "2MB"), ("wal_keep_size", "0")]).await?;
    for _ in 0..6 {
        a.sql("INSERT INTO orders SELECT coalesce(max(id), 0) + 1 FROM orders").await?;
        a.switch_wal().await?;
    }
    let trouble = "SELECT (SELECT failed_count > 0 FROM pg_stat_archiver) \
                   AND (SELECT wal_status = 'lost' FROM pg_replication_slots WHERE slot_name = 'b')";
    wait_until("the slot to be lost and archiving to fail", SOON, async || {
        a.sql("CHECKPOINT").await?;
        match a.value(trouble).await? {
            Some(yes) if yes == "t" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await
}

#[tokio::test]
async fn every_statement_gives_the_columns_of_its_fixture() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let wal = lab.server_dir("wal")?;
    let timed = match lab.binaries().major() {
        14.. => ServerOptions::default().set("track_wal_io_timing", "on"),
        _ => ServerOptions::default(),
    };
    let options = timed
        .archive(&Archive::Into(wal.clone()))
        .set("wal_level", "logical")
        .set("max_slot_wal_keep_size", "64MB")
        .set("wal_receiver_status_interval", "1s");
    let a = lab.primary("a", options).await?;
    // The role as it is deployed.
    a.sql("DROP ROLE pgvigil").await?;
    a.sql(GRANTS).await?;
    a.sql(&format!("ALTER ROLE pgvigil PASSWORD '{}'", Role::Monitor.password())).await?;

    let streaming = StandbyOptions {
        slot: Some("b".to_owned()),
        server: ServerOptions::default()
            .set("wal_receiver_status_interval", "1s")
            .set("hot_standby_feedback", "on")
            .set("archive_mode", "always"),
        ..Default::default()
    };
    let b = lab.standby_of(&a, "b", streaming).await?;
    let shipped = StandbyOptions {
        archive_only: true,
        restore_command: Some(Archive::restore_command(&wal)),
        apply_delay: Some(Duration::from_millis(1_500)),
        ..Default::default()
    };
    let c = lab.standby_of(&a, "c", shipped).await?;
    a.wait_streaming("b", SOON).await?;
    feed_a_subscription(&a).await?;
    a.sql("SELECT pg_create_physical_replication_slot('spare')").await?;
    let session = a.connect().await?;
    a.query_on(&session, "SELECT pg_create_physical_replication_slot('passing', true, true)").await?;
    a.switch_wal().await?;
    let archived = "SELECT archived_count > 0 AND last_archived_wal IS NOT NULL FROM pg_stat_archiver";
    wait_until("a segment to be archived", SOON, async || match a.value(archived).await? {
        Some(yes) if yes == "t" => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await?;
    b.wait_caught_up(&a, SOON).await?;

    a.alter(&[("synchronous_standby_names", "FIRST 1 (b, c)")]).await?;
    let writer = Writer::start(&a, 200).await?;
    let replied = "SELECT count(*) = 2 AND bool_and(replay_lag IS NOT NULL) AND count(*) FILTER (WHERE sync_state = 'sync') = 1 \
                   AND (SELECT xmin IS NOT NULL FROM pg_replication_slots WHERE slot_name = 'b') FROM pg_stat_replication";
    wait_until("both walsenders to tell their lag, and a slot to keep rows", SOON, async || {
        match a.value(replied).await? {
            Some(yes) if yes == "t" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await?;
    let primary = record(&a, Role::Monitor, "primary").await?;
    let standby = record(&b, Role::Monitor, "standby").await?;
    writer.stop().await;
    let delayed = record(&c, Role::Monitor, "archive-only").await?;
    record(&a, Role::Plain, "primary-plain").await?;
    record(&b, Role::Plain, "standby-plain").await?;
    record_cascade(&lab, &b).await?;
    b.pause_replay().await?;
    let paused = record(&b, Role::Monitor, "standby-paused").await?;

    assert_eq!(fed(&primary, WalsenderKind::Standby), ["b"], "the subscription is no standby");
    assert_eq!(fed(&primary, WalsenderKind::Logical), ["orders_feed"]);
    assert_eq!(primary.walsenders.as_ref().map(|fact| fact.value.len()), Some(2));
    assert!(standby.wal_receiver.is_some_and(|fact| fact.value.is_some()));
    assert!(delayed.wal_receiver.is_some_and(|fact| fact.value.is_none()));
    assert_eq!(delayed.settings.map(|fact| fact.value.recovery_min_apply_delay), Some(1.5));
    assert!(paused.recovery.is_some_and(|fact| fact.value.pause.is_some()));

    // Nobody is left to wait for.
    a.alter(&[("synchronous_standby_names", "")]).await?;
    b.promote().await?;
    let promoted = record(&b, Role::Monitor, "promoted").await?;
    assert_eq!(promoted.recovery.and_then(|fact| fact.value.timeline), Some(Timeline(2)));
    bring_trouble(&a).await?;
    let commit = hang_a_commit(&a).await?;
    let troubled = record(&a, Role::Monitor, "primary-troubled").await?;
    let lost = |slot: &Slot| slot.name == "b" && slot.wal_status.as_deref() == Some("lost");
    assert_eq!(troubled.sync.map(|fact| fact.value.waiters.len()), Some(1));
    a.sql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'").await?;
    commit.await.expect("the commit ends")?;
    assert!(troubled.slots.is_some_and(|fact| fact.value.iter().any(lost)));
    lab.stop().await;
    Ok(())
}
