//! Reading the journal, one record after the other, each verified. Needs no lock: it may be written meanwhile.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::MOST_COMMIT_BYTES;
use crate::runbook::chain::{self, LineError, MOST_LINE_BYTES, Sum};
use crate::runbook::record::Record;

/// What the names of the files end with.
pub(super) const EXTENSION: &str = "jsonl";

/// Why the reading ends before the journal does. What was read until then is what was written.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file system refused.
    #[error("{}: {source}; the journal cannot be read: make it a file that this user may read", .path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The last write did not end: none of it was ever promised to anybody.
    #[error(
        "{}, byte {offset}: record {seq} and what follows it, {bytes} bytes, is no whole write: it is under way, or was cut off and \
         will be removed when pgvigil serve writes again",
        .path.display()
    )]
    Torn {
        /// The file.
        path: PathBuf,
        /// Where the last whole record ends.
        offset: u64,
        /// The number of the first record that is not whole.
        seq: u64,
        /// How much there is of it.
        bytes: usize,
    },
    /// Something that was written is not there as it was written.
    #[error(
        "{}, byte {offset}: record {seq} {what}; the records before it are good, nothing is written behind it: restore the file, or \
         move its directory away to begin a new journal",
        .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the line begins.
        offset: u64,
        /// The record that should be there; of a header, the first of its file.
        seq: u64,
        /// What is wrong.
        what: LineError,
    },
}

/// The journal's files in order: the number of the first record that each can hold, and where it is.
pub(super) fn files(dir: &Path) -> Result<VecDeque<(u64, PathBuf)>, ReadError> {
    let unreadable = |source| ReadError::Io { path: dir.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let is_ours = path.extension().is_some_and(|extension| extension == EXTENSION);
        let first = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        files.extend(first.filter(|_| is_ours).map(|first| (first, path)));
    }
    files.sort();
    Ok(files.into())
}

/// Where the verified part of the journal ends.
#[derive(Clone, Debug)]
pub(super) struct End {
    /// In this file,
    pub(super) path: PathBuf,
    /// at this byte,
    pub(super) offset: u64,
    /// after this record,
    pub(super) seq: u64,
    /// with this checksum.
    pub(super) sum: Sum,
}

/// Hands out the records. The first error is the last item.
pub struct Reader {
    files: VecDeque<(u64, PathBuf)>,
    input: Option<BufReader<File>>,
    end: Option<End>,
    failed: bool,
}

impl Reader {
    /// Reads the journal in `dir`, which must be there. The oldest file may be removed while this goes on: then the next one is the
    /// first.
    pub fn open(dir: &Path) -> Result<Self, ReadError> {
        Ok(Self { files: files(dir)?, input: None, end: None, failed: false })
    }

    /// Where the verified part ends; `None` while there is none.
    pub(super) const fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    fn step(&mut self) -> Result<Option<Record>, ReadError> {
        loop {
            if self.input.is_none() && !self.next_file()? {
                return Ok(None);
            }
            let (Some(input), Some(end)) = (&mut self.input, &mut self.end) else { return Ok(None) };
            let line = line(input).map_err(|source| ReadError::Io { path: end.path.clone(), source })?;
            if line.is_empty() {
                self.input = None;
                continue;
            }
            match judge(&line, |line| chain::open_record(line, end.sum, end.seq + 1)) {
                Ok((record, sum)) => {
                    end.offset += line.len() as u64;
                    (end.seq, end.sum) = (record.seq, sum);
                    return Ok(Some(record));
                }
                Err(what) => return Err(self.bad_line(line, what)),
            }
        }
    }

    /// Opens the next file and reads its header.
    fn next_file(&mut self) -> Result<bool, ReadError> {
        let Some((first, path)) = self.files.pop_front() else { return Ok(false) };
        let unreadable = |source| ReadError::Io { path: path.clone(), source };
        let mut input = match File::open(&path) {
            Ok(file) => BufReader::new(file),
            // Removed because it is old, since we looked.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.end.is_none() && !self.files.is_empty() => {
                return self.next_file();
            }
            Err(error) => return Err(unreadable(error)),
        };
        let line = line(&mut input).map_err(unreadable)?;
        let damaged = |seq, what| ReadError::Damaged { path: path.clone(), offset: 0, seq, what };
        let expected = self.end.as_ref().map_or(first, |end| end.seq + 1);
        if first != expected {
            return Err(damaged(expected, LineError::Missing(first)));
        }
        let previous = self.end.as_ref().map(|end| end.sum);
        let (header, sum) =
            judge(&line, |line| chain::open_header(line, previous)).map_err(|what| damaged(first, what))?;
        if header.first != first {
            return Err(damaged(first, LineError::Missing(header.first)));
        }
        self.end = Some(End { path, offset: line.len() as u64, seq: first.saturating_sub(1), sum });
        self.input = Some(input);
        Ok(true)
    }

    /// What it means that `line` is none.
    fn bad_line(&mut self, line: Vec<u8>, what: LineError) -> ReadError {
        let (Some(input), Some(end)) = (self.input.take(), &self.end) else {
            return ReadError::Io { path: PathBuf::new(), source: io::Error::other("no file is open") };
        };
        let (path, offset, seq) = (end.path.clone(), end.offset, end.seq + 1);
        let mut tail = line;
        if let Err(source) = input.take(MOST_COMMIT_BYTES as u64 + 1).read_to_end(&mut tail) {
            return ReadError::Io { path, source };
        }
        let is_newer = matches!(what, LineError::Newer(_));
        let can_be_torn = !is_newer && self.files.is_empty() && tail.len() <= MOST_COMMIT_BYTES;
        match can_be_torn && chain::is_torn(&tail, seq) {
            true => ReadError::Torn { path, offset, seq, bytes: tail.len() },
            false => ReadError::Damaged { path, offset, seq, what },
        }
    }
}

impl Iterator for Reader {
    type Item = Result<Record, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let step = self.step();
        self.failed = step.is_err();
        step.transpose()
    }
}

/// The next line with its end, or as much as a line can have; empty at the end of the file.
fn line(input: &mut BufReader<File>) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    input.take(MOST_LINE_BYTES as u64 + 1).read_until(b'\n', &mut line)?;
    Ok(line)
}

fn judge<T>(line: &[u8], open: impl Fn(&[u8]) -> Result<T, LineError>) -> Result<T, LineError> {
    match line.strip_suffix(b"\n") {
        Some(line) if line.len() < MOST_LINE_BYTES => open(line),
        _ if line.len() > MOST_LINE_BYTES => Err(LineError::TooLong),
        _ => Err(LineError::Altered),
    }
}
