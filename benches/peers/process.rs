//! What `/proc` tells of a process: CPU, memory, sockets.

use std::collections::HashSet;
use std::fs;

use pgvigil::lab::ProcessId;

const TICK_MS: f64 = 10.0;

/// CPU time of a whole server in ms: every process of the tree to the nanosecond, those that have ended in ticks.
pub fn tree_cpu_ms(root: ProcessId) -> f64 {
    let mut tree = vec![root];
    let mut next = 0;
    while let Some(process) = tree.get(next).copied() {
        next += 1;
        tree.extend(process.children());
    }
    tree.iter().map(|process| precise_cpu_ms(process.pid)).sum::<f64>() + ticks_ms(root.pid, &[13, 14])
}

/// CPU time in ms of a process with one thread, by the scheduler's own count.
pub fn precise_cpu_ms(pid: i32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
    text.split(' ').next().and_then(|nanos| nanos.parse::<f64>().ok()).unwrap_or(0.0) / 1e6
}

/// utime + stime of all threads in ms, in steps of a tick.
pub fn cpu_ms(process: ProcessId) -> f64 {
    ticks_ms(process.pid, &[11, 12])
}

fn ticks_ms(pid: i32, fields: &[usize]) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let Some((_, rest)) = text.rsplit_once(") ") else { return 0.0 };
    let all: Vec<&str> = rest.split(' ').collect();
    fields.iter().filter_map(|field| all.get(*field)?.parse::<f64>().ok()).sum::<f64>() * TICK_MS
}

/// A line of `/proc/PID/status`, such as `VmRSS`, in MB (of 1,000,000 bytes).
pub fn memory_mb(process: ProcessId, name: &str) -> f64 {
    let text = fs::read_to_string(format!("/proc/{}/status", process.pid)).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(f64::NAN) * 1024.0 / 1e6
}

/// Established TCP connections of a process to a port of this machine.
pub fn connections_to(process: ProcessId, port: u16) -> usize {
    let links = fs::read_dir(format!("/proc/{}/fd", process.pid)).into_iter().flatten().flatten();
    let sockets: HashSet<String> = links
        .filter_map(|link| fs::read_link(link.path()).ok()?.to_str()?.strip_prefix("socket:[").map(str::to_owned))
        .map(|inode| inode.trim_end_matches(']').to_owned())
        .collect();
    let tables = ["tcp", "tcp6"].map(|table| fs::read_to_string(format!("/proc/{}/net/{table}", process.pid)));
    let lines = tables.iter().flatten().flat_map(|table| table.lines().skip(1));
    lines
        .filter(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [_, _, remote, "01", .., _] = fields.as_slice() else { return false };
            remote.ends_with(&format!(":{port:04X}")) && fields.get(9).is_some_and(|inode| sockets.contains(*inode))
        })
        .count()
}

/// The load averages of this machine.
pub fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}
