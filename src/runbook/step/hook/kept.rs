//! For how long the directories of hooks are kept.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use super::still_running;

/// Removes the directories of runs that are not `known` any more, and says how many; one in which a hook still runs stays.
pub fn forget(hooks_dir: &Path, known: &BTreeSet<String>) -> io::Result<usize> {
    let entries = match fs::read_dir(hooks_dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    let mut forgotten = 0;
    for entry in entries {
        let entry = entry?;
        let is_known = entry.file_name().to_str().is_none_or(|run| known.contains(run));
        if is_known || !entry.file_type()?.is_dir() || is_busy(&entry.path())? {
            continue;
        }
        fs::remove_dir_all(entry.path())?;
        forgotten += 1;
    }
    Ok(forgotten)
}

fn is_busy(run: &Path) -> io::Result<bool> {
    for attempt in fs::read_dir(run)? {
        if still_running(&attempt?.path()).is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}
