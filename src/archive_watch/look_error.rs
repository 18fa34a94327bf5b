//! Why a directory cannot be looked at, in a sentence that says what to do.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Why a directory cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// Our user may not.
    #[error(
        "{} may not be read by this user (uid {uid}): run pgvigil as {owner}, or give it access through the group (a data directory: \
         initdb --allow-group-access)",
        .path.display()
    )]
    Forbidden {
        /// The directory, or what is in it.
        path: PathBuf,
        /// Who we are.
        uid: u32,
        /// Who may.
        owner: String,
    },
    /// It is not there.
    #[error("{} does not exist: correct the path, or mount what belongs there", .0.display())]
    Missing(PathBuf),
    /// Another directory was put in its place while we looked.
    #[error("{} is being replaced", .0.display())]
    Replaced(PathBuf),
    /// Anything else.
    #[error("{} cannot be read: {error}", .path.display())]
    Other {
        /// The directory, or what is in it.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

impl LookError {
    /// Names the failure of an access to `path`, which is `root` or below it.
    pub(crate) fn of<'a>(path: &'a Path, root: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::Missing(path.to_owned()),
            io::ErrorKind::PermissionDenied => {
                let owner = std::fs::metadata(root).map(|meta| format!("its owner (uid {})", meta.uid()));
                let owner = owner.unwrap_or_else(|_| "its owner".to_owned());
                Self::Forbidden { path: path.to_owned(), uid: rustix::process::geteuid().as_raw(), owner }
            }
            _ => Self::Other { path: path.to_owned(), error },
        }
    }
}
