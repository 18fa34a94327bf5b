//! Programs that the lab starts: each with a log, a marker for the reaper, and an end.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::proc::{self, ProcessId};
use super::root::{RootDir, VARIABLE};
use super::{LabError, wait_until};

/// What to start.
pub struct Spawn {
    name: String,
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    cwd: Option<PathBuf>,
    as_server: bool,
}

impl Spawn {
    /// A program, under a name that its log (`<name>.log`) and its directory carry.
    pub fn new(name: impl Into<String>, program: impl Into<PathBuf>) -> Self {
        let (name, program) = (name.into(), program.into());
        Self { name, program, args: Vec::new(), env: Vec::new(), cwd: None, as_server: false }
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Sets a variable; nothing is inherited but `PATH`.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Runs it in this directory, which must be inside the lab; without it, in a new one of its name.
    pub fn cwd(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cwd = Some(dir.into());
        self
    }

    /// Runs it under the account of the servers instead of ours.
    pub fn as_server(mut self) -> Self {
        self.as_server = true;
        self
    }
}

/// A program that the lab started. Dropping it kills it and all that descends from it.
pub struct Spawned {
    name: String,
    id: ProcessId,
    child: Mutex<Child>,
    log: PathBuf,
    log_start: u64,
    marker: PathBuf,
    // The directory outlives the last process in it.
    _root: Arc<RootDir>,
}

pub(super) fn start(spawn: Spawn, root: &Arc<RootDir>) -> Result<Spawned, LabError> {
    let cwd = match spawn.cwd {
        Some(dir) => dir,
        None => root.create_dir(&spawn.name, spawn.as_server)?,
    };
    let log = root.path.join(format!("{}.log", spawn.name));
    let file = OpenOptions::new().create(true).append(true).open(&log).map_err(LabError::io("open", &log))?;
    let log_start = file.metadata().map_or(0, |meta| meta.len());
    let stderr = file.try_clone().map_err(LabError::io("open", &log))?;
    let mut command = Command::new(&spawn.program);
    command
        .args(spawn.args)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", root.path.join("home"))
        .env("LC_ALL", "C")
        .env(VARIABLE, &root.path)
        .envs(spawn.env)
        .current_dir(&cwd)
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(stderr)
        // Not in the terminal's group: Ctrl-C is for us alone, who then end it in order.
        .process_group(0);
    if let Some(account) = root.account.filter(|_| spawn.as_server) {
        command.uid(account.uid).gid(account.gid);
    }
    let child = command.spawn().map_err(LabError::io("run", &spawn.program))?;
    let pid = i32::try_from(child.id()).unwrap_or(i32::MAX);
    let id = ProcessId::of(pid).unwrap_or(ProcessId { pid, started: 0 });
    let marker = root.path.join("run").join(&spawn.name);
    let text = format!("{} {} {}\n", id.pid, id.started, cwd.display());
    // From here on the drop of `Spawned` ends the process, whatever fails.
    let spawned =
        Spawned { name: spawn.name, id, child: Mutex::new(child), log, log_start, marker, _root: Arc::clone(root) };
    std::fs::write(&spawned.marker, text).map_err(LabError::io("write", &spawned.marker))?;
    Ok(spawned)
}

impl Spawned {
    /// Who it is.
    pub fn id(&self) -> ProcessId {
        self.id
    }

    /// Its name in the lab.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its exit status, once it has ended.
    pub fn ended(&self) -> Option<ExitStatus> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner).try_wait().ok().flatten()
    }

    /// Everything it printed since it was started.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        let start = usize::try_from(self.log_start).unwrap_or(0).min(bytes.len());
        String::from_utf8_lossy(bytes.get(start..).unwrap_or_default()).into_owned()
    }

    /// The last lines of [`Spawned::log`].
    pub fn log_tail(&self, lines: usize) -> String {
        let log = self.log();
        let all: Vec<&str> = log.lines().collect();
        all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("\n")
    }

    /// Sends a signal to the process alone.
    pub fn signal(&self, signal: Signal) -> Result<(), LabError> {
        self.id.signal(signal)
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    pub async fn terminate(&self, within: Duration) -> Result<ExitStatus, LabError> {
        self.signal(Signal::TERM)?;
        self.wait(within).await
    }

    /// Waits until it has ended.
    pub async fn wait(&self, within: Duration) -> Result<ExitStatus, LabError> {
        let what = format!("{} (pid {}) to end", self.name, self.id.pid);
        wait_until(what, within, async || self.ended().ok_or_else(|| "running".to_owned())).await
    }

    /// Stops it and all that descends from it (SIGSTOP).
    pub fn freeze(&self) -> Result<(), LabError> {
        self.id.freeze_tree().map(drop)
    }

    /// Lets it and all that descends from it go on (SIGCONT).
    pub fn thaw(&self) -> Result<(), LabError> {
        self.id.thaw_tree()
    }

    /// Kills it and all that descends from it (SIGKILL) and waits until they are gone.
    pub fn kill(&self) {
        let tree = self.id.kill_tree().unwrap_or_default();
        proc::await_gone(&tree);
        let deadline = Instant::now() + Duration::from_secs(2);
        while self.ended().is_none() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// The same, and the marker goes too.
    pub(super) fn end(&self) {
        self.kill();
        // A later process of the same name has written its own marker.
        let text = std::fs::read_to_string(&self.marker).unwrap_or_default();
        if text.starts_with(&format!("{} {} ", self.id.pid, self.id.started)) {
            let _ = std::fs::remove_file(&self.marker);
        }
    }
}

impl Drop for Spawned {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the end of {}'s log ---\n{}", self.name, self.log_tail(20));
        }
        self.end();
    }
}

/// The processes that the markers of a lab name and that still are what the markers say: same pid, start time and
/// working directory.
pub(super) fn marked(root: &Path) -> Vec<ProcessId> {
    let markers = std::fs::read_dir(root.join("run")).into_iter().flatten().flatten();
    let parse = |text: String| {
        let mut words = text.trim_end().splitn(3, ' ');
        let id = ProcessId { pid: words.next()?.parse().ok()?, started: words.next()?.parse().ok()? };
        let cwd = PathBuf::from(words.next()?);
        (id.alive() && id.cwd()? == cwd).then_some(id)
    };
    markers.filter_map(|marker| std::fs::read_to_string(marker.path()).ok()).filter_map(parse).collect()
}

/// Removes the System V segment that a killed postmaster left, once nobody is attached to it. Only a restart in the
/// same directory would do so otherwise, and the directory is about to go.
pub(super) fn release_shared_memory(data: &Path) {
    let lock = std::fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    let recorded: Vec<&str> = lock.lines().nth(6).unwrap_or_default().split_whitespace().collect();
    let segments = std::fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
    let abandoned = segments.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // key shmid perms size cpid lpid nattch …
        fields.get(..2) == Some(recorded.as_slice()) && fields.get(6) == Some(&"0")
    });
    if let Some(id) = recorded.get(1).filter(|_| abandoned) {
        let _ = Command::new("ipcrm").args(["-m", id]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}
