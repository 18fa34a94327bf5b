//! What pgvigil takes of the machine, each second.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::prove::{open_fds, resident_kib};

const EACH: Duration = Duration::from_secs(1);

/// Values in the order of their time.
#[derive(Debug, Default)]
pub struct Course {
    values: Vec<usize>,
    is_by_most: bool,
}

impl Course {
    /// Of the first quarter after the warm-up, which is a fifth.
    pub fn first(&self) -> usize {
        let rest = self.rest();
        self.of(&rest[..rest.len().div_ceil(4)])
    }

    /// Of the last quarter.
    pub fn last(&self) -> usize {
        let rest = self.rest();
        self.of(&rest[rest.len() - rest.len().div_ceil(4)..])
    }

    pub fn most(&self) -> usize {
        self.values.iter().copied().max().unwrap_or_default()
    }

    fn rest(&self) -> &[usize] {
        &self.values[self.values.len() / 5..]
    }

    fn of(&self, part: &[usize]) -> usize {
        let mut sorted = part.to_vec();
        sorted.sort_unstable();
        let index = if self.is_by_most { sorted.len().saturating_sub(1) } else { sorted.len() / 2 };
        sorted.get(index).copied().unwrap_or_default()
    }
}

/// Looks each second until it is stopped.
pub struct Meter {
    stop: oneshot::Sender<()>,
    task: JoinHandle<(Course, Course)>,
}

impl Meter {
    pub fn start(pid: i32) -> Self {
        let (stop, mut stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let (mut memory, mut descriptors) = (Course::default(), Course { is_by_most: true, ..Default::default() });
            let mut ticks = interval(EACH);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    _ = &mut stopped => return (memory, descriptors),
                    _ = ticks.tick() => {
                        memory.values.push(resident_kib(pid));
                        descriptors.values.push(open_fds(pid));
                    }
                }
            }
        });
        Self { stop, task }
    }

    /// Resident memory in KiB, and open descriptors.
    pub async fn stop(self) -> (Course, Course) {
        let _ = self.stop.send(());
        self.task.await.expect("the meter")
    }
}

/// How long the threads of a process stood in the kernel's run queue since they began.
pub fn waited(pid: i32) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let of = |path: std::path::PathBuf| -> Option<u64> {
        std::fs::read_to_string(path.join("schedstat")).ok()?.split_whitespace().nth(1)?.parse().ok()
    };
    Duration::from_nanos(tasks.filter_map(|task| of(task.path())).sum())
}
