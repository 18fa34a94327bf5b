//! What the kernel tells of our own process, and what it is called.

use std::fs;
use std::hash::{BuildHasher, RandomState};

use crate::metric::own::Own;

/// The unit of CPU times in `/proc`, on every Linux that Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// `told`, with what `/proc/self` says now. What it does not tell is absent.
pub fn read(told: Own) -> Own {
    Own {
        resident_bytes: resident_bytes(),
        cpu_seconds: cpu_seconds(),
        open_fds: fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as u64),
        ..told
    }
}

/// A name for this process that no other has, made anew at each call.
pub(super) fn instance() -> String {
    // Its keys are random.
    let random = RandomState::new();
    format!("{:016x}{:016x}", random.hash_one(0), random.hash_one(1))
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
        let own = read(Own::default());
        assert!(own.resident_bytes.is_some_and(|bytes| bytes > 100_000));
        assert!(own.cpu_seconds.is_some());
        assert!(own.open_fds.is_some_and(|fds| fds > 0));
    }

    #[test]
    fn no_two_instances_are_called_the_same() {
        let names: std::collections::BTreeSet<_> = (0..100).map(|_| instance()).collect();
        assert!(names.len() == 100 && names.iter().all(|name| name.len() == 32), "{names:?}");
    }
}
