//! What 30,000 files that wait to be archived cost a server that pgvigil watches, and what they do not cost pgvigil.

use std::fs;
use std::time::{Duration, Instant};

use pgvigil::clock::Wall;
use pgvigil::collector::COLLECTORS;
use pgvigil::lab::{Archive, Backend, Lab, LabError, ProcessId, Role, Server, ServerOptions, wait_until};
use pgvigil::pg::lsn::{Lsn, Timeline};
use pgvigil::pg::version::ServerVersion;
use pgvigil::pg::wal_file::{Segment, SegmentSize};

use super::watch::{INTERVAL, Node, Page, Vigil};

const FILES: usize = 30_000;
const LABELS: &str = "node=\"a\",collector=\"archive_status\"";

/// Files in `archive_status` as if so many segments waited, later ones than any that the server will write.
fn make_ready(server: &Server, files: usize) {
    let dir = server.data_dir().join("pg_wal/archive_status");
    let size = SegmentSize::new(1 << 20).unwrap();
    for number in 0..files as u64 {
        let segment = Segment::of(Timeline(1), Lsn((0x1000 + number) << 20), size);
        fs::write(dir.join(format!("{segment}.ready")), "").expect("a file in archive_status");
    }
}

/// Milliseconds of CPU that a process has used, by the scheduler's own count.
fn cpu(process: ProcessId) -> f64 {
    let schedstat = fs::read_to_string(format!("/proc/{}/schedstat", process.pid)).unwrap_or_default();
    schedstat.split(' ').next().and_then(|nanos| nanos.parse::<f64>().ok()).expect("/proc/PID/schedstat") / 1e6
}

/// What one execution of the collector's statement costs the server, in milliseconds of CPU.
async fn cost_of_a_look(server: &Server) -> Result<f64, LabError> {
    let client = server.connect_as(Role::Monitor).await?;
    let collector = COLLECTORS.iter().find(|collector| collector.name() == "archive_status").unwrap();
    let sql = collector.sql().pick(ServerVersion(server.major() * 10_000)).unwrap();
    let pid = server.query_on(&client, "SELECT pg_backend_pid()").await?.remove(0).remove(0).unwrap();
    let backend = server.process_of(Backend::Pid(pid.parse().unwrap())).await?;
    let before = cpu(backend);
    for _ in 0..5 {
        server.query_on(&client, sql).await?;
    }
    Ok((cpu(backend) - before) / 5.0)
}

/// The server's processes that serve pgvigil.
async fn backends(server: &Server) -> Result<Vec<ProcessId>, LabError> {
    let sql = "SELECT pid FROM pg_stat_activity WHERE usename = 'pgvigil' AND backend_type = 'client backend'";
    let mut found = Vec::new();
    for pid in server.query(sql).await?.into_iter().flatten().flatten() {
        found.extend(server.process_of(Backend::Pid(pid.parse().unwrap())).await);
    }
    Ok(found)
}

#[tokio::test]
async fn thirty_thousand_waiting_files_are_counted_at_a_price_that_is_bounded() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let options = ServerOptions::default().archive(&Archive::Hung).set("max_replication_slots", "250");
    let a = lab.primary("a", options).await?;
    // One that really waits keeps the archiver from the others, which do not exist.
    a.switch_wal().await?;
    wait_until("the archiver to hang", Duration::from_secs(20), async || {
        let command = a.process_of(Backend::Archiver).await?.children();
        command.first().map(drop).ok_or_else(|| "no command".to_owned())
    })
    .await?;
    make_ready(&a, FILES);
    a.sql("SELECT pg_create_physical_replication_slot('s' || n, n % 2 = 0) FROM generate_series(1, 200) AS n").await?;

    let vigil = Vigil::start_with(&lab, &[Node::of(&a)], "archive_hung_after: 2s\n").await?;
    let ready = |page: &Page| match page.of_node("archive_ready_segments", "a") {
        Some(seen) if seen == 1.0 + FILES as f64 => Ok(()),
        other => Err(format!("{other:?}")),
    };
    vigil.until("every file to be counted", ready).await;
    let state = |page: &Page| match page.one_of("archive_state", "node=\"a\"") {
        seen if seen == "hung" => Ok(()),
        seen => Err(seen),
    };
    vigil.until("the hang to be seen", state).await;
    let rests = |page: &Page| match page.get("collector_rest_seconds", LABELS) {
        Some(rest) if rest >= 10.0 => Ok(rest),
        other => Err(format!("{other:?}")),
    };
    let rest = vigil.until("the collector to rest", rests).await;
    assert!(rest <= 120.0, "{rest}");

    // While it rests, the fast reading goes on in time, and what is known of the files stays known and grows older.
    let before = backends(&a).await?;
    let used = |processes: &[ProcessId]| processes.iter().map(|process| cpu(*process)).sum::<f64>();
    let (cpu, began) = (used(&before), Instant::now());
    let (mut oldest, mut looks) = (0.0, tokio::time::interval(INTERVAL));
    while began.elapsed() < Duration::from_secs(5) {
        looks.tick().await;
        let page = vigil.page().await;
        let read = page.of_node("node_last_observation_timestamp_seconds", "a").unwrap();
        let age = Wall::now().as_seconds() - read;
        // As long as a fast reading counts.
        assert!(age < INTERVAL.as_secs_f64() + 2.0, "a fast reading is late: {age:.2} s");
        ready(&page).unwrap();
        state(&page).unwrap();
        let waits = page.of_node("archive_oldest_ready_age_seconds", "a").unwrap();
        assert!(waits >= oldest, "{waits} {oldest}");
        oldest = waits;
    }
    assert_eq!(before, backends(&a).await?, "the connections are kept");
    // Each second one slow reading and two fast ones.
    let others = (used(&before) - cpu) / began.elapsed().as_secs_f64();
    let look = cost_of_a_look(&a).await?;
    let share = look * 10.0 / rest.max(10.0);
    println!(
        "PostgreSQL {}, {FILES} files and 200 slots: a look at them costs the server {look:.1} ms of CPU and is made each {rest:.0} s, \
         so {share:.1} ms for each 10 s; the other slow collectors and two fast readings cost {others:.1} ms",
        a.major()
    );
    // The share is a thousandth of a processor, for a look takes longer than its CPU; more where that is above 120 ms.
    assert!(share <= 15.0, "{share}");
    lab.stop().await;
    Ok(())
}
