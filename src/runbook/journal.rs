//! The journal on disk: what was written is there after any crash, and what is damaged is never taken for whole. One process writes;
//! anybody who may read the files can read them meanwhile.
//!
//! Files of lines (see [`super::chain`]) in one directory, each named by the number of the first record in it. The newest is written;
//! the oldest are removed when there are too many.

mod reader;

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

pub use reader::{ReadError, Reader};

use super::chain::{self, Header, MOST_LINE_BYTES, Sum};
use super::record::{Entry, Record};
use crate::clock::Moment;
use reader::{EXTENSION, End};

/// No write is larger.
pub const MOST_COMMIT_BYTES: usize = 16 << 20;

/// The directory of the journal in `state_dir`.
pub fn directory(state_dir: &Path) -> PathBuf {
    state_dir.join("journal")
}

/// How large the journal may become.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A file that is larger is followed by another.
    pub file_bytes: u64,
    /// So many files are kept, the one that is written among them.
    pub files: usize,
}

impl Default for Limits {
    /// 64 MiB.
    fn default() -> Self {
        Self { file_bytes: 4 << 20, files: 16 }
    }
}

/// Why the journal is not written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system refused. What was to be written may or may not be there after the next [`Journal::open`].
    #[error("{}: {source}; the journal cannot be written: make {} a directory that pgvigil may write, with free space, or set state_dir", .path.display(), .path.parent().unwrap_or(.path).display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Another process writes it.
    #[error("{} is locked{}: another pgvigil writes this journal; give each a state_dir of its own", .path.display(), holder(.pid.as_deref()))]
    Locked {
        /// The lock.
        path: PathBuf,
        /// The process that has it, as far as that is known.
        pid: Option<String>,
    },
    /// What is there is not as it was written.
    #[error(transparent)]
    Unreadable(#[from] ReadError),
    /// An earlier write failed: what the kernel holds may not be what the disk has, until the journal is opened again.
    #[error("a write to the journal failed before: nothing more is written until it was read again")]
    Broken,
    /// Larger than a record or a write can be.
    #[error("{0} bytes are more than the journal takes at once: nothing was written")]
    TooLarge(usize),
}

fn holder(pid: Option<&str>) -> String {
    pid.map_or_else(String::new, |pid| format!(" by process {pid}"))
}

/// What was removed from the end at [`Journal::open`]: a write that a crash cut off, and that was never promised to anybody.
#[derive(Debug)]
pub struct Cut(pub ReadError);

/// A file that is written no more.
#[derive(Debug)]
struct Closed {
    path: PathBuf,
    /// Its last record.
    last: u64,
    bytes: u64,
}

/// The journal, open for writing. The lock goes with it.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    limits: Limits,
    _lock: File,
    file: File,
    /// Where the next record goes.
    end: End,
    /// Files that are written no more, oldest first.
    closed: VecDeque<Closed>,
    /// The files from the one with this record on stay, however many.
    needed: u64,
    broken: bool,
}

impl Journal {
    /// Opens the journal in `dir`, making both if they are not there, and hands every record to `visit`. What a crash left of the last
    /// write is removed, and returned.
    pub fn open(
        dir: &Path,
        limits: Limits,
        mut visit: impl FnMut(Record),
    ) -> Result<(Self, Option<Cut>), JournalError> {
        make_dir(dir).map_err(io_error(dir))?;
        let lock = lock(&dir.join("lock"))?;
        let mut reader = Reader::open(dir)?;
        let mut cut = None;
        for record in &mut reader {
            match record {
                Ok(record) => visit(record),
                Err(torn @ ReadError::Torn { .. }) => cut = Some(Cut(torn)),
                Err(error) => return Err(error.into()),
            }
        }
        let (file, end) = match reader.end() {
            None => begin_file(dir, 1, Sum::ORIGIN)?,
            Some(end) => (reopen(end).map_err(io_error(&end.path))?, end.clone()),
        };
        let mut closed = VecDeque::new();
        let files = reader::files(dir)?;
        for ((_, path), (next, _)) in files.iter().zip(files.iter().skip(1)) {
            let bytes = fs::metadata(path).map_err(io_error(path))?.len();
            closed.push_back(Closed { path: path.clone(), last: next.saturating_sub(1), bytes });
        }
        let dir = dir.to_owned();
        Ok((Self { dir, limits, _lock: lock, file, end, closed, needed: u64::MAX, broken: false }, cut))
    }

    /// Writes `entries` as one: when this returns the records are on disk. After an error nothing more can be written, and whether these are
    /// there is told by the next [`Journal::open`] alone.
    pub fn append(&mut self, entries: Vec<Entry>, at: Moment) -> Result<Vec<Record>, JournalError> {
        if self.broken {
            return Err(JournalError::Broken);
        }
        if self.end.offset >= self.limits.file_bytes {
            self.broken = true;
            self.rotate()?;
            self.broken = false;
        }
        let (mut text, mut end) = (String::new(), self.end.clone());
        let mut records = Vec::new();
        for entry in entries {
            let record = Record { seq: end.seq + 1, durable: self.end.seq, at, entry };
            let sealed = chain::seal(end.sum, &record)
                .map_err(|error| JournalError::Io { path: end.path.clone(), source: error.into() })?;
            if sealed.0.len() > MOST_LINE_BYTES || text.len() + sealed.0.len() > MOST_COMMIT_BYTES {
                return Err(JournalError::TooLarge(text.len() + sealed.0.len()));
            }
            text.push_str(&sealed.0);
            (end.seq, end.sum) = (record.seq, sealed.1);
            records.push(record);
        }
        end.offset += text.len() as u64;
        // Until it is known to be well.
        self.broken = true;
        self.write(&text).map_err(io_error(&self.end.path))?;
        self.end = end;
        self.broken = false;
        Ok(records)
    }

    /// From now on the records from `seq` on are kept, however much that is.
    pub fn keep_from(&mut self, seq: u64) {
        self.needed = seq;
    }

    /// The size of all files.
    pub fn bytes(&self) -> u64 {
        self.closed.iter().map(|closed| closed.bytes).sum::<u64>() + self.end.offset
    }

    fn write(&self, text: &str) -> io::Result<()> {
        if self.file.metadata()?.nlink() == 0 {
            return Err(io::Error::new(io::ErrorKind::NotFound, "it was removed while it was written"));
        }
        self.file.write_all_at(text.as_bytes(), self.end.offset)?;
        self.file.sync_data()
    }

    /// Goes on in a new file, and removes the oldest ones. All that was written is on disk already.
    fn rotate(&mut self) -> Result<(), JournalError> {
        let (file, end) = begin_file(&self.dir, self.end.seq + 1, self.end.sum)?;
        let before = std::mem::replace(&mut self.end, end);
        self.file = file;
        self.closed.push_back(Closed { path: before.path, last: before.seq, bytes: before.offset });
        while self.closed.len() + 1 > self.limits.files
            && self.closed.front().is_some_and(|oldest| oldest.last < self.needed)
            && let Some(oldest) = self.closed.pop_front()
        {
            fs::remove_file(&oldest.path).map_err(io_error(&oldest.path))?;
        }
        Ok(())
    }
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> JournalError + use<> {
    let path = path.to_owned();
    |source| JournalError::Io { path, source }
}

/// Makes a directory so that it is there after a crash.
fn make_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.map_or(Ok(()), make_dir)?;
    match fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => File::open(parent.unwrap_or(Path::new(".")))?.sync_all(),
    }
}

fn lock(path: &Path) -> Result<File, JournalError> {
    let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    let mut file = open.map_err(io_error(path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let _ = (&mut file).take(20).read_to_string(&mut pid);
            let pid = Some(pid.trim().to_owned()).filter(|pid| !pid.is_empty());
            return Err(JournalError::Locked { path: path.to_owned(), pid });
        }
        Err(TryLockError::Error(source)) => return Err(JournalError::Io { path: path.to_owned(), source }),
    }
    // For whoever finds it locked; the lock holds without it, also on a disk that is full.
    let _ = file.set_len(0).and_then(|()| file.write_all(format!("{}\n", std::process::id()).as_bytes()));
    Ok(file)
}

/// Makes a file with a header: it is there whole or not at all.
fn begin_file(dir: &Path, first: u64, previous: Sum) -> Result<(File, End), JournalError> {
    let path = dir.join(format!("{first:020}.{EXTENSION}"));
    let new = path.with_extension("new");
    let make = || -> io::Result<(File, u64, Sum)> {
        let (line, sum) = chain::seal(previous, &Header::new(first, previous))?;
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&new)?;
        file.write_all(line.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        File::open(dir)?.sync_all()?;
        Ok((file, line.len() as u64, sum))
    };
    let (file, offset, sum) = make().map_err(|source| {
        // A half-written file must not fill a disk that is full already.
        let _ = fs::remove_file(&new);
        JournalError::Io { path: path.clone(), source }
    })?;
    Ok((file, End { path, offset, seq: first.saturating_sub(1), sum }))
}

/// Opens the newest file to go on at its end, and removes what is behind. All of it is written once more: after a failed write the kernel
/// may show what the disk does not have, and would call it clean.
fn reopen(end: &End) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).open(&end.path)?;
    file.set_len(end.offset)?;
    let mut piece = vec![0; 1 << 20];
    let mut at = 0;
    while at < end.offset {
        let room = piece.len().min(usize::try_from(end.offset - at).unwrap_or(usize::MAX));
        let Some(piece) = piece.get_mut(..room) else { break };
        file.read_exact_at(piece, at)?;
        file.write_all_at(piece, at)?;
        at += piece.len() as u64;
    }
    file.sync_all()?;
    Ok(file)
}

#[cfg(test)]
mod tests;
