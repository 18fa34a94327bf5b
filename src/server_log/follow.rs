//! Follows a node's log: a file, or the directory that the server makes new ones in. What is there at a look is the truth: files that
//! grew, that another took the place of, that were cut off, and that are gone.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::entry::{Entry, Format, Reader};
use super::said::ServerLog;
use crate::archive_watch::hints::Hints;
use crate::archive_watch::look_error::LookError;
use crate::clock::Moment;

/// So much of a file's end is read of what was there before us.
const TAIL: u64 = 512 << 10;
/// At most so much is read in one look; the next one follows at once.
const MOST_AT_ONCE: u64 = 8 << 20;
/// Who is further behind leaves the rest out and says so.
const MOST_BEHIND: u64 = 64 << 20;
/// The first bytes of a file, by which another content is told.
const HEAD: usize = 64;
/// No directory of more files is read.
const MOST_FILES: usize = 20_000;
/// A better format is read as long as it is written to: not so much longer ago than another, in seconds. Files of formats that are no
/// longer written may lie about, as in the log of a base backup.
const STALE: f64 = 5.0;

/// A log, with what is remembered of it.
pub struct Follower {
    path: PathBuf,
    open: Option<Open>,
    /// Each file's identity and length at the look before, and at this one.
    known: BTreeMap<PathBuf, (u64, u64)>,
    listed: BTreeMap<PathBuf, (u64, u64)>,
    /// Whether there was a look that went well.
    begun: bool,
    said: ServerLog,
    hints: Hints,
}

/// What a look found.
pub struct Seen {
    /// What the log said until now.
    pub said: ServerLog,
    /// The file that is read.
    pub file: PathBuf,
    /// Bytes that were left out, because there were too many.
    pub left_out: u64,
    /// Whether there is more to be read at once.
    pub more: bool,
}

struct Open {
    path: PathBuf,
    file: File,
    inode: u64,
    offset: u64,
    head: Vec<u8>,
    reader: Reader,
}

/// A file of the log.
struct Candidate {
    path: PathBuf,
    inode: u64,
    length: u64,
    modified: f64,
}

impl Candidate {
    fn of(path: PathBuf, metadata: &fs::Metadata) -> Self {
        let modified = metadata.mtime() as f64 + metadata.mtime_nsec() as f64 / 1e9;
        Self { path, inode: metadata.ino(), length: metadata.len(), modified }
    }

    fn format(&self) -> Format {
        Format::of(self.path.to_str().unwrap_or_default())
    }
}

impl Follower {
    /// Follows the log at `path`, which need not exist. `hint` is called when a file of its directory comes or goes.
    pub fn new(path: PathBuf, hint: impl Fn() + Send + Sync + 'static) -> Self {
        let said = ServerLog::new(Format::Text);
        Self {
            path,
            open: None,
            known: BTreeMap::new(),
            listed: BTreeMap::new(),
            begun: false,
            said,
            hints: Hints::new(hint),
        }
    }

    /// Reads what is new. Blocks for as long as the file system takes.
    pub fn look(&mut self) -> Result<Seen, LookError> {
        let files = self.files();
        let files = match files {
            Ok(files) => files,
            Err(error) => {
                // What is gone may have said something last.
                let _ = self.read_on();
                return Err(error);
            }
        };
        let (mut left_out, mut more) = (0, false);
        for file in self.successors(&files) {
            // The other formats hold the same once more.
            let is_same = self
                .open
                .as_ref()
                .is_some_and(|open| Format::of(open.path.to_str().unwrap_or_default()) == file.format());
            let unread = is_same && self.read_on().map_err(LookError::of(&self.path, &self.path))?.1;
            if unread {
                more = true;
                break;
            }
            self.open = Some(self.open_at(file).map_err(LookError::of(&file.path, &self.path))?);
        }
        if !more {
            (left_out, more) = self.read_on().map_err(LookError::of(&self.path, &self.path))?;
        }
        self.known = std::mem::take(&mut self.listed);
        self.begun = true;
        let file = self.open.as_ref().map_or_else(|| self.path.clone(), |open| open.path.clone());
        Ok(Seen { said: self.said.clone(), file, left_out, more })
    }

    /// The files of the format that is read, the oldest first.
    fn files(&mut self) -> Result<Vec<Candidate>, LookError> {
        let of = LookError::of;
        let metadata = fs::metadata(&self.path).map_err(of(&self.path, &self.path))?;
        if !metadata.is_dir() {
            if let Some(parent) = self.path.parent().filter(|parent| !parent.as_os_str().is_empty())
                && let Ok(parent_metadata) = fs::metadata(parent)
            {
                self.hints.arm(parent, (parent_metadata.dev(), parent_metadata.ino()));
            }
            let file = Candidate::of(self.path.clone(), &metadata);
            self.listed = BTreeMap::from([(file.path.clone(), (file.inode, file.length))]);
            return Ok(vec![file]);
        }
        // Hints only: what they miss is seen at the next look.
        self.hints.arm(&self.path, (metadata.dev(), metadata.ino()));
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(of(&self.path, &self.path))?.take(MOST_FILES) {
            let path = entry.map_err(of(&self.path, &self.path))?.path();
            let is_log = path
                .extension()
                .is_some_and(|extension| ["log", "csv", "json"].iter().any(|known| extension == *known));
            // One that is gone by now is none.
            if let Some(metadata) = is_log.then(|| fs::metadata(&path).ok()).flatten().filter(fs::Metadata::is_file) {
                files.push(Candidate::of(path, &metadata));
            }
        }
        self.listed = files.iter().map(|file| (file.path.clone(), (file.inode, file.length))).collect();
        let newest = |format: Option<Format>| {
            let of_it = files.iter().filter(|file| format.is_none_or(|format| file.format() == format));
            of_it.map(|file| file.modified).fold(f64::MIN, f64::max)
        };
        let is_alive = |format: &Format| newest(None) - newest(Some(*format)) <= STALE;
        let format = [Format::Json, Format::Csv, Format::Text].into_iter().find(is_alive);
        let Some(format) = format.filter(|_| !files.is_empty()) else {
            return Err(LookError::Missing(self.path.join("*.log")));
        };
        files.retain(|file| file.format() == format);
        files.sort_by(|a, b| a.modified.total_cmp(&b.modified).then_with(|| a.path.cmp(&b.path)));
        Ok(files)
    }

    /// The files that are to be read after the one that is open, in order; with none open, the newest.
    fn successors<'a>(&self, files: &'a [Candidate]) -> Vec<&'a Candidate> {
        let Some(newest) = files.last() else { return Vec::new() };
        let Some(open) = &self.open else { return vec![newest] };
        match files.iter().position(|file| file.inode == open.inode) {
            Some(at) => {
                // A file that was written to later than ours took its place, unless ours is the newest.
                files[at + 1..].iter().collect()
            }
            None if files.iter().all(|file| file.format() == Format::of(open.path.to_str().unwrap_or_default())) => {
                let is_new = |file: &&Candidate| {
                    self.known
                        .get(&file.path)
                        .is_none_or(|(inode, length)| *inode != file.inode || *length < file.length)
                };
                let new: Vec<_> = files.iter().filter(is_new).collect();
                if new.is_empty() { vec![newest] } else { new }
            }
            None => vec![newest],
        }
    }

    /// Opens a file where reading goes on.
    fn open_at(&mut self, file: &Candidate) -> io::Result<Open> {
        let mut opened = File::open(&file.path)?;
        let head = head_of(&mut opened)?;
        let format = file.format();
        let mut open = Open {
            path: file.path.clone(),
            file: opened,
            inode: file.inode,
            offset: 0,
            head,
            reader: Reader::new(format, false),
        };
        match self.known.get(&file.path) {
            _ if !self.begun => {
                self.said = ServerLog::new(format);
                self.tail(&mut open, file)?;
            }
            // It was there and stood still: what it held then is no news.
            Some((inode, length)) if *inode == file.inode && *length <= file.length => open.offset = *length,
            _ => {}
        }
        self.said.format = format.as_str();
        Ok(open)
    }

    /// What was said before us is told, with its time, and not counted.
    fn tail(&mut self, open: &mut Open, file: &Candidate) -> io::Result<()> {
        let start = file.length.saturating_sub(TAIL);
        open.reader = Reader::new(file.format(), start > 0);
        open.offset = start;
        let mut entries: Vec<Entry> = Vec::new();
        let mut newest = None;
        open.read(TAIL, |entry| {
            newest = entry.stamp.or(newest);
            if super::class::of(&entry.message).is_some() || entries.is_empty() {
                entries.push(entry);
            }
        })?;
        // The file was last written when its newest entry was: that tells the server's time zone.
        let now = Moment::now();
        let still = (now.wall.as_seconds() - file.modified).max(0.0);
        for entry in &entries {
            let Some((newest, stamp)) = newest.zip(entry.stamp) else {
                self.said.is_understood = Some(entry.is_understood);
                continue;
            };
            let ago = std::time::Duration::try_from_secs_f64(still + (newest - stamp).max(0.0)).unwrap_or_default();
            let at = Moment {
                mono: now.mono.minus(ago),
                wall: crate::clock::Wall::from_seconds(now.wall.as_seconds() - ago.as_secs_f64()),
            };
            self.said.note(entry, at);
        }
        Ok(())
    }

    /// Reads what is new in the file that is open: what was left out, and whether there is more.
    fn read_on(&mut self) -> io::Result<(u64, bool)> {
        let Some(open) = &mut self.open else { return Ok((0, false)) };
        let length = open.file.metadata()?.len();
        let head = head_of(&mut open.file)?;
        if length < open.offset || !head.starts_with(&open.head) {
            open.offset = 0;
            open.reader = Reader::new(Format::of(open.path.to_str().unwrap_or_default()), false);
        }
        open.head = head;
        let mut left_out = 0;
        if length - open.offset > MOST_BEHIND {
            left_out = length - open.offset - TAIL;
            open.offset = length - TAIL;
            open.reader = Reader::new(Format::of(open.path.to_str().unwrap_or_default()), true);
        }
        let said = &mut self.said;
        let now = Moment::now();
        open.read(MOST_AT_ONCE, |entry| said.hear(&entry, now))?;
        Ok((left_out, open.offset < length))
    }
}

impl Open {
    fn read(&mut self, most: u64, mut tell: impl FnMut(Entry)) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.offset))?;
        let mut buffer = vec![0; 64 << 10];
        let mut left = most;
        while left > 0 {
            let room = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let read = self.file.read(&mut buffer[..room])?;
            if read == 0 {
                break;
            }
            self.reader.take(&buffer[..read], &mut tell);
            self.offset += read as u64;
            left -= read as u64;
        }
        Ok(())
    }
}

fn head_of(file: &mut File) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(0))?;
    let mut head = Vec::with_capacity(HEAD);
    Read::by_ref(file).take(HEAD as u64).read_to_end(&mut head)?;
    Ok(head)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    struct Log(PathBuf);

    impl Log {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("pgvigil-server-log-{}-{name}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn add(&self, file: &str, message: &str) {
            let path = self.0.join(file);
            let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
            let second = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S");
            writeln!(file, "{second}.000 XYZ [1] LOG:  {message}").unwrap();
        }

        /// As if nobody had written to it for so long.
        fn age(&self, file: &str, seconds: u64) {
            let then = std::time::SystemTime::now() - std::time::Duration::from_secs(seconds);
            File::options().append(true).open(self.0.join(file)).unwrap().set_modified(then).unwrap();
        }
    }

    impl Drop for Log {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const FULL: &str = "all replication slots are in use";

    fn slots_full(follower: &mut Follower) -> u64 {
        follower.look().unwrap().said.count("slots_full").unwrap()
    }

    #[test]
    fn what_was_there_is_told_and_what_comes_is_counted_over_every_kind_of_rotation() {
        let log = Log::new("rotation");
        log.add("a.log", FULL);
        log.age("a.log", 60);
        let mut follower = Follower::new(log.0.join("a.log"), || {});
        assert_eq!(slots_full(&mut follower), 0);
        let now = Moment::now();
        let recent =
            follower.look().unwrap().said.recent(now).map(|(said, _)| now.mono.since(said.at.mono).as_secs()).next();
        assert!(recent.is_some_and(|ago| (59..62).contains(&ago)), "{recent:?}");
        log.add("a.log", FULL);
        assert_eq!(slots_full(&mut follower), 1);
        // By rename: what was written last before it counts too.
        log.add("a.log", FULL);
        fs::rename(log.0.join("a.log"), log.0.join("a.log.1")).unwrap();
        log.add("a.log", FULL);
        assert_eq!(slots_full(&mut follower), 3);
        // By copy and cut.
        fs::write(log.0.join("a.log"), "").unwrap();
        assert_eq!(slots_full(&mut follower), 3);
        log.add("a.log", FULL);
        assert_eq!(slots_full(&mut follower), 4);
        fs::remove_file(log.0.join("a.log")).unwrap();
        assert!(matches!(follower.look(), Err(LookError::Missing(_))));
        log.add("a.log", FULL);
        assert_eq!(slots_full(&mut follower), 5);
        // Half a line counts when it is whole.
        let mut file = fs::OpenOptions::new().append(true).open(log.0.join("a.log")).unwrap();
        write!(file, "LOG:  all replication slots").unwrap();
        assert_eq!(slots_full(&mut follower), 5);
        writeln!(file, " are in use").unwrap();
        assert_eq!(slots_full(&mut follower), 6);
    }

    #[test]
    fn in_a_directory_each_new_file_is_read_and_the_best_format() {
        let log = Log::new("directory");
        let mut follower = Follower::new(log.0.clone(), || {});
        assert!(matches!(follower.look(), Err(LookError::Missing(_))));
        log.add("old.log", FULL);
        log.age("old.log", 100);
        log.add("1.log", "starting");
        log.age("1.log", 50);
        assert_eq!(slots_full(&mut follower), 0);
        log.add("1.log", FULL);
        log.age("1.log", 40);
        // Two at once.
        log.add("2.log", FULL);
        log.age("2.log", 30);
        log.add("3.log", FULL);
        assert_eq!(slots_full(&mut follower), 3);
        // As with log_filename = postgresql-%a.log: an old file is written to again.
        log.add("old.log", FULL);
        log.age("3.log", 20);
        assert_eq!(slots_full(&mut follower), 4);
        let csv = "2026-11-23 11:04:06.000 UTC,,,9,,6,2,,2026-11-23 11:00:00 UTC,,0,ERROR,53400,\"all replication slots are in use\",,,,,,,,,\"\"\n";
        fs::write(log.0.join("4.csv"), csv).unwrap();
        let seen = follower.look().unwrap();
        assert_eq!((seen.said.format, seen.said.count("slots_full")), ("csvlog", Some(5)));
        log.age("4.csv", 3600);
        log.add("old.log", FULL);
        assert_eq!(follower.look().unwrap().said.format, "stderr");
    }

    #[test]
    fn who_is_far_behind_leaves_out_and_says_so() {
        let log = Log::new("behind");
        log.add("a.log", "starting");
        let mut follower = Follower::new(log.0.join("a.log"), || {});
        follower.look().unwrap();
        let file = fs::OpenOptions::new().append(true).open(log.0.join("a.log")).unwrap();
        file.set_len(MOST_BEHIND * 2).unwrap();
        writeln!(&file).unwrap();
        log.add("a.log", FULL);
        let seen = follower.look().unwrap();
        assert!(seen.left_out > MOST_BEHIND && !seen.more, "{}", seen.left_out);
        assert_eq!(seen.said.count("slots_full"), Some(1));
        file.set_len(MOST_BEHIND * 2 + 3 * MOST_AT_ONCE).unwrap();
        assert!(follower.look().unwrap().more);
    }
}
