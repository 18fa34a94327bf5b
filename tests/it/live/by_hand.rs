//! Mistakes that a person mends, for what is printed leaves something to know: each is found, what the fix says is done, and it is gone.

use pgvigil::lab::{
    Archive, Lab, LabError, Role, Server, ServerOptions, Spawn, StandbyOptions, StopMode, Wire, WireMode, wait_until,
};

use super::practice::{Practice, says, well};
use super::watch::{Node, SOON};

type Outcome = Result<(), LabError>;

const TABLE: &str = include_str!("../../../deploy/write-probe.sql");

fn conninfo(upstream: &Server, user: &str, more: &str) -> String {
    format!("host=127.0.0.1 port={} user={user} application_name=b {more}", upstream.port())
}

fn with_password() -> String {
    format!("password={}", Role::Replicator.password())
}

#[tokio::test]
async fn what_is_wrong_in_the_config_is_mended_there() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let stranger = lab.primary("stranger", ServerOptions::default().fresh_identity()).await?;
    let practice = Practice::new(&lab, &[&a]);
    let manager = a.connect().await?;
    a.query_on(&manager, "SET application_name = 'repmgrd'").await?;
    let nowhere = lab.path().join("nowhere.log");
    practice.configure(
        &[
            Node::with("a", &a.dsn(Role::Superuser), &format!(", log: {}", nowhere.display())),
            Node::with("b", &stranger.dsn(Role::Monitor), ""),
        ],
        "",
        "",
    );
    let names = ["foreign_system", "log_read", "manager", "monitor_superuser", "no_standby", "one_standby"];
    let ills = practice.until_found(&names).await?;
    for (name, words) in [
        ("foreign_system", "correct its dsn in the config"),
        ("log_read", "correct log in the config"),
        ("manager", "write manager: {repmgr: {}} into the cluster's config"),
        ("monitor_superuser", "CREATE ROLE pgvigil LOGIN"),
        // Of two that are strangers to each other the first that answers counts.
        ("no_standby", "-R -C -S <slot> -d 'host=127.0.0.1 port="),
        ("one_standby", "make a second standby and name it under nodes: in the config"),
    ] {
        says(&ills, name, words);
    }
    let b = lab.standby_of(&a, "b", StandbyOptions::default()).await?;
    let c = lab.standby_of(&a, "c", StandbyOptions::default()).await?;
    a.wait_streaming("b", SOON).await?;
    let log = format!(", log: {}", a.log_path().display());
    let nodes = || [Practice::node(&a, &log), Practice::node(&b, ""), Practice::node(&c, "")];
    practice.configure(&nodes(), "", "    manager: {repmgr: {}}\n");
    practice.until_gone(&names).await?;

    let socket = format!("host={} port={} user=pgvigil dbname=postgres", a.socket_dir().display(), a.port());
    practice.configure(&[Practice::node(&a, ""), Node::with("z", &socket, "")], "", "");
    practice.told("same_server", "correct its dsn in the config").await?;
    practice.configure(&nodes(), "", "    manager: {repmgr: {}}\n");
    practice.until_gone(&["same_server"]).await?;

    // Another package, which a wire tells of.
    let wire = Wire::to(b.port()).await?;
    let through = Node::with("b", &Server::dsn_through(wire.port(), Role::Monitor), "");
    practice.configure(&[Practice::node(&a, ""), through], "", "");
    let major = a.major();
    wire.set(WireMode::Version(format!("{major}.0").leak())).await?;
    let ills = practice.until_found(&["lag_columns", "version_minor"]).await?;
    says(&ills, "lag_columns", "install the newest minor version and restart PostgreSQL");
    says(&ills, "version_minor", "install the packages of ");
    wire.set(WireMode::Version(format!("{}.30", major - 1).leak())).await?;
    practice.told("version_major", &format!("make it anew with PostgreSQL {major}")).await?;
    wire.set(WireMode::Pass).await?;
    practice.until_gone(&["lag_columns", "version_minor", "version_major"]).await?;
    lab.stop().await;
    Ok(())
}

/// A primary and a standby that streams, with an archive. Of WAL so much is kept.
async fn pair(lab: &Lab, kept: &str) -> Result<(Server, Server, Archive), LabError> {
    let dir = lab.server_dir("archive")?;
    let archive = Archive::Into(dir);
    let options = || well(&archive).set("min_wal_size", "2MB").set("max_wal_size", "4MB").set("wal_keep_size", kept);
    let a = lab.primary("a", options()).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions { server: options(), ..Default::default() }).await?;
    a.wait_streaming("b", SOON).await?;
    Ok((a, b, archive))
}

#[tokio::test]
async fn what_an_archive_lacks_is_set_as_it_is_told() -> Outcome {
    let lab = Lab::new()?;
    let (a, b, archive) = pair(&lab, "0").await?;
    let Archive::Into(dir) = archive.clone() else { unreachable!() };
    let practice = Practice::new(&lab, &[&a, &b]);
    practice.configure(&[Practice::node(&a, ""), Practice::node(&b, "")], "archive_hung_after: 1s\n", "");
    practice.told("restore_command", "to the counterpart of the primary's archive_command").await?;
    for (state, name, words) in [
        (Archive::Unset, "archive_unset", "ALTER SYSTEM SET archive_command to one that keeps each segment"),
        (Archive::Noop, "archive_noop", "to one that keeps each segment, SELECT pg_reload_conf(), and make a new base"),
        (Archive::Broken, "archive_failing", "read the server log for the command's own error, and correct it"),
        (Archive::Hung, "archive_hung", "end it, and put a timeout in front"),
    ] {
        a.archive(&state).await?;
        a.switch_wal().await?;
        practice.told(name, words).await?;
        a.archive(&archive).await?;
        a.switch_wal().await?;
        practice.until_gone(&[name]).await?;
    }

    // It was away for too long.
    b.stop(StopMode::Fast).await?;
    practice.told("node_reachable", "do as the message says, then run the doctor again").await?;
    let oldest = "SELECT min(substr(name, 9)) FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'";
    let begin = "SELECT substr(pg_walfile_name(pg_current_wal_lsn() + 2097152), 9)";
    let goal = a.value(begin).await?;
    wait_until("the segments to be removed", SOON, async || {
        a.switch_wal().await?;
        a.sql("CHECKPOINT").await?;
        let seen = a.value(oldest).await?;
        if seen > goal { Ok(()) } else { Err(format!("{seen:?}, not beyond {goal:?}")) }
    })
    .await?;
    b.start().await?;
    practice.until_gone(&["node_reachable"]).await?;
    practice.told("needed_wal", "set restore_command to an archive that has the segments").await?;
    b.configure(&[("restore_command", &Archive::restore_command(&dir))]);
    b.restart().await?;
    practice.until_gone(&["needed_wal", "restore_command", "streaming"]).await?;

    a.configure(&[("archive_mode", "off")]);
    a.restart().await?;
    practice.told("archive_mode", "ALTER SYSTEM SET archive_command to one that keeps each segment").await?;
    let ills = practice.until_found(&["archive_mode"]).await?;
    let statements = ills.into_iter().find(|ill| ill.check == "archive_mode").map(|ill| ill.fix).unwrap();
    a.sql(statements.iter().find_map(|cure| cure["sql"].as_str()).unwrap()).await?;
    a.restart().await?;
    practice.until_gone(&["archive_mode"]).await?;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn what_keeps_a_standby_away_is_mended_as_it_is_told() -> Outcome {
    let lab = Lab::new()?;
    let (a, b, _) = pair(&lab, "64MB").await?;
    a.sql(&TABLE.replace(":\"admin\"", "postgres")).await?;
    b.wait_caught_up(&a, SOON).await?;
    let practice = Practice::new(&lab, &[&a, &b]);

    // Nobody could take over, and nothing arrives.
    let probe = ["--write-probe"];
    b.pause_replay().await?;
    let names = ["promotable", "write_visible", "replay_paused"];
    let ills = practice.until_found_by(&probe, &names).await?;
    says(&ills, "promotable", "see docs/promotable.md for each reason");
    says(&ills, "write_visible", "do as the other findings about it say");
    practice.mend(&ills, &["replay_paused"]).await?;
    practice.until_gone_by(&probe, &names).await?;

    let file = a.data_dir().join("pg_hba.conf");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{text}host all all nonsense\n")).unwrap();
    let line = text.lines().count() + 1;
    practice.told("hba_error", &format!("correct line {line} of {}", file.display())).await?;
    std::fs::write(&file, text).unwrap();
    practice.until_gone(&["hba_error"]).await?;

    b.alter(&[("primary_conninfo", &conninfo(&a, "postgres", &with_password()))]).await?;
    practice.told("replication_superuser", "user=replicator in primary_conninfo").await?;
    b.alter(&[("primary_conninfo", &conninfo(&a, "replicator", ""))]).await?;
    b.restart().await?;
    let ills = practice.until_found(&["conninfo_credential", "streaming"]).await?;
    says(&ills, "conninfo_credential", "add passfile=… (or password=…) to primary_conninfo");
    says(&ills, "streaming", "the other findings: each names its own fix");
    b.alter(&[("primary_conninfo", &conninfo(&a, "replicator", &with_password()))]).await?;
    let names = ["replication_superuser", "conninfo_credential", "streaming"];
    practice.until_gone(&names).await?;

    // No part of a password is printed, whatever it looks like.
    let elsewhere = "host=127.0.0.1 port=1 user=replicator password='se cret host=leak' application_name=b";
    b.alter(&[("primary_conninfo", elsewhere)]).await?;
    b.restart().await?;
    practice.until_found(&["conninfo_target"]).await?;
    let (json, _) = practice.run(&["--json"]).await?;
    assert!(!json.contains("cret") && !json.contains("leak"), "{json}");

    b.alter(&[("primary_conninfo", "")]).await?;
    b.restart().await?;
    let ills = practice.until_found(&["conninfo_missing"]).await?;
    let ill = ills.iter().find(|ill| ill.check == "conninfo_missing").unwrap();
    let (statement, _) = ill.fix[0]["words"].as_str().unwrap().split_once(", then").unwrap();
    b.sql(&statement.replace("password=…", &with_password())).await?;
    b.sql("SELECT pg_reload_conf()").await?;
    practice.until_gone(&["conninfo_missing", "streaming"]).await?;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn of_two_primaries_one_is_rewound_as_it_is_told() -> Outcome {
    let lab = Lab::new()?;
    let (a, b, _) = pair(&lab, "64MB").await?;
    let practice = Practice::new(&lab, &[&a, &b]);
    b.promote().await?;
    b.sql("CREATE TABLE lost (id int)").await?;
    b.sql("CHECKPOINT").await?;
    a.sql("CREATE TABLE kept (id int)").await?;
    practice.told("two_primaries", "stop the one that clients should not use, then run pg_rewind on it").await?;
    // Stopped, and started as a standby too early.
    b.rejoin(&a, None).await?;
    practice.until_gone(&["two_primaries"]).await?;
    let address = format!("host=127.0.0.1 port={}", a.port());
    practice.told("timeline", &format!("pg_rewind --source-server='{address} user=postgres dbname=postgres'")).await?;
    b.stop(StopMode::Fast).await?;
    let program = lab.binaries().dir().join("pg_rewind");
    let source = format!("{address} user=postgres dbname=postgres password={}", Role::Superuser.password());
    let rewind = Spawn::new("rewind", program).arg(format!("--source-server={source}"));
    let rewind = rewind.arg(format!("--target-pgdata={}", b.data_dir().display())).arg("-R").as_server();
    let process = lab.spawn(rewind)?;
    assert_eq!(process.wait(2 * SOON).await?.code(), Some(0), "{}", process.log());
    b.start().await?;
    practice.until_gone(&["timeline", "streaming"]).await?;
    lab.stop().await;
    Ok(())
}
