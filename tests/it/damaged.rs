//! Journals that a disk, a crash or a person damaged: each is told in one sentence with its file and byte, what stands before it is read,
//! and nothing of it is lost or touched. With the bad runbooks of `runbooks` and the bad bodies of `alertmanager`'s own tests these are
//! what comes from outside and is not as it should be.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use pgvigil::clock::Moment;
use pgvigil::lab::Lab;
use pgvigil::runbook::chain::{self, Header, Sum};
use pgvigil::runbook::journal::{Cut, Journal, JournalError, Limits, ReadError, Reader};
use pgvigil::runbook::record::{Entry, Opened, Record};
use serde_json::json;

const LIMITS: Limits = Limits { file_bytes: 1_000, files: 16 };
const RECORDS: usize = 18;
const SOON: Duration = Duration::from_secs(10);

fn entry(number: usize) -> Entry {
    Entry::Opened(Opened { version: format!("entry {number}"), boot_id: None })
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let all = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = all.filter(|path| path.extension().is_some_and(|end| end == "jsonl")).collect();
    files.sort();
    files
}

/// Changes the lines of file `index`; a negative one counts from the end.
fn lines(dir: &Path, index: isize, change: impl Fn(&mut Vec<Vec<u8>>)) {
    let files = files(dir);
    let path = &files[index.rem_euclid(files.len() as isize) as usize];
    let text = fs::read(path).unwrap();
    let mut lines: Vec<_> = text.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    change(&mut lines);
    fs::write(path, lines.concat()).unwrap();
}

/// The checksum at the end of a line.
fn sum_of(line: &[u8]) -> Sum {
    let text = String::from_utf8_lossy(line);
    let digits = text.trim_end().trim_end_matches("\"}").rsplit('"').next().unwrap().to_owned();
    Header { journal: 1, first: 1, previous: digits }.previous().unwrap()
}

/// A line that goes on rightly from the last one of the journal.
fn sealed(dir: &Path, value: serde_json::Value) {
    lines(dir, -1, |lines| {
        let (line, _) = chain::seal(sum_of(lines.last().unwrap()), &value).unwrap();
        lines.push(line.into_bytes());
    });
}

/// What is done to a journal, and what is said of it.
type Damage = (&'static str, Box<dyn Fn(&Path)>, &'static str);

fn damage(what: &'static str, file: isize, change: impl Fn(&mut Vec<Vec<u8>>) + 'static, said: &'static str) -> Damage {
    (what, Box::new(move |dir| lines(dir, file, &change)), said)
}

const ALTERED: &str = "its checksum is another; the records before it are good, nothing is written behind it";
const MISSING: &str = "is missing: number";
const TORN: &str = "is no whole write";

fn damages() -> Vec<Damage> {
    vec![
        // In the middle.
        damage("a digit is another", 1, |lines| lines[1][20] ^= 1, ALTERED),
        damage("a checksum is another", 1, |lines| *lines[1].iter_mut().rev().nth(5).unwrap() ^= 1, ALTERED),
        damage("a record is gone", 1, |lines| drop(lines.remove(1)), ALTERED),
        damage("two records are swapped", 1, |lines| lines.swap(1, 2), ALTERED),
        damage("a record stands twice", 1, |lines| lines.insert(2, lines[1].clone()), ALTERED),
        damage("a blank line", 1, |lines| lines.insert(2, b"\n".to_vec()), ALTERED),
        damage("somebody's note", 1, |lines| lines.insert(2, b"# checked, Ann\n".to_vec()), ALTERED),
        damage("JSON that is no record", 1, |lines| lines.insert(2, b"{}\n".to_vec()), ALTERED),
        damage("bytes that are no text", 1, |lines| lines.insert(2, vec![0xff, 0xfe, b'\n']), ALTERED),
        damage(
            "a line of 70 KiB",
            1,
            |lines| lines.insert(2, [vec![b'x'; 70 << 10], vec![b'\n']].concat()),
            "is longer than",
        ),
        damage(
            "ends of lines as on Windows",
            1,
            |lines| lines.iter_mut().for_each(|line| line.insert(line.len() - 1, b'\r')),
            ALTERED,
        ),
        damage("a byte order mark", 1, |lines| lines.insert(0, b"\xef\xbb\xbf".to_vec()), ALTERED),
        damage("a header is another", 1, |lines| lines[0][12] ^= 1, ALTERED),
        damage("a header is gone", 1, |lines| drop(lines.remove(0)), ALTERED),
        damage("a header that says too little", 1, |lines| lines[0] = b"{\"journal\":1}\n".to_vec(), ALTERED),
        damage("a file is empty", 1, Vec::clear, ALTERED),
        damage("a file is cut in a record", 1, |lines| lines.last_mut().unwrap().truncate(30), ALTERED),
        damage("a file lacks its last record", 1, |lines| drop(lines.pop()), MISSING),
        damage("a file of zeros", 1, |lines| *lines = vec![vec![0; 4096]], ALTERED),
        ("a file is gone", Box::new(|dir| fs::remove_file(&files(dir)[1]).unwrap()), MISSING),
        (
            "two files are swapped",
            Box::new(|dir| {
                let files = files(dir);
                let (one, other) = (fs::read(&files[0]).unwrap(), fs::read(&files[1]).unwrap());
                fs::write(&files[0], other).unwrap();
                fs::write(&files[1], one).unwrap();
            }),
            MISSING,
        ),
        (
            "a file of another journal behind it",
            Box::new(|dir| {
                let (line, _) = chain::seal(Sum::ORIGIN, &Header::new(RECORDS as u64 + 1, Sum::ORIGIN)).unwrap();
                fs::write(files(dir)[0].with_file_name(format!("{:020}.jsonl", RECORDS + 1)), line).unwrap();
            }),
            ALTERED,
        ),
        // At the end.
        damage("a digit of the last file is another", -1, |lines| lines[1][20] ^= 1, ALTERED),
        damage("zeros over a record that others were written after", -1, |lines| lines[1].fill(0), ALTERED),
        damage("somebody's note at the end", -1, |lines| lines.push(b"# the end\n".to_vec()), ALTERED),
        (
            "a record of a kind that only a newer version knows",
            Box::new(|dir| {
                let number = RECORDS as u64 + 1;
                let entry =
                    json!({"seq": number, "durable": RECORDS, "at": Moment::default(), "entry": {"promoted": {}}});
                sealed(dir, entry);
            }),
            "was written by a newer pgvigil",
        ),
        (
            "a record whose number is not the next",
            Box::new(|dir| {
                let at = Moment::default();
                sealed(dir, json!({"seq": 99, "durable": RECORDS, "at": at, "entry": entry(99)}));
            }),
            MISSING,
        ),
        // What a crash leaves, and nothing else: it was never promised to anybody.
        damage("the last record is cut", -1, |lines| lines.last_mut().unwrap().truncate(30), TORN),
        damage(
            "the last record lacks its end",
            -1,
            |lines| {
                lines.last_mut().unwrap().pop();
            },
            TORN,
        ),
        damage("a page of zeros at the end", -1, |lines| lines.push(vec![0; 4096]), TORN),
        damage("half a record more", -1, |lines| lines.push(b"{\"seq\":19,\"dur".to_vec()), TORN),
    ]
}

/// Opens it. A process that another test starts has our lock too, from its fork until its exec.
fn open(dir: &Path) -> Result<(Journal, Option<Cut>), JournalError> {
    let began = Instant::now();
    loop {
        match Journal::open(dir, LIMITS, |_| {}) {
            Err(JournalError::Locked { .. }) if began.elapsed() < SOON => sleep(Duration::from_millis(5)),
            other => return other,
        }
    }
}

/// What can be read, and why no more can.
fn read(dir: &Path) -> (Vec<Record>, Option<ReadError>) {
    let mut good = Vec::new();
    let reader = match Reader::open(dir) {
        Ok(reader) => reader,
        Err(error) => return (good, Some(error)),
    };
    for record in reader {
        match record {
            Ok(record) => good.push(record),
            Err(error) => return (good, Some(error)),
        }
    }
    (good, None)
}

fn contents(dir: &Path) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    files(dir).into_iter().map(|path| (path.clone(), fs::read(path).ok())).collect()
}

#[test]
fn a_damaged_journal_is_told_where_and_keeps_what_it_has() {
    let lab = Lab::new().unwrap();
    println!("| journal | records read of {RECORDS} | what is said |\n|---|---|---|");
    let all = damages();
    assert!(all.len() >= 30, "{}", all.len());
    for (number, (what, harm, expected)) in all.into_iter().enumerate() {
        let dir = lab.own_dir(&format!("journal-{number}")).unwrap();
        let (mut journal, _) = open(&dir).unwrap();
        for number in 1..=RECORDS {
            journal.append(vec![entry(number)], Moment::default()).unwrap();
        }
        drop(journal);
        let (written, _) = read(&dir);
        assert!(written.len() == RECORDS && files(&dir).len() >= 3, "{:?}", files(&dir));
        harm(&dir);
        let before = contents(&dir);
        let (good, error) = read(&dir);
        let said = error.unwrap_or_else(|| panic!("{what}: nothing is said")).to_string();
        println!("| {what} | {} | {} |", good.len(), said.replace(&dir.display().to_string(), "…"));
        assert!(written.starts_with(&good), "{what}: something else is read");
        assert!(said.contains(expected) && said.contains(".jsonl, byte ") && !said.contains('\n'), "{what}: {said}");
        match open(&dir) {
            Err(error) => {
                assert!(expected != TORN && error.to_string().contains(expected), "{what}: {error}");
                assert!(contents(&dir) == before, "{what}: it was touched");
            }
            Ok((mut journal, cut)) => {
                assert!(expected == TORN && cut.is_some() && good.len() >= RECORDS - 1, "{what}: {cut:?}");
                journal.append(vec![entry(77)], Moment::default()).unwrap();
                drop(journal);
                let (again, error) = read(&dir);
                assert!(
                    error.is_none() && again.starts_with(&good) && again.len() == good.len() + 1,
                    "{what}: {error:?}"
                );
            }
        }
    }
}
