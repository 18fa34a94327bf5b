use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;
use crate::runbook::record::Opened;

/// A directory of its own, gone at the end.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("pgvigil-journal-{}-{number}", std::process::id())))
    }

    fn open(&self, limits: Limits) -> (Journal, Vec<Record>, Option<Cut>) {
        let mut records = Vec::new();
        let (journal, cut) = Journal::open(&self.0, limits, |record| records.push(record)).unwrap();
        (journal, records, cut)
    }

    fn files(&self) -> Vec<PathBuf> {
        reader::files(&self.0).unwrap().into_iter().map(|(_, path)| path).collect()
    }

    /// What can be read, and why no more can.
    fn read(&self) -> (Vec<Record>, Option<ReadError>) {
        let mut reader = match Reader::open(&self.0) {
            Ok(reader) => reader,
            Err(error) => return (Vec::new(), Some(error)),
        };
        let good: Vec<_> =
            reader.by_ref().map_while(|record| record.map_err(|error| eprintln!("{error}")).ok()).collect();
        let mut again = Reader::open(&self.0).unwrap();
        (good, again.find_map(Result::err))
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn entry(number: usize) -> Entry {
    Entry::Opened(Opened { version: format!("entry {number}"), boot_id: None })
}

/// Writes `sizes.len()` commits of so many records each.
fn write(journal: &mut Journal, sizes: &[usize]) {
    let mut number = 0;
    for size in sizes {
        let entries = (0..*size).map(|_| {
            number += 1;
            entry(number)
        });
        journal.append(entries.collect(), Moment::default()).unwrap();
    }
}

fn numbers(records: &[Record]) -> Vec<u64> {
    records.iter().map(|record| record.seq).collect()
}

const SMALL: Limits = Limits { file_bytes: 1_000, files: 4 };

#[test]
fn what_was_written_is_read_again_over_files_and_openings() {
    let dir = Dir::new();
    let (mut journal, records, cut) = dir.open(SMALL);
    assert!(records.is_empty() && cut.is_none());
    write(&mut journal, &[1, 3, 2]);
    drop(journal);
    let (mut journal, records, cut) = dir.open(SMALL);
    assert_eq!((numbers(&records), cut.is_none()), ((1..=6).collect(), true));
    let durable: Vec<_> = records.iter().map(|record| record.durable).collect();
    assert_eq!(durable, [0, 1, 1, 1, 4, 4]);
    write(&mut journal, &[2]);
    let (records, error) = dir.read();
    assert!(error.is_none() && dir.files().len() > 1, "read while it is open, over {:?}", dir.files());
    assert_eq!(numbers(&records), (1..=8).collect::<Vec<_>>());
    let on_disk: u64 = dir.files().iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert_eq!(journal.bytes(), on_disk);
}

#[test]
fn the_oldest_files_go_and_what_is_needed_stays() {
    let dir = Dir::new();
    let (mut journal, ..) = dir.open(SMALL);
    write(&mut journal, &[1; 100]);
    assert_eq!(dir.files().len(), SMALL.files);
    assert!(journal.bytes() < 2 * SMALL.file_bytes * SMALL.files as u64);
    let (records, error) = dir.read();
    assert!(error.is_none(), "{error:?}");
    assert_eq!(records.last().map(|record| record.seq), Some(100));
    let (first, last) = (records[0].seq, 100);
    assert_eq!(numbers(&records), (first..=last).collect::<Vec<_>>());
    // A run is open since here.
    journal.keep_from(95);
    write(&mut journal, &[1; 100]);
    let (records, _) = dir.read();
    assert!(records[0].seq <= 95 && dir.files().len() > SMALL.files, "from {}", records[0].seq);
    journal.keep_from(u64::MAX);
    write(&mut journal, &[1; 10]);
    assert_eq!(dir.files().len(), SMALL.files);
    drop(journal);
    let (journal, records, _) = dir.open(SMALL);
    assert_eq!((records.last().map(|record| record.seq), journal.end.seq), (Some(210), 210));
}

#[test]
fn a_second_writer_is_refused_and_told_whom() {
    let dir = Dir::new();
    let (journal, ..) = dir.open(SMALL);
    let error = Journal::open(&dir.0, SMALL, |_| {}).unwrap_err();
    let said = error.to_string();
    assert!(said.contains(&format!("locked by process {}", std::process::id())), "{said}");
    assert!(said.contains("give each a state_dir of its own"), "{said}");
    drop(journal);
    dir.open(SMALL);
}

#[test]
fn a_newer_version_is_refused() {
    let dir = Dir::new();
    drop(dir.open(SMALL));
    let (line, _) = chain::seal(Sum::ORIGIN, &serde_json::json!({"journal": 2, "first": 1})).unwrap();
    fs::write(&dir.files()[0], line).unwrap();
    let error = Journal::open(&dir.0, SMALL, |_| {}).unwrap_err().to_string();
    assert!(error.contains("was written by a newer pgvigil (format 2): use that version"), "{error}");
    // And a kind that only a newer one knows, well written by it.
    fs::remove_file(&dir.files()[0]).unwrap();
    let (mut journal, ..) = dir.open(SMALL);
    write(&mut journal, &[1]);
    let (line, _) = chain::seal(
        journal.end.sum,
        &serde_json::json!({"seq": 2, "durable": 1, "at": Moment::default(), "entry": {"promoted": {}}}),
    )
    .unwrap();
    drop(journal);
    let path = &dir.files()[0];
    let before = fs::read_to_string(path).unwrap() + &line;
    fs::write(path, &before).unwrap();
    let error = Journal::open(&dir.0, SMALL, |_| {}).unwrap_err().to_string();
    assert!(error.contains("record 2 was written by a newer pgvigil") && error.contains("promoted"), "{error}");
    assert_eq!(fs::read_to_string(path).unwrap(), before, "nothing is cut off");
}

#[test]
fn after_a_write_that_failed_nothing_is_written_until_it_was_read_again() {
    let dir = Dir::new();
    let (mut journal, ..) = dir.open(SMALL);
    write(&mut journal, &[2]);
    let (path, whole) = (journal.end.path.clone(), journal.file.try_clone().unwrap());
    // A file that may be read and not written.
    journal.file = File::open(&path).unwrap();
    let error = journal.append(vec![entry(3)], Moment::default()).unwrap_err().to_string();
    assert!(error.contains("the journal cannot be written: make ") && error.contains("state_dir"), "{error}");
    journal.file = whole;
    assert!(matches!(journal.append(vec![entry(3)], Moment::default()), Err(JournalError::Broken)));
    drop(journal);
    let (mut journal, records, _) = dir.open(SMALL);
    assert_eq!(numbers(&records), [1, 2]);
    journal.append(vec![entry(3)], Moment::default()).unwrap();
    fs::remove_file(&path).unwrap();
    let error = journal.append(vec![entry(4)], Moment::default()).unwrap_err().to_string();
    assert!(error.contains("removed while it was written"), "{error}");
}

#[test]
fn what_is_too_large_is_refused_and_breaks_nothing() {
    let dir = Dir::new();
    let (mut journal, ..) = dir.open(SMALL);
    let large = Entry::Opened(Opened { version: "v".repeat(MOST_LINE_BYTES), boot_id: None });
    assert!(matches!(journal.append(vec![entry(1), large], Moment::default()), Err(JournalError::TooLarge(_))));
    write(&mut journal, &[1]);
    let (records, error) = dir.read();
    assert_eq!((numbers(&records), error.is_none()), (vec![1], true));
}

#[test]
fn a_file_that_is_gone_is_missed() {
    let dir = Dir::new();
    let (mut journal, ..) = dir.open(SMALL);
    write(&mut journal, &[1; 12]);
    drop(journal);
    let files = dir.files();
    fs::remove_file(&files[1]).unwrap();
    let (records, error) = dir.read();
    let next = records.last().unwrap().seq + 1;
    let error = error.unwrap().to_string();
    assert!(error.contains(&format!("record {next} is missing")), "{error}");
    assert!(Journal::open(&dir.0, SMALL, |_| {}).is_err());
}

/// A journal of several files, with its records.
fn made(sizes: &[usize]) -> (Dir, Vec<Record>) {
    let dir = Dir::new();
    let (mut journal, ..) = dir.open(SMALL);
    write(&mut journal, sizes);
    drop(journal);
    let (records, error) = dir.read();
    assert!(error.is_none());
    (dir, records)
}

/// Where file `file` of `dir` has an end of a line.
fn ends(text: &[u8]) -> Vec<usize> {
    (1..=text.len()).filter(|end| text[end - 1] == b'\n').collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever byte of whatever file is another: a true prefix is read and the damage named, and nobody writes behind it but where it
    /// can be the end of the last write.
    #[test]
    fn a_flipped_byte_anywhere_is_found(
        sizes in proptest::collection::vec(1usize..4, 1..8),
        place in any::<prop::sample::Index>(),
        flip in 1u8..=255,
    ) {
        let (dir, records) = made(&sizes);
        let files = dir.files();
        let all: Vec<_> = files.iter().flat_map(|path| (0..fs::metadata(path).unwrap().len()).map(move |at| (path, at))).collect();
        let (path, at) = all[place.index(all.len())];
        let mut text = fs::read(path).unwrap();
        text[at as usize] ^= flip;
        fs::write(path, &text).unwrap();
        let (good, error) = dir.read();
        prop_assert!(records.starts_with(&good));
        let error = error.expect("the damage is named");
        match Journal::open(&dir.0, SMALL, |_| {}) {
            Ok((journal, cut)) => {
                prop_assert!(cut.is_some() && matches!(error, ReadError::Torn { .. }), "{error}");
                let lost = records.len() - good.len();
                prop_assert!(lost <= *sizes.last().unwrap(), "more than the last write is gone: {lost}");
                prop_assert_eq!(journal.end.seq as usize, good.len());
            }
            Err(JournalError::Unreadable(ReadError::Damaged { .. })) => {
                prop_assert_eq!(fs::read(path).unwrap(), text, "nothing is cut off");
            }
            Err(error) => prop_assert!(false, "{error}"),
        }
    }

    /// Whatever the last file is cut to: a true prefix is read; unless it ends with a whole record, which nothing can tell, the damage is
    /// named, and after it is cut off the journal goes on.
    #[test]
    fn a_cut_anywhere_leaves_a_true_prefix(
        sizes in proptest::collection::vec(1usize..4, 1..8),
        file in any::<prop::sample::Index>(),
        place in any::<prop::sample::Index>(),
    ) {
        let (dir, records) = made(&sizes);
        let files = dir.files();
        let index = file.index(files.len());
        let text = fs::read(&files[index]).unwrap();
        let at = place.index(text.len());
        fs::write(&files[index], &text[..at]).unwrap();
        let (good, error) = dir.read();
        prop_assert!(records.starts_with(&good));
        let is_last = index + 1 == files.len();
        prop_assert_eq!(error.is_none(), is_last && ends(&text).contains(&at), "{:?}", error);
        match Journal::open(&dir.0, SMALL, |_| {}) {
            Ok((mut journal, cut)) => {
                prop_assert!(is_last && cut.is_some() == error.is_some());
                journal.append(vec![entry(77)], Moment::default()).unwrap();
                drop(journal);
                let (again, error) = dir.read();
                prop_assert!(error.is_none() && again.starts_with(&good) && again.len() == good.len() + 1);
            }
            // A header is written whole before it has its name.
            Err(_) => prop_assert!(!is_last || at < ends(&text)[0]),
        }
    }
}
