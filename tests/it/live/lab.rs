//! The lab itself: what it starts, breaks and leaves behind.

use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use pgvigil::lab::{
    Archive, Backend, Lab, LabError, ProcessId, Role, Server, ServerOptions, StandbyOptions, StopMode, Wire, WireMode,
    Writer, reap_leftovers, wait_until,
};

const SOON: Duration = Duration::from_secs(20);

type Outcome = Result<(), LabError>;

async fn pair(lab: &Lab, options: StandbyOptions) -> Result<(Server, Server), LabError> {
    let a = lab.primary("a", ServerOptions::default()).await?;
    let b = lab.standby_of(&a, "b", options).await?;
    a.wait_streaming("b", SOON).await?;
    Ok((a, b))
}

async fn receiver_state(server: &Server) -> Result<Option<String>, LabError> {
    server.value("SELECT status FROM pg_stat_wal_receiver").await
}

#[tokio::test]
async fn standbys_stream_with_a_slot_and_in_a_cascade() -> Outcome {
    let lab = Lab::new()?;
    let (a, b) = pair(&lab, StandbyOptions { slot: Some("b".to_owned()), ..Default::default() }).await?;
    let c = lab.standby_of(&b, "c", StandbyOptions::default()).await?;
    b.wait_streaming("c", SOON).await?;
    a.sql("CREATE TABLE t AS SELECT 1 AS x").await?;
    c.wait_caught_up(&a, SOON).await?;
    assert_eq!(c.value("SELECT x FROM t").await?.as_deref(), Some("1"));
    assert_eq!(a.value("SELECT active FROM pg_replication_slots WHERE slot_name = 'b'").await?.as_deref(), Some("t"));
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn roles_log_in_over_tcp_with_what_they_may() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    for (role, member) in [(Role::Monitor, "t"), (Role::Plain, "f")] {
        let client = a.connect_as(role).await?;
        let rows = a.query_on(&client, "SELECT current_user, pg_has_role('pg_monitor', 'usage')").await?;
        assert_eq!(rows, [[Some(role.name().to_owned()), Some(member.to_owned())]]);
    }
    let wrong = a.dsn(Role::Monitor).replace(Role::Monitor.password(), "wrong");
    let refused = wrong.parse::<tokio_postgres::Config>().unwrap().connect(tokio_postgres::NoTls).await;
    assert_eq!(refused.err().and_then(|e| e.code().map(|c| c.code().to_owned())).as_deref(), Some("28P01"));
    Ok(())
}

#[tokio::test]
async fn an_archive_alone_feeds_a_standby() -> Outcome {
    let lab = Lab::new()?;
    let wal = lab.server_dir("wal")?;
    let a = lab.primary("a", ServerOptions::default().archive(&Archive::Into(wal.clone()))).await?;
    let options = StandbyOptions {
        archive_only: true,
        restore_command: Some(Archive::restore_command(&wal)),
        ..Default::default()
    };
    let b = lab.standby_of(&a, "b", options).await?;
    a.sql("CREATE TABLE t AS SELECT 1 AS x").await?;
    let segment = a.switch_wal().await?;
    wait_until(format!("{segment} in the archive"), SOON, async || {
        wal.join(&segment).exists().then_some(()).ok_or_else(|| "absent".to_owned())
    })
    .await?;
    wait_until("the row on b", SOON, async || Ok(b.value("SELECT x FROM t").await?)).await?;
    assert_eq!(receiver_state(&b).await?, None);
    Ok(())
}

#[tokio::test]
async fn archiving_breaks_hangs_and_mends() -> Outcome {
    let lab = Lab::new()?;
    let wal = lab.server_dir("wal")?;
    let a = lab.primary("a", ServerOptions::default().archive(&Archive::Broken)).await?;
    let counter = |column: &'static str| format!("SELECT {column}::text FROM pg_stat_archiver WHERE {column} > 0");
    let failed = counter("failed_count");
    a.switch_wal().await?;
    wait_until("a failure", SOON, async || Ok(a.value(&failed).await?.ok_or("none")?)).await?;
    a.archive(&Archive::Hung).await?;
    let hung = wait_until("the hanging command", SOON, async || {
        let command = a.process_of(Backend::Archiver).await?.children();
        command.first().copied().ok_or_else(|| "none".to_owned())
    })
    .await?;
    a.archive(&Archive::Into(wal.clone())).await?;
    wait_until("an archived segment", SOON, async || Ok(a.value(&counter("archived_count")).await?.ok_or("none")?))
        .await?;
    assert!(!hung.alive());
    // A hanging command must not outlive the lab.
    a.archive(&Archive::Hung).await?;
    a.switch_wal().await?;
    let hung = wait_until("the hanging command", SOON, async || {
        let command = a.process_of(Backend::Archiver).await?.children();
        command.first().copied().ok_or_else(|| "none".to_owned())
    })
    .await?;
    let path = lab.path().to_owned();
    drop((a, lab));
    assert!(!hung.alive() && !path.exists());
    Ok(())
}

#[tokio::test]
async fn a_frozen_server_accepts_and_says_nothing() -> Outcome {
    let lab = Lab::new()?;
    let (a, b) = pair(&lab, StandbyOptions::default()).await?;
    a.freeze()?;
    assert!(TcpStream::connect(("127.0.0.1", a.port())).is_ok());
    let answer = tokio::time::timeout(Duration::from_millis(500), a.query("SELECT 1")).await;
    assert!(answer.is_err(), "a frozen server answered: {answer:?}");
    a.thaw()?;
    a.query("SELECT 1").await?;
    // Logins alone.
    let kept = a.connect().await?;
    a.freeze_process(Backend::Postmaster).await?;
    a.query_on(&kept, "SELECT 1").await?;
    assert!(tokio::time::timeout(Duration::from_millis(500), a.connect()).await.is_err());
    a.thaw()?;
    // One process alone.
    let receiver = b.freeze_process(Backend::WalReceiver).await?;
    let goal = a.value("SELECT pg_current_wal_lsn()::text FROM txid_current()").await?;
    a.sql("CREATE TABLE t (x int)").await?;
    assert!(receiver.alive());
    let behind = b.value(&format!("SELECT pg_last_wal_receive_lsn() <= '{}'", goal.unwrap_or_default())).await?;
    assert_eq!(behind.as_deref(), Some("t"));
    b.thaw()?;
    b.wait_caught_up(&a, SOON).await?;
    a.process_of(Backend::WalSender("b")).await?;
    b.process_of(Backend::Startup).await?;
    Ok(())
}

#[tokio::test]
async fn a_killed_primary_leaves_no_process_and_comes_back() -> Outcome {
    let lab = Lab::new()?;
    let (a, b) = pair(&lab, StandbyOptions::default()).await?;
    let writer = Writer::start(&a, 100).await?;
    wait_until("ten commits", SOON, async || {
        (writer.commits() >= 10).then_some(()).ok_or(writer.commits().to_string())
    })
    .await?;
    let sender = a.process_of(Backend::WalSender("b")).await?;
    a.kill();
    assert!(!a.running() && !sender.alive());
    assert!(TcpStream::connect(("127.0.0.1", a.port())).is_err());
    a.start().await?;
    let before = writer.commits();
    wait_until("the writer to reconnect", SOON, async || {
        (writer.commits() > before).then_some(()).ok_or(writer.commits().to_string())
    })
    .await?;
    writer.stop().await;
    a.wait_streaming("b", SOON).await?;
    // The postmaster alone: its children end on their own.
    let sender = a.process_of(Backend::WalSender("b")).await?;
    a.kill_postmaster()?;
    wait_until("orphans to end", SOON, async || (!sender.alive()).then_some(()).ok_or("alive".to_owned())).await?;
    b.query("SELECT 1").await?;
    Ok(())
}

#[tokio::test]
async fn promotion_leaves_an_old_primary_that_diverges_or_rejoins() -> Outcome {
    let lab = Lab::new()?;
    let (a, b) = pair(&lab, StandbyOptions::default()).await?;
    b.promote().await?;
    b.sql("CREATE TABLE on_b (x int)").await?;
    // Split brain: the old primary writes on, and then cannot follow.
    a.sql("CREATE TABLE on_a (x int)").await?;
    a.rejoin(&b, Some("a")).await?;
    wait_until("a to see that it diverged", SOON, async || {
        let log = a.log();
        log.contains("forked off").then_some(()).ok_or(log)
    })
    .await?;
    assert_eq!(a.value("SELECT pg_is_in_recovery()").await?.as_deref(), Some("t"));
    Ok(())
}

#[tokio::test]
async fn replay_pauses_resumes_and_delays() -> Outcome {
    let lab = Lab::new()?;
    let (a, b) = pair(&lab, StandbyOptions::default()).await?;
    b.pause_replay().await?;
    a.sql("CREATE TABLE t (x int)").await?;
    wait_until("b to receive beyond what it replays", SOON, async || {
        let row = b.query("SELECT pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn()").await?;
        if row == [[Some("t".to_owned())]] { Ok(()) } else { Err(format!("{row:?}")) }
    })
    .await?;
    b.resume_replay().await?;
    b.wait_caught_up(&a, SOON).await?;
    b.apply_delay(Duration::from_secs(3600)).await?;
    a.sql("INSERT INTO t VALUES (1)").await?;
    assert_eq!(b.value("SELECT x FROM t").await?, None);
    b.apply_delay(Duration::ZERO).await?;
    wait_until("the row", SOON, async || Ok(b.value("SELECT x FROM t").await?.ok_or("none")?)).await?;
    Ok(())
}

#[tokio::test]
async fn a_wire_cuts_holds_delays_and_mends() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let wire = Wire::to(a.port()).await?;
    let options = StandbyOptions { through_port: Some(wire.port()), ..Default::default() };
    let b = lab.standby_of(&a, "b", options).await?;
    a.wait_streaming("b", SOON).await?;
    wire.set(WireMode::Cut).await?;
    assert!(TcpStream::connect(("127.0.0.1", wire.port())).is_err());
    wait_until("b to lose its receiver", SOON, async || match receiver_state(&b).await? {
        None => Ok(()),
        state => Err(format!("{state:?}")),
    })
    .await?;
    wire.set(WireMode::Pass).await?;
    a.wait_streaming("b", SOON).await?;
    // Lost replies: the standby goes on, its answers do not arrive.
    for mode in [WireMode::BlackHole, WireMode::BlackHoleRequests, WireMode::BlackHoleReplies] {
        let through = connect(wire.port()).await.unwrap();
        wire.set(mode).await?;
        assert!(tokio::time::timeout(Duration::from_millis(300), through.simple_query("SELECT 1")).await.is_err());
        wire.set(WireMode::Pass).await?;
        through.simple_query("SELECT 1").await.unwrap();
    }
    let through = connect(wire.port()).await.unwrap();
    wire.set(WireMode::Delay(Duration::from_millis(200))).await?;
    let asked = Instant::now();
    through.simple_query("SELECT 1").await.unwrap();
    assert!(asked.elapsed() >= Duration::from_millis(400));
    Ok(())
}

async fn connect(port: u16) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
    let config: tokio_postgres::Config = Server::dsn_through(port, Role::Superuser).parse()?;
    let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

#[tokio::test]
async fn a_server_that_cannot_start_says_why() -> Outcome {
    let lab = Lab::new()?;
    let failed = lab.primary("a", ServerOptions::default().set("shared_buffers", "nonsense")).await;
    let text = failed.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(text.contains("shared_buffers"), "{text}");
    Ok(())
}

#[tokio::test]
async fn a_standby_without_its_wal_stays_starting() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let options =
        StandbyOptions { archive_only: true, restore_command: Some("sleep 600".to_owned()), ..Default::default() };
    let b = lab.standby_made(&a, "b", options).await?;
    b.spawn()?;
    wait_until("b to say that it starts", SOON, async || match b.query("SELECT 1").await {
        Err(error) if error.to_string().contains("57P03") => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn stops_in_every_mode() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    for mode in [StopMode::Smart, StopMode::Fast, StopMode::Immediate] {
        a.stop(mode).await?;
        assert!(!a.running());
        a.start().await?;
    }
    Ok(())
}

#[tokio::test]
async fn servers_have_one_identity_unless_asked() -> Outcome {
    let lab = Lab::new()?;
    let mut seen = Vec::new();
    let fresh = ServerOptions::default().fresh_identity();
    for (name, options) in [("a", ServerOptions::default()), ("b", ServerOptions::default()), ("c", fresh)] {
        let server = lab.primary(name, options).await?;
        seen.push(server.value("SELECT system_identifier::text FROM pg_control_system()").await?);
    }
    assert!(seen[0] == seen[1] && seen[1] != seen[2], "{seen:?}");
    Ok(())
}

#[tokio::test]
async fn a_time_out_says_what_was_awaited_and_last_seen() {
    let error = wait_until("the moon", Duration::from_millis(50), async || Err::<(), _>("a cloud".to_owned())).await;
    let text = error.unwrap_err().to_string();
    assert!(text.contains("the moon") && text.contains("a cloud"), "{text}");
}

#[tokio::test]
async fn a_lab_leaves_nothing_after_stop_drop_and_panic() -> Outcome {
    let mut paths = Vec::new();
    let mut processes = Vec::new();
    for _ in 0..2 {
        let lab = Lab::new()?;
        let a = lab.primary("a", ServerOptions::default()).await?;
        paths.push(lab.path().to_owned());
        processes.push(a.process_of(Backend::Checkpointer).await?);
        if paths.len() == 1 {
            lab.stop().await;
            assert!(!a.running());
        }
    }
    let panicking = tokio::spawn(async {
        let lab = Lab::new().unwrap();
        let a = lab.primary("a", ServerOptions::default()).await.unwrap();
        std::panic::panic_any((lab.path().to_owned(), a.process_of(Backend::Checkpointer).await.unwrap()));
    });
    let payload = panicking.await.unwrap_err().into_panic();
    let (path, process) = payload.downcast::<(std::path::PathBuf, ProcessId)>().map(|p| *p).unwrap();
    paths.push(path);
    processes.push(process);
    assert!(paths.iter().all(|path| !path.exists()), "{paths:?}");
    assert!(processes.iter().all(|process| !process.alive()));
    Ok(())
}

/// It runs itself once more as the run that gets killed.
#[tokio::test]
async fn a_killed_run_is_reaped_by_the_next() -> Outcome {
    const CHILD: &str = "LAB_TEST_VICTIM";
    if let Some(report) = std::env::var_os(CHILD) {
        let lab = Lab::new()?;
        let a = lab.primary("a", ServerOptions::default().archive(&Archive::Hung)).await?;
        a.switch_wal().await?;
        let checkpointer = a.process_of(Backend::Checkpointer).await?;
        let text = format!("{} {} {}", checkpointer.pid, checkpointer.started, lab.path().display());
        std::fs::write(Path::new(&report).with_extension("part"), text).unwrap();
        std::fs::rename(Path::new(&report).with_extension("part"), &report).unwrap();
        std::future::pending::<()>().await;
    }
    let lab = Lab::new()?;
    let report = lab.own_dir("report")?.join("victim");
    let victim = pgvigil::lab::Spawn::new("victim", std::env::current_exe().unwrap())
        .arg("a_killed_run_is_reaped_by_the_next")
        .env(CHILD, &report);
    let victim = lab.spawn(victim)?;
    let text = wait_until("the victim's server", SOON * 2, async || {
        std::fs::read_to_string(&report).map_err(|_| victim.log_tail(5))
    })
    .await?;
    let mut words = text.splitn(3, ' ');
    let mut number = || words.next().unwrap().parse::<u64>().unwrap();
    let server = ProcessId { pid: i32::try_from(number()).unwrap(), started: number() };
    let left = Path::new(words.next().unwrap()).to_owned();
    // A lab whose owner lives is left alone.
    assert!(!reap_leftovers().contains(&left) && server.alive());
    victim.signal(rustix::process::Signal::KILL)?;
    victim.wait(SOON).await?;
    assert!(server.alive(), "the server should outlive its killed owner");
    assert!(left.exists());
    drop(Lab::new()?);
    assert!(!server.alive() && !left.exists());
    Ok(())
}
