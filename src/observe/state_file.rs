//! What outlives a restart of pgvigil: one file a cluster in `state_dir`, replaced whole.

use std::fs::{self, File};
use std::io::{self, Read, Write};
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
    /// The file is there and cannot be read.
    #[error("{path}: {source}; the history starts empty: make it a file that pgvigil may read, or remove it", path = path.display())]
    Closed {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The file is not one of ours, or of another version.
    #[error("{path}: not a lag history of this version ({reason}); it is kept as {kept}, and the history starts empty: lag that began before now is unknown until the standbys have caught up", path = path.display(), kept = kept.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
        /// Where it is now.
        kept: PathBuf,
    },
    /// This machine was booted since.
    #[error("{path}: of an earlier boot of this machine, whose clock is gone; the history starts empty, though timelines and forks are still known: lag that began before now is unknown until the standbys have caught up", path = path.display())]
    OtherBoot {
        /// The file.
        path: PathBuf,
        /// What holds without the clock.
        timeless: Box<Memory>,
    },
}

#[derive(Serialize)]
struct Kept<'a> {
    format: u32,
    boot_id: &'a str,
    memory: &'a Memory,
}

#[derive(Deserialize)]
struct Written {
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

/// Reads what is remembered of `cluster`; empty if there is no file. A file that says nothing is put aside, so that the next
/// [`save`] does not destroy it.
pub fn load(state_dir: &Path, cluster: &str) -> Result<Memory, StateFileError> {
    let path = path(state_dir, cluster);
    let unreadable = |reason: String| {
        let kept = path.with_extension("unreadable");
        match fs::rename(&path, &kept) {
            Ok(()) => StateFileError::Unreadable { path: path.clone(), reason, kept },
            Err(source) => StateFileError::Closed { path: path.clone(), source },
        }
    };
    let mut text = Vec::new();
    match File::open(&path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut text)) {
        Ok(_) if text.len() as u64 > MAX_BYTES => return Err(unreadable(format!("larger than {MAX_BYTES} bytes"))),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Memory::default()),
        Err(source) => return Err(StateFileError::Closed { path, source }),
    }
    let read: Written = serde_json::from_slice(&text).map_err(|error| unreadable(error.to_string()))?;
    match (read.format, boot_id()) {
        (FORMAT, Some(boot_id)) if boot_id == read.boot_id => Ok(read.memory),
        (FORMAT, _) => Err(StateFileError::OtherBoot { path, timeless: Box::new(read.memory.timeless()) }),
        (format, _) => Err(unreadable(format!("format {format}"))),
    }
}

/// Replaces what is remembered of `cluster`. The old file stays whole if anything fails.
pub fn save(state_dir: &Path, cluster: &str, memory: &Memory) -> Result<(), StateFileError> {
    let path = path(state_dir, cluster);
    // Without an identity of the boot nothing could be told apart after the next one.
    let Some(boot_id) = boot_id() else { return Ok(()) };
    let written = Kept { format: FORMAT, boot_id: &boot_id, memory };
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

    /// A directory of its own, gone at the end.
    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            Self(std::env::temp_dir().join(format!("pgvigil-state-{name}-{}", std::process::id())))
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn memory() -> Memory {
        Memory { primary: Some("a".into()), ..Memory::default() }
    }

    #[test]
    fn keeps_a_memory() {
        let dir = Dir::new("keeps");
        save(&dir.0, "orders", &memory()).unwrap();
        assert_eq!(load(&dir.0, "orders").unwrap(), memory());
        assert_eq!(load(&dir.0, "other").unwrap(), Memory::default());
        assert_eq!(fs::read_dir(&dir.0).unwrap().count(), 1, "nothing but the file itself");
    }

    #[test]
    fn what_is_no_memory_is_put_aside_and_named() {
        let dir = Dir::new("refuses");
        save(&dir.0, "orders", &memory()).unwrap();
        let path = path(&dir.0, "orders");
        let whole = fs::read_to_string(&path).unwrap();
        let newer = whole.replace("\"format\":1", "\"format\":2");
        let huge = " ".repeat(usize::try_from(MAX_BYTES).unwrap() + 1);
        for text in ["", "{", &whole[..whole.len() / 2], "[]", "\u{0}", &newer, &huge] {
            fs::write(&path, text).unwrap();
            let error = load(&dir.0, "orders").unwrap_err();
            let StateFileError::Unreadable { kept, .. } = &error else { panic!("{error}") };
            assert_eq!(fs::read_to_string(kept).unwrap(), text);
            assert!(error.to_string().contains("the history starts empty"), "{error}");
            assert_eq!(load(&dir.0, "orders").unwrap(), Memory::default());
        }
    }

    #[test]
    fn another_boot_is_told_from_damage() {
        let dir = Dir::new("boot");
        save(&dir.0, "orders", &memory()).unwrap();
        let path = path(&dir.0, "orders");
        fs::write(&path, fs::read_to_string(&path).unwrap().replace(&boot_id().unwrap(), "earlier")).unwrap();
        let Err(StateFileError::OtherBoot { timeless, .. }) = load(&dir.0, "orders") else { panic!("the same boot") };
        assert_eq!(*timeless, memory(), "who was the primary hangs on no clock");
    }

    #[test]
    fn a_save_that_fails_leaves_the_old_file_whole() {
        let dir = Dir::new("fails");
        save(&dir.0, "orders", &memory()).unwrap();
        // A directory in the way of the new file.
        fs::create_dir(path(&dir.0, "orders").with_extension("new")).unwrap();
        assert!(save(&dir.0, "orders", &Memory::default()).is_err());
        assert_eq!(load(&dir.0, "orders").unwrap(), memory());
    }
}
