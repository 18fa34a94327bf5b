//! The process that a hook is, and its group. A pid alone may come back as another process: with the time of its start, within one boot,
//! it cannot.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use super::output::STDIN;

/// The file that names it: its pid, the ticks from boot to its start, and the boot.
pub(super) const FILE: &str = "pid";
/// After SIGTERM a group has so long until SIGKILL.
const GRACE: Duration = Duration::from_secs(5);
/// What was killed is gone in microseconds, unless it waits for a disk that hangs.
const KILLED_WITHIN: Duration = Duration::from_secs(2);
/// How often we look whether it is gone.
const LOOK_EACH: Duration = Duration::from_millis(20);

/// A hook's process, which leads its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pid: i32,
    /// Ticks since boot (field 22 of `/proc/PID/stat`).
    started: u64,
}

/// Whether the hook that was begun in `dir` still runs, and as which process; what it left behind does not count. It may have been
/// begun by a pgvigil that is gone.
pub fn still_running(dir: &Path) -> Option<u32> {
    left_in(dir).map(Process::pid)
}

/// Ends a hook that [`still_running`] tells of, with its group, as its deadline would have: SIGTERM, and SIGKILL after 5 s. Whether
/// nothing of it is left.
pub async fn stop(dir: &Path) -> bool {
    match left_in(dir) {
        Some(process) => process.end_group().await,
        None => true,
    }
}

fn left_in(dir: &Path) -> Option<Process> {
    match recorded(dir) {
        Some((process, boot)) => (Some(boot) == boot_id() && process.runs()).then_some(process),
        None => reading_from(dir),
    }
}

fn recorded(dir: &Path) -> Option<(Process, String)> {
    let text = fs::read_to_string(dir.join(FILE)).ok()?;
    let mut words = text.split_whitespace();
    let process = Process { pid: words.next()?.parse().ok()?, started: words.next()?.parse().ok()? };
    Some((process, words.next()?.to_owned()))
}

/// One whose pid nobody could keep, as when pgvigil was killed in that moment: it leads its group and its input is that of `dir`.
fn reading_from(dir: &Path) -> Option<Process> {
    let stdin = fs::canonicalize(dir.join(STDIN)).ok()?;
    let reads = |pid| fs::read_link(format!("/proc/{pid}/fd/0")).is_ok_and(|file| file == stdin);
    all().find(|stat| stat.runs && stat.group == stat.process.pid && reads(stat.process.pid)).map(|stat| stat.process)
}

impl Process {
    /// The process of a child that was not waited for.
    pub(super) fn of(child: &Child) -> Self {
        // /proc knows it until it is waited for, also if it has ended.
        let pid = i32::try_from(child.id()).unwrap_or_default();
        Self { pid, started: stat(pid).map_or(0, |stat| stat.process.started) }
    }

    pub(super) fn pid(self) -> u32 {
        u32::try_from(self.pid).unwrap_or_default()
    }

    /// Writes down which it is, in `dir`.
    pub(super) fn record(self, dir: &Path) -> io::Result<()> {
        let Self { pid, started } = self;
        let line = format!("{pid} {started} {}\n", boot_id().unwrap_or_default());
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(dir.join(FILE))?.write_all(line.as_bytes())
    }

    fn runs(self) -> bool {
        stat(self.pid).is_some_and(|stat| stat.runs && stat.process == self)
    }

    /// Ends its group: SIGTERM, and after a while SIGKILL. Whether all of it is gone. Nobody waits for the leader meanwhile, so that the
    /// number stays the group's.
    pub(super) async fn end_group(self) -> bool {
        self.signal(Signal::TERM);
        self.group_ends_within(GRACE).await;
        self.kill_group().await
    }

    /// Ends its group at once. Whether all of it is gone.
    pub(super) async fn kill_group(self) -> bool {
        self.signal(Signal::KILL);
        self.group_ends_within(KILLED_WITHIN).await
    }

    async fn group_ends_within(self, most: Duration) -> bool {
        let until = Instant::now() + most;
        loop {
            let look = move || all().any(|stat| stat.runs && stat.group == self.pid);
            match spawn_blocking(look).await {
                Ok(false) => return true,
                _ if Instant::now() >= until => return false,
                _ => sleep(LOOK_EACH).await,
            }
        }
    }

    fn signal(self, signal: Signal) {
        // One that is gone is what was asked for. 0 and 1 would be everybody's.
        if let Some(group) = Pid::from_raw(self.pid).filter(|_| self.pid > 1) {
            let _ = kill_process_group(group, signal);
        }
    }
}

struct Stat {
    process: Process,
    group: i32,
    /// A zombie does not.
    runs: bool,
}

fn all() -> impl Iterator<Item = Stat> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter_map(stat)
}

fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may hold blanks and parentheses itself.
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
    let (state, group, started) = (fields.first()?, fields.get(2)?.parse().ok()?, fields.get(19)?.parse().ok()?);
    Some(Stat { process: Process { pid, started }, group, runs: !matches!(*state, "Z" | "X") })
}

fn boot_id() -> Option<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|id| id.trim().to_owned())
}
