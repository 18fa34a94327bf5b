//! What pgvigil says of WAL that is not in the archive, against the archive's own directory and the test's own look at the primary.

use std::path::PathBuf;
use std::time::Duration;

use pgvigil::lab::{Archive, Lab, LabError, Server, ServerOptions, StandbyOptions, StopMode, wait_until};
use pgvigil::pg::lsn::Lsn;
use pgvigil::pg::wal_file::{Segment, SegmentSize, WalFile};

use super::truth::Truth;
use super::watch::{Node, Page, SOON, Vigil};

const HUNG_AFTER: &str = "archive_hung_after: 2s\n";

/// The families that a node without an archiver does not have.
const OF_AN_ARCHIVER: [&str; 8] = [
    "archived_segments_total",
    "archive_failures_total",
    "archive_last_success_timestamp_seconds",
    "archive_last_failure_timestamp_seconds",
    "archive_ready_segments",
    "archive_oldest_ready_age_seconds",
    "archive_lag_bytes",
    "archive_lag_seconds",
];

fn archive_state(page: &Page, node: &str) -> Option<String> {
    let labels = format!("node=\"{node}\"");
    (!page.matching(&["_archive_state{", &labels]).is_empty()).then(|| page.one_of("archive_state", &labels))
}

async fn until_state(vigil: &Vigil, node: &str, state: &str) {
    let what = format!("archiving of {node} to be {state}");
    let seen = |page: &Page| match archive_state(page, node) {
        Some(seen) if seen == state => Ok(()),
        other => Err(format!("{other:?}")),
    };
    vigil.until(&what, seen).await;
}

/// An archive's directory, and the size of the segments in it.
struct Shelf {
    dir: PathBuf,
    size: SegmentSize,
}

impl Shelf {
    /// The end of the last segment before the first gap.
    fn end(&self) -> Option<Lsn> {
        let files = std::fs::read_dir(&self.dir).unwrap().flatten();
        let names = files.filter_map(|file| WalFile::parse(file.file_name().to_str()?)?.segment());
        let mut segments: Vec<Segment> = names.collect();
        segments.sort_by_key(|segment| (segment.start(self.size), segment.timeline));
        let mut end = segments.first()?.start(self.size)?;
        for segment in segments {
            if segment.start(self.size)? > end {
                break;
            }
            end = segment.end(self.size)?;
        }
        Some(end)
    }
}

/// How far a primary has flushed, or a standby received.
async fn position(server: &Server) -> Result<Lsn, LabError> {
    let sql = "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_flush_lsn() END";
    Ok(server.value(sql).await?.unwrap().parse().unwrap())
}

/// Waits until the page's lag in bytes is what the directory lacks of the server's WAL; returns the end of what it holds.
async fn until_lag(vigil: &Vigil, server: &Server, shelf: &Shelf) -> Result<Lsn, LabError> {
    let what = format!("archive_lag_bytes of {} to be true", server.name());
    wait_until(what, SOON, async || {
        let end = shelf.end().ok_or("nothing is archived")?;
        let least = position(server).await?.bytes_since(end);
        let seen = vigil.page().await.of_node("archive_lag_bytes", server.name());
        let most = position(server).await?.bytes_since(end);
        let is_true = seen.is_some_and(|seen| (least..=most).contains(&(seen as u64))) && shelf.end() == Some(end);
        if is_true { Ok(end) } else { Err(format!("pgvigil says {seen:?}, truth is {least} to {most} beyond {end}")) }
    })
    .await
}

/// Waits until the page's lag in seconds is the age of the first WAL beyond `archived`: at once, unless the machine is busy.
async fn check_seconds(vigil: &Vigil, truth: &Truth, node: &str, archived: Lsn) -> Result<(), LabError> {
    wait_until(format!("archive_lag_seconds of {node} to be true"), SOON, async || {
        let before = truth.lag_at(archived);
        let seen = vigil.page().await.of_node("archive_lag_seconds", node);
        let after = truth.lag_at(archived);
        // A sample interval, and what a busy machine adds.
        let is_true = seen.is_some_and(|seen| (before - 0.85..=after + 0.85).contains(&seen));
        if is_true { Ok(()) } else { Err(format!("pgvigil says {seen:?}, truth is {after:.2} s")) }
    })
    .await
}

async fn write(server: &Server, kilobytes: u32) -> Result<(), LabError> {
    let piece = "SELECT pg_logical_emit_message(true, 'lab', repeat('x', 16384))";
    for _ in 0..kilobytes.div_ceil(16) {
        server.sql(piece).await?;
    }
    Ok(())
}

async fn lag_follows_the_archive(megabytes: u32) -> Result<(), LabError> {
    let lab = Lab::new()?;
    let shelf = Shelf { dir: lab.server_dir("wal")?, size: SegmentSize::new(u64::from(megabytes) << 20).unwrap() };
    let good = Archive::Into(shelf.dir.clone());
    let options = ServerOptions::default().segments_of(megabytes).archive(&good).set("autovacuum", "off");
    let a = lab.primary("a", options).await?;
    let vigil = Vigil::start_with(&lab, &[Node::of(&a)], HUNG_AFTER).await?;
    let truth = Truth::of(&a).await?;
    until_state(&vigil, "a", "never").await;
    let page = vigil.page().await;
    assert_eq!(page.of_node("archive_lag_bytes", "a"), None, "nothing was archived");

    write(&a, 100).await?;
    a.switch_wal().await?;
    until_state(&vigil, "a", "ok").await;
    until_lag(&vigil, &a, &shelf).await?;
    // The segment that is being filled is not archived either.
    write(&a, 100).await?;
    let end = until_lag(&vigil, &a, &shelf).await?;
    assert!(vigil.page().await.of_node("archive_lag_bytes", "a") >= Some(100.0 * 1024.0));
    truth.grown_to(end, 2.0).await;
    check_seconds(&vigil, &truth, "a", end).await?;

    a.archive(&Archive::Hung).await?;
    for _ in 0..3 {
        write(&a, 50).await?;
        a.switch_wal().await?;
    }
    until_state(&vigil, "a", "hung").await;
    assert_eq!(until_lag(&vigil, &a, &shelf).await?, end, "the oldest that waits");
    let three = |page: &Page| match page.of_node("archive_ready_segments", "a") {
        Some(3.0) => Ok(()),
        other => Err(format!("{other:?}")),
    };
    vigil.until("three segments to wait", three).await;
    check_seconds(&vigil, &truth, "a", end).await?;
    truth.grown_to(end, 6.0).await;
    check_seconds(&vigil, &truth, "a", end).await?;

    a.archive(&good).await?;
    a.switch_wal().await?;
    until_state(&vigil, "a", "ok").await;
    wait_until("the backlog to be archived", SOON, async || match shelf.end() {
        Some(now) if now.bytes_since(end) >= 3 * shelf.size.bytes() => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await?;
    let end = until_lag(&vigil, &a, &shelf).await?;
    check_seconds(&vigil, &truth, "a", end).await?;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn lag_is_what_the_archive_lacks() -> Result<(), LabError> {
    lag_follows_the_archive(1).await
}

#[tokio::test]
async fn lag_is_what_the_archive_lacks_with_segments_of_16_mb() -> Result<(), LabError> {
    lag_follows_the_archive(16).await
}

/// All of an archiver's series that the page has of a node.
fn of_an_archiver(page: &Page, node: &str) -> Vec<&'static str> {
    OF_AN_ARCHIVER.into_iter().filter(|name| page.of_node(name, node).is_some()).collect()
}

#[tokio::test]
async fn what_a_demoted_node_counted_is_not_told() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let shelf = Shelf { dir: lab.server_dir("wal")?, size: SegmentSize::new(1 << 20).unwrap() };
    let good = Archive::Into(shelf.dir.clone());
    let options = || ServerOptions::default().archive(&good).set("autovacuum", "off");
    let a = lab.primary("a", options().set("archive_command", Archive::Broken.command())).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions { server: options(), ..Default::default() }).await?;
    a.wait_streaming("b", SOON).await?;
    let vigil = Vigil::start_with(&lab, &[Node::of(&a), Node::of(&b)], HUNG_AFTER).await?;
    write(&a, 50).await?;
    a.switch_wal().await?;
    until_state(&vigil, "a", "failing").await;
    a.archive(&good).await?;
    a.switch_wal().await?;
    until_state(&vigil, "a", "ok").await;
    let all = |page: &Page| match of_an_archiver(page, "a") {
        seen if seen == OF_AN_ARCHIVER => Ok(()),
        seen => Err(format!("{seen:?}")),
    };
    vigil.until("every series of a's archiver", all).await;
    until_state(&vigil, "b", "off").await;
    assert_eq!(of_an_archiver(&vigil.page().await, "b"), [""; 0], "archive_mode=on means nothing on a standby");

    // The roles change.
    b.wait_caught_up(&a, SOON).await?;
    a.stop(StopMode::Fast).await?;
    b.promote().await?;
    a.rejoin(&b, None).await?;
    // Before 15 a server forgets its statistics when it begins to recover.
    let kept = a.value("SELECT archived_count > 0 AND failed_count > 0 FROM pg_stat_archiver").await?;
    assert_eq!(kept.as_deref(), Some(if a.major() >= 15 { "t" } else { "f" }), "what there is to be ignored");
    vigil.until_state("a", "up").await;
    until_state(&vigil, "a", "off").await;
    assert_eq!(of_an_archiver(&vigil.page().await, "a"), [""; 0]);

    // The new primary archives its timeline's history, the rest of the old one's last segment, and then its own.
    write(&b, 50).await?;
    b.switch_wal().await?;
    until_state(&vigil, "b", "ok").await;
    until_lag(&vigil, &b, &shelf).await?;
    b.archive(&Archive::Broken).await?;
    write(&b, 50).await?;
    b.switch_wal().await?;
    until_state(&vigil, "b", "failing").await;
    until_lag(&vigil, &b, &shelf).await?;
    assert!(vigil.page().await.of_node("archive_lag_seconds", "b").is_some());
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_standby_that_always_archives_is_judged_in_full() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let shelf = Shelf { dir: lab.server_dir("wal")?, size: SegmentSize::new(1 << 20).unwrap() };
    let good = Archive::Into(shelf.dir.clone());
    let a = lab.primary("a", ServerOptions::default().set("autovacuum", "off")).await?;
    let server = ServerOptions::default().archive(&good).set("archive_mode", "always");
    let b = lab.standby_of(&a, "b", StandbyOptions { server, ..Default::default() }).await?;
    a.wait_streaming("b", SOON).await?;
    let vigil = Vigil::start_with(&lab, &[Node::of(&a), Node::of(&b)], HUNG_AFTER).await?;
    let truth = Truth::of(&a).await?;
    until_state(&vigil, "a", "off").await;
    until_state(&vigil, "b", "never").await;
    write(&a, 50).await?;
    a.switch_wal().await?;
    write(&a, 50).await?;
    b.wait_caught_up(&a, SOON).await?;
    until_state(&vigil, "b", "ok").await;
    until_lag(&vigil, &b, &shelf).await?;

    b.archive(&Archive::Hung).await?;
    for _ in 0..2 {
        a.switch_wal().await?;
        write(&a, 50).await?;
    }
    until_state(&vigil, "b", "hung").await;
    let end = until_lag(&vigil, &b, &shelf).await?;
    check_seconds(&vigil, &truth, "b", end).await?;
    b.archive(&Archive::Broken).await?;
    until_state(&vigil, "b", "failing").await;
    assert!(vigil.page().await.of_node("archive_failures_total", "b") >= Some(1.0));
    b.archive(&Archive::Noop).await?;
    until_state(&vigil, "b", "noop").await;
    let page = vigil.page().await;
    assert_eq!(page.of_node("archive_lag_bytes", "b"), None, "what is kept nowhere is not archived");
    b.archive(&Archive::Unset).await?;
    until_state(&vigil, "b", "unset").await;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_command_that_a_signal_ends_is_not_counted_and_hangs() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let good = Archive::Into(lab.server_dir("wal")?);
    let a = lab.primary("a", ServerOptions::default().archive(&good)).await?;
    let vigil = Vigil::start_with(&lab, &[Node::of(&a)], HUNG_AFTER).await?;
    a.switch_wal().await?;
    until_state(&vigil, "a", "ok").await;
    a.archive(&Archive::Killed).await?;
    a.switch_wal().await?;
    until_state(&vigil, "a", "hung").await;
    let page = vigil.page().await;
    assert_eq!(page.of_node("archive_failures_total", "a"), Some(0.0));
    assert!(page.of_node("archive_oldest_ready_age_seconds", "a") > Some(2.0));
    a.archive(&good).await?;
    // The server starts an archiver that ended anew after ten seconds, some only after a minute.
    let ok = |page: &Page| match archive_state(page, "a") {
        Some(seen) if seen == "ok" => Ok(()),
        other => Err(format!("{other:?}")),
    };
    vigil.until_within("archiving to go on", Duration::from_secs(90), ok).await;
    // What a crash takes from the statistics is no failure either.
    a.stop(StopMode::Immediate).await?;
    a.start().await?;
    until_state(&vigil, "a", "never").await;
    a.switch_wal().await?;
    until_state(&vigil, "a", "ok").await;
    lab.stop().await;
    Ok(())
}

async fn names_are_the_servers(megabytes: u32) -> Result<(), LabError> {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default().segments_of(megabytes)).await?;
    let size = SegmentSize::new(u64::from(megabytes) << 20).unwrap();
    let told = "SELECT pg_size_bytes(current_setting('wal_segment_size'))";
    assert_eq!(a.value(told).await?, Some(size.bytes().to_string()));
    let around = |lsn: u64| [lsn - 1, lsn, lsn + 1, lsn + size.bytes() / 2];
    let boundaries = [size.bytes(), 5 * size.bytes(), 1 << 32, (0x12a << 32) + 3 * size.bytes(), 0xffff_fff0_0000_0000];
    let lsns: Vec<_> = boundaries.into_iter().flat_map(around).map(Lsn).collect();
    let list: Vec<_> = lsns.iter().map(|lsn| format!("'{lsn}'")).collect();
    let sql = format!(
        "SELECT pg_walfile_name(lsn), (pg_walfile_name_offset(lsn)).file_name, (pg_walfile_name_offset(lsn)).file_offset \
         FROM unnest(ARRAY[{}]::pg_lsn[]) WITH ORDINALITY AS l(lsn, place) ORDER BY place",
        list.join(",")
    );
    for (lsn, row) in lsns.iter().zip(a.query(&sql).await?) {
        let [Some(name), Some(same), Some(offset)] = row.as_slice() else { panic!("{row:?}") };
        let segment = Segment::parse(name).unwrap_or_else(|| panic!("{name}"));
        // At a boundary servers before 17 name the segment before, and an offset into the one after.
        let of = if a.major() >= 17 { *lsn } else { Lsn(lsn.0 - 1) };
        assert_eq!(segment, Segment::of(segment.timeline, of, size), "{lsn}");
        assert_eq!((segment.to_string().as_str(), same.as_str()), (name.as_str(), name.as_str()));
        assert_eq!(lsn.bytes_since(size.floor(*lsn)).to_string(), *offset, "{lsn}");
        let (start, end) = (segment.start(size).unwrap(), segment.end(size).unwrap());
        assert!(start <= *lsn && *lsn <= end, "{start} {lsn} {end}");
    }
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn wal_files_have_the_names_that_servers_give_them() -> Result<(), LabError> {
    names_are_the_servers(1).await?;
    names_are_the_servers(64).await
}
