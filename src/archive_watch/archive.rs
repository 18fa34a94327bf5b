//! Looks into a cluster's archive.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Access, access};

use super::archive_dir::{ArchiveDir, ArchiveDirState};
use super::contents::{ArchiveFile, Contents, Stat, fault};
use super::history_file::MAX_BYTES;
use super::line::{Evidence, Holes};
use super::look_error::LookError;
use crate::clock::Wall;
use crate::pg::wal_file::{SegmentSize, WalFile};

/// An archive, with what is remembered of it.
pub struct Archive {
    path: PathBuf,
    contents: Contents,
    holes: Holes,
}

impl Archive {
    /// The directory `path`, which need not exist.
    pub fn new(path: PathBuf) -> Self {
        Self { path, contents: Contents::default(), holes: Holes::default() }
    }

    /// Looks at every name and at those files that need it. Blocks for as long as the file system takes. `size`: of the cluster's
    /// segments; without it nothing is judged. What is younger than `settled_after` is not yet judged either.
    pub fn look(&mut self, size: Option<SegmentSize>, settled_after: Duration) -> Result<ArchiveDir, LookError> {
        let names = fs::read_dir(&self.path).map_err(LookError::of(&self.path, &self.path))?;
        let Some(size) = size else { return Ok(ArchiveDir { state: ArchiveDirState::Unknown, found: None }) };
        let since = Wall::from_seconds(Wall::now().as_seconds() - settled_after.as_secs_f64());
        self.contents.begin();
        for entry in names {
            let entry = entry.map_err(LookError::of(&self.path, &self.path))?;
            let name = entry.file_name();
            let Some(file) = name.to_str().and_then(ArchiveFile::parse) else { continue };
            if self
                .contents
                .wants(file, |file, stat| stat.modified <= since && fault(file, stat, size, since).is_none())
                && let Some((stat, text)) = ask(&entry.path(), file)
            {
                self.contents.take(file, stat, text.as_deref());
            }
        }
        let complete = self.contents.end();
        let evidence = Evidence { contents: &self.contents, complete, size, settled_after, now: Wall::now() };
        Ok(evidence.judge(&mut self.holes))
    }
}

/// What the file itself tells; `None` if it is none, or gone by now.
fn ask(path: &Path, file: ArchiveFile) -> Option<(Stat, Option<String>)> {
    let at = |seconds: i64, nanos: i64| Wall::from_seconds(seconds as f64 + nanos as f64 / 1e9);
    let mut stat = match fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => return None,
        Ok(metadata) => Stat {
            bytes: metadata.len(),
            modified: at(metadata.mtime(), metadata.mtime_nsec()),
            changed: at(metadata.ctime(), metadata.ctime_nsec()),
            readable: access(path, Access::READ_OK).is_ok(),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        Err(_) => Stat { bytes: 0, modified: Wall::default(), changed: Wall::default(), readable: false },
    };
    let mut text = None;
    if matches!(file.wal, WalFile::History(_)) && !file.compressed && stat.readable {
        let mut all = String::new();
        let read = File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_string(&mut all));
        stat.readable = read.is_ok();
        text = read.is_ok().then_some(all);
    }
    Some((stat, text))
}
