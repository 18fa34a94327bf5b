//! A planned switchover with the hooks that ship.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pgvigil::lab::{LabError, Role, Server, Spawn, StopMode, wait_until};
use serde_json::{Value, json};

use super::Outcome;
use super::client::Client;
use super::crash::{kinds, records};
use super::stage::{Play, SOON_AFTER, Stage};
use super::writable::Writable;
use crate::deploy_hooks::{ACTIONS, DIR, PROBES};
use crate::fixture::ROOT;

const BOOK: &str = "PlannedSwitchover";
/// A switchover that cannot come about is undone within this.
const UNDONE: Duration = Duration::from_secs(80);

/// Installs the hooks as somebody would, on the machine of the servers.
async fn install(stage: &Stage) -> Result<PathBuf, LabError> {
    let dir = stage.lab.own_dir("hooks")?;
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
    for name in [PROBES, ACTIONS, &["hook-lib.sh", "node.sh", "rejoin.sh"]].concat() {
        fs::copy(Path::new(ROOT).join(DIR).join(name), dir.join(name)).unwrap();
    }
    let script = format!("umask 077; printf '*:*:*:*:%s\\n' '{}' > ~/.pgpass", Role::Superuser.password());
    let passwords = Spawn::new("passwords", "/bin/sh").arg("-c").arg(script).as_server();
    assert_eq!(stage.lab.spawn(passwords)?.wait(SOON_AFTER).await?.code(), Some(0));
    let (bin, home) = (stage.lab.binaries().dir().display(), stage.lab.path().join("home/.pgpass"));
    let line = |server: &Server| {
        let data = server.data_dir().display();
        format!("{} local {data} bindir={bin} passfile={}\n", server.name(), home.display())
    };
    let nodes: String = [&stage.a, &stage.b, &stage.c].map(line).concat();
    fs::write(dir.join("nodes.conf"), nodes).unwrap();
    fs::set_permissions(dir.join("nodes.conf"), fs::Permissions::from_mode(0o644)).unwrap();
    Ok(dir)
}

/// Writes the runbook; `stop`: the program that stops the primary.
async fn write_book(stage: &Stage, hooks: &Path, mode: &str, stop: &str) {
    // What a hook starts is the lab's, which ends it.
    let mark = format!("LAB_ROOT={}", stage.lab.path().display());
    let hook = |name: &str| format!("[/usr/bin/env, '{mark}', {0}/{name}, --nodes, {0}/nodes.conf]", hooks.display());
    let book = format!(
        "---\nclass: failover\nplanned: true\nmode: {mode}\n\
         limits: {{max_loss_bytes: 16777216, block_after_run: 0s}}\nsteps:\n  \
         - fence: {{argv: {}, probe: {}, undo: {}, timeout: 80s}}\n  - promote: {{timeout: 30s}}\n  - repoint: {{timeout: 30s}}\n  \
         - verify: {{one_writable: true, standbys_streaming_within: 30s}}\n  \
         - run: {{name: rejoin, argv: {}, probe: {}, timeout: 120s}}\n---\n# {BOOK}\n\nIn a test.\n",
        hook(stop),
        hook("is-stopped"),
        hook("start-primary"),
        hook("rejoin-old-primary"),
        hook("is-standby"),
    );
    fs::write(stage.lab.path().join("books").join(format!("{BOOK}.md")), book).unwrap();
    let answer = stage.ask("/-/reload", &json!({})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

async fn start(stage: &Stage) {
    let answer = stage.ask("/api/v1/runs", &json!({"cluster": "lab", "runbook": BOOK})).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
}

/// Waits until the run has ended so.
async fn until_ended(stage: &Stage, outcome: &str) -> Result<Value, LabError> {
    wait_until(format!("a run that is {outcome}"), UNDONE, async || match stage.runs().await.first() {
        Some(run) if run["outcome"] == outcome => Ok(run.clone()),
        other => Err(format!("{other:?}\n{}", stage.vigil.process().log_tail(12))),
    })
    .await
}

async fn writes(client: &Client, server: &str, more: usize) -> Outcome {
    let of = || client.acked().iter().filter(|acked| acked.by == server).count();
    let before = of();
    wait_until(format!("rows on {server}"), SOON_AFTER, async || {
        if of() > before + more { Ok(()) } else { Err(of().to_string()) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switchover_loses_no_row() -> Outcome {
    let stage = Stage::open(Play { trigger: "[alert]", ..Play::default() }).await?;
    let hooks = install(&stage).await?;
    write_book(&stage, &hooks, "manual", "stop-primary").await;
    let client = Client::start(&stage.a, &[&stage.a, &stage.b, &stage.c]).await;
    writes(&client, "a", 50).await?;
    start(&stage).await;
    let run = stage.until_run("awaiting").await?;
    assert_eq!(stage.a.value("SELECT pg_is_in_recovery()").await?.as_deref(), Some("f"), "nothing is done unasked");
    let path = format!("/api/v1/runs/{}/approve", run["id"].as_str().unwrap());
    let answer = stage.ask(&path, &json!({"plan": run["plan"]})).await;
    assert!(answer.status < 300, "{}", answer.text());
    let run = until_ended(&stage, "succeeded").await?;
    println!("{run:#}\n{}", stage.vigil.log());
    assert!(run["report"].as_str().unwrap().contains("no WAL is lost"), "{run:#}");
    let candidate = run["candidate"].as_str().unwrap();
    let (new, other) = if candidate == "b" { (&stage.b, "c") } else { (&stage.c, "b") };
    writes(&client, candidate, 20).await?;
    new.wait_streaming(other, SOON_AFTER).await?;
    new.wait_streaming("a", SOON_AFTER).await?;
    let acked = client.acked();
    let gap = acked.windows(2).map(|pair| pair[1].at - pair[0].at).max();
    println!("{} rows, the longest time without one {gap:?}", acked.len());
    assert_eq!(client.lost_on(new).await, []);
    stage.a.stop(StopMode::Immediate).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switchover_that_pgvigil_dies_in_goes_on() -> Outcome {
    let (first, last) = if std::env::var_os("LAB_ALL").is_some() { (1, 24) } else { (7, 8) };
    for number in first..=last {
        point(number).await?;
    }
    Ok(())
}

/// Kills pgvigil when it has written so many records since it was asked, and starts it again.
async fn point(number: usize) -> Outcome {
    let mut stage = Stage::open(Play { trigger: "[alert]", ..Play::default() }).await?;
    let hooks = install(&stage).await?;
    write_book(&stage, &hooks, "automatic", "stop-primary").await;
    let client = stage.written().await?;
    let writable = Writable::watch(&stage.servers()).await?;
    let journal = stage.journal();
    let before = records(&journal).len();
    start(&stage).await;
    let written = wait_until(format!("record {number}"), UNDONE, async || {
        let written = records(&journal).split_off(before);
        let over = stage.runs().await.first().is_some_and(|run| !run["outcome"].is_null());
        if written.len() >= number || over { Ok(written) } else { Err(kinds(&written)) }
    })
    .await?;
    stage.vigil.crash().await?;
    println!("point {number} of a switchover: killed after {}", kinds(&written));
    stage.vigil.start_again(&stage.lab).await?;
    let run = until_ended(&stage, "succeeded").await?;
    println!("then {}", kinds(&records(&journal).split_off(before)));
    let (whole, said) = stage.command(&["runbook", "history"]).await;
    assert!(whole, "{said}");
    assert_eq!(stage.runs().await.len(), 1);
    let candidate = run["candidate"].as_str().unwrap().to_owned();
    let (new, other) = if candidate == "b" { (&stage.b, "c") } else { (&stage.c, "b") };
    writes(&client, &candidate, 20).await?;
    new.wait_streaming(other, SOON_AFTER).await?;
    new.wait_streaming("a", SOON_AFTER).await?;
    let histories = "SELECT count(*) FROM pg_ls_waldir() WHERE name LIKE '%.history'";
    assert_eq!(new.value(histories).await?.as_deref(), Some("1"), "promoted once");
    assert_eq!(writable.never_two(), ["a", candidate.as_str()]);
    assert_eq!(client.lost_on(new).await, []);
    stage.a.stop(StopMode::Immediate).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_lacks_the_last_record_is_not_promoted() -> Outcome {
    let stage = Stage::open(Play { trigger: "[alert]", ..Play::default() }).await?;
    let hooks = install(&stage).await?;
    // The candidate is cut off between the last look and the stop.
    let psql = stage.lab.binaries().dir().join("psql");
    let text = format!(
        "#!/bin/sh\ncase $PGV_CANDIDATE_NODE in\nb) dsn='{}' ;;\nc) dsn='{}' ;;\nesac\nask() {{ {} -XAtq -d \"$dsn\" -c \"$1\"; }}\n\
         ask \"ALTER SYSTEM SET primary_conninfo = ''\" >&2\nask 'SELECT pg_reload_conf()' >&2\n\
         until [ \"$(ask 'SELECT count(*) FROM pg_stat_wal_receiver')\" = 0 ]; do sleep 0.1; done\n\
         exec {}/stop-primary \"$@\"\n",
        stage.b.dsn(Role::Superuser),
        stage.c.dsn(Role::Superuser),
        psql.display(),
        hooks.display(),
    );
    fs::write(hooks.join("cut-and-stop"), text).unwrap();
    fs::set_permissions(hooks.join("cut-and-stop"), fs::Permissions::from_mode(0o755)).unwrap();
    write_book(&stage, &hooks, "automatic", "cut-and-stop").await;
    let client = Client::start(&stage.a, &[&stage.a, &stage.b, &stage.c]).await;
    writes(&client, "a", 50).await?;
    start(&stage).await;
    let run = until_ended(&stage, "aborted").await?;
    println!("{run:#}\n{}", stage.vigil.log());
    let report = run["report"].as_str().unwrap();
    assert!(report.contains("nothing_lost: the old primary shut down with the checkpoint at"), "{report}");
    writes(&client, "a", 20).await?;
    let candidate = run["candidate"].as_str().unwrap();
    let (cut, other) = if candidate == "b" { (&stage.b, "c") } else { (&stage.c, "b") };
    assert_eq!(cut.value("SELECT pg_is_in_recovery()").await?.as_deref(), Some("t"));
    stage.a.wait_streaming(other, SOON_AFTER).await?;
    assert_eq!(client.lost_on(&stage.a).await, []);
    stage.a.stop(StopMode::Immediate).await?;
    Ok(())
}
