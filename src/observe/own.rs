//! What the kernel tells of our own process.

use std::fs;

use crate::clock::Wall;
use crate::metric::own::{ConfigReload, LogEvents, Own};

/// The unit of CPU times in `/proc`, on every Linux that Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Reads `/proc/self`. What it does not tell is absent.
pub fn read(started: Wall, state_saved: Vec<(String, bool)>, config: ConfigReload, log: LogEvents) -> Own {
    Own {
        start_time: started.as_seconds(),
        resident_bytes: resident_bytes(),
        cpu_seconds: cpu_seconds(),
        open_fds: fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as u64),
        state_saved,
        config,
        log,
    }
}

fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name in parentheses may hold anything; the fields after it are fixed: utime and stime are the 12th and 13th.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_living_process_has_memory_and_descriptors() {
        let own = read(Wall::now(), Vec::new(), ConfigReload::default(), LogEvents::default());
        assert!(own.resident_bytes.is_some_and(|bytes| bytes > 100_000));
        assert!(own.cpu_seconds.is_some());
        assert!(own.open_fds.is_some_and(|fds| fds > 0));
    }
}
