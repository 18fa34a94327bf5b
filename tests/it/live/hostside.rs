//! What pgvigil sees with its own eyes beside a server, against what the files really are.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use pgvigil::lab::{Archive, Lab, LabError, Role, Server, ServerOptions, Spawn, wait_until};

use super::failures::{PGVIGIL, config, lines, opened, until_logged};
use super::watch::{Node, Page, SOON, Vigil};

type Outcome = Result<(), LabError>;

/// The node with its data directory.
fn beside(server: &Server) -> Node {
    let more = format!(", data_dir: {}", server.data_dir().display());
    Node::with(server.name(), &server.dsn(Role::Monitor), &more)
}

/// Count and sum of the histogram of waits.
fn waits(page: &Page) -> Option<(f64, f64)> {
    let of = |part| page.of_node(&format!("archive_duration_seconds_{part}"), "a");
    Some((of("count")?, of("sum")?))
}

/// How long the files themselves say that each segment waited: by name, from being ready to being done.
fn waited(server: &Server) -> Vec<(String, f64)> {
    let dir = server.data_dir().join("pg_wal/archive_status");
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let (name, metadata) = (entry.file_name().into_string().unwrap(), entry.metadata().unwrap());
        if let Some(segment) = name.strip_suffix(".done").filter(|name| name.len() == 24) {
            let at = |seconds: i64, nanos: i64| seconds as f64 + nanos as f64 / 1e9;
            let waited = at(metadata.ctime(), metadata.ctime_nsec()) - at(metadata.mtime(), metadata.mtime_nsec());
            all.push((segment.to_owned(), waited));
        }
    }
    all
}

async fn until_waits(vigil: &Vigil, count: f64) -> f64 {
    let seen = |page: &Page| match waits(page) {
        Some((seen, sum)) if seen == count => Ok(sum),
        other => Err(format!("{other:?}")),
    };
    vigil.until(&format!("{count} segments to have waited"), seen).await
}

async fn until_hidden(vigil: &Vigil) {
    let hidden = |page: &Page| match page.matching(&["archive_duration_seconds", "node=\"a\""]).len()
        + page.matching(&["wal_volume_"]).len()
    {
        0 => Ok(()),
        series => Err(format!("{series} series")),
    };
    vigil.until("what the files say to be hidden", hidden).await;
}

#[tokio::test]
async fn each_segments_wait_is_measured() -> Outcome {
    let lab = Lab::new()?;
    let dir = lab.server_dir("wal")?;
    let a = lab.primary("a", ServerOptions::default().archive(&Archive::Into(dir.clone()))).await?;
    // Before it is watched, so that what was done before counts for nothing.
    a.switch_wal().await?;
    wait_until("the first segment to be archived", SOON, async || match waited(&a).len() {
        1 => Ok(()),
        other => Err(format!("{other} done")),
    })
    .await?;
    let before = waited(&a);
    let vigil = Vigil::start(&lab, &[beside(&a)]).await?;
    assert_eq!(until_waits(&vigil, 0.0).await, 0.0);

    // Each takes so long; several wait for each other.
    a.alter(&[("archive_command", &format!("sleep 0.4; {}", Archive::Into(dir).command()))]).await?;
    for _ in 0..3 {
        a.switch_wal().await?;
    }
    let sum = until_waits(&vigil, 3.0).await;
    let new: Vec<_> = waited(&a).into_iter().filter(|wait| !before.contains(wait)).collect();
    let truth: f64 = new.iter().map(|(_, waited)| waited).sum();
    // Times of files are those of the kernel's last tick.
    assert!(new.len() == 3 && new.iter().all(|(_, waited)| *waited > 0.38), "{new:?}");
    assert!((sum - truth).abs() < 0.001, "{sum} for {truth}");
    // The shortest waited for one command, and the histogram's buckets say so too.
    let page = vigil.page().await;
    let below = page.matching(&["archive_duration_seconds_bucket", "le=\"0.25\""]);
    assert!(matches!(below[..], [(_, 0.0)]), "{below:?}");
    assert_eq!(lines(&vigil.log(), &["WARN", "data_dir"]), [""; 0]);
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn the_verdict_takes_the_files_word_where_the_server_does_not_tell() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default().archive(&Archive::Hung)).await?;
    let more = format!(", data_dir: {}", a.data_dir().display());
    // A role that may not list the directory by the server.
    let node = Node::with("a", &a.dsn(Role::Plain), &more);
    let vigil = Vigil::start_with(&lab, &[node], "archive_hung_after: 2s\n").await?;
    vigil
        .until("the archiver to be read", |page| page.of_node("archived_segments_total", "a").ok_or("absent".into()))
        .await;
    a.switch_wal().await?;
    let hung = |page: &Page| match page.one_of("archive_state", "node=\"a\"") {
        state if state == "hung" => Ok(()),
        state => Err(state),
    };
    vigil.until("archiving to be hung", hung).await;
    assert_eq!(vigil.page().await.of_node("archive_ready_segments", "a"), None, "one series, which is the server's");
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn the_volume_is_what_the_kernel_says() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let vigil = Vigil::start(&lab, &[beside(&a)]).await?;
    let volume = || rustix::fs::statvfs(a.data_dir().join("pg_wal")).unwrap();
    let free = |page: &Page| {
        let (size, free) = (page.of_node("wal_volume_size_bytes", "a"), page.of_node("wal_volume_free_bytes", "a"));
        let (size, free) = size.zip(free).ok_or("absent")?;
        let volume = volume();
        assert_eq!(size, (volume.f_blocks * volume.f_frsize) as f64);
        // Others write there too.
        let truth = (volume.f_bavail * volume.f_frsize) as f64;
        if (free - truth).abs() < size / 1000.0 { Ok(()) } else { Err(format!("{free} for {truth}")) }
    };
    vigil.until("the volume", free).await;
    assert_eq!(vigil.page().await.of_node("wal_volume_time_to_full_seconds", "a"), None, "seen for too short a time");
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn without_access_it_is_named_once_with_what_to_do_and_comes_back() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    // A directory of its own, for the server needs its WAL. The account of the servers is not its owner where the tests run as root.
    let data = lab.own_dir("data")?;
    let pg_wal = data.join("pg_wal");
    std::fs::create_dir_all(pg_wal.join("archive_status")).unwrap();
    let close = |closed: bool| {
        let shut = if rustix::process::geteuid().is_root() { 0o700 } else { 0o000 };
        let mode = std::fs::Permissions::from_mode(if closed { shut } else { 0o755 });
        std::fs::set_permissions(&pg_wal, mode).unwrap();
    };
    let (port, state) = (lab.free_port()?, lab.server_dir("state")?);
    let node = format!("{{name: a, dsn: \"{}\", data_dir: {}}}", a.dsn(Role::Monitor), data.display());
    let path = config(&lab, port, &state, &node);
    close(true);
    let spawn = Spawn::new("pgvigil", PGVIGIL).arg("serve").arg("--config").arg(path).as_server();
    let vigil = opened(lab.spawn(spawn)?, port).await?;
    until_logged(&vigil, "may not be read by this user").await?;
    vigil.until_state("a", "up").await;
    until_hidden(&vigil).await;
    close(false);
    until_logged(&vigil, "is looked into").await?;
    until_waits(&vigil, 0.0).await;
    let said = lines(&vigil.log(), &["may not be read"]);
    assert_eq!(said.len(), 1, "{said:#?}");
    for part in [
        "WARN",
        "cluster=\"lab\"",
        "node=\"a\"",
        "run pgvigil as its owner",
        "initdb --allow-group-access",
        "archive_duration_seconds",
    ] {
        assert!(said[0].contains(part), "no {part} in {said:#?}");
    }
    lab.stop().await;
    Ok(())
}

/// Waits until the kernel's clock of files has gone on since a file was made.
async fn tick_after(file: &Path, dir: &Path) -> Outcome {
    let modified = |path: &Path| std::fs::metadata(path).unwrap().modified().unwrap();
    wait_until("the next tick", SOON, async || {
        std::fs::write(dir.join("tick"), "").unwrap();
        if modified(&dir.join("tick")) > modified(file) { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await
}

/// Puts an empty directory in the place of another, and the old one aside.
fn replace(dir: &Path) -> PathBuf {
    let aside = dir.with_extension("aside");
    std::fs::rename(dir, &aside).unwrap();
    std::fs::create_dir(dir).unwrap();
    aside
}

#[tokio::test]
async fn a_directory_that_goes_or_is_replaced_is_seen_and_what_a_copy_says_of_its_past_is_not_counted() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default().archive(&Archive::Broken)).await?;
    // A directory of its own, for the server would not live without its WAL.
    let data = lab.own_dir("data")?;
    let status = data.join("pg_wal/archive_status");
    std::fs::create_dir_all(&status).unwrap();
    let segment = |number: u32| format!("0000000100000000000000{number:02}");
    let make = |number: u32| std::fs::write(status.join(segment(number) + ".ready"), "").unwrap();
    let finish = |number: u32| {
        let name = |suffix| status.join(segment(number) + suffix);
        std::fs::rename(name(".ready"), name(".done")).unwrap();
    };
    make(1);
    let node = Node::with("a", &a.dsn(Role::Monitor), &format!(", data_dir: {}", data.display()));
    let vigil = Vigil::start(&lab, &[node]).await?;
    until_waits(&vigil, 0.0).await;
    finish(1);
    until_waits(&vigil, 1.0).await;

    // Another one, in which the same segment waits: it was seen done by nobody.
    make(2);
    replace(&status);
    until_logged(&vigil, "is another directory than before").await?;
    make(3);
    std::fs::write(status.join(segment(4) + ".done"), "").unwrap();
    tick_after(&status.join(segment(3) + ".ready"), &data).await?;
    finish(3);
    until_waits(&vigil, 2.0).await;

    // A whole data directory that is a symlink to another volume, and then to nothing.
    let other = lab.own_dir("other")?;
    std::fs::rename(data.join("pg_wal"), other.join("pg_wal")).unwrap();
    until_logged(&vigil, "does not exist").await?;
    until_hidden(&vigil).await;
    std::os::unix::fs::symlink(other.join("pg_wal"), data.join("pg_wal")).unwrap();
    until_waits(&vigil, 2.0).await;
    make(5);
    tick_after(&status.join(segment(5) + ".ready"), &other).await?;
    finish(5);
    until_waits(&vigil, 3.0).await;
    assert_eq!(lines(&vigil.log(), &["panicked"]), [""; 0]);
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn the_data_directory_of_another_server_is_refused() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    // A copy of what the directory of a server says that started long before.
    let data = lab.own_dir("data")?;
    std::fs::create_dir_all(data.join("pg_wal/archive_status")).unwrap();
    let pid_file = |started: u64| {
        std::fs::write(data.join("postmaster.pid"), format!("1\n/x\n{started}\n5432\n")).unwrap();
    };
    pid_file(1_000_000_000);
    let node = Node::with("a", &a.dsn(Role::Monitor), &format!(", data_dir: {}", data.display()));
    let vigil = Vigil::start(&lab, &[node]).await?;
    until_logged(&vigil, "is another server's").await?;
    until_hidden(&vigil).await;
    let started = a.value("SELECT extract(epoch FROM pg_postmaster_start_time())::bigint").await?.unwrap();
    pid_file(started.parse().unwrap());
    until_waits(&vigil, 0.0).await;
    until_logged(&vigil, "is this node's").await?;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_restarted_server_is_still_the_one_of_its_directory() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let vigil = Vigil::start(&lab, &[beside(&a)]).await?;
    // The start that the file tells is rounded to the second.
    let age = "SELECT (clock_timestamp() - pg_postmaster_start_time() > '4 s')::text";
    for _ in 0..2 {
        wait_until("the server to be a few seconds old", SOON, async || match a.value(age).await {
            Ok(Some(old)) if old == "true" => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await?;
        a.restart().await?;
        vigil.until_state("a", "up").await;
        until_waits(&vigil, 0.0).await;
    }
    assert_eq!(lines(&vigil.log(), &["is another server's"]), [""; 0]);
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn without_hints_of_the_kernel_it_says_so_and_looks_all_the_same() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let (port, state, data) = (lab.free_port()?, lab.own_dir("state")?, lab.own_dir("data")?);
    let status = data.join("pg_wal/archive_status");
    std::fs::create_dir_all(&status).unwrap();
    let node = format!("{{name: a, dsn: \"{}\", data_dir: {}}}", a.dsn(Role::Monitor), data.display());
    // A limit that only pgvigil has.
    let script = "echo 0 >/proc/sys/user/max_inotify_instances && exec \"$1\" serve --config \"$2\"";
    let spawn = Spawn::new("pgvigil", "unshare").arg("-r").arg("sh").arg("-c").arg(script).arg("sh");
    let process = lab.spawn(spawn.arg(PGVIGIL).arg(config(&lab, port, &state, &node)))?;
    let vigil = opened(process.clone(), port).await.unwrap_or_else(|error| panic!("{error}\n{}", process.log()));
    until_logged(&vigil, "no hints from the kernel").await?;
    let ready = status.join("000000010000000000000001.ready");
    std::fs::write(&ready, "").unwrap();
    until_waits(&vigil, 0.0).await;
    let waits_there = |page: &Page| page.of_node("wal_volume_free_bytes", "a").map(drop).ok_or("absent".to_owned());
    vigil.until("a look", waits_there).await;
    tick_after(&ready, &data).await?;
    std::fs::rename(&ready, ready.with_extension("done")).unwrap();
    until_waits(&vigil, 1.0).await;
    let said = lines(&vigil.log(), &["no hints from the kernel"]);
    assert_eq!(said.len(), 1, "{said:#?}");
    for part in ["raise fs.inotify.max_user_instances", "looked into each collect_interval", "node=\"a\""] {
        assert!(said[0].contains(part), "no {part} in {said:#?}");
    }
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn with_the_kernels_hints_a_change_is_seen_long_before_the_next_look() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let (port, state, data) = (lab.free_port()?, lab.own_dir("state")?, lab.own_dir("data")?);
    let status = data.join("pg_wal/archive_status");
    std::fs::create_dir_all(&status).unwrap();
    let node = format!("{{name: a, dsn: \"{}\", data_dir: {}}}", a.dsn(Role::Monitor), data.display());
    let path = config(&lab, port, &state, &node);
    // Two looks are a minute apart, and what one found counts for longer than this test waits.
    let text = std::fs::read_to_string(&path).unwrap().replace("collect_interval: 1s", "collect_interval: 60s");
    std::fs::write(&path, text).unwrap();
    let spawn = Spawn::new("pgvigil", PGVIGIL).arg("serve").arg("--config").arg(path);
    let vigil = opened(lab.spawn(spawn)?, port).await?;
    until_waits(&vigil, 0.0).await;
    let ready = status.join("000000010000000000000001.ready");
    std::fs::write(&ready, "").unwrap();
    tick_after(&ready, &data).await?;
    std::fs::rename(&ready, ready.with_extension("done")).unwrap();
    until_waits(&vigil, 1.0).await;
    // What is gone is not shown for as long as it would count.
    std::fs::remove_dir_all(data.join("pg_wal")).unwrap();
    until_hidden(&vigil).await;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn thirty_thousand_files_are_followed_and_none_is_lost() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let data = lab.own_dir("data")?;
    let status = data.join("pg_wal/archive_status");
    std::fs::create_dir_all(&status).unwrap();
    let name =
        |number: usize, kind: &str| status.join(format!("00000001{:08X}{:08X}.{kind}", number >> 12, number & 0xfff));
    const FILES: usize = 30_000;
    // Links are made faster than files.
    let one = data.join("one");
    std::fs::write(&one, "").unwrap();
    (0..FILES).for_each(|number| std::fs::hard_link(&one, name(number, "ready")).unwrap());
    let node = Node::with("a", &a.dsn(Role::Monitor), &format!(", data_dir: {}", data.display()));
    let vigil = Vigil::start(&lab, &[node]).await?;
    until_waits(&vigil, 0.0).await;
    // More events than the kernel's queue holds.
    (0..FILES).for_each(|number| std::fs::rename(name(number, "ready"), name(number, "done")).unwrap());
    let truth = vigil.until_within("all to be counted", 2 * SOON, |page| match waits(page) {
        Some((count, sum)) if count == FILES as f64 => Ok(sum),
        other => Err(format!("{other:?}")),
    });
    assert!(truth.await > 0.0);
    let page = vigil.get("/metrics", "").await.unwrap();
    let resident = page.lines().find_map(|line| line.strip_prefix("pgvigil_resident_memory_bytes ")).unwrap();
    assert!(resident.parse::<f64>().unwrap() < 60e6, "{resident}");
    lab.stop().await;
    Ok(())
}
