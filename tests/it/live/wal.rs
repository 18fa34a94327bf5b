//! WAL, checkpoints and recovery: every value against the server's own word, or what lies on its disk.

use std::fs;

use pgvigil::lab::{Lab, LabError, Server, ServerOptions, StandbyOptions, StopMode, wait_until};

use super::watch::{Node, SOON, Vigil};

/// What the server says, as superuser.
async fn truth(server: &Server, sql: &str) -> Result<Option<f64>, LabError> {
    Ok(server.value(&format!("SELECT ({sql})::text")).await?.map(|cell| cell.parse().unwrap()))
}

/// Waits until each series of `server` has the value that the server tells, and at least so much; NULL: there is none.
async fn agree(vigil: &Vigil, server: &Server, series: &[(&str, &str, &str, f64)]) -> Result<(), LabError> {
    for (name, label, sql, least) in series {
        let labels = format!("node=\"{}\"{label}", server.name());
        wait_until(format!("{name} {labels}"), SOON, async || {
            let told = truth(server, sql).await?;
            let seen = vigil.page().await.get(name, &labels);
            let close = seen.zip(told).is_none_or(|(seen, told)| (seen - told).abs() <= told.abs() * 1e-9);
            let agrees = seen.is_some() == told.is_some() && close && told.is_none_or(|told| told >= *least);
            if agrees { Ok(()) } else { Err(format!("{seen:?}, truth is {told:?}")) }
        })
        .await?;
    }
    Ok(())
}

fn position(lsn: &str) -> String {
    format!("SELECT {lsn} - '0/0'::pg_lsn")
}

/// The segments in `pg_wal`, by name, and the size of all files there.
fn wal_dir(server: &Server) -> (Vec<String>, f64) {
    let files = fs::read_dir(server.data_dir().join("pg_wal")).unwrap().map(Result::unwrap);
    let files: Vec<_> = files.filter(|file| file.file_type().unwrap().is_file()).collect();
    let size = files.iter().map(|file| file.metadata().unwrap().len()).sum::<u64>() as f64;
    let names = files.iter().map(|file| file.file_name().into_string().unwrap());
    let mut segments: Vec<_> = names.filter(|name| name.len() == 24).collect();
    segments.sort();
    (segments, size)
}

/// Waits until the page tells of `pg_wal` what lies there, and returns the name of the oldest segment.
async fn agree_on_wal_dir(vigil: &Vigil, server: &Server) -> Result<String, LabError> {
    wait_until(format!("what lies in pg_wal of {}", server.name()), SOON, async || {
        let page = vigil.page().await;
        let seen = ["wal_dir_bytes", "wal_dir_segments", "wal_oldest_position_bytes"];
        let seen = seen.map(|name| page.of_node(name, server.name()));
        let (segments, size) = wal_dir(server);
        let number = &segments[0][8..];
        let [high, low] = [&number[..8], &number[8..]].map(|half| u64::from_str_radix(half, 16).unwrap());
        // Segments of the lab have 1 MiB.
        let oldest = (high << 32) + (low << 20);
        let told = [size, segments.len() as f64, oldest as f64].map(Some);
        if seen == told { Ok(segments[0].clone()) } else { Err(format!("{seen:?}, truth is {told:?}")) }
    })
    .await
}

#[tokio::test]
async fn what_a_primary_writes_is_told_as_it_tells_it() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let options = ServerOptions::default().set("autovacuum", "off").set("fsync", "on").set("wal_keep_size", "0");
    let a = lab.primary("a", options).await?;
    let major = a.major();
    if major >= 14 {
        a.alter(&[("track_wal_io_timing", "on")]).await?;
    }
    let vigil = Vigil::start(&lab, &[Node::of(&a)]).await?;
    a.sql("CREATE TABLE orders AS SELECT n AS id, repeat('x', 100) AS words FROM generate_series(1, 20000) AS n")
        .await?;
    a.sql("CHECKPOINT").await?;
    a.sql("UPDATE orders SET id = id + 1 WHERE id % 1000 = 0").await?;
    if major >= 14 {
        let io = |new: &str, old: &str| match major {
            18.. => format!("SELECT sum({new}) FROM pg_stat_io WHERE object = 'wal' AND context = 'normal'"),
            _ => format!("SELECT {old} FROM pg_stat_wal"),
        };
        let write_time = io("write_time / 1000", "wal_write_time / 1000");
        let sync_time = io("fsync_time / 1000", "wal_sync_time / 1000");
        let wal = [
            ("wal_generated_bytes_total", "", "SELECT wal_bytes FROM pg_stat_wal", 1e6),
            ("wal_records_total", "", "SELECT wal_records FROM pg_stat_wal", 20_000.0),
            ("wal_full_page_images_total", "", "SELECT wal_fpi FROM pg_stat_wal", 10.0),
            ("wal_buffers_full_total", "", "SELECT wal_buffers_full FROM pg_stat_wal", 0.0),
            ("wal_io_total", ",operation=\"write\"", &io("writes", "wal_write"), 1.0),
            ("wal_io_total", ",operation=\"sync\"", &io("fsyncs", "wal_sync"), 1.0),
            ("wal_io_seconds_total", ",operation=\"write\"", &write_time, 1e-6),
            ("wal_io_seconds_total", ",operation=\"sync\"", &sync_time, 1e-6),
        ];
        agree(&vigil, &a, &wal).await?;
        a.alter(&[("track_wal_io_timing", "off")]).await?;
        vigil
            .until("no times without track_wal_io_timing", |page| match page.matching(&["wal_io_seconds_total"]) {
                left if left.is_empty() => Ok(()),
                left => Err(format!("{left:?}")),
            })
            .await;
    } else {
        let page = vigil.page().await;
        for name in ["pgvigil_wal_generated", "pgvigil_wal_records", "pgvigil_wal_io"] {
            assert!(page.matching(&[name]).is_empty(), "{name}");
        }
    }

    let view = if major >= 17 { "pg_stat_checkpointer" } else { "pg_stat_bgwriter" };
    let column = |new: &str, old: &str| format!("SELECT {} FROM {view}", if major >= 17 { new } else { old });
    let checkpoints = [
        ("checkpoints_total", ",cause=\"timed\"", &*column("num_timed", "checkpoints_timed"), 0.0),
        ("checkpoints_total", ",cause=\"requested\"", &column("num_requested", "checkpoints_req"), 1.0),
        ("checkpoint_buffers_total", "", &column("buffers_written", "buffers_checkpoint"), 100.0),
        ("checkpoint_write_seconds_total", "", &column("write_time / 1000", "checkpoint_write_time / 1000"), 1e-3),
        ("checkpoint_sync_seconds_total", "", &column("sync_time / 1000", "checkpoint_sync_time / 1000"), 0.0),
        ("checkpoint_redo_position_bytes", "", &position("(SELECT redo_lsn FROM pg_control_checkpoint())"), 1.0),
        (
            "wal_since_checkpoint_bytes",
            "",
            "SELECT pg_current_wal_flush_lsn() - redo_lsn FROM pg_control_checkpoint()",
            10_000.0,
        ),
    ];
    agree(&vigil, &a, &checkpoints).await?;
    assert!(vigil.page().await.matching(&["recovery_end_"]).is_empty(), "a primary has no end of recovery");

    let first = agree_on_wal_dir(&vigil, &a).await?;
    for _ in 0..3 {
        a.switch_wal().await?;
    }
    a.sql("CHECKPOINT").await?;
    let later = agree_on_wal_dir(&vigil, &a).await?;
    assert!(later > first, "{first} {later}");
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn what_a_standby_makes_of_it_is_told_as_it_tells_it() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default().set("autovacuum", "off")).await?;
    a.sql("CREATE TABLE orders AS SELECT n AS id, repeat('x', 100) AS words FROM generate_series(1, 20000) AS n")
        .await?;
    let b = lab.standby_of(&a, "b", StandbyOptions::default()).await?;
    a.wait_streaming("b", SOON).await?;
    let major = b.major();
    let vigil = Vigil::start(&lab, &[Node::of(&a), Node::of(&b)]).await?;
    a.sql("UPDATE orders SET id = id + 1; CHECKPOINT").await?;
    b.wait_caught_up(&a, SOON).await?;
    b.sql("CHECKPOINT").await?;
    // Restartpoints are told apart only by 17 and newer.
    let restartpoints = |column: &str| match major {
        17.. => format!("SELECT {column} FROM pg_stat_checkpointer"),
        _ => "SELECT NULL::int".to_owned(),
    };
    let prefetch = |column: &str| match major {
        15.. => format!("SELECT {column} FROM pg_stat_recovery_prefetch"),
        _ => "SELECT NULL::int".to_owned(),
    };
    agree(
        &vigil,
        &b,
        &[
            ("restartpoints_total", ",kind=\"timed\"", &restartpoints("restartpoints_timed"), 0.0),
            ("restartpoints_total", ",kind=\"requested\"", &restartpoints("restartpoints_req"), 1.0),
            ("restartpoints_total", ",kind=\"done\"", &restartpoints("restartpoints_done"), 1.0),
            // All of them are 0 where the system has no advice to read ahead.
            ("recovery_prefetch_blocks_total", ",outcome=\"prefetched\"", &prefetch("prefetch"), 0.0),
            ("recovery_prefetch_blocks_total", ",outcome=\"hit\"", &prefetch("hit"), 0.0),
            ("recovery_prefetch_blocks_total", ",outcome=\"skip_init\"", &prefetch("skip_init"), 0.0),
            ("recovery_prefetch_blocks_total", ",outcome=\"skip_new\"", &prefetch("skip_new"), 0.0),
            ("recovery_prefetch_blocks_total", ",outcome=\"skip_fpw\"", &prefetch("skip_fpw"), 0.0),
            ("recovery_prefetch_blocks_total", ",outcome=\"skip_rep\"", &prefetch("skip_rep"), 0.0),
            ("recovery_prefetch_distance_bytes", "", &prefetch("wal_distance"), 0.0),
            ("recovery_prefetch_distance_blocks", "", &prefetch("block_distance"), 0.0),
            ("recovery_prefetch_io_depth", "", &prefetch("io_depth"), 0.0),
            ("checkpoint_redo_position_bytes", "", &position("(SELECT redo_lsn FROM pg_control_checkpoint())"), 1.0),
            (
                "wal_since_checkpoint_bytes",
                "",
                "SELECT pg_last_wal_replay_lsn() - redo_lsn FROM pg_control_checkpoint()",
                1.0,
            ),
            (
                "recovery_end_position_bytes",
                "",
                &position("(SELECT min_recovery_end_lsn FROM pg_control_recovery())"),
                1.0,
            ),
            ("recovery_end_timeline", "", "SELECT min_recovery_end_timeline FROM pg_control_recovery()", 1.0),
        ],
    )
    .await?;
    assert!(vigil.page().await.matching(&["recovery_prefetch", "node=\"a\""]).is_empty(), "a primary replays nothing");
    agree_on_wal_dir(&vigil, &b).await?;

    // What it has received and not replayed, which a restart hides until it streams again.
    let backlog = "SELECT pg_last_wal_receive_lsn() - pg_last_wal_replay_lsn()";
    agree(&vigil, &b, &[("replay_backlog_bytes", "", backlog, 0.0)]).await?;
    b.pause_replay().await?;
    a.sql("UPDATE orders SET id = id + 1").await?;
    agree(&vigil, &b, &[("replay_backlog_bytes", "", backlog, 1e6)]).await?;
    assert_eq!(vigil.page().await.of_node("replay_backlog_bytes", "a"), None);
    b.resume_replay().await?;
    b.wait_caught_up(&a, SOON).await?;
    a.freeze()?;
    b.restart().await?;
    wait_until("a backlog that nobody knows", SOON, async || {
        let page = vigil.page().await;
        let seen = (page.state("b"), page.of_node("wal_receiver_up", "b"), page.of_node("replay_backlog_bytes", "b"));
        if seen == ("up".to_owned(), Some(0.0), None) { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await?;
    a.thaw()?;
    a.wait_streaming("b", SOON).await?;
    let behind = "SELECT greatest(pg_last_wal_receive_lsn() - pg_last_wal_replay_lsn(), 0)";
    agree(&vigil, &b, &[("replay_backlog_bytes", "", behind, 0.0)]).await?;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_page_that_the_disk_spoilt_is_counted() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default().checksums().set("autovacuum", "off")).await?;
    let bare = lab.primary("bare", ServerOptions::default()).await?;
    let vigil = Vigil::start(&lab, &[Node::of(&a), Node::of(&bare)]).await?;
    let flag = "SELECT (current_setting('data_checksums') = 'on')::int";
    let failures = "SELECT sum(checksum_failures) FROM pg_stat_database";
    for server in [&a, &bare] {
        agree(&vigil, server, &[("data_checksums", "", flag, 0.0)]).await?;
        agree(&vigil, server, &[("data_checksum_failures_total", "", failures, 0.0)]).await?;
    }
    // 18 makes checksums unless it is told not to.
    let bare_flag = if a.major() < 18 { 0.0 } else { 1.0 };
    assert_eq!((truth(&a, flag).await?, truth(&bare, flag).await?), (Some(1.0), Some(bare_flag)));

    a.sql("CREATE TABLE orders AS SELECT n AS id FROM generate_series(1, 1000) AS n").await?;
    let file = a.value("SELECT pg_relation_filepath('orders')").await?.unwrap();
    a.stop(StopMode::Fast).await?;
    let file = a.data_dir().join(file);
    let mut pages = fs::read(&file).unwrap();
    pages[8_000] ^= 1;
    fs::write(&file, pages).unwrap();
    a.start().await?;
    let refused = a.sql("SELECT sum(id) FROM orders").await.unwrap_err().to_string();
    assert!(refused.contains("invalid page"), "{refused}");
    agree(&vigil, &a, &[("data_checksum_failures_total", "", failures, 1.0)]).await?;
    lab.stop().await;
    Ok(())
}
