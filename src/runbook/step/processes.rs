//! Processes that live in a data directory, where pgvigil runs beside the server. Every process of a server does, whatever became of
//! its postmaster.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// The process namespace of the machine itself, as the kernel numbers it.
const WHOLE_MACHINE: &str = "pid:[4026531836]";

/// How many live in `data_dir`; `None` if that is not certain: another account's processes do not show where they are, and from inside
/// a container not all processes of the machine are seen. One that is seen is certain.
pub(super) async fn in_directory(data_dir: PathBuf, deadline: Duration) -> Option<usize> {
    timeout(deadline, spawn_blocking(move || count(&data_dir))).await.ok()?.ok()?
}

fn count(data_dir: &Path) -> Option<usize> {
    let data_dir = data_dir.canonicalize().ok()?;
    let owner = data_dir.metadata().ok()?.uid();
    let (mut found, mut hidden) = (0, false);
    for entry in std::fs::read_dir("/proc").ok()?.flatten() {
        let is_process = entry.file_name().to_str().is_some_and(|name| name.bytes().all(|b| b.is_ascii_digit()));
        if !is_process {
            continue;
        }
        match std::fs::read_link(entry.path().join("cwd")) {
            Ok(place) => found += usize::from(place == data_dir),
            // It ended, or is a zombie.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(_) => hidden |= entry.metadata().map_or(true, |process| process.uid() == owner),
        }
    }
    let sees_all = || std::fs::read_link("/proc/self/ns/pid").is_ok_and(|space| space.as_os_str() == WHOLE_MACHINE);
    (found > 0 || (!hidden && sees_all())).then_some(found)
}
