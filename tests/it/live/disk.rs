//! Disks that fail pgvigil, and what it had kept on them: it goes on watching, says so once, and loses nothing.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use pgvigil::lab::{Lab, LabError, Server, ServerOptions, Spawn, StandbyOptions, wait_until};

use super::failures::{PGVIGIL, config, lines, node, opened, until_logged};
use super::watch::{INTERVAL, Node, SOON, Vigil};

type Outcome = Result<(), LabError>;

/// pgvigil keeps its history each 10 s; the machine may be slow.
const TWO_SAVES: Duration = Duration::from_secs(40);

async fn until_saved(vigil: &Vigil, saved: f64) {
    vigil
        .until_within(&format!("state_saved {saved}"), TWO_SAVES, |page| match page.get("state_saved", "") {
            Some(seen) if seen == saved => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
}

/// How often something was made or removed in a directory, as far as two looks tell it apart.
struct Stirs {
    dir: PathBuf,
    last: std::time::SystemTime,
    count: usize,
}

impl Stirs {
    fn of(dir: PathBuf) -> Self {
        let last = std::fs::metadata(&dir).unwrap().modified().unwrap();
        Self { dir, last, count: 0 }
    }

    /// Waits until a save was tried so often since.
    async fn wait(&mut self, count: usize) -> Outcome {
        let deadline = tokio::time::Instant::now() + TWO_SAVES;
        while self.count < count {
            let now = std::fs::metadata(&self.dir).unwrap().modified().unwrap();
            // The file that a save makes and removes stirs the directory twice within milliseconds.
            if now.duration_since(self.last).is_ok_and(|since| since > Duration::from_secs(2)) {
                self.count += 1;
                self.last = now;
            }
            assert!(tokio::time::Instant::now() < deadline, "{} saves tried of {count}", self.count);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

/// One sentence on a save that failed, the page that says so, and the watching that goes on.
async fn failing_save_is_told(vigil: &Vigil, server: &Server, stirs: &mut Stirs, reason: &str) -> Outcome {
    until_saved(vigil, 0.0).await;
    stirs.wait(2).await?;
    let said = lines(&vigil.log(), &["lag history is not kept"]);
    assert_eq!(said.len(), 1, "{said:#?}");
    for part in [reason, "ERROR", "cluster=\"lab\"", "with free space, or set state_dir"] {
        assert!(said[0].contains(part), "no {part} in {said:#?}");
    }
    vigil.until_state("a", "up").await;
    server.kill();
    vigil.until_state("a", "unreachable").await;
    server.start().await?;
    vigil.until_state("a", "up").await;
    Ok(())
}

#[tokio::test]
async fn a_full_disk_under_state_dir_is_said_once_and_loses_nothing() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let (port, state) = (lab.free_port()?, lab.own_dir("state")?);
    let path = config(&lab, port, &state, &node(&a));
    // A file system that only pgvigil sees, and that goes with it.
    let script = "mount -t tmpfs -o size=64k tmpfs \"$1\" && exec \"$2\" serve --config \"$3\"";
    let spawn = Spawn::new("pgvigil", "unshare").arg("-rm").arg("sh").arg("-c").arg(script).arg("sh");
    let process = lab.spawn(spawn.arg(&state).arg(PGVIGIL).arg(path))?;
    let seen = PathBuf::from(format!("/proc/{}/root{}", process.id().pid, state.display()));
    // Where nobody may mount, this cannot be checked, and then it has not passed.
    let vigil = opened(process.clone(), port).await.unwrap_or_else(|error| panic!("{error}\n{}", process.log()));
    vigil.until_healthy(&["a"], &[]).await;
    until_saved(&vigil, 1.0).await;
    let filler = seen.join("filler");
    let full = std::fs::write(&filler, vec![0; 100_000]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    let kept = std::fs::read(seen.join("lab.lag-history.json")).unwrap();
    let mut stirs = Stirs::of(seen.clone());
    failing_save_is_told(&vigil, &a, &mut stirs, "No space left on device").await?;
    assert!(std::fs::read(seen.join("lab.lag-history.json")).unwrap() == kept, "the last whole one is still there");
    assert_eq!(std::fs::read_dir(&seen).unwrap().count(), 2, "no half of a new one fills the disk");

    std::fs::remove_file(&filler).unwrap();
    until_saved(&vigil, 1.0).await;
    until_logged(&vigil, "lag history is kept again").await?;
    assert!(std::fs::read(seen.join("lab.lag-history.json")).unwrap() != kept, "a newer one");
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_limit_on_file_sizes_is_like_a_full_disk_and_not_the_end() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let (port, state) = (lab.free_port()?, lab.own_dir("state")?);
    let path = config(&lab, port, &state, &node(&a));
    // The log goes through a pipe to a process without the limit.
    let script = "mkfifo log && { cat log & } && ulimit -S -f 0 && exec \"$1\" serve --config \"$2\" >log 2>&1";
    let spawn = Spawn::new("pgvigil", "sh").arg("-c").arg(script).arg("sh").arg(PGVIGIL).arg(path);
    let vigil = opened(lab.spawn(spawn)?, port).await?;
    let mut stirs = Stirs::of(state);
    failing_save_is_told(&vigil, &a, &mut stirs, "File too large").await?;
    let pid = vigil.process().id().pid.to_string();
    let mend = Spawn::new("prlimit", "prlimit").arg("--pid").arg(pid).arg("--fsize=unlimited");
    assert_eq!(lab.spawn(mend)?.wait(SOON).await?.code(), Some(0));
    until_saved(&vigil, 1.0).await;
    until_logged(&vigil, "lag history is kept again").await?;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_full_disk_under_the_log_ends_nothing() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let (port, state) = (lab.free_port()?, lab.own_dir("state")?);
    let path = config(&lab, port, &state, &node(&a));
    let script = "exec \"$1\" serve --config \"$2\" 2>/dev/full";
    let spawn = Spawn::new("pgvigil", "sh").arg("-c").arg(script).arg("sh").arg(PGVIGIL).arg(path);
    let vigil = opened(lab.spawn(spawn)?, port).await?;
    vigil.until_healthy(&["a"], &[]).await;
    a.kill();
    vigil.until_state("a", "unreachable").await;
    a.start().await?;
    vigil.until_state("a", "up").await;
    assert_eq!(vigil.process().terminate(SOON).await?.code(), Some(0));
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_state_dir_that_may_not_be_written_is_said_once_and_tried_again() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let (port, state) = (lab.free_port()?, lab.own_dir("state")?);
    let mode = |mode: u32| std::fs::set_permissions(&state, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o555);
    let path = config(&lab, port, &state, &node(&a));
    // Under an account that modes hold for, where the tests run as root.
    let spawn = Spawn::new("pgvigil", PGVIGIL).arg("serve").arg("--config").arg(path).as_server();
    let vigil = opened(lab.spawn(spawn)?, port).await?;
    until_saved(&vigil, 0.0).await;
    until_logged(&vigil, "Permission denied").await?;
    vigil.until_healthy(&["a"], &[]).await;
    mode(0o777);
    until_saved(&vigil, 1.0).await;
    until_logged(&vigil, "lag history is kept again").await?;
    let said = lines(&vigil.log(), &["lag history is not kept"]);
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(said[0].contains("make ") && said[0].contains("a directory that pgvigil may write"), "{said:#?}");
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_history_that_says_nothing_is_told_and_put_aside() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let mut vigil = Vigil::start(&lab, &[Node::of(&a)]).await?;
    vigil.until_healthy(&["a"], &[]).await;
    vigil.process().terminate(SOON).await?;
    let file = lab.path().join("state/lab.lag-history.json");
    let whole = std::fs::read_to_string(&file).unwrap();
    assert!(whole.contains("\"timeline\":1"), "{whole}");
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    for (what, text, sentence, aside) in [
        ("truncated", whole[..whole.len() / 2].to_owned(), "not a lag history of this version (EOF", true),
        ("empty", String::new(), "not a lag history of this version (EOF", true),
        ("garbage", "\u{0}\u{7f}".repeat(5000), "not a lag history of this version", true),
        ("newer", whole.replacen("\"format\":1", "\"format\":99", 1), "of this version (format 99)", true),
        ("another boot", whole.replace(boot_id.trim(), "earlier"), "of an earlier boot of this machine", false),
    ] {
        std::fs::write(&file, &text).unwrap();
        // What a kill in the middle of a save leaves.
        std::fs::write(file.with_extension("new"), "{\"format\":1,\"boot").unwrap();
        vigil.restart(&lab).await?;
        vigil.until_healthy(&["a"], &[]).await;
        let said = lines(&vigil.log(), &[sentence, "the history starts empty", "cluster=\"lab\""]);
        assert_eq!(said.len(), 1, "{what}: {}", vigil.log());
        let kept = file.with_extension("unreadable");
        assert_eq!(aside, std::fs::read_to_string(&kept).is_ok_and(|kept| kept == text), "{what}");
        let _ = std::fs::remove_file(&kept);
        vigil.process().terminate(SOON).await?;
        let new: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        assert_eq!((&new["format"], &new["boot_id"]), (&1.into(), &boot_id.trim().into()), "{what}");
        assert!(!file.with_extension("new").exists(), "{what}");
    }
    vigil.restart(&lab).await?;
    assert_eq!(lines(&vigil.log(), &["history"]), [""; 0], "a good one is taken without a word");
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn killed_it_knows_again_what_it_had_kept() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions::default()).await?;
    a.wait_streaming("b", SOON).await?;
    let mut vigil = Vigil::start(&lab, &[Node::of(&a), Node::of(&b)]).await?;
    vigil.until_healthy(&["a", "b"], &["b"]).await;
    b.pause_replay().await?;
    a.sql("CREATE TABLE behind AS SELECT generate_series(1, 1000)").await?;
    vigil
        .until("a lag of a second", |page| match page.lag("b", "replayed") {
            Some(1.0..) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    // Kept at some moment since.
    let file = lab.path().join("state/lab.lag-history.json");
    let (now, age) = (std::time::SystemTime::now(), || std::fs::metadata(&file).unwrap().modified().unwrap());
    wait_until("the history on disk", TWO_SAVES, async || if age() > now { Ok(()) } else { Err("older".to_owned()) })
        .await?;
    let before = vigil.page().await.lag("b", "replayed").expect("a lag");
    let killed = std::time::Instant::now();
    vigil.process().kill();
    let kept = age();
    assert!(kept.elapsed().unwrap() < Duration::from_secs(10) + SOON / 3, "each 10 s: {:?}", kept.elapsed());
    vigil.restart(&lab).await?;
    let lag = vigil.until("the lag again", |page| page.lag("b", "replayed").ok_or_else(|| "unknown".to_owned())).await;
    let expected = before + killed.elapsed().as_secs_f64();
    assert!((lag - expected).abs() < 2.0 * INTERVAL.as_secs_f64() + 1.0, "{lag} s, not {expected} s");
    lab.stop().await;
    Ok(())
}
