//! `pgvigil status --watch` in a real terminal, as a person sees it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use pgvigil::lab::{Lab, LabError, ServerOptions, Spawn, Spawned, StandbyOptions, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::client::get;
use super::watch::{Node, SOON, Vigil};
use crate::fixture::{ROOT, update};

type Outcome = Result<(), LabError>;

/// What a terminal of 24 rows shows after all that was written to it.
fn shown(written: &str) -> String {
    let mut rows = vec![vec![' '; 80]; 24];
    let (mut x, mut y) = (0, 0);
    let mut rest = written.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\x1b' if rest.next_if_eq(&'[').is_some() => {
                let mut numbers = String::new();
                let end = loop {
                    match rest.next() {
                        Some(c) if c.is_ascii_alphabetic() => break c,
                        Some(c) => numbers.push(c),
                        None => return String::new(),
                    }
                };
                let mut numbers = numbers.split(';').map(|number| number.parse().unwrap_or(1_usize));
                match end {
                    'H' => (y, x) = (numbers.next().unwrap_or(1) - 1, numbers.next().unwrap_or(1) - 1),
                    'J' => rows = vec![vec![' '; 80]; 24],
                    _ => {}
                }
            }
            '\x1b' => {}
            '\r' => x = 0,
            '\n' => y += 1,
            c => {
                if let Some(cell) = rows.get_mut(y).and_then(|row: &mut Vec<char>| row.get_mut(x)) {
                    *cell = c;
                }
                x += 1;
            }
        }
    }
    rows.iter().map(|row| format!("{}\n", row.iter().collect::<String>().trim_end())).collect()
}

async fn until_shown(terminal: &Spawned, what: &str, parts: &[&str]) -> Result<String, LabError> {
    wait_until(what, SOON, async || {
        let screen = shown(&terminal.log());
        let missing: Vec<_> = parts.iter().filter(|part| !screen.contains(**part)).collect();
        if missing.is_empty() { Ok(screen) } else { Err(format!("no {missing:?} in\n{screen}")) }
    })
    .await
}

/// Keeps what the API says now, if that was asked for.
async fn record(vigil: &Vigil, name: &str) {
    if !update() {
        return;
    }
    let answer = async |path: &str| -> Value { get(vigil.port(), path, "").await.json() };
    let all = json!({
        "clusters": answer("/api/v1/clusters").await,
        "cluster": answer("/api/v1/clusters/lab").await,
        "runs": answer("/api/v1/runs").await,
    });
    let path = Path::new(ROOT).join("tests/fixtures/status").join(format!("{name}.json"));
    fs::write(path, format!("{all:#}\n")).unwrap();
}

#[tokio::test]
async fn the_live_picture_follows_and_leaves_the_terminal_as_it_was() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions::default()).await?;
    let c = lab.standby_of(&a, "c", StandbyOptions::default()).await?;
    let vigil = Vigil::start(&lab, &[Node::of(&a), Node::of(&b), Node::of(&c)]).await?;
    vigil.until_healthy(&["a", "b", "c"], &["b", "c"]).await;
    let url = format!("http://127.0.0.1:{}", vigil.port());
    let person = format!(
        "stty rows 24 cols 80; sh -c 'echo $$ > pid; exec {} status --watch --interval 500ms --server {url}'; \
         echo ended with $?; stty -a",
        env!("CARGO_BIN_EXE_pgvigil")
    );
    let spawn = Spawn::new("terminal", "script").arg("-qfec").arg(person).arg("/dev/null");
    let cwd = lab.own_dir("terminal-cwd")?;
    let terminal = lab.spawn(spawn.env("TERM", "xterm").env("NO_COLOR", "1").cwd(&cwd))?;
    let healthy = ["failover  would go to b", "\na     up           primary", "\nc     up           standby"];
    until_shown(&terminal, "the healthy picture", &healthy).await?;
    record(&vigil, "healthy").await;

    c.kill();
    until_shown(
        &terminal,
        "c is unreachable",
        &["\nc     unreachable", "c is unreachable for", "perhaps to c: there is no fresh reading"],
    )
    .await?;
    record(&vigil, "killed").await;

    b.promote().await?;
    let split =
        ["SPLIT BRAIN several nodes of lab write at the same time: a and b", "would not work: several nodes write"];
    until_shown(&terminal, "the split brain", &split).await?;
    record(&vigil, "split").await;

    vigil.crash().await?;
    let old = ["s old, not the present", "failover  not known", "NODE  WAS"];
    let screen = until_shown(&terminal, "the picture is old", &old).await?;
    assert!(!screen.contains("would "), "{screen}");
    let colours = ["\x1b[38;", "\x1b[48;", "\x1b[31m"];
    assert!(colours.iter().all(|colour| !terminal.log().contains(colour)), "NO_COLOR is not heeded");

    let pid: i32 = fs::read_to_string(cwd.join("pid")).unwrap().trim().parse().unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    assert!(terminal.wait(SOON).await?.success());
    let log = terminal.log();
    let after = log.rsplit_once("\x1b[?1049l").expect("the other screen is left").1;
    assert!(after.contains("ended with 0") && log.contains("\x1b[?25h"), "{after}");
    let modes: Vec<_> = after.split_whitespace().map(|word| word.trim_end_matches(';')).collect();
    assert!(modes.contains(&"icanon") && modes.contains(&"echo") && modes.contains(&"isig"), "{after}");
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn without_a_terminal_there_is_a_table_at_each_look() -> Outcome {
    let lab = Lab::new()?;
    let nobody = Node::with("a", "host=127.0.0.1 port=1 user=nobody dbname=postgres", "");
    let vigil = Vigil::start(&lab, &[nobody]).await?;
    vigil.until_state("a", "unreachable").await;
    let url = format!("http://127.0.0.1:{}", vigil.port());
    let status = Spawn::new("status", env!("CARGO_BIN_EXE_pgvigil"));
    let status =
        lab.spawn(status.arg("status").arg("--watch").arg("--interval").arg("500ms").arg("--server").arg(url))?;
    let times = |what: &str| status.log().matches(what).count();
    let until = async |what: &str, least: usize| {
        wait_until(what, SOON, async || if times(what) >= least { Ok(()) } else { Err(status.log()) }).await
    };
    until("cluster lab: primary unknown", 2).await?;
    vigil.crash().await?;
    until("does not answer", 2).await?;
    assert!(!status.log().contains('\x1b') && times("--- ") >= 4, "{}", status.log());
    assert!(status.terminate(Duration::from_secs(5)).await?.success());
    lab.stop().await;
    Ok(())
}
