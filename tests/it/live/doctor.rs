//! `pgvigil doctor`: mistakes made on real servers, found, mended by what it prints, and gone.

use std::collections::{BTreeMap, BTreeSet};

use pgvigil::doctor::check::CHECKS;
use pgvigil::lab::{Archive, Lab, LabError, Role, Server, ServerOptions, Spawn, StandbyOptions, StopMode};
use serde_json::Value;

use super::watch::{Node, SOON, Vigil};

type Outcome = Result<(), LabError>;

/// The checks whose mistake is made here, found, mended verbatim by statements and restarts, and gone.
const PROVEN: &[&str] = &[
    "apply_delay",
    "archive_timeout",
    "fsync",
    "full_page_writes",
    "monitor_grants",
    "pending_restart",
    "preload",
    "recovery_target_timeline",
    "replay_paused",
    "replication_role",
    "reserved_connections",
    "rewind",
    "settings_lower",
    "slot_inactive",
    "slot_limit",
    "slot_named",
    "slot_used",
    "standby_delay",
    "status_interval",
    "sync_unsatisfied",
    "synchronous_commit",
    "timeouts",
];

/// Those that are found here (or in `live::server_log`, `live::write_probe`, `live::clients`, `prove::backup`), and that a person mends: no statement does.
const FOUND: &[&str] = &[
    "write_visible",
    "log_cause",
    "archive_mode",
    "archive_noop",
    "backup_age",
    "client_routing",
    "conninfo_missing",
    "conninfo_target",
    "hba_replication",
    "no_standby",
    "node_reachable",
    "one_standby",
    "restore_command",
    "same_server",
    "streaming",
    "two_primaries",
];

/// Those that no test here makes.
const NOT_MADE: &[&str] = &[
    "log_read",
    "application_name_unique",
    "archive_failing",
    "archive_gap",
    "archive_hung",
    "archive_unset",
    "checksum_failures",
    "clock",
    "collation",
    "conflicts",
    "connections",
    "conninfo_credential",
    "foreign_system",
    "hba_error",
    "hot_standby",
    "lag_columns",
    "listen_addresses",
    "logical_failover",
    "manager",
    "max_replication_slots",
    "max_wal_senders",
    "monitor_superuser",
    "needed_wal",
    "no_primary",
    "prepared_transactions",
    "promotable",
    "recovery_target",
    "replication_superuser",
    "replication_tls",
    "settings_drift",
    "slot_lost",
    "sync_spare",
    "timeline",
    "trigger_file",
    "version_major",
    "version_minor",
    "wal_disk",
    "wal_level",
];

#[test]
fn every_check_says_whether_it_is_proven_here() {
    let listed: Vec<_> = [PROVEN, FOUND, NOT_MADE].concat();
    let known: BTreeSet<_> = CHECKS.iter().map(|check| check.id).collect();
    assert_eq!(listed.len(), known.len());
    assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), known);
}

/// The clusters of a test, and how the doctor is asked of them.
struct Practice {
    lab: Lab,
    servers: BTreeMap<String, Server>,
}

/// One failed finding.
#[derive(Debug)]
struct Ill {
    check: String,
    fix: Vec<Value>,
}

impl Practice {
    fn new(lab: &Lab, servers: &[&Server]) -> Self {
        let servers: BTreeMap<_, _> =
            servers.iter().map(|server| (server.name().to_owned(), (*server).clone())).collect();
        let nodes: Vec<_> = servers
            .values()
            .map(|server| {
                let admin = format!(", admin_dsn: \"{}\"", server.dsn(Role::Superuser));
                Node::with(server.name(), &server.dsn(Role::Monitor), &admin)
            })
            .collect();
        lab.own_dir("state").unwrap();
        std::fs::write(lab.path().join("pgvigil.yml"), Vigil::config_text(lab, 1, &nodes, "")).unwrap();
        Self { lab: lab.clone(), servers }
    }

    async fn run(&self, arguments: &[&str]) -> Result<(String, Option<i32>), LabError> {
        let config = self.lab.path().join("pgvigil.yml");
        let mut command = Spawn::new("doctor", env!("CARGO_BIN_EXE_pgvigil")).arg("doctor").arg("--config").arg(config);
        for argument in arguments {
            command = command.arg(argument);
        }
        let process = self.lab.spawn(command)?;
        let code = process.wait(SOON).await?.code();
        Ok((process.log(), code))
    }

    async fn ills(&self) -> Result<Vec<Ill>, LabError> {
        let (text, _) = self.run(&["--json"]).await?;
        let json: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let checks = json[0]["checks"].as_array().unwrap().iter().filter(|check| check["answer"] == "failed");
        let ill = |check: &Value| Ill { check: text(&check["check"]), fix: check["fix"].as_array().unwrap().clone() };
        Ok(checks.map(ill).collect())
    }

    /// The doctor until it finds all of `expected`, or in the end what it lacks.
    async fn until_found(&self, expected: &[&str]) -> Result<Vec<Ill>, LabError> {
        for _ in 0..6 {
            let ills = self.ills().await?;
            if expected.iter().all(|name| ills.iter().any(|ill| ill.check == *name)) {
                return Ok(ills);
            }
        }
        let (text, _) = self.run(&[]).await?;
        panic!("not all of {expected:?} were found:\n{text}");
    }

    /// Does what the fixes say of the checks in `names`: every statement as it is printed, then every restart.
    async fn mend(&self, ills: &[Ill], names: &[&str]) -> Outcome {
        let mut restarts = BTreeSet::new();
        for ill in ills.iter().filter(|ill| names.contains(&ill.check.as_str())) {
            for cure in &ill.fix {
                let on = cure["node"].as_str().unwrap_or_default();
                if let Some(statement) = cure["sql"].as_str() {
                    self.servers[on].sql(statement).await?;
                } else if cure["restart"].is_string() {
                    restarts.insert(on.to_owned());
                } else {
                    panic!("{} is not mended by statements: {cure}", ill.check);
                }
            }
        }
        for name in restarts {
            self.servers[&name].restart().await?;
        }
        Ok(())
    }

    /// Makes sure that each of `names` is found, mended by what was printed, and gone.
    async fn prove(&self, names: &[&str]) -> Outcome {
        let ills = self.until_found(names).await?;
        self.mend(&ills, names).await?;
        for _ in 0..8 {
            if self.ills().await?.iter().all(|ill| !names.contains(&ill.check.as_str())) {
                return Ok(());
            }
        }
        let (text, _) = self.run(&[]).await?;
        panic!("the printed fix did not mend all of {names:?}:\n{text}");
    }
}

/// A server that lacks nothing.
fn well(archive: &Archive) -> ServerOptions {
    ServerOptions::default()
        .archive(archive)
        .set("fsync", "on")
        .set("wal_log_hints", "on")
        .set("archive_timeout", "60s")
        .set("max_slot_wal_keep_size", "1GB")
}

/// A primary and two standbys that stream.
async fn healthy(lab: &Lab) -> Result<(Server, Server, Server), LabError> {
    let dir = lab.server_dir("archive")?;
    let archive = Archive::Into(dir.clone());
    let a = lab.primary("a", well(&archive)).await?;
    let standby = |name: &str| StandbyOptions {
        slot: Some(name.to_owned()),
        restore_command: Some(Archive::restore_command(&dir)),
        server: well(&archive),
        ..StandbyOptions::default()
    };
    let b = lab.standby_of(&a, "b", standby("b")).await?;
    let c = lab.standby_of(&a, "c", standby("c")).await?;
    a.wait_streaming("b", SOON).await?;
    a.wait_streaming("c", SOON).await?;
    Ok((a, b, c))
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
    let left: Vec<_> = practice.ills().await?;
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

#[tokio::test]
async fn what_no_statement_mends_is_found() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions::default()).await?;
    let practice = Practice::new(&lab, &[&a, &b]);
    a.wait_streaming("b", SOON).await?;
    let hba = std::fs::read_to_string(a.data_dir().join("pg_hba.conf")).unwrap();
    let hba: String =
        hba.lines().filter(|line| !line.contains("replication")).map(|line| format!("{line}\n")).collect();
    std::fs::write(a.data_dir().join("pg_hba.conf"), hba).unwrap();
    a.reload().await?;
    practice.until_found(&["archive_mode", "hba_replication", "one_standby"]).await?;

    a.alter(&[("archive_mode", "on"), ("archive_command", "cd .")]).await?;
    a.restart().await?;
    practice.until_found(&["archive_noop", "no_standby", "restore_command", "streaming"]).await?;
    let elsewhere = "host=127.0.0.1 port=1 user=replicator password='se cret host=leak' application_name=b";
    b.alter(&[("primary_conninfo", elsewhere)]).await?;
    b.restart().await?;
    practice.until_found(&["conninfo_target"]).await?;
    let (json, _) = practice.run(&["--json"]).await?;
    assert!(!json.contains("cret") && !json.contains("leak"), "{json}");
    b.alter(&[("primary_conninfo", "")]).await?;
    b.restart().await?;
    practice.until_found(&["conninfo_missing"]).await?;

    b.sql("SELECT pg_promote()").await?;
    practice.until_found(&["two_primaries"]).await?;
    b.stop(StopMode::Fast).await?;
    let (text, code) = practice.run(&[]).await?;
    assert_eq!(code, Some(1));
    assert!(text.contains("error node_reachable on b:"), "{text}");

    let socket = format!("host={} port={} user=pgvigil dbname=postgres", a.socket_dir().display(), a.port());
    let nodes = [Node::of(&a), Node::with("z", &socket, "")];
    std::fs::write(lab.path().join("pgvigil.yml"), Vigil::config_text(&lab, 1, &nodes, "")).unwrap();
    practice.until_found(&["same_server"]).await?;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn serve_says_the_same() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default().set("superuser_reserved_connections", "0")).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions::default()).await?;
    let vigil = Vigil::start(&lab, &[Node::of(&a), Node::of(&b)]).await?;
    // The second is asked by the login probe alone.
    for (series, wanted) in [
        ("pgvigil_check_failed{cluster=\"lab\",check=\"fsync\",severity=\"error\"}", 1.0),
        ("pgvigil_check_failed{cluster=\"lab\",check=\"reserved_connections\",severity=\"warning\"}", 1.0),
        ("pgvigil_check_failed{cluster=\"lab\",check=\"streaming\",severity=\"error\"}", 0.0),
    ] {
        vigil
            .until(series, |page| match page.matching(&[series]).first() {
                Some((_, value)) if *value == wanted => Ok(()),
                other => Err(format!("{other:?}")),
            })
            .await;
    }
    let page = vigil.page().await;
    let unknown = page.matching(&["pgvigil_check_failed{cluster=\"lab\",check=\"hba_replication\""]);
    assert!(unknown.is_empty(), "what is unknown is absent: {unknown:?}");
    let json: Value = serde_json::from_str(&vigil.get("/api/v1/clusters/lab/checks", "").await.unwrap()).unwrap();
    assert_eq!(json["answers"].as_array().map(Vec::len), Some(5), "{json}");
    lab.stop().await;
    Ok(())
}
