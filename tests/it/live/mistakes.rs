//! Mistakes of which the fix is printed as something that can be done as it stands: it is, and they are gone.

use pgvigil::lab::{Archive, Lab, LabError, Role, Server, ServerOptions, StandbyOptions, StopMode, wait_until};

use super::practice::{Ill, Practice, found, healthy, well};
use super::timelines::candidate;
use super::watch::{Node, SOON, Vigil};

type Outcome = Result<(), LabError>;

#[tokio::test]
async fn a_server_that_cannot_replicate_is_mended_by_what_is_printed() -> Outcome {
    let lab = Lab::new()?;
    let mut names = vec![
        "hot_standby",
        "listen_addresses",
        "max_replication_slots",
        "max_wal_senders",
        "recovery_target",
        "wal_level",
    ];
    // In a file of its own: what is printed holds against it.
    let mut options = ServerOptions::default();
    for (name, value) in [
        ("wal_level", "minimal"),
        ("max_wal_senders", "0"),
        ("hot_standby", "off"),
        ("max_replication_slots", "1"),
        ("recovery_target_time", "2099-01-01 00:00:00+00"),
    ] {
        options = options.set(name, value);
    }
    if lab.binaries().major() < 16 {
        options = options.set("promote_trigger_file", "/tmp/promote");
        names.push("trigger_file");
    }
    let a = lab.primary("a", options).await?;
    let practice = Practice::new(&lab, &[&a]);
    let other = Node::with("b", "host=127.0.0.1 port=1 user=pgvigil dbname=postgres", ", address: \"192.0.2.77:5432\"");
    practice.configure(&[Practice::node(&a, ""), other], "", "");
    practice.prove(&names).await?;
    lab.stop().await;
    Ok(())
}

/// As many sessions as leave less than a tenth.
async fn crowd(server: &Server, connections: usize) -> Result<Vec<tokio_postgres::Client>, LabError> {
    let mut crowd = Vec::new();
    for _ in 0..connections {
        crowd.push(server.connect_as(Role::Plain).await?);
    }
    Ok(crowd)
}

async fn lose_a_slot(a: &Server) -> Outcome {
    a.sql("SELECT pg_create_physical_replication_slot('stray', true)").await?;
    a.alter(&[("max_slot_wal_keep_size", "1MB"), ("wal_keep_size", "0")]).await?;
    wait_until("the slot to be lost", SOON, async || {
        a.switch_wal().await?;
        a.sql("CHECKPOINT").await?;
        match a.value("SELECT wal_status FROM pg_replication_slots WHERE slot_name = 'stray'").await?.as_deref() {
            Some("lost") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await?;
    a.alter(&[("max_slot_wal_keep_size", "1GB"), ("wal_keep_size", "64MB")]).await
}

/// Replay cancels a query that needs what the primary removed.
async fn cancel_a_query(a: &Server, b: &Server) -> Outcome {
    a.sql("CREATE TABLE orders AS SELECT n AS id FROM generate_series(1, 100) AS n").await?;
    b.wait_caught_up(a, SOON).await?;
    b.alter(&[("max_standby_streaming_delay", "0")]).await?;
    let reader = b.connect().await?;
    b.query_on(&reader, "BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
    b.query_on(&reader, "SELECT count(*) FROM orders").await?;
    a.sql("DELETE FROM orders").await?;
    a.sql("VACUUM orders").await?;
    let cancelled = "SELECT sum(confl_snapshot) > 0 FROM pg_stat_database_conflicts";
    wait_until("a query to be cancelled", SOON, async || match b.value(cancelled).await?.as_deref() {
        Some("t") => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await
}

#[tokio::test]
async fn what_is_between_a_primary_and_its_standbys_is_mended_by_what_is_printed() -> Outcome {
    let lab = Lab::new()?;
    let dir = lab.server_dir("archive")?;
    let options = || well(&Archive::Into(dir.clone())).set("autovacuum", "off");
    let a = lab.primary("a", options()).await?;
    let standby = |name: &str, called: &str| StandbyOptions {
        slot: Some(name.to_owned()),
        application_name: Some(called.to_owned()),
        restore_command: Some(Archive::restore_command(&dir)),
        server: options(),
        ..Default::default()
    };
    let b = lab.standby_of(&a, "b", standby("b", "b")).await?;
    let c = lab.standby_of(&a, "c", standby("c", "b")).await?;
    let practice = Practice::new(&lab, &[&a, &b, &c]);
    practice.prove(&["application_name_unique"]).await?;
    c.sql("ALTER SYSTEM SET track_commit_timestamp = on").await?;
    c.restart().await?;
    for name in ["b", "c"] {
        // The name of c, from now on.
        a.wait_streaming(name, SOON).await?;
    }

    for server in [&a, &b, &c] {
        let file = server.data_dir().join("pg_hba.conf");
        let text = std::fs::read_to_string(&file).unwrap();
        let rules = text.lines().filter(|line| !line.contains("replication"));
        std::fs::write(&file, rules.map(|line| format!("{line}\n")).collect::<String>()).unwrap();
        server.reload().await?;
    }
    a.alter(&[("synchronous_standby_names", "b")]).await?;
    b.alter(&[("wal_keep_size", "128MB"), ("wal_sender_timeout", "30s"), ("full_page_writes", "off")]).await?;
    cancel_a_query(&a, &b).await?;
    practice.prove(&["hba_replication", "settings_drift", "sync_spare", "conflicts"]).await?;
    lose_a_slot(&a).await?;
    let elsewhere =
        format!("host=127.0.0.1 port=1 user=replicator password={} application_name=c", Role::Replicator.password());
    c.alter(&[("primary_conninfo", &elsewhere)]).await?;
    c.restart().await?;
    practice.prove(&["conninfo_target", "slot_lost"]).await?;
    practice.until_gone(&["streaming"]).await?;

    // All of them: a standby may not have fewer.
    let taken = crowd(&a, 32).await?;
    practice.prove(&["connections"]).await?;
    drop(taken);
    a.wait_streaming("b", SOON).await?;
    let taken = crowd(&a, 32).await?;
    practice.until_gone(&["connections"]).await?;
    drop(taken);
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_standby_that_was_left_behind_by_a_failover_follows_by_what_is_printed() -> Outcome {
    let lab = Lab::new()?;
    let (a, b, c) = healthy(&lab).await?;
    // Whoever looks once does not know how far the primary was.
    let vigil = Vigil::start(&lab, &[&a, &b, &c].map(Node::of)).await?;
    vigil.until("somebody to promote", |page| candidate(page).map(drop).ok_or("nobody".to_owned())).await;
    let practice = Practice::new(&lab, &[&a, &b, &c]);
    a.stop(StopMode::Fast).await?;
    let told = async || -> Vec<Ill> {
        let report = vigil.get("/api/v1/clusters/lab/checks", "").await.unwrap();
        found(&serde_json::from_str(&report).unwrap())
    };
    let ills = wait_until("no_primary, and whom to promote", SOON, async || {
        let ills = told().await;
        let of_it = |ill: &&Ill| ill.check == "no_primary" && ill.fix.iter().any(|cure| cure["sql"].is_string());
        let why = vigil.get("/api/v1/clusters/lab", "").await.unwrap();
        ills.iter().find(of_it).map(|ill| ill.fix.clone()).ok_or(why)
    })
    .await?;
    assert_eq!(
        ills[0]["words"],
        "see that the old primary is stopped and does not start again: the runbook PostgresPrimaryDown"
    );
    assert!(!a.running());
    practice.mend(&[Ill { check: "no_primary".to_owned(), fix: ills[1..].to_vec() }], &["no_primary"]).await?;
    wait_until("no_primary to be gone", SOON, async || {
        let ills = told().await;
        if ills.iter().all(|ill| ill.check != "no_primary") { Ok(()) } else { Err(format!("{ills:#?}")) }
    })
    .await?;
    let other = if b.value("SELECT pg_is_in_recovery()").await?.as_deref() == Some("f") { "c" } else { "b" };
    practice.prove(&["timeline"]).await?;
    let primary = if other == "c" { &b } else { &c };
    primary.wait_streaming(other, SOON).await?;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_collation_of_another_library_is_mended_by_what_is_printed() -> Outcome {
    let lab = Lab::new()?;
    if lab.binaries().major() < 15 {
        // They do not tell.
        return Ok(());
    }
    let a = lab.primary("a", ServerOptions::default()).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions::default()).await?;
    let practice = Practice::new(&lab, &[&a, &b]);
    a.sql("CREATE DATABASE \"the shop\" TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en' LOCALE 'C'").await?;
    // As after an upgrade of the operating system.
    a.sql("UPDATE pg_database SET datcollversion = '1.0' WHERE datname = 'the shop'").await?;
    practice.prove(&["collation"]).await?;
    lab.stop().await;
    Ok(())
}
