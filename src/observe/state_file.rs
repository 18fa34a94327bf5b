//! What outlives a restart of pgvigil: one file a cluster in `state_dir`, replaced whole.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cluster::memory::Memory;

/// The form of the file.
const FORMAT: u32 = 1;
/// No history is larger: 4,096 points and a few dozen nodes are well below.
const MAX_BYTES: u64 = 4 << 20;

/// Why a cluster's memory could not be kept or found.
#[derive(Debug, thiserror::Error)]
pub enum StateFileError {
    /// The file system refused.
    #[error("{path}: {source}; lag history is not kept: make {dir} a directory that pgvigil may write, with free space, or set state_dir", path = path.display(), dir = path.parent().unwrap_or(path).display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The file is not one of ours, or of another version.
    #[error("{path}: not a lag history of this version ({reason}); it is left as it is and written anew when there is something to keep", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
}

#[derive(Serialize)]
struct Written<'a> {
    format: u32,
    boot_id: &'a str,
    memory: &'a Memory,
}

#[derive(Deserialize)]
struct Read {
    format: u32,
    boot_id: String,
    memory: Memory,
}

/// The identity of this machine's present boot: our clock counts from it, so a history of another boot says nothing.
pub fn boot_id() -> Option<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|id| id.trim().to_owned())
}

/// Makes `state_dir` if it is not there, and tries whether it can be written.
pub fn prepare(state_dir: &Path) -> Result<(), StateFileError> {
    let probe = state_dir.join(".writable");
    let made = fs::create_dir_all(state_dir).and_then(|()| File::create(&probe)).and_then(|_| fs::remove_file(&probe));
    made.map_err(|source| StateFileError::Io { path: probe, source })
}

/// The file of `cluster` in `state_dir`.
pub fn path(state_dir: &Path, cluster: &str) -> PathBuf {
    state_dir.join(format!("{cluster}.lag-history.json"))
}

/// Reads what is remembered of `cluster`; empty if there is no file, or it is of another boot.
pub fn load(state_dir: &Path, cluster: &str) -> Result<Memory, StateFileError> {
    let path = path(state_dir, cluster);
    let unreadable = |reason: String| StateFileError::Unreadable { path: path.clone(), reason };
    let text = match fs::metadata(&path).and_then(|metadata| {
        if metadata.len() > MAX_BYTES {
            return Err(io::Error::other(format!("larger than {MAX_BYTES} bytes")));
        }
        fs::read(&path)
    }) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Memory::default()),
        Err(source) => return Err(StateFileError::Io { path, source }),
    };
    let read: Read = serde_json::from_slice(&text).map_err(|error| unreadable(error.to_string()))?;
    match (read.format, boot_id()) {
        (FORMAT, Some(boot_id)) if boot_id == read.boot_id => Ok(read.memory),
        (FORMAT, _) => Ok(Memory::default()),
        (format, _) => Err(unreadable(format!("format {format}"))),
    }
}

/// Replaces what is remembered of `cluster`. The old file stays whole if anything fails.
pub fn save(state_dir: &Path, cluster: &str, memory: &Memory) -> Result<(), StateFileError> {
    let path = path(state_dir, cluster);
    // Without an identity of the boot nothing could be told apart after the next one.
    let Some(boot_id) = boot_id() else { return Ok(()) };
    let written = Written { format: FORMAT, boot_id: &boot_id, memory };
    let new = path.with_extension("new");
    let replace = || -> io::Result<()> {
        fs::create_dir_all(state_dir)?;
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec(&written)?)?;
        file.sync_data()?;
        fs::rename(&new, &path)
    };
    replace().map_err(|source| {
        // A half-written file must not fill a disk that is full already.
        let _ = fs::remove_file(&new);
        StateFileError::Io { path: path.clone(), source }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_a_memory_and_refuses_what_is_none() {
        let dir = std::env::temp_dir().join(format!("pgvigil-state-{}", std::process::id()));
        let memory = Memory { primary: Some("a".into()), ..Memory::default() };
        save(&dir, "orders", &memory).unwrap();
        assert_eq!(load(&dir, "orders").unwrap(), memory);
        assert_eq!(load(&dir, "other").unwrap(), Memory::default());
        fs::write(path(&dir, "orders"), "{").unwrap();
        let error = load(&dir, "orders").unwrap_err().to_string();
        assert!(error.contains("not a lag history of this version"), "{error}");
        fs::remove_dir_all(&dir).unwrap();
    }
}
