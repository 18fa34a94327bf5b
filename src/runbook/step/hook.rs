//! Runs one hook: a program of the operator's that does what pgvigil cannot, such as to fence a server. `docs/hooks.md` is the contract.
//!
//! A hook is told on standard input and prints to files, none of which is a pipe of ours, and it leads a process group of its own: it
//! goes on when pgvigil is killed. How such a one ended nobody knows; its probe is asked. [`still_running`] says whether it still goes on.

mod answer;
mod brief;
mod check;
mod error;
mod kept;
mod output;
mod process;

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep, timeout_at};

pub use answer::Answer;
pub use brief::{Brief, ClusterBrief, Kind, Place};
pub use check::check;
pub use error::HookError;
pub use kept::forget;
pub use process::{still_running, stop};

use answer::Said;
use output::Output;
use process::Process;

/// Where a hook finds its programs.
pub(super) const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// No runbook allows a hook more.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// How often we look whether a hook has ended, and how much it has printed.
const LOOK_EACH: Duration = Duration::from_millis(5);
/// What was printed is read within this.
const READ_WITHIN: Duration = Duration::from_secs(5);

/// How a hook went.
#[derive(Clone, Debug, PartialEq)]
pub struct Ran {
    /// What it answered.
    pub answer: Answer,
    /// From the beginning to its end, or to the end of our waiting.
    pub took: Duration,
    /// What it says for people.
    pub message: Option<String>,
    /// What it hands to later steps.
    pub data: Option<Value>,
    /// The last 64 KiB of its standard output.
    pub stdout_tail: String,
    /// The last 256 KiB of its standard error.
    pub stderr_tail: String,
    /// Its process, if it came to one.
    pub pid: Option<u32>,
}

/// Runs the program `argv` for at most `timeout`, and tells it `brief`. `dir` is made and becomes its working directory; what it is
/// told, what it prints and its pid are kept there.
///
/// `dir` belongs to this attempt alone: if it is there an action may have begun, and is not begun again ([`HookError::Begun`]). A probe
/// may be asked again in the same one.
///
/// Dropped, it leaves the hook running.
pub async fn run(argv: &[String], brief: &Brief, timeout: Duration, dir: &Path) -> Result<Ran, HookError> {
    let began = Instant::now();
    let timeout = timeout.min(LONGEST);
    let until = began + timeout;
    let order = Order::new(argv, brief, timeout, dir)?;
    // A file system that hangs holds up a thread and not the runtime.
    let mut starting = spawn_blocking(move || order.start());
    let Ok(started) = timeout_at(until, &mut starting).await else {
        let within = timeout.as_secs_f64();
        end_when_started(starting);
        return Ok(Ran::unknown(format!("it had not begun after {within} s: does a disk hang?"), began));
    };
    let Ok(started) = started else {
        return Ok(Ran::unknown("starting it panicked: this is a bug of pgvigil".to_owned(), began));
    };
    let Running { mut leader, process, output } = started?;
    let end = wait(&mut leader, &output, until).await;
    let is_gone = match &end {
        End::Late => process.end_group().await,
        // At once: what it would write while it is asked to end could fill the disk that the journal is on.
        End::Flooded => process.kill_group().await,
        End::Exited(_) => true,
    };
    drop(leader);
    let fate = if is_gone { "was killed" } else { "cannot be killed, or what it started: does a disk hang?" };
    let said = timeout_at(Instant::now() + READ_WITHIN, spawn_blocking(move || output.read())).await;
    let took = began.elapsed();
    let pid = Some(process.pid());
    let printed = match said {
        Ok(Ok(Ok(printed))) => printed,
        Ok(Ok(Err(error))) => return Ok(Ran { took, pid, ..Ran::unknown(unread(&error.to_string()), began) }),
        Ok(Err(_)) | Err(_) => return Ok(Ran { took, pid, ..Ran::unknown(unread("the disk hangs"), began) }),
    };
    let said = Said::of(&printed.stdout);
    let floods = |fate| Answer::Unknown(format!("it floods: it printed more than {} KiB{fate}", output::MOST >> 10));
    let answer = match end {
        End::Late => Answer::Unknown(format!("it had not ended after {} s and {fate}", timeout.as_secs_f64())),
        End::Flooded => floods(format!(" and {fate}")),
        End::Exited(_) if printed.is_flood => floods(String::new()),
        End::Exited(Err(error)) => Answer::Unknown(format!("how it ended could not be read: {error}")),
        End::Exited(Ok(status)) => Answer::of(status, &said),
    };
    let Said { message, data, .. } = said;
    Ok(Ran { answer, took, message, data, stdout_tail: printed.stdout, stderr_tail: printed.stderr, pid })
}

fn unread(why: &str) -> String {
    format!("what it printed could not be read: {why}")
}

impl Ran {
    /// Nothing is known of it but why.
    fn unknown(why: String, began: Instant) -> Self {
        let took = began.elapsed();
        let (stdout_tail, stderr_tail) = (String::new(), String::new());
        Self { answer: Answer::Unknown(why), took, message: None, data: None, stdout_tail, stderr_tail, pid: None }
    }
}

/// All that is needed to start it.
struct Order {
    argv: Vec<String>,
    stdin: Vec<u8>,
    environment: Vec<(&'static str, String)>,
    /// Whether it may have been asked in this directory before.
    is_probe: bool,
    dir: PathBuf,
}

struct Running {
    leader: Leader,
    process: Process,
    output: Output,
}

impl Order {
    fn new(argv: &[String], brief: &Brief, timeout: Duration, dir: &Path) -> Result<Self, HookError> {
        let timeout = i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX);
        let deadline = Timestamp::now().as_second().saturating_add(timeout);
        Ok(Self {
            argv: argv.to_vec(),
            stdin: brief.json(deadline).map_err(HookError::Brief)?,
            environment: brief.environment(deadline),
            is_probe: brief.kind == Kind::Probe,
            dir: dir.to_owned(),
        })
    }

    fn start(&self) -> Result<Running, HookError> {
        check(&self.argv)?;
        let dir = self.make_dir()?;
        self.start_in(&dir).inspect_err(|_| {
            // It never ran: nobody shall take it for begun.
            let _ = output::remove(&dir).and_then(|()| fs::remove_dir(&dir));
        })
    }

    /// Not by tokio: what that cannot watch, as when the runtime ends, it calls not started although it runs.
    fn start_in(&self, dir: &Path) -> Result<Running, HookError> {
        let (stdin, output) = output::create(dir, &self.stdin).map_err(HookError::dir(dir))?;
        let (stdout, stderr) = output.ends().map_err(HookError::dir(dir))?;
        let Some((program, arguments)) = self.argv.split_first() else { return Err(HookError::Empty) };
        let mut command = Command::new(program);
        command.args(arguments).current_dir(dir).process_group(0).env_clear();
        command.env("PATH", PATH).env("LANG", "C").envs(std::env::var_os("HOME").map(|home| ("HOME", home)));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(stdin).stdout(Stdio::from(stdout)).stderr(Stdio::from(stderr));
        let child = command.spawn().map_err(|source| HookError::Spawn { program: program.into(), source })?;
        let process = Process::of(&child);
        // It runs: whatever fails now is no reason to forget it. Without this file it is found by its standard input.
        let _ = process.record(dir);
        Ok(Running { leader: Leader(Some(child)), process, output })
    }

    /// Makes the directory, and returns it without links in its path.
    fn make_dir(&self) -> Result<PathBuf, HookError> {
        let failed = HookError::dir(&self.dir);
        let make = |recursive| DirBuilder::new().mode(0o700).recursive(recursive).create(&self.dir);
        let made = match self.dir.parent() {
            Some(parent) => DirBuilder::new().mode(0o700).recursive(true).create(parent).and_then(|()| make(false)),
            None => make(false),
        };
        match made {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && self.is_probe => {
                output::remove(&self.dir).map_err(HookError::dir(&self.dir))?;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(HookError::Begun(self.dir.clone()));
            }
            other => other.map_err(HookError::dir(&self.dir))?,
        }
        fs::canonicalize(&self.dir).map_err(failed)
    }
}

/// How the waiting ended.
enum End {
    Exited(io::Result<ExitStatus>),
    Late,
    Flooded,
}

async fn wait(leader: &mut Leader, output: &Output, until: Instant) -> End {
    loop {
        if let Some(exit) = leader.exit() {
            return End::Exited(exit);
        }
        if output.is_flood() {
            return End::Flooded;
        }
        if Instant::now() >= until {
            return End::Late;
        }
        sleep(LOOK_EACH).await;
    }
}

/// The process that we started. Nobody else waits for it, so that its number is its own until it is dropped.
struct Leader(Option<Child>);

impl Leader {
    fn exit(&mut self) -> Option<io::Result<ExitStatus>> {
        self.0.as_mut().and_then(|child| child.try_wait().transpose())
    }
}

impl Drop for Leader {
    /// Leaves no zombie: what goes on is waited for by a thread, which ends with pgvigil.
    fn drop(&mut self) {
        if let (None, Some(mut child)) = (self.exit(), self.0.take()) {
            let _ = std::thread::Builder::new().name("hook".to_owned()).spawn(move || child.wait());
        }
    }
}

/// Nobody waits for it any more: it does not get to run.
fn end_when_started(starting: JoinHandle<Result<Running, HookError>>) {
    tokio::spawn(async move {
        if let Ok(Ok(Running { process, leader: _leader, .. })) = starting.await {
            process.kill_group().await;
        }
    });
}
