//! Which file is read at this moment: where reading hangs, that is what a person needs to know.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The file that was begun to be read last. Clones are the same trail.
#[derive(Clone, Debug, Default)]
pub struct Trail(Arc<Mutex<Option<PathBuf>>>);

impl Trail {
    /// The next is the file at `path`.
    pub fn about_to_read(&self, path: &Path) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(path.to_owned());
    }

    /// Where the one who reads is; `None` if it has read nothing yet.
    pub fn last(&self) -> Option<PathBuf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
