//! How records are written so that damage is seen: a line of JSON each, ending with a checksum of the line and of the checksum before it.
//! Nobody who can write the file is kept from making it anew: the chain is against disks and accidents.

use std::fmt;

use ring::digest::{Context, SHA256};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::record::Record;
use crate::alertmanager::bytes_of_hex;

/// The form of the journal.
pub const FORMAT: u32 = 1;
/// No line is longer, its end included.
pub const MOST_LINE_BYTES: usize = 64 << 10;

const BEFORE_SUM: &str = ",\"sum\":\"";
const AFTER_SUM: &str = "\"}";
const SUM_DIGITS: usize = 64;

/// The checksum that a line ends with: SHA-256 of the one before it and of all before its own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Sum([u8; 32]);

impl Sum {
    /// What stands before the first line of all.
    pub const ORIGIN: Self = Self([0; 32]);

    fn after(self, text: &[u8]) -> Self {
        let mut digest = Context::new(&SHA256);
        digest.update(&self.0);
        digest.update(text);
        let mut sum = [0; 32];
        sum.copy_from_slice(digest.finish().as_ref());
        Self(sum)
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The first line of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// [`FORMAT`].
    pub journal: u32,
    /// The number of the first record that comes after it.
    pub first: u64,
    /// The checksum at the end of the file before; of the first file, [`Sum::ORIGIN`].
    pub previous: String,
}

impl Header {
    /// For a file that goes on after `previous`, with record `first`.
    pub fn new(first: u64, previous: Sum) -> Self {
        Self { journal: FORMAT, first, previous: previous.to_string() }
    }

    /// The checksum that the file goes on from.
    pub fn previous(&self) -> Option<Sum> {
        bytes_of_hex(&self.previous).map(Sum)
    }
}

/// What is wrong with a line. Each ends the sentence "record N …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// It is not what was written.
    #[error("is not what was written, or does not follow the one before it: its checksum is another")]
    Altered,
    /// It is what was written, by a version that knows more.
    #[error("was written by a newer pgvigil ({0}): use that version")]
    Newer(String),
    /// Its number is not the next one.
    #[error("is missing: number {0} stands in its place")]
    Missing(u64),
    /// It is longer than a line can be.
    #[error("is longer than {MOST_LINE_BYTES} bytes")]
    TooLong,
}

/// A line for `value`, which is an object, after the line that ended with `previous`.
pub fn seal<T: Serialize>(previous: Sum, value: &T) -> serde_json::Result<(String, Sum)> {
    let mut line = serde_json::to_string(value)?;
    // The closing brace comes last.
    line.pop();
    let sum = previous.after(line.as_bytes());
    line.push_str(&format!("{BEFORE_SUM}{sum}{AFTER_SUM}\n"));
    Ok((line, sum))
}

/// What `line`, without its end, says of itself: the object and its checksum. Nothing is verified.
fn split(line: &[u8]) -> Option<(&[u8], Sum)> {
    let line = line.strip_suffix(AFTER_SUM.as_bytes())?;
    let (rest, digits) = line.split_at_checked(line.len().checked_sub(SUM_DIGITS)?)?;
    let sum = bytes_of_hex(str::from_utf8(digits).ok()?)?;
    Some((rest.strip_suffix(BEFORE_SUM.as_bytes())?, Sum(sum)))
}

fn parse<T: DeserializeOwned>(text: &[u8]) -> serde_json::Result<T> {
    let mut object = text.to_vec();
    object.push(b'}');
    serde_json::from_slice(&object)
}

/// Reads the header of a file. `previous`: the checksum at the end of the file before, where there is one.
pub fn open_header(line: &[u8], previous: Option<Sum>) -> Result<(Header, Sum), LineError> {
    /// What every version's header has.
    #[derive(Deserialize)]
    struct Any {
        journal: u32,
    }
    let (text, sum) = split(line).ok_or(LineError::Altered)?;
    match parse::<Any>(text) {
        Ok(Any { journal }) if journal > FORMAT => return Err(LineError::Newer(format!("format {journal}"))),
        _ => {}
    }
    let header: Header = parse(text).map_err(|_| LineError::Altered)?;
    let before = header.previous().ok_or(LineError::Altered)?;
    if header.journal != FORMAT || before.after(text) != sum || previous.is_some_and(|previous| previous != before) {
        return Err(LineError::Altered);
    }
    Ok((header, sum))
}

/// Reads record `seq` from a line, without its end, that comes after one with checksum `previous`.
pub fn open_record(line: &[u8], previous: Sum, seq: u64) -> Result<(Record, Sum), LineError> {
    let (text, sum) = split(line).ok_or(LineError::Altered)?;
    if previous.after(text) != sum {
        return Err(LineError::Altered);
    }
    let record: Record = parse(text).map_err(|error| LineError::Newer(error.to_string()))?;
    match record.seq == seq {
        true => Ok((record, sum)),
        false => Err(LineError::Missing(record.seq)),
    }
}

/// Whether `tail`, which begins where record `seq` should and does not, can be what is left of the last write: it has no end, or holes
/// where nothing reached the disk, and nothing in it was written after the disk had `seq`.
pub fn is_torn(tail: &[u8], seq: u64) -> bool {
    /// What tells when a record was written.
    #[derive(Deserialize)]
    struct Order {
        durable: u64,
    }
    let is_later = |line: &[u8]| {
        let order = split(line).and_then(|(text, _)| parse::<Order>(text).ok());
        order.is_some_and(|order| order.durable >= seq)
    };
    (!tail.ends_with(b"\n") || tail.contains(&0)) && !tail.split(|byte| *byte == b'\n').any(is_later)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Moment;
    use crate::runbook::record::{Entry, Opened};

    fn record(seq: u64, durable: u64) -> Record {
        let opened = Opened { version: "0".to_owned(), boot_id: Some("b".repeat(seq as usize)) };
        Record { seq, durable, at: Moment::default(), entry: Entry::Opened(opened) }
    }

    fn lines(records: &[Record]) -> Vec<String> {
        let mut sum = Sum::ORIGIN;
        let seal = |record| {
            let (line, next) = seal(sum, record).unwrap();
            sum = next;
            line
        };
        records.iter().map(seal).collect()
    }

    #[test]
    fn a_line_is_json_and_what_it_holds_comes_back() {
        let lines = lines(&[record(1, 0), record(2, 0)]);
        let value: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!((value["seq"].as_u64(), value["sum"].as_str().map(str::len)), (Some(1), Some(64)));
        let (first, sum) = open_record(lines[0].trim_end().as_bytes(), Sum::ORIGIN, 1).unwrap();
        let (second, _) = open_record(lines[1].trim_end().as_bytes(), sum, 2).unwrap();
        assert_eq!([first, second], [record(1, 0), record(2, 0)]);
    }

    #[test]
    fn what_is_altered_missing_or_of_another_version_is_told_apart() {
        let good = lines(&[record(1, 0), record(2, 1)]);
        let line = |index: usize| good[index].trim_end().as_bytes();
        assert_eq!(open_record(line(1), Sum::ORIGIN, 1), Err(LineError::Altered), "the one before it is gone");
        assert_eq!(open_record(line(0), Sum::ORIGIN, 2), Err(LineError::Missing(1)));
        for (from, to) in [("\"seq\":1", "\"seq\":2"), ("opened", "opemed"), ("\"}", "\"]"), ("sum", "sun"), ("", " ")]
        {
            let altered = good[0].trim_end().replacen(from, to, 1);
            assert_eq!(open_record(altered.as_bytes(), Sum::ORIGIN, 1), Err(LineError::Altered), "{altered}");
        }
        let (newer, _) = seal(Sum::ORIGIN, &serde_json::json!({"seq": 1, "kind": "promoted"})).unwrap();
        let error = open_record(newer.trim_end().as_bytes(), Sum::ORIGIN, 1).unwrap_err();
        assert!(matches!(&error, LineError::Newer(why) if why.contains("kind")), "{error}");
    }

    #[test]
    fn a_header_leads_from_file_to_file() {
        let (line, sum) = seal(Sum::ORIGIN, &Header::new(7, Sum::ORIGIN)).unwrap();
        let line = line.trim_end().as_bytes();
        let header = Header::new(7, Sum::ORIGIN);
        assert_eq!(open_header(line, None), Ok((header.clone(), sum)), "what came before may be gone");
        assert_eq!(open_header(line, Some(Sum::ORIGIN)), Ok((header, sum)));
        assert_eq!(open_header(line, Some(sum)), Err(LineError::Altered), "it follows another file");
        let newer = serde_json::json!({"journal": 2, "made_by": "a later version"});
        let (newer, _) = seal(Sum::ORIGIN, &newer).unwrap();
        assert_eq!(open_header(newer.trim_end().as_bytes(), None), Err(LineError::Newer("format 2".to_owned())));
    }

    #[test]
    fn only_the_end_of_the_last_write_counts_as_torn() {
        // The second and third were written together, the fourth after them.
        let all = lines(&[record(1, 0), record(2, 1), record(3, 1), record(4, 3)]);
        let together = [&*all[1], &*all[2]].concat();
        for cut in 1..together.len() {
            let whole_line = cut == all[1].len();
            assert_eq!(is_torn(&together.as_bytes()[..cut], 2), !whole_line, "cut at {cut}");
        }
        let hole = |text: &str, at: usize| {
            let mut bytes = text.as_bytes().to_vec();
            bytes[at..at + 8].fill(0);
            bytes
        };
        assert!(is_torn(&hole(&together, 20), 2), "the disk has the end and not the beginning");
        assert!(!is_torn(&together.replace("opened", "opemed").into_bytes(), 2), "no write ends so");
        let with_later = [&*together, &*all[3]].concat();
        assert!(!is_torn(&hole(&with_later, 20), 2), "the fourth was written when the second was on disk");
        assert!(!is_torn(&hole(&with_later, 20)[..with_later.len() - 1], 2), "even if its own end is gone");
        assert!(is_torn(&all[3].as_bytes()[..50], 4));
    }
}
