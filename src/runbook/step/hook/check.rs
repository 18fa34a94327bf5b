//! Whether a program may be run as a hook.

use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::HookError;

/// Whether `argv` may be run: a program by its whole path, that we may execute and nobody but its owner may write, nor the directory
/// that it is in. A link may lead to it; then the directory of either counts.
pub fn check(argv: &[String]) -> Result<(), HookError> {
    let program = Path::new(argv.first().ok_or(HookError::Empty)?);
    if !program.is_absolute() {
        return Err(HookError::NotAbsolute(program.to_owned()));
    }
    let real = fs::canonicalize(program).map_err(|source| match source.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => HookError::Missing(program.to_owned()),
        _ => HookError::Unreadable { path: program.to_owned(), source },
    })?;
    let unreadable = |path: &Path| {
        let path: PathBuf = path.to_owned();
        |source: io::Error| HookError::Unreadable { path, source }
    };
    let metadata = fs::metadata(&real).map_err(unreadable(&real))?;
    if !metadata.is_file() {
        return Err(HookError::NotAFile(program.to_owned()));
    }
    only_its_owner_writes(program, &real, &metadata)?;
    for directory in [program.parent(), real.parent()].into_iter().flatten() {
        only_its_owner_writes(program, directory, &fs::metadata(directory).map_err(unreadable(directory))?)?;
    }
    access(&real, Access::EXEC_OK).map_err(|_| HookError::NotExecutable(program.to_owned()))
}

fn only_its_owner_writes(program: &Path, path: &Path, metadata: &Metadata) -> Result<(), HookError> {
    let mode = metadata.permissions().mode() & 0o7777;
    match mode & 0o022 {
        0 => Ok(()),
        _ => Err(HookError::Writable { program: program.to_owned(), path: path.to_owned(), mode }),
    }
}
