//! The server's own log, followed: each class is made on real servers and counted, over rotations too.

use std::path::Path;

use pgvigil::lab::{Backend, Lab, LabError, Role, Server, ServerOptions, Spawn, StandbyOptions, StopMode, wait_until};
use rustix::process::Signal;

use super::copier::Copier;
use super::watch::{Node, Page, SOON, Vigil};

type Outcome = Result<(), LabError>;

/// The node with its log.
fn read(server: &Server, log: &Path) -> Node {
    Node::with(server.name(), &server.dsn(Role::Monitor), &format!(", log: {}", log.display()))
}

fn count(page: &Page, node: &str, class: &str) -> Option<f64> {
    page.get("log_events_total", &format!("node=\"{node}\",class=\"{class}\""))
}

async fn until_counted(vigil: &Vigil, node: &str, class: &str, least: f64) {
    vigil
        .until(&format!("{least} of {class} on {node}"), |page| match count(page, node, class) {
            Some(seen) if seen >= least => Ok(()),
            seen => Err(format!("{seen:?}: {:?}", page.matching(&["log_events_total", node]))),
        })
        .await;
}

/// Writes its log itself, in every format that it has.
fn collected(major: u32) -> ServerOptions {
    let destinations = if major >= 15 { "stderr,csvlog,jsonlog" } else { "stderr,csvlog" };
    ServerOptions::default()
        .set("logging_collector", "on")
        .set("log_directory", "log")
        .set("log_destination", destinations)
}

async fn hang_up(a: &Server) -> Outcome {
    a.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_replication").await
}

/// A standby is turned away, in each way in which a primary does.
async fn turn_away(vigil: &Vigil, a: &Server, b: &Server) -> Outcome {
    let hba = a.data_dir().join("pg_hba.conf");
    let text = std::fs::read_to_string(&hba).unwrap();
    let without: String =
        text.lines().filter(|line| !line.contains("replication")).map(|line| format!("{line}\n")).collect();
    std::fs::write(&hba, without).unwrap();
    a.reload().await?;
    hang_up(a).await?;
    until_counted(vigil, "a", "hba", 1.0).await;
    until_counted(vigil, "b", "hba", 1.0).await;
    std::fs::write(&hba, text).unwrap();
    a.reload().await?;

    a.sql("ALTER ROLE replicator PASSWORD 'another'").await?;
    until_counted(vigil, "b", "password", 1.0).await;
    a.sql(&format!("ALTER ROLE replicator PASSWORD '{}' NOLOGIN", Role::Replicator.password())).await?;
    until_counted(vigil, "b", "role", 1.0).await;
    a.sql("ALTER ROLE replicator LOGIN").await?;
    a.wait_streaming("b", SOON).await?;
    b.alter(&[("primary_slot_name", "missing")]).await?;
    until_counted(vigil, "b", "slot_missing", 1.0).await;
    b.alter(&[("primary_slot_name", "b")]).await?;
    a.wait_streaming("b", SOON).await
}

/// There is no room for more.
async fn fill(vigil: &Vigil, a: &Server) -> Outcome {
    assert!(a.sql("SELECT pg_create_physical_replication_slot('second')").await.is_err());
    assert!(a.sql("SELECT pg_drop_replication_slot('b')").await.is_err());
    assert!(Copier::connect(a, "second").await.is_err());
    a.sql("ALTER ROLE plain CONNECTION LIMIT 0").await?;
    assert!(a.connect_as(Role::Plain).await.is_err());
    for class in ["slots_full", "slot_taken", "walsenders_full", "connections_full"] {
        until_counted(vigil, "a", class, 1.0).await;
    }
    Ok(())
}

/// What goes wrong with a stream that stands.
async fn disturb(vigil: &Vigil, a: &Server, b: &Server) -> Outcome {
    a.sql("CREATE TABLE orders (id int)").await?;
    b.wait_caught_up(a, SOON).await?;
    let session = b.connect().await?;
    b.query_on(&session, "BEGIN").await?;
    b.query_on(&session, "SELECT * FROM orders").await?;
    a.sql("DROP TABLE orders").await?;
    until_counted(vigil, "b", "conflict", 1.0).await;
    b.sql("SELECT pg_wal_replay_pause()").await?;
    a.sql("SELECT pg_logical_emit_message(true, 'lab', 'wakes replay')").await?;
    until_counted(vigil, "b", "recovery_paused", 1.0).await;
    b.resume_replay().await?;
    b.freeze()?;
    until_counted(vigil, "a", "replication_timeout", 1.0).await;
    b.thaw()?;
    a.wait_streaming("b", SOON).await?;
    let pid = a.value("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' LIMIT 1").await?;
    assert!(pid.is_some());
    a.signal_process(Backend::Checkpointer, Signal::KILL).await?;
    until_counted(vigil, "a", "crash", 1.0).await;
    until_counted(vigil, "b", "stream_broken", 1.0).await;
    a.wait_ready(SOON).await?;
    a.wait_streaming("b", SOON).await
}

/// What a standby needs goes away, and it goes another way itself.
async fn part(vigil: &Vigil, lab: &Lab, a: &Server, b: &Server) -> Outcome {
    let conninfo = |port: u16| {
        format!(
            "host=127.0.0.1 port={port} user=replicator password={} application_name=b",
            Role::Replicator.password()
        )
    };
    b.alter(&[("primary_conninfo", &conninfo(1))]).await?;
    until_counted(vigil, "b", "primary_unreachable", 1.0).await;
    let stranger = lab.primary("stranger", ServerOptions::default().fresh_identity()).await?;
    b.alter(&[("primary_slot_name", ""), ("primary_conninfo", &conninfo(stranger.port()))]).await?;
    until_counted(vigil, "b", "foreign_system", 1.0).await;
    stranger.stop(StopMode::Immediate).await?;
    for _ in 0..4 {
        a.sql("SELECT pg_logical_emit_message(true, 'lab', 'makes a segment')").await?;
        a.switch_wal().await?;
    }
    a.alter(&[("wal_keep_size", "0"), ("max_slot_wal_keep_size", "1MB"), ("archive_command", "true")]).await?;
    wait_until("the slot of b to be lost", SOON, async || {
        a.sql("CHECKPOINT").await?;
        a.switch_wal().await?;
        match a.value("SELECT wal_status FROM pg_replication_slots").await?.as_deref() {
            Some("lost") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await?;
    until_counted(vigil, "a", "slot_lost", 1.0).await;
    b.alter(&[("primary_conninfo", &conninfo(a.port()))]).await?;
    until_counted(vigil, "a", "wal_removed", 1.0).await;
    until_counted(vigil, "b", "wal_removed", 1.0).await;
    b.sql("SELECT pg_promote()").await?;
    a.rejoin(b, None).await?;
    until_counted(vigil, "a", "timeline", 1.0).await;
    Ok(())
}

#[tokio::test]
async fn each_class_that_can_be_made_is_counted() -> Outcome {
    let lab = Lab::new()?;
    let major = lab.binaries().major();
    // It has a secret among its words, and says something on its own.
    let command = "PGPASSWORD=hush; echo 'no room in the vault' >&2; false";
    let options = collected(major)
        .set("archive_mode", "on")
        .set("archive_command", "true")
        .set("max_wal_senders", "1")
        .set("max_replication_slots", "1")
        .set("wal_sender_timeout", "1s");
    let a = lab.primary("a", options).await?;
    let mut server = collected(major).set("log_destination", "stderr").set("max_standby_streaming_delay", "0");
    for (name, value) in [("max_wal_senders", "1"), ("wal_receiver_timeout", "10s"), ("hot_standby_feedback", "off")] {
        server = server.set(name, value);
    }
    let b = StandbyOptions { slot: Some("b".to_owned()), server, ..Default::default() };
    let b = lab.standby_of(&a, "b", b).await?;
    a.wait_streaming("b", SOON).await?;
    let logs = [&a, &b].map(|server| server.data_dir().join("log"));
    let vigil = Vigil::start(&lab, &[read(&a, &logs[0]), read(&b, &logs[1])]).await?;
    until_counted(&vigil, "b", "crash", 0.0).await;

    turn_away(&vigil, &a, &b).await?;
    fill(&vigil, &a).await?;
    a.alter(&[("archive_command", command)]).await?;
    a.switch_wal().await?;
    until_counted(&vigil, "a", "archive_failed", 1.0).await;
    the_doctor_names_the_cause(&lab).await?;
    disturb(&vigil, &a, &b).await?;
    part(&vigil, &lab, &a, &b).await?;
    let api = vigil.get("/api/v1/clusters/lab", "").await.unwrap();
    assert!(!api.contains("hush") && !vigil.log().contains("hush"), "{api}");
    lab.stop().await;
    Ok(())
}

/// A standby with less room than its primary, and one whose restore_command cannot be run.
async fn starve(vigil: &Vigil, a: &Server, b: &Server) -> Outcome {
    a.configure(&[("max_connections", "60")]);
    a.restart().await?;
    until_counted(vigil, "b", "settings_lower", 1.0).await;
    b.stop(StopMode::Fast).await?;
    // What a shell answers for a program that it does not find.
    b.configure(&[("max_connections", "60"), ("restore_command", "exit 127")]);
    b.spawn()?;
    until_counted(vigil, "b", "restore_failed", 1.0).await;
    b.wait_stopped(SOON).await
}

/// A byte of a table is another one than was written.
async fn spoil(vigil: &Vigil, a: &Server) -> Outcome {
    a.sql("CREATE TABLE spoilt AS SELECT repeat('x', 1000) AS words FROM generate_series(1, 5)").await?;
    let file = a.value("SELECT pg_relation_filepath('spoilt')").await?.unwrap();
    a.stop(StopMode::Fast).await?;
    let path = a.data_dir().join(file);
    let mut page = std::fs::read(&path).unwrap();
    let last = page.len() - 1;
    page[last] ^= 1;
    std::fs::write(&path, page).unwrap();
    a.start().await?;
    assert!(a.sql("SELECT * FROM spoilt").await.is_err());
    until_counted(vigil, "a", "damage", 1.0).await;
    a.sql("DROP TABLE spoilt").await
}

/// A tablespace on a volume of one megabyte, which only the server sees, and which goes with it.
async fn fill_disk(vigil: &Vigil, lab: &Lab, a: &Server) -> Outcome {
    let small = lab.server_dir("small")?;
    a.stop(StopMode::Fast).await?;
    // The server runs as nobody's root: its user has another name in a name space within that of the mount.
    let script = "mount -t tmpfs -o size=1m,mode=700 tmpfs \"$1\" \
        && exec unshare -U --map-user=1000 --map-group=1000 \"$2\" -D \"$3\"";
    let spawn = Spawn::new("a-with-a-small-volume", "unshare").as_server().arg("-rm").arg("sh").arg("-c").arg(script);
    let spawn = spawn.arg("sh").arg(&small).arg(lab.binaries().dir().join("postgres")).arg(a.data_dir());
    let process = lab.spawn(spawn.cwd(a.data_dir()))?;
    // Where nobody may mount, this cannot be checked, and then it has not passed.
    wait_until("the server with a small volume", SOON, async || {
        assert!(process.ended().is_none(), "{}", process.log());
        a.sql("SELECT 1").await.map_err(|error| error.to_string())
    })
    .await?;
    a.sql(&format!("CREATE TABLESPACE small LOCATION '{}'", small.display())).await?;
    assert_eq!(count(&vigil.page().await, "a", "disk_full"), Some(0.0));
    let filled =
        a.sql("CREATE TABLE filler TABLESPACE small AS SELECT repeat('x', 1000) FROM generate_series(1, 2000)");
    assert!(filled.await.is_err());
    until_counted(vigil, "a", "disk_full", 1.0).await;
    drop(process);
    Ok(())
}

#[tokio::test]
async fn what_breaks_files_and_settings_is_counted() -> Outcome {
    let lab = Lab::new()?;
    let options = collected(lab.binaries().major()).set("log_destination", "stderr");
    let a = lab.primary("a", options.clone().checksums()).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions { server: options, ..Default::default() }).await?;
    a.wait_streaming("b", SOON).await?;
    let logs = [&a, &b].map(|server| server.data_dir().join("log"));
    let vigil = Vigil::start(&lab, &[read(&a, &logs[0]), read(&b, &logs[1])]).await?;
    until_counted(&vigil, "b", "settings_lower", 0.0).await;
    starve(&vigil, &a, &b).await?;
    spoil(&vigil, &a).await?;
    fill_disk(&vigil, &lab, &a).await?;
    lab.stop().await;
    Ok(())
}

/// With the command's own words where the log is text, and never the command.
async fn the_doctor_names_the_cause(lab: &Lab) -> Outcome {
    let config = lab.path().join("pgvigil.yml");
    let text = std::fs::read_to_string(&config).unwrap();
    // Of a file that is named, that one is read.
    let log = lab.path().join("a/data/log");
    let newest = std::fs::read_dir(&log)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "log"))
        .max();
    let named = text.replacen(&format!("log: {}", log.display()), &format!("log: {}", newest.unwrap().display()), 1);
    assert_ne!(named, text, "{text}");
    let other = lab.path().join("doctor.yml");
    std::fs::write(&other, named).unwrap();
    wait_until("the doctor to name the cause", SOON, async || {
        let doctor = Spawn::new("doctor", env!("CARGO_BIN_EXE_pgvigil")).arg("doctor").arg("--config").arg(&other);
        let process = lab.spawn(doctor)?;
        process.wait(SOON).await?;
        let text = process.log();
        assert!(!text.contains("hush"), "{text}");
        let said = "no room in the vault; archive command failed with exit code 1";
        let found = [
            format!(
                "error archive_failing on a: the last attempt failed, and segments wait; the log of a says: {said}"
            ),
            format!("archive_failed: {said}"),
            "warning log_cause on b: ".to_owned(),
        ];
        match found.iter().find(|found| !text.contains(found.as_str())) {
            None => Ok(()),
            Some(missing) => Err(format!("{missing} is not in {text}")),
        }
    })
    .await
}

#[tokio::test]
async fn a_log_is_followed_over_rotation_by_the_server_and_by_rename() -> Outcome {
    let lab = Lab::new()?;
    let options = collected(lab.binaries().major()).set("log_destination", "stderr");
    let a = lab.primary("a", options.clone().set("log_filename", "a-%H%M%S.log")).await?;
    let b = lab.primary("b", options.set("log_filename", "b.log")).await?;
    let (of_a, of_b) = (a.data_dir().join("log"), b.data_dir().join("log"));
    let vigil = Vigil::start(&lab, &[read(&a, &of_a), read(&b, &of_b.join("b.log"))]).await?;
    let refuse = async |server: &Server| server.sql("SELECT pg_drop_replication_slot('none')").await.is_err();
    let rotate = async |server: &Server| server.sql("SELECT pg_rotate_logfile()").await;
    for round in 1..=2 {
        assert!(refuse(&a).await && refuse(&b).await);
        for node in ["a", "b"] {
            until_counted(&vigil, node, "slot_missing", f64::from(round * 2 - 1)).await;
        }
        // What was said last before it counts too.
        assert!(refuse(&a).await && refuse(&b).await);
        let before = std::fs::read_dir(&of_a).unwrap().count();
        std::fs::rename(of_b.join("b.log"), of_b.join(format!("b.log.{round}"))).unwrap();
        rotate(&b).await?;
        wait_until("new files", SOON, async || {
            // Its name has the second.
            if std::fs::read_dir(&of_a).unwrap().count() == before {
                rotate(&a).await?;
            }
            match (std::fs::read_dir(&of_a).unwrap().count() > before, of_b.join("b.log").exists()) {
                (true, true) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await?;
        for node in ["a", "b"] {
            until_counted(&vigil, node, "slot_missing", f64::from(round * 2)).await;
        }
    }
    // A log that is gone says nothing, and not that all is well.
    b.stop(StopMode::Fast).await?;
    std::fs::remove_dir_all(&of_b).unwrap();
    vigil
        .until("the series of b to be absent", |page| match count(page, "b", "slot_missing") {
            None => Ok(()),
            seen => Err(format!("{seen:?}")),
        })
        .await;
    vigil.until("a's to be there", |page| count(page, "a", "slot_missing").map(drop).ok_or("absent".to_owned())).await;
    lab.stop().await;
    Ok(())
}
