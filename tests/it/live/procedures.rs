//! The procedures of the runbooks, done for real as they are written: their blocks are taken out of the pages and run in order, on the
//! servers that they name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use pgvigil::lab::{Archive, Lab, LabError, Role, Server, ServerOptions, Spawn, Spawned, StandbyOptions, wait_until};
use tokio::time::{sleep, timeout};

use super::watch::SOON;
use crate::runbook_pages::{Block, Page, pages};

type Outcome = Result<(), LabError>;

const STEP_WITHIN: Duration = Duration::from_secs(60);

/// Who does what a procedure says.
struct Operator {
    lab: Lab,
    pages: BTreeMap<String, Page>,
    /// What was set in the shells, and what blocks printed as `NAME=value`.
    variables: BTreeMap<String, String>,
    scripts: Vec<Arc<Spawned>>,
}

/// The servers of one run of a procedure, by the page's own words.
struct Cast<'a> {
    /// The page calls it `a`.
    old: &'a Server,
    /// The page calls it `b`.
    new: &'a Server,
    other: Option<&'a Server>,
}

impl<'a> Cast<'a> {
    fn server(&self, place: &str, procedure: &str) -> Option<&'a Server> {
        match place {
            "the primary" | "the old primary" => Some(self.old),
            "the standby" | "the candidate" | "the new primary" => Some(self.new),
            "every other standby" => self.other,
            _ => panic!("{procedure}: {place} is nobody"),
        }
    }

    /// The text with the names and addresses of the servers in place of the page's.
    fn named(&self, text: &str) -> String {
        let (old, new) = (self.old.name(), self.new.name());
        let text = text.replace("'a'", "'\0'").replace("=a'", "=\0'").replace("=a\\n", "=\0\\n");
        let text = text.replace("'b'", &format!("'{new}'")).replace("name=b\"", &format!("name={new}\""));
        let text = text.replace("-S b ", &format!("-S {new} ")).replace('\0', old);
        let text = text.replace("/srv/wal", &wal_of(self.old).display().to_string());
        text.replace("host=10.0.0.1 port=5432", &address(self.old))
            .replace("host=10.0.0.2 port=5432", &address(self.new))
    }
}

/// Where the pages' archive_command copies to.
fn wal_of(server: &Server) -> std::path::PathBuf {
    server.data_dir().with_extension("wal")
}

fn address(server: &Server) -> String {
    format!("host=127.0.0.1 port={}", server.port())
}

impl Operator {
    /// With passwords where the layouts' page wants them.
    async fn new(lab: &Lab) -> Result<Self, LabError> {
        let mut operator = Self { lab: lab.clone(), pages: pages(), variables: BTreeMap::new(), scripts: Vec::new() };
        let password = Role::Superuser.password();
        let line = format!("umask 077; printf '*:*:*:*:%s\\n' '{password}' > ~/.pgpass");
        operator.shell(None, &line).await?;
        Ok(operator)
    }

    /// Runs a script as the servers' account, on the host of `server`; returns what it printed.
    async fn shell(&mut self, server: Option<&Server>, script: &str) -> Result<String, LabError> {
        let layouts = &self.pages["Layouts"];
        let plain = layouts.blocks.iter().find(|block| block.text.starts_with("# plain: ")).expect("the plain layout");
        let lines = plain.text.lines().filter(|line| !line.starts_with("PGDATA="));
        let layout: String = lines.flat_map(|line| [line, "\n"]).collect();
        let name = format!("step{}", self.scripts.len());
        let bin = self.lab.binaries().dir().display().to_string();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut spawn = Spawn::new(&name, "/bin/bash").arg("-c").as_server().env("PATH", format!("{bin}:{path}"));
        spawn = spawn.arg(format!("set -eu -o pipefail\n{layout}{script}"));
        for (name, value) in &self.variables {
            spawn = spawn.env(name, value);
        }
        if let Some(server) = server {
            let data = server.data_dir();
            spawn = spawn.env("PGDATA", data).env("KEEP", data.with_extension("keep"));
        }
        let process = self.lab.spawn(spawn)?;
        let status = process.wait(STEP_WITHIN).await?;
        let printed = process.log();
        self.scripts.push(process);
        assert!(status.success(), "{status}:\n{script}\nprinted:\n{printed}");
        for line in printed.lines() {
            let set = line.split_once('=').filter(|(name, _)| name.bytes().all(|byte| byte.is_ascii_uppercase()));
            self.variables.extend(set.map(|(name, value)| (name.to_owned(), value.to_owned())));
        }
        Ok(printed)
    }

    /// Does the steps of a procedure, and then verifies.
    async fn follow(&mut self, procedure: &str, cast: &Cast<'_>) -> Outcome {
        self.variables.insert("OLD".into(), address(cast.old));
        self.variables.insert("NEW".into(), address(cast.new));
        let sections = ["Steps", "Verify"];
        let page = self.pages.remove(procedure).expect("a procedure");
        let mut done = 0;
        for block in page.blocks.iter().filter(|block| sections.contains(&block.section.as_str())) {
            self.step(procedure, block, cast).await?;
            done += 1;
        }
        assert!(done >= 6, "{procedure} has {done} blocks");
        self.pages.insert(procedure.to_owned(), page);
        Ok(())
    }

    async fn step(&mut self, procedure: &str, block: &Block, cast: &Cast<'_>) -> Outcome {
        let place = block.place().unwrap_or_else(|error| panic!("{procedure}: {error}"));
        let Some(server) = cast.server(&place.server, procedure) else { return Ok(()) };
        let text = cast.named(&block.text);
        let what = format!("{procedure}.md:{} on {}", block.line, server.name());
        println!("{what}");
        match (block.language.as_str(), place.until) {
            ("sh", false) => {
                let printed = self.shell(Some(server), &text).await?;
                assert!(!printed.contains("left: "), "{what}: {printed}");
            }
            ("sh", true) => {
                let deadline = tokio::time::Instant::now() + SOON;
                while self.shell(Some(server), &text).await?.trim() != "t" {
                    assert!(tokio::time::Instant::now() < deadline, "{what}: not t");
                    sleep(Duration::from_millis(50)).await;
                }
            }
            (_, true) => {
                wait_until(what, SOON, async || match server.value(&text).await {
                    Ok(Some(answer)) if answer == "t" => Ok(()),
                    other => Err(format!("{other:?}")),
                })
                .await?;
            }
            (_, false) => {
                let client = server.connect().await?;
                let named = Block { language: String::new(), section: String::new(), line: block.line, text };
                for statement in named.statements() {
                    server.query_on(&client, &statement).await?;
                }
            }
        }
        Ok(())
    }
}

/// A client that appends rows to whichever server takes them, and remembers which were acknowledged.
struct Client {
    acknowledged: tokio::task::JoinHandle<Vec<u64>>,
    done: Arc<AtomicBool>,
}

impl Client {
    async fn start(servers: &[&Server]) -> Result<Self, LabError> {
        servers[0].sql("CREATE TABLE written (id bigint PRIMARY KEY)").await?;
        let (servers, done) =
            (servers.iter().map(|server| (*server).clone()).collect(), Arc::new(AtomicBool::new(false)));
        Ok(Self { acknowledged: tokio::spawn(append(servers, Arc::clone(&done))), done })
    }

    async fn stop(self) -> Vec<u64> {
        self.done.store(true, Relaxed);
        self.acknowledged.await.expect("the client's task")
    }
}

async fn append(servers: Vec<Server>, done: Arc<AtomicBool>) -> Vec<u64> {
    let (mut acknowledged, mut id) = (Vec::new(), 0);
    for server in servers.iter().cycle() {
        if done.load(Relaxed) {
            break;
        }
        let Ok(client) = server.connect().await else {
            sleep(Duration::from_millis(10)).await;
            continue;
        };
        while !done.load(Relaxed) {
            id += 1;
            let insert = format!("INSERT INTO written VALUES ({id})");
            match timeout(Duration::from_secs(10), client.batch_execute(&insert)).await {
                Ok(Ok(())) => acknowledged.push(id),
                _ => break,
            }
            sleep(Duration::from_millis(1)).await;
        }
    }
    acknowledged
}

/// Holds what was acknowledged against what is there.
async fn none_is_lost(server: &Server, acknowledged: &[u64]) -> Outcome {
    let rows = server.query("SELECT id::text FROM written").await?;
    let there: std::collections::BTreeSet<u64> =
        rows.into_iter().filter_map(|row| row.first()?.as_ref()?.parse().ok()).collect();
    let lost: Vec<_> = acknowledged.iter().filter(|id| !there.contains(id)).collect();
    assert!(lost.is_empty(), "{} of {} acknowledged rows are lost: {lost:?}", lost.len(), acknowledged.len());
    println!("{} acknowledged rows, none lost", acknowledged.len());
    Ok(())
}

#[tokio::test]
async fn a_switchover_and_a_switchback_as_written_lose_no_row() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions { slot: Some("b".to_owned()), ..Default::default() }).await?;
    let c = lab.standby_of(&a, "c", StandbyOptions::default()).await?;
    a.wait_streaming("b", SOON).await?;
    a.wait_streaming("c", SOON).await?;
    let mut operator = Operator::new(&lab).await?;
    let client = Client::start(&[&a, &b]).await?;

    operator.follow("Switchover", &Cast { old: &a, new: &b, other: Some(&c) }).await?;
    b.wait_streaming("c", SOON).await?;
    assert_eq!(a.value("SELECT count(*) FROM pg_replication_slots").await?.as_deref(), Some("0"), "slots of a primary");
    // The switchback is the same, with the two changed.
    operator.follow("Switchover", &Cast { old: &b, new: &a, other: Some(&c) }).await?;
    a.wait_streaming("c", SOON).await?;

    // How fast the client is, is the machine's affair; that it wrote much is ours.
    wait_until("many rows to be written", SOON, async || match a.value("SELECT count(*) FROM written").await? {
        Some(rows) if rows.parse::<u64>().is_ok_and(|rows| rows > 110) => Ok(()),
        rows => Err(format!("{rows:?}")),
    })
    .await?;
    let acknowledged = client.stop().await;
    assert!(acknowledged.len() > 100, "{}", acknowledged.len());
    none_is_lost(&a, &acknowledged).await?;
    for standby in [&b, &c] {
        standby.wait_caught_up(&a, SOON).await?;
        none_is_lost(standby, &acknowledged).await?;
    }
    let timeline = a.value("SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)").await?;
    assert_eq!(timeline.as_deref(), Some("00000003"));
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_failover_a_rewind_and_a_copy_as_written_bring_the_old_primary_back() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default().set("wal_log_hints", "on")).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions { slot: Some("b".to_owned()), ..Default::default() }).await?;
    a.wait_streaming("b", SOON).await?;
    let mut operator = Operator::new(&lab).await?;
    a.sql("CREATE TABLE written (id bigint PRIMARY KEY); INSERT INTO written VALUES (1)").await?;
    b.wait_caught_up(&a, SOON).await?;
    // What b does not get any more is what the failover loses, and what a rewind must undo.
    b.repoint(lab.free_port()?).await?;
    wait_until("b to be cut off", SOON, async || {
        let left = a.value("SELECT count(*) FROM pg_stat_replication").await?;
        if left.as_deref() == Some("0") { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await?;
    a.sql("INSERT INTO written SELECT generate_series(2, 2000); CHECKPOINT").await?;
    // The look of the first step sees a server that lives.
    let fence = operator.pages["Failover"].blocks.iter().find(|block| block.section == "Steps").expect("a fence");
    let look: String =
        fence.text.lines().filter(|line| !line.starts_with("ctl ")).flat_map(|line| [line, "\n"]).collect();
    let seen = operator.shell(Some(&a), &look).await?;
    assert!(seen.lines().filter(|line| line.starts_with("left: ")).count() > 3, "{seen}");
    a.kill();

    operator.follow("Failover", &Cast { old: &a, new: &b, other: None }).await?;
    b.sql("INSERT INTO written VALUES (-1)").await?;
    operator.follow("RejoinOldPrimary", &Cast { old: &a, new: &b, other: None }).await?;
    a.wait_caught_up(&b, SOON).await?;
    let rows = "SELECT string_agg(id::text, ' ' ORDER BY id) FROM written";
    assert_eq!(a.value(rows).await?.as_deref(), Some("-1 1"), "those that only a had are gone");
    assert_eq!(a.value("SELECT pg_is_in_recovery()").await?.as_deref(), Some("t"));
    let slots = a.value("SELECT count(*) FROM pg_replication_slots").await?;
    assert_eq!(slots.as_deref(), Some("0"), "slots of a primary");

    // The page's primary is now b, and the standby to be made anew is a.
    let before = a.value("SELECT pg_postmaster_start_time()").await?;
    operator.follow("ReseedStandby", &Cast { old: &b, new: &a, other: None }).await?;
    a.wait_caught_up(&b, SOON).await?;
    assert_eq!(a.value(rows).await?.as_deref(), Some("-1 1"));
    assert_ne!(a.value("SELECT pg_postmaster_start_time()").await?, before);
    assert!(a.data_dir().with_extension("old").is_dir(), "the old data are kept aside");
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_stream_that_never_starts_and_readers_that_are_moved_as_written() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions { slot: Some("b".to_owned()), ..Default::default() }).await?;
    a.wait_streaming("b", SOON).await?;
    a.sql("CREATE ROLE reporting LOGIN PASSWORD 'reports'").await?;
    b.wait_caught_up(&a, SOON).await?;
    let mut operator = Operator::new(&lab).await?;
    let cast = Cast { old: &a, new: &b, other: None };

    let read = "SELECT pg_sleep(300)";
    let reader = Spawn::new("reader", lab.binaries().dir().join("psql")).as_server().env("PGPASSWORD", "reports");
    let reader =
        lab.spawn(reader.arg(format!("{} user=reporting dbname=postgres", address(&b))).arg("-c").arg(read))?;
    let readers = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'reporting'";
    let until_readers = async |wanted: &str| {
        wait_until(format!("{wanted} readers"), SOON, async || match b.value(readers).await? {
            Some(count) if count == wanted => Ok(()),
            other => Err(format!("{other:?}: {}", reader.log())),
        })
        .await
    };
    until_readers("1").await?;
    let page = operator.pages.remove("MoveReads").expect("a procedure");
    for block in &page.blocks {
        operator.step("MoveReads", block, &cast).await?;
    }
    assert_eq!(page.blocks.len(), 2);
    until_readers("0").await?;

    // Another address, and no slot.
    b.repoint(lab.free_port()?).await?;
    wait_until("the slot to be dropped", SOON, async || {
        a.sql("SELECT pg_drop_replication_slot('b')").await.map_err(|error| error.to_string())
    })
    .await?;
    operator.follow("StreamingNeverStarts", &cast).await?;
    a.wait_streaming("b", SOON).await?;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn an_archive_that_is_stuck_as_written_is_whole_again() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default().archive(&Archive::Hung)).await?;
    let mut operator = Operator::new(&lab).await?;
    operator.shell(Some(&a), &format!("mkdir '{}'", wal_of(&a).display())).await?;
    a.sql("CREATE TABLE t AS SELECT 1; SELECT pg_switch_wal()").await?;
    let archiver = "archiver=$(pgrep -P \"$(head -n 1 \"$PGDATA/postmaster.pid\")\" -f '^postgres:.*archiver')\n";
    operator.shell(Some(&a), &format!("{archiver}until pgrep -P $archiver; do sleep 0.05; done")).await?;

    let page = operator.pages.remove("ArchiveStuck").expect("a procedure");
    let cast = Cast { old: &a, new: &a, other: None };
    // The last resort is taken for itself.
    let (resort, steps): (Vec<_>, Vec<_>) = page.blocks.iter().partition(|block| block.text.contains("/bin/true"));
    for block in steps.iter().filter(|block| block.section != "Verify") {
        operator.step("ArchiveStuck", block, &cast).await?;
    }
    operator.shell(Some(&a), &format!("{archiver}kill $(pgrep -P $archiver)")).await?;
    for block in steps.iter().filter(|block| block.section == "Verify") {
        operator.step("ArchiveStuck", block, &cast).await?;
    }
    let until_none_waits = async || {
        wait_until("nothing to wait", Duration::from_secs(90), async || {
            let waiting = "SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'";
            match a.value(waiting).await? {
                Some(count) if count == "0" => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await
    };
    until_none_waits().await?;
    let archived = || std::fs::read_dir(wal_of(&a)).expect("the archive").count();
    let kept = archived();
    assert!(kept >= 2, "{kept}");
    for block in resort {
        operator.step("ArchiveStuck", block, &cast).await?;
    }
    a.sql("CREATE TABLE u AS SELECT 1; SELECT pg_switch_wal()").await?;
    until_none_waits().await?;
    assert_eq!(archived(), kept, "it keeps nothing");
    lab.stop().await;
    Ok(())
}
