//! The log as its readers get it, and that one who does not read keeps nobody waiting.

use std::time::Duration;

use pgvigil::lab::{Lab, LabError, Spawn, wait_until};
use rustix::process::Signal;
use tokio::time::Instant;

use super::failures::{PGVIGIL, config, opened};
use super::watch::{Page, SOON};

const NOWHERE: &str = "{name: a, dsn: \"host=127.0.0.1 port=1 user=m dbname=postgres\"}";

#[tokio::test]
async fn a_line_is_an_object_with_the_same_fields_as_ever() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let (port, state) = (lab.free_port()?, lab.own_dir("state")?);
    let path = config(&lab, port, &state, NOWHERE);
    let spawn = Spawn::new("pgvigil", PGVIGIL).arg("serve").arg("--log-format").arg("json").arg("--config").arg(&path);
    let vigil = opened(lab.spawn(spawn)?, port).await?;
    vigil.until_state("a", "unreachable").await;
    std::fs::write(&path, "listen: x\n").unwrap();
    wait_until("a reload refused", SOON, async || match vigil.log() {
        log if log.contains("not taken in") => Ok(()),
        log => Err(log),
    })
    .await?;
    vigil
        .until("every line counted", |page| {
            let counts =
                ["error", "warn", "info"].map(|class| page.matching(&["pgvigil_own_log_events_total", class])[0].1);
            if counts == [1.0; 3] { Ok(()) } else { Err(format!("{counts:?}")) }
        })
        .await;
    vigil.process().terminate(SOON).await?;
    let log = vigil.log();
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let find = |part: &str| {
        let found = lines.iter().find(|line| line["message"].as_str().is_some_and(|message| message.contains(part)));
        found.unwrap_or_else(|| panic!("no {part} in {log}"))
    };
    let ready = find("pgvigil is ready");
    assert_eq!((&ready["level"], &ready["clusters"]), (&"INFO".into(), &1.into()), "{ready}");
    let failed = find("nothing listens at this address");
    for (field, value) in [("cluster", "lab"), ("node", "a"), ("state", "unreachable"), ("reason", "refused")] {
        assert_eq!(failed[field], value, "{failed}");
    }
    assert!(failed["timestamp"].is_string() && failed["target"].as_str().unwrap().starts_with("pgvigil::"), "{failed}");
    assert_eq!(find("not taken in")["trigger"], "file");
    assert_eq!(lines.len(), 4, "and one at the end: {log}");
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_reader_that_does_not_read_holds_nothing_up() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let (port, state) = (lab.free_port()?, lab.own_dir("state")?);
    let path = config(&lab, port, &state, NOWHERE);
    // Into a pipe that is full from the start.
    let script =
        "mkfifo log && exec 9<>log && head -c 65536 /dev/zero >&9 && exec \"$1\" serve --config \"$2\" >&9 2>&9";
    let spawn = Spawn::new("pgvigil", "sh").arg("-c").arg(script).arg("sh").arg(PGVIGIL).arg(path);
    let vigil = opened(lab.spawn(spawn)?, port).await?;
    vigil.until_state("a", "unreachable").await;
    vigil.process().signal(Signal::HUP)?;
    vigil
        .until("three lines said, and nobody waits", |page| {
            match page.matching(&["pgvigil_own_log_events_total"]).iter().map(|(_, count)| count).sum::<f64>() {
                3.0 => Ok(()),
                count => Err(format!("{count}")),
            }
        })
        .await;
    let ticks = |page: &Page| page.matching(&["standby_lag_ticks_total"]).iter().map(|(_, n)| n).sum::<f64>();
    let before = ticks(&vigil.page().await);
    vigil
        .until("the clock goes on", |page| match ticks(page) {
            now if now >= before + 2.0 => Ok(()),
            now => Err(format!("{now} after {before}")),
        })
        .await;
    let began = Instant::now();
    assert_eq!(vigil.process().terminate(SOON).await?.code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn what_could_not_be_written_is_counted_and_told() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let (port, state) = (lab.free_port()?, lab.own_dir("state")?);
    let path = config(&lab, port, &state, NOWHERE);
    // No file may grow, as on a full disk.
    let script = "ulimit -S -f 0 && exec \"$1\" serve --config \"$2\"";
    let spawn = Spawn::new("pgvigil", "sh").arg("-c").arg(script).arg("sh").arg(PGVIGIL).arg(path);
    let vigil = opened(lab.spawn(spawn)?, port).await?;
    vigil
        .until("lines dropped", |page| match page.matching(&["pgvigil_log_dropped_total"])[0].1 {
            2.0.. => Ok(()),
            dropped => Err(format!("{dropped} dropped")),
        })
        .await;
    assert_eq!(vigil.log(), "");
    let pid = vigil.process().id().pid.to_string();
    let mend = Spawn::new("prlimit", "prlimit").arg("--pid").arg(pid).arg("--fsize=unlimited");
    assert_eq!(lab.spawn(mend)?.wait(SOON).await?.code(), Some(0));
    vigil.process().signal(Signal::HUP)?;
    let told = ["lines of the log were dropped", "left_out=", "the config was read again"];
    wait_until("the loss told, and lines as before", SOON, async || match vigil.log() {
        log if told.iter().all(|part| log.contains(part)) => Ok(()),
        log => Err(log),
    })
    .await?;
    lab.stop().await;
    Ok(())
}
