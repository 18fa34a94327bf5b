//! Files that are read, and what each looked like just before: whether they changed since.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Files, and how each looked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen(Vec<(PathBuf, Option<Look>)>);

/// What changes when a file is written or replaced: device, inode, size, and the times of both changes.
type Look = (u64, u64, u64, (i64, i64), (i64, i64));

fn look(path: &Path) -> Option<Look> {
    let file = std::fs::metadata(path).ok()?;
    let (modified, changed) = ((file.mtime(), file.mtime_nsec()), (file.ctime(), file.ctime_nsec()));
    Some((file.dev(), file.ino(), file.size(), modified, changed))
}

impl Seen {
    /// Whether no file counts.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// To be called before a file is read, so that no change is missed.
    pub(super) fn about_to_read(&mut self, path: &Path) {
        self.0.push((path.to_owned(), look(path)));
    }

    /// Adds the files of `other` as they look now.
    pub(super) fn add_again(&mut self, other: &Self) {
        for (path, _) in &other.0 {
            if !self.0.iter().any(|(known, _)| known == path) {
                self.about_to_read(path);
            }
        }
    }

    /// The same files as they look now.
    pub(super) fn again(&self) -> Self {
        Self(self.0.iter().map(|(path, _)| (path.clone(), look(path))).collect())
    }
}
