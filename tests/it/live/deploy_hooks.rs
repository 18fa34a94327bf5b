//! The hooks that ship, on real servers: what they say is so is so.

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pgvigil::lab::{Lab, LabError, Role, Server, ServerOptions, Spawn, StandbyOptions, wait_until};
use serde_json::Value;

use super::watch::SOON;
use crate::deploy_hooks::{ACTIONS, DIR, PROBES};
use crate::fixture::ROOT;

type Outcome = Result<(), LabError>;

const HOOK_WITHIN: Duration = Duration::from_secs(60);

/// The hooks as somebody installed them.
struct Hooks {
    lab: Lab,
    dir: PathBuf,
    runs: Cell<u32>,
    /// Whether they run under our own account, which may be root, instead of the servers'.
    as_we: bool,
}

/// How a hook ended.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    last: Value,
    printed: String,
}

impl Hooks {
    /// Installs them. `target` is that of each node: `local`, or what ssh takes.
    async fn install(lab: &Lab, target: &str, servers: &[&Server]) -> Result<Self, LabError> {
        let dir = lab.own_dir("hooks")?;
        let parts = ["hook-lib.sh", "node.sh", "rejoin.sh"];
        for name in [PROBES, ACTIONS, &parts].concat() {
            fs::copy(Path::new(ROOT).join(DIR).join(name), dir.join(name)).unwrap();
        }
        let hooks = Self { lab: lab.clone(), dir, runs: Cell::new(0), as_we: false };
        let passfile = hooks.lab.path().join("home/.pgpass");
        let line = |server: &&Server| {
            let (bin, data) = (hooks.lab.binaries().dir().display(), server.data_dir().display());
            format!("{} {target} {data} bindir={bin} passfile={}\n", server.name(), passfile.display())
        };
        fs::write(hooks.nodes(), servers.iter().map(line).collect::<String>()).unwrap();
        fs::set_permissions(hooks.nodes(), fs::Permissions::from_mode(0o644)).unwrap();
        let script = format!("umask 077; printf '*:*:*:*:%s\\n' '{}' > ~/.pgpass", Role::Superuser.password());
        let passwords = Spawn::new("passwords", "/bin/sh").arg("-c").arg(script).as_server();
        assert_eq!(lab.spawn(passwords)?.wait(SOON).await?.code(), Some(0));
        Ok(hooks)
    }

    fn nodes(&self) -> PathBuf {
        self.dir.join("nodes.conf")
    }

    async fn run(&self, hook: &str, old: &Server, new: Option<&Server>, more: &[&str]) -> Result<Ran, LabError> {
        self.runs.set(self.runs.get() + 1);
        let path = std::env::var("PATH").unwrap_or_default();
        let mut spawn = Spawn::new(format!("{hook}-{}", self.runs.get()), self.dir.join(hook));
        spawn = spawn.arg("--nodes").arg(self.nodes()).env("PGV_OLD_PRIMARY_NODE", old.name());
        // A fake ssh, where a test has made one.
        spawn = spawn.env("PATH", format!("{}/bin:{path}", self.lab.path().display()));
        if let Some(new) = new {
            spawn = spawn.env("PGV_CANDIDATE_HOST", "127.0.0.1").env("PGV_CANDIDATE_PORT", new.port().to_string());
        }
        spawn = more.iter().fold(spawn, |spawn, argument| spawn.arg(*argument));
        let process = self.lab.spawn(if self.as_we { spawn } else { spawn.as_server() })?;
        let code = process.wait(HOOK_WITHIN).await?.code();
        let printed = process.log();
        println!("{hook} of {}: {code:?}\n{printed}", old.name());
        let last = printed.lines().rev().find_map(|line| serde_json::from_str(line).ok()).unwrap_or_default();
        Ok(Ran { code, last, printed })
    }

    /// Runs a hook and holds its exit code.
    async fn gives(&self, code: i32, hook: &str, old: &Server, new: Option<&Server>) -> Result<Ran, LabError> {
        let ran = self.run(hook, old, new, &[]).await?;
        assert_eq!(ran.code, Some(code), "{hook} of {}: {}", old.name(), ran.printed);
        Ok(ran)
    }
}

/// That nothing starts it, and why.
async fn cannot_start(server: &Server) {
    let error = server.start().await.expect_err("it starts");
    assert!(error.to_string().contains("global/pg_control"), "{error}");
}

/// A client that lets its backend compute, which so does not hear of its postmaster's death.
fn keep_busy(server: &Server) {
    let server = server.clone();
    tokio::spawn(async move { server.sql("SELECT count(*) FROM generate_series(1, 1000000000000)").await });
}

async fn busy(server: &Server) -> Outcome {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%1000000000000%' \
               AND pid <> pg_backend_pid()";
    wait_until("a busy backend", SOON, async || match server.value(sql).await?.as_deref() {
        Some("1") => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await
}

#[tokio::test]
async fn a_fence_leaves_no_process_and_no_way_to_start() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let mut hooks = Hooks::install(&lab, "local", &[&a]).await?;
    let (control, aside) = (a.data_dir().join("global/pg_control"), a.data_dir().join("global/pg_control.fenced"));
    for case in ["running", "frozen", "orphaned", "stopped"] {
        println!("--- {case}");
        match case {
            "frozen" => a.freeze()?,
            "orphaned" => {
                keep_busy(&a);
                busy(&a).await?;
                a.kill_postmaster()?;
                a.wait_stopped(SOON).await?;
            }
            "stopped" => a.stop(pgvigil::lab::StopMode::Fast).await?,
            _ => {}
        }
        let before = hooks.gives(10, "is-fenced", &a, None).await?;
        let left = before.last["message"].as_str().unwrap().starts_with("still there: ");
        assert_eq!(left, case != "stopped", "{before:?}");
        hooks.gives(0, "fence-old-primary", &a, None).await?;
        assert!(!a.running());
        hooks.gives(0, "is-fenced", &a, None).await?;
        hooks.gives(11, "fence-old-primary", &a, None).await?;
        cannot_start(&a).await;
        hooks.gives(10, "start-primary", &a, None).await?;
        hooks.gives(0, "is-fenced", &a, None).await?;
        // By hand, as the page says, and under our own account the next time.
        fs::rename(&aside, &control).unwrap();
        a.start().await?;
        hooks.as_we = true;
    }
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_stop_says_where_the_wal_ends_and_is_undone_until_the_promotion() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions { slot: Some("b".to_owned()), ..Default::default() }).await?;
    a.wait_streaming("b", SOON).await?;
    let hooks = Hooks::install(&lab, "local", &[&a, &b]).await?;
    hooks.gives(10, "is-stopped", &a, Some(&b)).await?;
    hooks.gives(10, "stop-primary", &b, Some(&a)).await?;

    let stopped = hooks.gives(0, "stop-primary", &a, Some(&b)).await?;
    let end = stopped.last["data"]["shutdown_checkpoint_lsn"].as_str().unwrap().to_owned();
    // The last record there is: what replayed it has everything.
    let all = format!("SELECT pg_last_wal_replay_lsn() > '{end}' AND pg_last_wal_replay_lsn() - '{end}' < 200");
    wait_until("b to have all", SOON, async || match b.value(&all).await?.as_deref() {
        Some("t") => Ok(()),
        other => Err(format!("{other:?} behind {end}")),
    })
    .await?;
    let again = hooks.gives(11, "stop-primary", &a, Some(&b)).await?;
    assert_eq!(again.last["data"], stopped.last["data"]);
    let probed = hooks.gives(0, "is-stopped", &a, Some(&b)).await?;
    assert_eq!(probed.last["data"], stopped.last["data"]);
    cannot_start(&a).await;

    hooks.gives(0, "start-primary", &a, Some(&b)).await?;
    hooks.gives(11, "start-primary", &a, Some(&b)).await?;
    a.wait_streaming("b", SOON).await?;

    hooks.gives(0, "stop-primary", &a, Some(&b)).await?;
    b.promote().await?;
    let refused = hooks.gives(10, "start-primary", &a, Some(&b)).await?;
    assert!(refused.printed.contains("there would be two primaries"), "{refused:?}");
    // Nothing is to be rewound: it stopped where b went on.
    hooks.gives(0, "rejoin-old-primary", &a, Some(&b)).await?;
    b.wait_streaming("a", SOON).await?;
    lab.stop().await;
    Ok(())
}

/// A primary that has rows which its standby never got, fenced, and the standby promoted.
async fn diverged(lab: &Lab, hooks: &Hooks, a: &Server, b: &Server) -> Outcome {
    a.sql("CREATE TABLE written (id bigint PRIMARY KEY); INSERT INTO written VALUES (1)").await?;
    b.wait_caught_up(a, SOON).await?;
    b.repoint(lab.free_port()?).await?;
    wait_until("b to be cut off", SOON, async || {
        let left = a.value("SELECT count(*) FROM pg_stat_replication").await?;
        if left.as_deref() == Some("0") { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await?;
    a.sql("INSERT INTO written SELECT generate_series(2, 2000); CHECKPOINT").await?;
    hooks.gives(10, "rejoin-old-primary", a, Some(b)).await?;
    a.kill();
    hooks.gives(0, "fence-old-primary", a, Some(b)).await?;
    let early = hooks.gives(10, "rejoin-old-primary", a, Some(b)).await?;
    assert!(early.printed.contains("is a standby"), "{early:?}");
    b.promote().await?;
    b.sql("INSERT INTO written VALUES (-1)").await?;
    hooks.gives(10, "is-standby", a, Some(b)).await?;
    Ok(())
}

/// That it follows the new primary and has what that has, by its slot, with its own settings.
async fn has_rejoined(hooks: &Hooks, a: &Server, b: &Server) -> Outcome {
    a.wait_caught_up(b, SOON).await?;
    let rows = a.value("SELECT string_agg(id::text, ' ' ORDER BY id) FROM written").await?;
    assert_eq!(rows.as_deref(), Some("-1 1"), "those that only a had are gone");
    let slot = "SELECT r.application_name FROM pg_stat_replication r JOIN pg_replication_slots s ON s.active_pid = r.pid \
                WHERE s.slot_name = 'a'";
    assert_eq!(b.value(slot).await?.as_deref(), Some("a"));
    hooks.gives(0, "is-standby", a, Some(b)).await?;
    hooks.gives(11, "rejoin-old-primary", a, Some(b)).await?;
    hooks.gives(10, "is-fenced", a, Some(b)).await?;
    let started = a.value("SELECT pg_postmaster_start_time()").await?;
    hooks.gives(0, "restart-standby", a, Some(b)).await?;
    assert_ne!(a.value("SELECT pg_postmaster_start_time()").await?, started);
    // The other way round, nothing is touched.
    hooks.gives(10, "restart-standby", b, Some(a)).await?;
    hooks.gives(10, "rejoin-old-primary", b, Some(a)).await?;
    assert_eq!(b.value("SELECT pg_is_in_recovery()").await?.as_deref(), Some("f"));
    // One that is a standby already only starts.
    hooks.gives(0, "fence-old-primary", a, Some(b)).await?;
    let ran = hooks.gives(0, "rejoin-old-primary", a, Some(b)).await?;
    assert_eq!(ran.last["data"]["method"], "start", "{ran:?}");
    let conf = fs::read_to_string(a.data_dir().join("postgresql.auto.conf")).unwrap();
    assert!(!conf.contains(Role::Replicator.password()), "{conf}");
    Ok(())
}

#[tokio::test]
async fn a_fenced_primary_rejoins_by_a_rewind() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default().set("wal_log_hints", "on")).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions { slot: Some("b".to_owned()), ..Default::default() }).await?;
    a.wait_streaming("b", SOON).await?;
    let hooks = Hooks::install(&lab, "local", &[&a, &b]).await?;
    diverged(&lab, &hooks, &a, &b).await?;
    let ran = hooks.gives(0, "rejoin-old-primary", &a, Some(&b)).await?;
    assert_eq!(ran.last["data"]["method"], "rewind", "{ran:?}");
    has_rejoined(&hooks, &a, &b).await?;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_primary_that_cannot_be_rewound_stays_fenced_until_it_is_copied() -> Outcome {
    let lab = Lab::new()?;
    // Neither checksums nor hints: pg_rewind refuses. From 18 on initdb would make checksums.
    let a = lab.primary("a", ServerOptions::default().set("wal_log_hints", "off")).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions { slot: Some("b".to_owned()), ..Default::default() }).await?;
    a.wait_streaming("b", SOON).await?;
    let mut hooks = Hooks::install(&lab, "local", &[&a, &b]).await?;
    hooks.as_we = true;
    diverged(&lab, &hooks, &a, &b).await?;
    let ran = hooks.run("rejoin-old-primary", &a, Some(&b), &["--method", "rewind"]).await?;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    hooks.gives(0, "is-fenced", &a, Some(&b)).await?;
    hooks.gives(11, "fence-old-primary", &a, Some(&b)).await?;
    a.start().await.expect_err("it starts");
    let ran = hooks.gives(0, "rejoin-old-primary", &a, Some(&b)).await?;
    assert_eq!(ran.last["data"]["method"], "copy", "{ran:?}");
    assert!(a.data_dir().with_extension("old").is_dir(), "the old data are kept");
    has_rejoined(&hooks, &a, &b).await?;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_newer_primary_is_never_taken_back_to_an_older_one() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default().set("wal_log_hints", "on")).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions::default()).await?;
    a.wait_streaming("b", SOON).await?;
    let hooks = Hooks::install(&lab, "local", &[&a, &b]).await?;
    b.promote().await?;
    b.sql("CREATE TABLE written (id bigint); CHECKPOINT").await?;
    hooks.gives(0, "fence-old-primary", &b, Some(&a)).await?;
    let refused = hooks.gives(10, "rejoin-old-primary", &b, Some(&a)).await?;
    assert!(refused.printed.contains("on timeline 1 and this old primary on 2"), "{refused:?}");
    hooks.gives(0, "is-fenced", &b, Some(&a)).await?;
    // Nor to one of another system.
    let other = lab.primary("other", ServerOptions::default().fresh_identity()).await?;
    let refused = hooks.gives(10, "rejoin-old-primary", &b, Some(&other)).await?;
    assert!(refused.printed.contains("is of another system"), "{refused:?}");
    lab.stop().await;
    Ok(())
}

/// A fake ssh: notes what it is called with, and has a shell read the command here, as sshd has one do there.
const SSH: &str = r#"#!/bin/sh
printf '%s\n' "$@" >"${0%/*}/ssh.log"
while [ "$1" != -- ]; do shift; done
shift 2
exec sh -c "$*"
"#;

#[tokio::test]
async fn through_ssh_it_is_the_same() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions::default()).await?;
    let bin = lab.own_dir("bin")?;
    fs::set_permissions(&bin, fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(bin.join("ssh"), SSH).unwrap();
    fs::set_permissions(bin.join("ssh"), fs::Permissions::from_mode(0o755)).unwrap();
    let hooks = Hooks::install(&lab, "postgres@db-a.example", &[&a]).await?;
    hooks.gives(10, "is-fenced", &a, Some(&b)).await?;
    let stopped = hooks.gives(0, "stop-primary", &a, Some(&b)).await?;
    assert!(stopped.last["data"]["shutdown_checkpoint_lsn"].is_string(), "{stopped:?}");
    hooks.gives(0, "start-primary", &a, Some(&b)).await?;
    hooks.gives(0, "fence-old-primary", &a, Some(&b)).await?;
    hooks.gives(0, "is-fenced", &a, Some(&b)).await?;
    let called = fs::read_to_string(bin.join("ssh.log")).unwrap();
    let called: Vec<_> = called.lines().collect();
    for option in ["BatchMode=yes", "ConnectTimeout=5", "StrictHostKeyChecking=yes"] {
        assert!(called.windows(2).any(|pair| pair == ["-o", option]), "{option}: {called:?}");
    }
    let at = called.iter().position(|word| *word == "--").expect("the end of the options");
    assert_eq!(called[at + 1..at + 6], ["postgres@db-a.example", "sh", "-s", "--", "is-fenced"]);
    let words =
        called[at + 6..].iter().all(|word| word.chars().all(|c| c.is_ascii_alphanumeric() || "_.:/@=-".contains(c)));
    assert!(words, "{called:?}");
    lab.stop().await;
    Ok(())
}
