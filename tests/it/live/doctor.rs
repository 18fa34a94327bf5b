//! `pgvigil doctor`: mistakes made on real servers, found, mended by what it prints, and gone.

use std::collections::BTreeSet;

use pgvigil::doctor::check::CHECKS;
use pgvigil::lab::{Lab, LabError, Role, ServerOptions, StandbyOptions};
use rustix::process::Signal;
use serde_json::Value;

use super::practice::{Practice, healthy};
use super::watch::{Node, Vigil};

type Outcome = Result<(), LabError>;

/// The checks whose mistake is made on real servers, found, mended by what is printed as it stands, and gone; here and in `mistakes`.
const PROVEN: &[&str] = &[
    "application_name_unique",
    "apply_delay",
    "archive_timeout",
    "collation",
    "conflicts",
    "connections",
    "conninfo_target",
    "fsync",
    "full_page_writes",
    "hba_replication",
    "hot_standby",
    "listen_addresses",
    "max_replication_slots",
    "max_wal_senders",
    "monitor_grants",
    "no_primary",
    "pending_restart",
    "preload",
    "recovery_target",
    "recovery_target_timeline",
    "replay_paused",
    "replication_role",
    "reserved_connections",
    "rewind",
    "settings_drift",
    "settings_lower",
    "slot_inactive",
    "slot_limit",
    "slot_lost",
    "slot_named",
    "slot_used",
    "standby_delay",
    "status_interval",
    "sync_spare",
    "sync_unsatisfied",
    "synchronous_commit",
    "timeline",
    "timeouts",
    "trigger_file",
    "wal_level",
];

/// Those that are found, mended by a person who does what is printed and knows what it leaves open, and gone; in `by_hand`.
const BY_HAND: &[&str] = &[
    "archive_failing",
    "archive_hung",
    "archive_mode",
    "archive_noop",
    "archive_unset",
    "conninfo_credential",
    "conninfo_missing",
    "foreign_system",
    "hba_error",
    "lag_columns",
    "log_read",
    "manager",
    "monitor_superuser",
    "needed_wal",
    "no_standby",
    "node_reachable",
    "one_standby",
    "promotable",
    "replication_superuser",
    "restore_command",
    "same_server",
    "streaming",
    "two_primaries",
    "version_major",
    "version_minor",
    "write_visible",
];

/// Likewise, in `prove::checks`, with what it takes to make the mistake.
const BY_HAND_AND_RARELY: &[(&str, &str)] = &[
    ("archive_gap", "a look into the archive after archive_hung_after"),
    ("checksum_failures", "a page that is spoilt on the disk"),
    ("clock", "a compiler, for a library that moves the clock of one server"),
    ("logical_failover", "PostgreSQL 17"),
    ("prepared_transactions", "a compiler: it was prepared two hours ago"),
    ("replication_tls", "an address of this machine that is not 127.0.0.1"),
    ("wal_disk", "a mount"),
];

/// Those that are only found, and why they are not seen to go.
const FOUND: &[(&str, &str)] = &[
    (
        "backup_age",
        "what is printed names no command: which backup to make is a person's; in prove::backup, where one is made",
    ),
    ("client_routing", "what clients use is in nobody's reach here but the test's; in live::clients"),
    ("log_cause", "well again ten minutes after the last message; found in live::server_log"),
];

/// Those that no test makes, and why not.
const NOT_MADE: &[(&str, &str)] = &[];

#[test]
fn every_check_says_how_it_is_proven() {
    let named = |pairs: &[(&'static str, &str)]| pairs.iter().map(|(name, _)| *name).collect::<Vec<_>>();
    let rare = named(BY_HAND_AND_RARELY);
    let listed = [PROVEN, BY_HAND, &rare, &named(FOUND), &named(NOT_MADE)].concat();
    let known: BTreeSet<_> = CHECKS.iter().map(|check| check.id).collect();
    assert_eq!(listed.len(), known.len());
    assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), known);
    let (_, here) = include_str!("doctor.rs").split_once("async fn").unwrap();
    let proven = [here, include_str!("mistakes.rs")].concat();
    let by_hand = include_str!("by_hand.rs");
    for (names, text) in [(PROVEN, &*proven), (BY_HAND, by_hand), (&rare, include_str!("../prove/checks.rs"))] {
        for name in names {
            assert!(text.contains(&format!("\"{name}\"")), "{name} is in no test of its list");
        }
    }
}

#[tokio::test]
async fn a_healthy_cluster_has_no_finding() -> Outcome {
    let lab = Lab::new()?;
    let (a, b, c) = healthy(&lab).await?;
    let practice = Practice::new(&lab, &[&a, &b, &c]);
    let mut last = String::new();
    for _ in 0..5 {
        let (text, code) = practice.run(&["--strict"]).await?;
        if code == Some(0) {
            assert!(text.contains("0 errors, 0 warnings, 0 notes, 0 unknown"), "{text}");
            assert!(text.contains("is it replicating: yes"), "{text}");
            assert!(text.contains("would a failover succeed now: yes"), "{text}");
            assert!(text.contains("can the old primary be rewound: yes"), "{text}");
            assert!(!text.contains(Role::Monitor.password()), "{text}");
            let (_, code) = practice.run(&["--cluster", "nobody"]).await?;
            assert_eq!(code, Some(2));
            lab.stop().await;
            return Ok(());
        }
        last = text;
    }
    panic!("{last}");
}

#[tokio::test]
async fn mistakes_are_found_and_mended_by_what_is_printed() -> Outcome {
    let lab = Lab::new()?;
    let (a, b, c) = healthy(&lab).await?;
    let practice = Practice::new(&lab, &[&a, &b, &c]);

    // Those that a reload mends.
    a.sql("ALTER ROLE replicator NOLOGIN").await?;
    a.sql("REVOKE pg_monitor FROM pgvigil").await?;
    practice.prove(&["monitor_grants"]).await?;
    a.sql("SELECT pg_create_physical_replication_slot('stray', true)").await?;
    a.alter(&[
        ("fsync", "off"),
        ("full_page_writes", "off"),
        ("wal_sender_timeout", "0"),
        ("archive_timeout", "0"),
        ("max_slot_wal_keep_size", "-1"),
        ("synchronous_commit", "local"),
        ("synchronous_standby_names", "nobody"),
    ])
    .await?;
    b.alter(&[
        ("wal_receiver_status_interval", "0"),
        ("max_standby_streaming_delay", "-1"),
        ("recovery_min_apply_delay", "5s"),
    ])
    .await?;
    c.sql("SELECT pg_wal_replay_pause()").await?;
    practice
        .prove(&[
            "apply_delay",
            "archive_timeout",
            "fsync",
            "full_page_writes",
            "replay_paused",
            "replication_role",
            "slot_inactive",
            "slot_limit",
            "standby_delay",
            "status_interval",
            "sync_unsatisfied",
            "synchronous_commit",
            "timeouts",
        ])
        .await?;

    // Those that a restart mends. Standbys first: before 14 a standby that is left behind shuts down.
    for standby in [&b, &c] {
        standby.sql("ALTER SYSTEM SET max_connections = 60").await?;
        standby.restart().await?;
    }
    a.alter(&[("superuser_reserved_connections", "0"), ("max_connections", "60"), ("wal_log_hints", "off")]).await?;
    practice.prove(&["pending_restart"]).await?;
    b.alter(&[("recovery_target_timeline", "current"), ("primary_slot_name", "missing")]).await?;
    c.alter(&[("shared_preload_libraries", "auto_explain"), ("primary_slot_name", ""), ("restore_command", "")])
        .await?;
    a.alter(&[("wal_keep_size", "0"), ("synchronous_commit", "on")]).await?;
    a.sql("SELECT pg_create_physical_replication_slot('unused')").await?;
    for standby in [&b, &c] {
        standby.restart().await?;
    }
    let mut names = vec!["preload", "recovery_target_timeline", "reserved_connections", "slot_named"];
    if a.major() < 18 {
        // From then on initdb makes checksums.
        names.push("rewind");
    }
    let ills = practice.until_found(&names).await?;
    practice.mend(&ills, &names).await?;
    // The slot of c is there, but c does not name it any more.
    a.sql("SELECT pg_drop_replication_slot('c')").await?;
    practice.prove(&["slot_used"]).await?;
    let left: Vec<_> = practice.ills(&[]).await?;
    let left: Vec<_> = left.iter().filter(|ill| names.contains(&ill.check.as_str())).collect();
    assert!(left.is_empty(), "{left:#?}");

    // The primary's is raised under a standby: 14 and later pause their replay, and then say why.
    if a.major() >= 14 {
        a.sql("ALTER SYSTEM SET max_connections = 80").await?;
        a.restart().await?;
        practice.prove(&["settings_lower"]).await?;
    }
    lab.stop().await;
    Ok(())
}

const MANAGER: &str = "pgvigil_check_failed{cluster=\"lab\",check=\"manager\",severity=\"warning\"}";

async fn until(vigil: &Vigil, series: &str, wanted: f64) {
    vigil
        .until(series, |page| match page.matching(&[series]).first() {
            Some((_, value)) if *value == wanted => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
}

#[tokio::test]
async fn serve_says_the_same() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default().set("superuser_reserved_connections", "0")).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions::default()).await?;
    let vigil = Vigil::start(&lab, &[Node::of(&a), Node::of(&b)]).await?;
    let manager = a.connect().await?;
    a.query_on(&manager, "SET application_name = 'repmgrd'").await?;
    // The second is asked by the login probe alone.
    for (series, wanted) in [
        ("pgvigil_check_failed{cluster=\"lab\",check=\"fsync\",severity=\"error\"}", 1.0),
        ("pgvigil_check_failed{cluster=\"lab\",check=\"reserved_connections\",severity=\"warning\"}", 1.0),
        ("pgvigil_check_failed{cluster=\"lab\",check=\"streaming\",severity=\"error\"}", 0.0),
        (MANAGER, 1.0),
    ] {
        until(&vigil, series, wanted).await;
    }
    let page = vigil.page().await;
    let unknown = page.matching(&["pgvigil_check_failed{cluster=\"lab\",check=\"hba_replication\""]);
    assert!(unknown.is_empty(), "what is unknown is absent: {unknown:?}");
    let json: Value = serde_json::from_str(&vigil.get("/api/v1/clusters/lab/checks", "").await.unwrap()).unwrap();
    assert_eq!(json["answers"].as_array().map(Vec::len), Some(5), "{json}");
    // It is the config that says who fails over.
    let text = Vigil::config_text(&lab, vigil.port(), &[Node::of(&a), Node::of(&b)], "");
    vigil.replace_config(&text.replace("  - name: lab\n", "  - name: lab\n    manager: {repmgr: {}}\n"));
    vigil.process().signal(Signal::HUP)?;
    until(&vigil, MANAGER, 0.0).await;
    lab.stop().await;
    Ok(())
}
