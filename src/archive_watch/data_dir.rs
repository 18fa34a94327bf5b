//! Looks into a node's data directory.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::statvfs;

use super::hints::Hints;
use super::hostside::{Hostside, WalVolume};
use super::look_error::LookError;
use super::time_to_full::Trend;
use super::waiting::{Fate, Times, Waiting};
use crate::clock::{Moment, Wall};

/// A data directory, with what is remembered of it.
pub struct DataDir {
    root: PathBuf,
    /// Device and inode of `archive_status`.
    identity: Option<(u64, u64)>,
    waiting: Waiting,
    trend: Trend,
    hints: Hints,
}

/// What a look found.
pub struct Seen {
    /// The facts.
    pub hostside: Hostside,
    /// Why there are no hints when something changes; `None` if there are.
    pub no_hints: Option<String>,
    /// Whether the directory is another one than at the look before.
    pub replaced: bool,
}

impl DataDir {
    /// The directory `root`, which need not exist. `hint` is called when something changes in its `archive_status`.
    pub fn new(root: PathBuf, hint: impl Fn() + Send + Sync + 'static) -> Self {
        let (waiting, trend) = (Waiting::default(), Trend::default());
        Self { root, identity: None, waiting, trend, hints: Hints::new(hint) }
    }

    /// Looks. Blocks for as long as the file system takes.
    pub fn look(&mut self) -> Result<Seen, LookError> {
        let wal = self.root.join("pg_wal");
        let status = wal.join("archive_status");
        let identity = self.identity_of(&status)?;
        let replaced = self.identity.replace(identity).is_some_and(|before| before != identity);
        if replaced {
            self.waiting.forget();
            self.trend = Trend::default();
        }
        // Before the look: what changes during it is a hint for the next.
        let no_hints = self.hints.arm(&status, identity);
        let archive_status = self.look_at_status(&wal, &status, identity)?;
        let volume = statvfs(&wal).map_err(|error| LookError::of(&wal, &self.root)(error.into()))?;
        let (size, free) = (volume.f_blocks * volume.f_frsize, volume.f_bavail * volume.f_frsize);
        let seconds_to_full = self.trend.note(Moment::now().mono, size, free);
        let hostside = Hostside {
            archive_status,
            archive_durations: self.waiting.durations().clone(),
            wal_volume: WalVolume { size, free, seconds_to_full },
            started_at: started_at(&self.root),
        };
        Ok(Seen { hostside, no_hints, replaced })
    }

    fn identity_of(&self, status: &Path) -> Result<(u64, u64), LookError> {
        let metadata = fs::metadata(status).map_err(LookError::of(status, &self.root))?;
        Ok((metadata.dev(), metadata.ino()))
    }

    fn look_at_status(
        &mut self,
        wal: &Path,
        status: &Path,
        identity: (u64, u64),
    ) -> Result<crate::collector::archive_status::ArchiveStatus, LookError> {
        let mut look = self.waiting.look(Wall::now());
        let names = fs::read_dir(status).map_err(LookError::of(status, &self.root))?;
        for entry in names {
            let entry = entry.map_err(LookError::of(status, &self.root))?;
            if let Some(name) = entry.file_name().to_str() {
                look.name(name, || entry.metadata().ok().map(|metadata| times(&metadata)));
            }
        }
        if fs::metadata(status).is_ok_and(|now| (now.dev(), now.ino()) == identity) {
            Ok(look.end(Wall::now(), |name| fate(wal, status, name)))
        } else {
            self.identity = None;
            self.waiting.forget();
            Err(LookError::Replaced(status.to_owned()))
        }
    }
}

fn fate(wal: &Path, status: &Path, name: &str) -> Fate {
    // Where the file system does not say, nothing is made up.
    let is_there = |path: PathBuf| path.try_exists().unwrap_or(true);
    if let Ok(metadata) = fs::metadata(status.join(format!("{name}.done"))) {
        Fate::Done(times(&metadata))
    } else if is_there(status.join(format!("{name}.ready"))) {
        Fate::Ready
    } else if is_there(wal.join(name)) {
        Fate::Removed
    } else {
        Fate::Recycled
    }
}

fn times(metadata: &Metadata) -> Times {
    let at = |seconds: i64, nanos: i64| Wall::from_seconds(seconds as f64 + nanos as f64 / 1e9);
    Times {
        modified: at(metadata.mtime(), metadata.mtime_nsec()),
        changed: at(metadata.ctime(), metadata.ctime_nsec()),
    }
}

/// The third line of `postmaster.pid`; nothing is said about a file that cannot be read.
fn started_at(root: &Path) -> Option<Wall> {
    let text = fs::read_to_string(root.join("postmaster.pid")).ok()?;
    let seconds: u32 = text.lines().nth(2)?.trim().parse().ok()?;
    Some(Wall::from_seconds(f64::from(seconds)))
}
