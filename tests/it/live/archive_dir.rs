//! The verdict on a cluster's archive, against archives that servers really made, whole and broken.

use std::fs;
use std::path::{Path, PathBuf};

use pgvigil::lab::{Archive, Lab, LabError, Role, Server, ServerOptions, StandbyOptions, StopMode, wait_until};

use super::failures::{PGVIGIL, lines, opened, until_logged};
use super::watch::{Page, SOON, Vigil};

type Outcome = Result<(), LabError>;

const MIB: f64 = 1_048_576.0;

/// pgvigil on servers with an archive. A segment that is younger than a second may not be whole.
async fn watch(lab: &Lab, servers: &[&Server], archive: &Path) -> Result<Vigil, LabError> {
    let (port, state) = (lab.free_port()?, lab.own_dir("state")?);
    let node =
        |server: &&Server| format!("      - {{name: {}, dsn: \"{}\"}}\n", server.name(), server.dsn(Role::Monitor));
    let text = format!(
        "listen: 127.0.0.1:{port}\nstate_dir: {}\nsample_interval: 500ms\ncollect_interval: 1s\narchive_hung_after: 1s\nclusters:\n  - \
         name: lab\n    archive_dir: {}\n    nodes:\n{}",
        state.display(),
        archive.display(),
        servers.iter().map(node).collect::<String>()
    );
    let path = lab.path().join("archive.yml");
    fs::write(&path, text).unwrap();
    let spawn = pgvigil::lab::Spawn::new("pgvigil", PGVIGIL).arg("serve").arg("--config").arg(path);
    opened(lab.spawn(spawn)?, port).await
}

async fn until_state(vigil: &Vigil, state: &str) {
    let seen = |page: &Page| match page.matching(&["archive_dir_state"]).len() {
        0 => Err("no state".to_owned()),
        _ => match page.one_of("archive_dir_state", "") {
            seen if seen == state => Ok(()),
            seen => Err(seen),
        },
    };
    vigil.until(&format!("the archive to be {state}"), seen).await;
}

async fn until_number(vigil: &Vigil, name: &str, number: f64) {
    let seen = |page: &Page| match page.get(name, "") {
        Some(seen) if seen == number => Ok(()),
        other => Err(format!("{other:?}")),
    };
    vigil.until(&format!("{name} to be {number}"), seen).await;
}

/// Archives so many segments more; their names.
pub async fn archived(server: &Server, dir: &Path, count: usize) -> Result<Vec<String>, LabError> {
    let mut names = Vec::new();
    for _ in 0..count {
        let name = server.switch_wal().await?;
        let file = dir.join(&name);
        wait_until(format!("{name} in the archive"), SOON, async || {
            if file.exists() { Ok(()) } else { Err("not there".to_owned()) }
        })
        .await?;
        names.push(name);
    }
    Ok(names)
}

/// Where a segment ends; it has 1 MiB.
fn end_of(name: &str) -> f64 {
    let part = |range| u64::from_str_radix(&name[range], 16).unwrap() as f64;
    (part(8..16) * 4096.0 + part(16..24) + 1.0) * MIB
}

fn bad(page: &Page, reason: &str) -> Option<f64> {
    page.get("archive_dir_bad_files", &format!("reason=\"{reason}\""))
}

#[tokio::test]
async fn a_hole_a_short_file_and_a_cut_beginning_are_told_apart() -> Outcome {
    let lab = Lab::new()?;
    let dir = lab.server_dir("wal")?;
    let a = lab.primary("a", ServerOptions::default().archive(&Archive::Into(dir.clone()))).await?;
    let vigil = watch(&lab, &[&a], &dir).await?;
    until_state(&vigil, "empty").await;
    let names = archived(&a, &dir, 6).await?;
    until_state(&vigil, "ok").await;
    until_number(&vigil, "archive_dir_segments", 6.0).await;
    until_number(&vigil, "archive_dir_bytes", 6.0 * MIB).await;
    until_number(&vigil, "archive_dir_position_bytes", end_of(&names[5])).await;
    until_number(&vigil, "archive_dir_timeline", 1.0).await;
    assert!(vigil.page().await.get("archive_dir_newest_age_seconds", "").unwrap() < SOON.as_secs_f64());

    // The beginning is cut off: all is well. Then a hole.
    fs::remove_file(dir.join(&names[0])).unwrap();
    until_number(&vigil, "archive_dir_segments", 5.0).await;
    until_state(&vigil, "ok").await;
    let aside = lab.path().join("aside");
    fs::rename(dir.join(&names[2]), &aside).unwrap();
    until_state(&vigil, "gap").await;
    until_number(&vigil, "archive_dir_missing_segments", 1.0).await;
    until_logged(&vigil, &format!("segments are missing (1), the first is {}", names[2])).await?;
    fs::rename(&aside, dir.join(&names[2])).unwrap();
    until_state(&vigil, "ok").await;

    // One is cut short, and one is compressed.
    let whole = fs::read(dir.join(&names[3])).unwrap();
    fs::write(dir.join(&names[3]), &whole[..1000]).unwrap();
    until_state(&vigil, "damaged").await;
    assert_eq!(bad(&vigil.page().await, "size"), Some(1.0));
    until_logged(&vigil, &format!("files do not serve (1), the first is {}", names[3])).await?;
    fs::write(dir.join(format!("{}.gz", names[3])), "compressed").unwrap();
    fs::remove_file(dir.join(&names[3])).unwrap();
    until_state(&vigil, "ok").await;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn an_archive_that_is_not_there_is_named_and_comes_back() -> Outcome {
    let lab = Lab::new()?;
    let dir = lab.server_dir("wal")?;
    let a = lab.primary("a", ServerOptions::default().archive(&Archive::Into(dir.clone()))).await?;
    let names = archived(&a, &dir, 3).await?;
    let vigil = watch(&lab, &[&a], &dir).await?;
    until_number(&vigil, "archive_dir_position_bytes", end_of(&names[2])).await;
    // Of the newest, which is gone, nothing newer says that it ever was.
    fs::remove_file(dir.join(&names[2])).unwrap();
    until_number(&vigil, "archive_dir_position_bytes", end_of(&names[1])).await;
    until_state(&vigil, "ok").await;

    let gone: PathBuf = dir.with_extension("gone");
    fs::rename(&dir, &gone).unwrap();
    until_state(&vigil, "unreadable").await;
    assert_eq!(vigil.page().await.get("archive_dir_segments", ""), None);
    until_logged(&vigil, "does not exist: correct the path").await?;
    fs::rename(&gone, &dir).unwrap();
    until_state(&vigil, "ok").await;
    let said = lines(&vigil.log(), &["archive_dir", "does not exist"]);
    assert_eq!(said.len(), 1, "{said:#?}");
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_promotion_leads_through_its_history_and_a_gap_at_the_fork_is_seen() -> Outcome {
    let lab = Lab::new()?;
    let dir = lab.server_dir("wal")?;
    let archive = Archive::Into(dir.clone());
    let a = lab.primary("a", ServerOptions::default().archive(&archive)).await?;
    let options = StandbyOptions { server: ServerOptions::default().archive(&archive), ..Default::default() };
    let b = lab.standby_of(&a, "b", options).await?;
    let old = archived(&a, &dir, 3).await?;
    b.wait_caught_up(&a, SOON).await?;
    let vigil = watch(&lab, &[&a, &b], &dir).await?;
    until_state(&vigil, "ok").await;
    a.kill();
    b.promote().await?;
    let new = archived(&b, &dir, 3).await?;
    assert!(new[0].starts_with("00000002"), "{new:?}");
    until_number(&vigil, "archive_dir_timeline", 2.0).await;
    until_state(&vigil, "ok").await;
    assert!(dir.join("00000002.history").exists());

    // What leads from the one to the other is gone, and comes back; and so the last segment before the fork.
    let aside = lab.path().join("aside");
    for name in ["00000002.history", &old[2]] {
        fs::rename(dir.join(name), &aside).unwrap();
        until_state(&vigil, "gap").await;
        let page = vigil.page().await;
        let missing =
            page.get("archive_dir_missing_segments", "").zip(page.get("archive_dir_missing_history_files", ""));
        assert_eq!(missing, Some(if name == "00000002.history" { (0.0, 1.0) } else { (1.0, 0.0) }), "{name}");
        fs::rename(&aside, dir.join(name)).unwrap();
        until_state(&vigil, "ok").await;
    }
    // The old timeline's beginning is removed, all of it, and then nobody needs the history.
    for entry in fs::read_dir(&dir).unwrap().flatten() {
        if entry.file_name().to_str().unwrap().starts_with("00000001") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    fs::remove_file(dir.join("00000002.history")).unwrap();
    until_number(&vigil, "archive_dir_segments", 3.0).await;
    until_state(&vigil, "ok").await;
    lab.stop().await;
    Ok(())
}

/// Two servers that changed places and back, what they archived, and a copy of the first from before, which the archive alone feeds.
struct Swap {
    lab: Lab,
    copy: Server,
    vigil: Vigil,
    /// The first segment of the second timeline, and that of the third.
    forks: [String; 2],
}

/// Lets `to` take over from `from`, whose last segments still wait for its archiver. The segment in which `to` begins.
async fn take_over(from: &Server, to: &Server) -> Result<String, LabError> {
    from.wait_streaming(to.name(), SOON).await?;
    from.sql("SELECT count(pg_logical_emit_message(false, 'lab', repeat('x', 1048000))) FROM generate_series(1, 8)")
        .await?;
    from.stop(StopMode::Fast).await?;
    to.promote().await?;
    to.sql("INSERT INTO written VALUES (1)").await?;
    Ok(to.value("SELECT pg_walfile_name(pg_current_wal_lsn())").await?.unwrap_or_default())
}

impl Swap {
    async fn play(b_archives: bool) -> Result<Self, LabError> {
        let lab = Lab::new()?;
        let dir = lab.server_dir("wal")?;
        // Slow: segments still wait when the server is told to stop.
        let command = format!("sleep 0.1; {}", Archive::Into(dir.clone()).command());
        let archiving = ServerOptions::default().set("archive_mode", "on").set("archive_command", command);
        let a = lab.primary("a", archiving.clone()).await?;
        let server = if b_archives { archiving } else { ServerOptions::default() };
        let b = lab.standby_of(&a, "b", StandbyOptions { server, ..Default::default() }).await?;
        let fed = StandbyOptions {
            restore_command: Some(Archive::restore_command(&dir)),
            archive_only: true,
            ..Default::default()
        };
        let copy = lab.standby_made(&a, "copy", fed).await?;
        let vigil = watch(&lab, &[&a, &b], &dir).await?;
        a.sql("CREATE TABLE written (row int)").await?;
        let first = take_over(&a, &b).await?;
        a.rejoin(&b, Some("a")).await?;
        let second = take_over(&b, &a).await?;
        archived(&a, &dir, 2).await?;
        copy.start().await?;
        Ok(Self { lab, copy, vigil, forks: [first, second] })
    }

    /// Waits until the copy has replayed to `end`, and tells how many rows it has then.
    async fn restored(&self, end: f64) -> Result<Option<String>, LabError> {
        wait_until(format!("the copy to replay to {end}"), SOON, async || {
            let seen = self.copy.value("SELECT (pg_last_wal_replay_lsn() - '0/0')::text").await?;
            if seen.as_deref().and_then(|seen| seen.parse().ok()) >= Some(end) {
                Ok(())
            } else {
                Err(format!("{seen:?}"))
            }
        })
        .await?;
        self.copy.value("SELECT count(*)::text FROM written").await
    }
}

#[tokio::test]
async fn a_switchover_and_back_under_load_leaves_no_gap_where_both_archive() -> Outcome {
    let swap = Swap::play(true).await?;
    until_number(&swap.vigil, "archive_dir_timeline", 3.0).await;
    until_state(&swap.vigil, "ok").await;
    assert_eq!(swap.restored(end_of(&swap.forks[1])).await?.as_deref(), Some("2"));
    // Nor was there one at any time: what is on its way is none.
    let said = lines(&swap.vigil.log(), &["archive_dir", "gap"]);
    assert!(said.is_empty(), "{said:#?}");
    swap.lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn what_a_primary_that_does_not_archive_wrote_is_a_gap_and_no_restore_passes() -> Outcome {
    let swap = Swap::play(false).await?;
    until_state(&swap.vigil, "gap").await;
    let [first, second] = swap.forks.each_ref().map(|fork| end_of(fork) - MIB);
    until_number(&swap.vigil, "archive_dir_missing_segments", (second - first) / MIB).await;
    until_logged(&swap.vigil, &format!("the first is {}", swap.forks[0])).await?;
    assert_eq!(swap.restored(first).await?.as_deref(), Some("0"), "neither row is in the archive");
    swap.lab.stop().await;
    Ok(())
}
