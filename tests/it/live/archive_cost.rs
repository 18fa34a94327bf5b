//! What 30,000 files that wait to be archived cost a server that pgvigil watches, and what they do not cost pgvigil.

use std::fs;
use std::time::{Duration, Instant};

use pgvigil::lab::{Archive, Backend, Lab, LabError, ProcessId, Server, ServerOptions, wait_until};
use pgvigil::pg::lsn::{Lsn, Timeline};
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

/// Seconds of CPU that a process has used.
fn cpu_seconds(process: ProcessId) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.pid)).unwrap_or_default();
    let fields: Vec<&str> =
        stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
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
    let used = |processes: &[ProcessId]| processes.iter().map(|process| cpu_seconds(*process)).sum::<f64>();
    let (cpu, began) = (used(&before), Instant::now());
    let (mut oldest, mut looks) = (0.0, tokio::time::interval(INTERVAL));
    while began.elapsed() < Duration::from_secs(8) {
        let page = vigil.page().await;
        let age = page.of_node("node_last_observation_timestamp_seconds", "a").unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        // The page may be as old as an interval, and so may the reading be on it.
        assert!(now - age < 2.0 * INTERVAL.as_secs_f64() + 0.5, "a fast reading is late: {:.2} s", now - age);
        ready(&page).unwrap();
        state(&page).unwrap();
        let waits = page.of_node("archive_oldest_ready_age_seconds", "a").unwrap();
        assert!(waits >= oldest, "{waits} {oldest}");
        oldest = waits;
        looks.tick().await;
    }
    assert_eq!(before, backends(&a).await?, "the connections are kept");
    let seconds = began.elapsed().as_secs_f64();
    let resting = (used(&before) - cpu) / seconds;
    println!(
        "{FILES} files and 200 slots: archive_status rests for {rest:.0} s; beside it pgvigil takes {:.2} ms of the server's CPU a \
         second, with {:.0} fast and 1 slow reading in it",
        1e3 * resting,
        1.0 / INTERVAL.as_secs_f64()
    );

    // What a reading took is a thousandth of the rest: an upper bound of its CPU, by the clock on the wall.
    println!("a reading of the files takes about {rest:.0} ms: {:.1} ms for each 10 s", rest / rest.max(10.0) * 10.0);
    lab.stop().await;
    Ok(())
}
