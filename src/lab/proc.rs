//! Processes as `/proc` shows them: who they are, whose children they are, and how to end a whole tree of them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::LabError;

/// A process: a pid alone may come back as another process, with its start time it cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProcessId {
    /// The pid.
    pub pid: i32,
    /// Ticks since boot at which it started (field 22 of `/proc/PID/stat`).
    pub started: u64,
}

struct Stat {
    id: ProcessId,
    parent: i32,
    dead: bool,
}

impl ProcessId {
    /// The process that has this pid now.
    pub fn of(pid: i32) -> Option<Self> {
        stat(pid).filter(|stat| !stat.dead).map(|stat| stat.id)
    }

    /// This very process.
    pub(super) fn own() -> Option<Self> {
        Self::of(i32::try_from(std::process::id()).ok()?)
    }

    /// Whether it still runs; a zombie does not.
    pub fn alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Its working directory, where we may read it.
    pub(super) fn cwd(self) -> Option<PathBuf> {
        std::fs::read_link(format!("/proc/{}/cwd", self.pid)).ok()
    }

    /// Its command line, the arguments joined by blanks; PostgreSQL writes its process title there.
    pub fn title(self) -> String {
        let raw = std::fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        let words: Vec<_> = raw.split(|b| *b == 0).filter(|w| !w.is_empty()).map(String::from_utf8_lossy).collect();
        words.join(" ")
    }

    fn has_environment(self, name: &str, value: &OsStr) -> bool {
        let raw = std::fs::read(format!("/proc/{}/environ", self.pid)).unwrap_or_default();
        let wanted = [name.as_bytes(), b"=", value.as_bytes()].concat();
        raw.split(|b| *b == 0).any(|entry| entry == wanted)
    }

    /// Sends a signal, unless the process is gone (which is no error).
    pub fn signal(self, signal: Signal) -> Result<(), LabError> {
        let Some(pid) = Pid::from_raw(self.pid).filter(|_| self.alive()) else {
            return Ok(());
        };
        match kill_process(pid, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(LabError::Signal { pid: self.pid, source: error.into() }),
        }
    }

    /// Its direct children.
    pub fn children(self) -> Vec<ProcessId> {
        all().into_iter().filter(|stat| stat.parent == self.pid && !stat.dead).map(|stat| stat.id).collect()
    }

    /// The process and all that descend from it, parents first.
    pub(super) fn tree(self) -> Vec<ProcessId> {
        let processes = all();
        let mut tree = vec![self];
        let mut next = 0;
        while let Some(parent) = tree.get(next).copied() {
            next += 1;
            let children = processes.iter().filter(|stat| stat.parent == parent.pid && !stat.dead);
            tree.extend(children.map(|stat| stat.id));
        }
        tree
    }

    /// Stops the whole tree (SIGSTOP), the root first so that it forks no more, and returns it.
    pub(super) fn freeze_tree(self) -> Result<Vec<ProcessId>, LabError> {
        let mut frozen: Vec<ProcessId> = Vec::new();
        // A child may fork between the listing and its own stop: look again until nothing new shows up.
        for _ in 0..10 {
            let fresh: Vec<_> = self.tree().into_iter().filter(|id| !frozen.contains(id)).collect();
            if fresh.is_empty() {
                break;
            }
            for id in &fresh {
                id.signal(Signal::STOP)?;
            }
            frozen.extend(fresh);
        }
        Ok(frozen)
    }

    /// Lets the whole tree go on (SIGCONT), the children first.
    pub(super) fn thaw_tree(self) -> Result<(), LabError> {
        self.tree().into_iter().rev().try_for_each(|id| id.signal(Signal::CONT))
    }

    /// Ends the whole tree by SIGKILL, the root first, and returns who was in it.
    pub(super) fn kill_tree(self) -> Result<Vec<ProcessId>, LabError> {
        // Stopped first, so that nobody forks past the listing.
        let tree = self.freeze_tree()?;
        tree.iter().try_for_each(|id| id.signal(Signal::KILL))?;
        Ok(tree)
    }
}

/// Waits (blocking) until none of them runs, at most two seconds; a killed process is gone in microseconds.
pub(super) fn await_gone(processes: &[ProcessId]) -> bool {
    let deadline = Instant::now() + Duration::from_secs(2);
    while processes.iter().any(|id| id.alive()) {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    true
}

/// Processes with a working directory under `dir` that the lab at `root` started: servers by their title, the rest by
/// the variable that every process of a lab inherits. A person's shell in there is left alone.
pub(super) fn inside(dir: &Path, root: &Path) -> Vec<ProcessId> {
    let own = ProcessId::own();
    let under = |id: &ProcessId| id.cwd().is_some_and(|cwd| cwd.starts_with(dir));
    let ours = |id: &ProcessId| {
        let title = id.title();
        let server = title.starts_with("postgres:") || title.contains("/postgres ");
        server || id.has_environment(super::root::VARIABLE, root.as_os_str())
    };
    all()
        .into_iter()
        .filter(|stat| !stat.dead && Some(stat.id) != own)
        .map(|stat| stat.id)
        .filter(|id| under(id) && ours(id))
        .collect()
}

fn all() -> Vec<Stat> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter_map(stat).collect()
}

fn stat(pid: i32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may hold blanks and parentheses itself.
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
    let state = fields.first()?;
    Some(Stat {
        id: ProcessId { pid, started: fields.get(19)?.parse().ok()? },
        parent: fields.get(1)?.parse().ok()?,
        dead: matches!(*state, "Z" | "X"),
    })
}
