//! Why a hook was not run.

use std::io;
use std::path::{Path, PathBuf};

/// Why a hook was not run: it did not begin, and nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// No program is named.
    #[error("a hook's argv is empty: name the program to run")]
    Empty,
    /// It would have to be looked for.
    #[error("hook {0}: its path must begin with /, because no shell looks for it")]
    NotAbsolute(PathBuf),
    /// It is not there.
    #[error("hook {0} does not exist: install it, or correct the path")]
    Missing(PathBuf),
    /// It is no program.
    #[error("hook {0} is not a regular file: name a program")]
    NotAFile(PathBuf),
    /// Our user may not.
    #[error("hook {0} may not be executed by this user: chmod a+x it")]
    NotExecutable(PathBuf),
    /// Somebody else may change it.
    #[error(
        "hook {program}: {path} may be written by its group or others (mode {mode:04o}), who could run anything: chmod go-w {path}"
    )]
    Writable {
        /// The hook.
        program: PathBuf,
        /// It, or its directory.
        path: PathBuf,
        /// The permissions of that.
        mode: u32,
    },
    /// It cannot be looked at.
    #[error("hook {path} cannot be looked at: {source}")]
    Unreadable {
        /// The hook, or its directory.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The attempt has begun before.
    #[error("{0} is there: this attempt of a hook may have begun before, and is not begun again; ask its probe")]
    Begun(PathBuf),
    /// Its directory cannot be used.
    #[error(
        "{dir}: {source}; a hook's files cannot be written: make state_dir a directory that pgvigil may write, with free space"
    )]
    Dir {
        /// The directory.
        dir: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// What it is to be told cannot be written as JSON.
    #[error("what a hook is to be told cannot be written as JSON: {0}")]
    Brief(serde_json::Error),
    /// The system did not start it.
    #[error("hook {program} cannot be started: {source}; does the interpreter on its first line exist?")]
    Spawn {
        /// The hook.
        program: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

impl HookError {
    /// Names the failure of an access to `dir` or what is in it.
    pub(super) fn dir(dir: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let dir = dir.to_owned();
        move |source| Self::Dir { dir, source }
    }
}
