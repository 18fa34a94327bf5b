//! The files that a hook reads from and prints to. They are no pipes, so that neither its end nor ours depends on the other.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use super::process;

/// A hook that prints more in all, in bytes, floods.
pub(super) const MOST: u64 = 1 << 20;
/// So much of its standard output is read, from its end.
const STDOUT_BYTES: u64 = 64 << 10;
/// Likewise of its standard error.
const STDERR_BYTES: u64 = 256 << 10;

/// What a hook is told, by its file's name.
pub(super) const STDIN: &str = "stdin";
const STDOUT: &str = "stdout";
const STDERR: &str = "stderr";

/// Our ends of what it prints to.
pub(super) struct Output {
    stdout: File,
    stderr: File,
}

/// What it printed.
pub(super) struct Printed {
    pub(super) stdout: String,
    pub(super) stderr: String,
    pub(super) is_flood: bool,
}

/// Makes the files in `dir`, where none of them is: for it to read from, and to print to.
pub(super) fn create(dir: &Path, stdin: &[u8]) -> io::Result<(File, Output)> {
    let create = |name| {
        // What is appended goes to the end, also after we cut the file.
        OpenOptions::new().read(true).append(true).create_new(true).mode(0o600).open(dir.join(name))
    };
    create(STDIN)?.write_all(stdin)?;
    let output = Output { stdout: create(STDOUT)?, stderr: create(STDERR)? };
    Ok((File::open(dir.join(STDIN))?, output))
}

/// Removes the files of an earlier attempt.
pub(super) fn remove(dir: &Path) -> io::Result<()> {
    [STDIN, STDOUT, STDERR, process::FILE].iter().try_for_each(|name| match fs::remove_file(dir.join(name)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    })
}

impl Output {
    /// The hook's ends.
    pub(super) fn ends(&self) -> io::Result<(File, File)> {
        Ok((self.stdout.try_clone()?, self.stderr.try_clone()?))
    }

    /// Whether it printed more than it may.
    pub(super) fn is_flood(&self) -> bool {
        let length = |file: &File| file.metadata().map_or(0, |metadata| metadata.len());
        length(&self.stdout).saturating_add(length(&self.stderr)) > MOST
    }

    /// Reads the ends of both files, and cuts them off where they are too long.
    pub(super) fn read(&self) -> io::Result<Printed> {
        let is_flood = self.is_flood();
        for file in [&self.stdout, &self.stderr] {
            if file.metadata()?.len() > MOST {
                file.set_len(MOST)?;
            }
        }
        let (stdout, stderr) = (tail(&self.stdout, STDOUT_BYTES)?, tail(&self.stderr, STDERR_BYTES)?);
        Ok(Printed { stdout, stderr, is_flood })
    }
}

/// The last `most` bytes; what is no text in them is replaced.
fn tail(file: &File, most: u64) -> io::Result<String> {
    let length = file.metadata()?.len();
    let from = length.saturating_sub(most);
    let mut bytes = vec![0; usize::try_from(length - from).unwrap_or(0)];
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, from + done as u64) {
            // The hook, or what it left behind, cut it meanwhile.
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(done);
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
