//! What has to hold of everything that comes from outside, whatever bytes it is. Each function takes them, and panics where it does not.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use pgvigil::alertmanager::{EventKey, Payload};
use pgvigil::clock::Moment;
use pgvigil::cluster::sync_names::SyncNames;
use pgvigil::pg::dsn::Target;
use pgvigil::pg::lsn::Lsn;
use pgvigil::pg::repointing::PrimaryConninfo;
use pgvigil::pg::trail::Trail;
use pgvigil::pg::wal_file::{SegmentSize, WalFile};
use pgvigil::runbook::book::Book;
use pgvigil::runbook::journal::{Journal, Limits, ReadError, Reader};
use pgvigil::runbook::record::{Entry, Opened, Record};
use pgvigil::server_log::class::{self, CLASSES};
use pgvigil::server_log::entry::{self, Format};
use pgvigil::server_log::said::ServerLog;

/// Panics where something does not hold.
pub type Check = fn(&[u8]);

/// What takes bytes, by the name of its target and its corpus.
pub const ALL: [(&str, Check); 8] = [
    ("webhook", webhook),
    ("lsn", lsn),
    ("wal_file", wal_file),
    ("sync_names", sync_names),
    ("conninfo", conninfo),
    ("front_matter", front_matter),
    ("journal", journal),
    ("server_log", server_log),
];

/// Options that name files, which are not read here.
const FILES: [&str; 5] = ["passfile", "sslrootcert", "sslcert", "sslkey", "sslcrl"];
/// More bytes of damage than this teach nothing.
const MOST_EDITS: usize = 8;

/// The body of a webhook: refused in a sentence, or read the same each time, and every alert of it has a key.
pub fn webhook(body: &[u8]) {
    match Payload::parse(body) {
        Ok(payload) => {
            let again = Payload::parse(body);
            assert!(again.is_ok_and(|again| again == payload), "it is read in two ways");
            for alert in &payload.alerts {
                assert!(EventKey::of(&payload, alert) == EventKey::of(&payload, alert));
            }
        }
        Err(error) => {
            let error = error.to_string();
            assert!(error.len() < 500 && !error.contains('\n'), "no sentence: {error}");
        }
    }
}

/// A position: what is read prints and reads the same.
pub fn lsn(text: &[u8]) {
    let Ok(text) = str::from_utf8(text) else { return };
    if let Ok(lsn) = text.parse::<Lsn>() {
        assert!(lsn.to_string().parse() == Ok(lsn), "{text:?} is {lsn:?}");
    }
}

/// A file's name in an archive: what is read prints as it was, and its segment has an order in every size.
pub fn wal_file(name: &[u8]) {
    let Ok(name) = str::from_utf8(name) else { return };
    let Some(file) = WalFile::parse(name) else { return };
    assert!(file.to_string() == name, "{name:?} prints as {file}");
    let (WalFile::Segment(segment) | WalFile::Partial(segment) | WalFile::Backup(segment, _)) = file else { return };
    for size in (20..=30).filter_map(|power| SegmentSize::new(1 << power)) {
        let (start, end) = (segment.start(size), segment.end(size));
        assert!(start.is_some() == end.is_some() && start <= end, "{name:?}: {start:?} to {end:?}");
    }
}

/// `synchronous_standby_names`: what is read prints and reads the same, and every name has a place in it or none.
pub fn sync_names(text: &[u8]) {
    let Ok(text) = str::from_utf8(text) else { return };
    let Ok(Some(names)) = SyncNames::parse(text) else { return };
    assert!(!names.names.is_empty() && names.required > 0, "{names:?}");
    for name in &names.names {
        let place = names.place(name);
        assert!(place.is_none_or(|place| (1..=names.names.len()).contains(&place)), "{name:?} has place {place:?}");
    }
    let again = SyncNames::parse(&names.to_string());
    assert!(again == Ok(Some(names)), "{text:?} reads again as {again:?}");
}

/// A connection string, as a DSN of ours and as a standby's: what is read prints and reads the same, and leads where it is pointed.
pub fn conninfo(text: &[u8]) {
    let Ok(text) = str::from_utf8(text) else { return };
    let Ok(conninfo) = PrimaryConninfo::parse(text) else { return };
    let again = PrimaryConninfo::parse(&conninfo.reveal()).ok();
    assert!(again.is_some_and(|again| again == conninfo), "it reads again as another");
    let moved = conninfo.at("10.0.0.2", 5433);
    assert!(moved.leads_to("10.0.0.2", 5433) && moved.has_secret() == conninfo.has_secret());
    if FILES.iter().all(|option| conninfo.option(option).is_none()) {
        match Target::parse(text, &|_| None, &Trail::default()) {
            Ok(target) => drop(format!("{target:?}")),
            Err(error) => drop(error.to_string()),
        }
    }
}

/// A runbook: refused in words, or a page without what a browser would run.
pub fn front_matter(text: &[u8]) {
    let Ok(text) = str::from_utf8(text) else { return };
    match Book::parse(Path::new("PostgresPrimaryUnreachable.md"), text) {
        Ok(book) => {
            assert!(book.text == text);
            let html = book.article.html.to_lowercase();
            for bad in ["<script", "<img", "<details"] {
                assert!(!html.contains(bad), "{bad} in {html}");
            }
            // Outside of a tag < is spelled out, quotes are not.
            for link in html.split("<a href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
                assert!(matches!(scheme(link).as_deref(), None | Some("http" | "https")), "{link} in {html}");
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// The scheme that a browser sees in a link, which passes over tabs and ends of lines.
fn scheme(link: &str) -> Option<String> {
    let link: String = link.chars().filter(|c| !c.is_control()).collect();
    let (scheme, _) = link.trim().split(['/', '?', '#']).next()?.split_once(':')?;
    let is_one = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    is_one.then(|| scheme.to_owned())
}

/// The files of a journal. An even first byte: the rest is a file. An odd one: the rest is damage to a good journal, four bytes each: a
/// place (two), and what becomes of the byte there (one that is added, and whether the file ends there).
pub fn journal(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    let dir = Dir::new();
    let path = dir.0.join(GOOD_NAME);
    let good = good_journal();
    let text = if kind % 2 == 0 { rest.to_vec() } else { damaged(good.0.clone(), rest) };
    if fs::write(&path, &text).is_err() {
        return;
    }
    let (records, error) = read(&dir.0);
    assert!(records.windows(2).all(|pair| pair[1].seq == pair[0].seq + 1), "records are missing between others");
    if kind % 2 == 1 {
        assert!(good.1.starts_with(&records), "what was never written is read");
        assert!(text == good.0 || error.is_some() || text.len() < good.0.len(), "the damage is not told");
    }
    match Journal::open(&dir.0, Limits::default(), |_| {}) {
        Ok((journal, cut)) => {
            drop(journal);
            assert!(cut.is_some() == matches!(error, Some(ReadError::Torn { .. })), "{error:?}");
            let (again, error) = read(&dir.0);
            assert!(error.is_none() && again == records, "after it was mended: {error:?}");
        }
        Err(_) => {
            assert!(error.is_some(), "what was read whole is refused");
            assert!(fs::read(&path).is_ok_and(|left| left == text), "what is damaged was touched");
        }
    }
}

/// A server's log. The first byte says in which format, whether we came in the middle of it, and in pieces of which size it comes: of
/// these nothing depends. What is shown is one line, not long, and without passwords.
pub fn server_log(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    let format = [Format::Text, Format::Csv, Format::Json][usize::from(kind % 3)];
    let (in_the_middle, piece) = (kind / 3 % 2 == 1, 1 + usize::from(kind / 6));
    let entries = log_entries(format, in_the_middle, bytes, bytes.len().max(1));
    let again = log_entries(format, in_the_middle, bytes, piece);
    assert!(entries == again, "in pieces of {piece} it is {again:?}, not {entries:?}");
    let mut log = ServerLog::new(format);
    for entry in &entries {
        assert!(entry.is_understood || entry.message.is_empty(), "{entry:?}");
        assert!(entry.stamp.is_none_or(f64::is_finite), "{entry:?}");
        for shown in [Some(&entry.message), entry.before.as_ref()].into_iter().flatten() {
            assert!(shown.chars().count() <= MOST_SHOWN && !shown.contains(char::is_control), "{shown:?}");
            for value in shown
                .to_ascii_lowercase()
                .split("password")
                .skip(1)
                .filter_map(|rest| rest.trim_start().strip_prefix('='))
            {
                assert!("***".starts_with(value) || value.starts_with("***"), "{shown:?}");
            }
        }
        let counted = |log: &ServerLog| CLASSES.iter().filter_map(|class| log.count(class.name)).sum::<u64>();
        let before = counted(&log);
        log.hear(entry, Moment::default());
        assert!(counted(&log) - before == u64::from(class::of(&entry.message).is_some()), "{entry:?}");
    }
    assert!(log.newest.len() <= CLASSES.len());
}

/// The most characters of a log's line that are shown.
const MOST_SHOWN: usize = 300;

fn log_entries(format: Format, in_the_middle: bool, bytes: &[u8], piece: usize) -> Vec<entry::Entry> {
    let mut reader = entry::Reader::new(format, in_the_middle);
    let mut entries = Vec::new();
    bytes.chunks(piece).for_each(|piece| reader.take(piece, |entry| entries.push(entry)));
    entries
}

/// How a journal's first file is called.
const GOOD_NAME: &str = "00000000000000000001.jsonl";

/// A journal's file of five records in three writes, and what is in it.
fn good_journal() -> &'static (Vec<u8>, Vec<Record>) {
    static GOOD: OnceLock<(Vec<u8>, Vec<Record>)> = OnceLock::new();
    GOOD.get_or_init(|| {
        let dir = Dir::new();
        let entry = |number: usize| Entry::Opened(Opened { version: format!("entry {number}"), boot_id: None });
        let Ok((mut journal, _)) = Journal::open(&dir.0, Limits::default(), |_| {}) else {
            panic!("no journal is made")
        };
        for (first, count) in [(0, 1), (1, 3), (4, 1)] {
            let entries = (first..first + count).map(entry).collect();
            assert!(journal.append(entries, Moment::default()).is_ok());
        }
        let (records, error) = read(&dir.0);
        assert!(records.len() == 5 && error.is_none());
        (fs::read(dir.0.join(GOOD_NAME)).unwrap_or_default(), records)
    })
}

fn damaged(mut text: Vec<u8>, edits: &[u8]) -> Vec<u8> {
    for edit in edits.chunks_exact(4).take(MOST_EDITS) {
        if text.is_empty() {
            break;
        }
        let at = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % text.len();
        text[at] = text[at].wrapping_add(edit[2]);
        if edit[3] % 4 == 3 {
            text.truncate(at);
        }
    }
    text
}

/// What can be read, and why no more can.
fn read(dir: &Path) -> (Vec<Record>, Option<ReadError>) {
    let mut reader = match Reader::open(dir) {
        Ok(reader) => reader,
        Err(error) => return (Vec::new(), Some(error)),
    };
    let mut records = Vec::new();
    for record in &mut reader {
        match record {
            Ok(record) => records.push(record),
            Err(error) => {
                assert!(reader.next().is_none(), "it reads on behind damage");
                return (records, Some(error));
            }
        }
    }
    (records, None)
}

/// A directory of its own, gone at the end.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("pgvigil-fuzz-{}-{number}", std::process::id()));
        assert!(fs::create_dir_all(&dir).is_ok(), "{}", dir.display());
        Self(dir)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
