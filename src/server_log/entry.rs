//! Entries of a server's log, found in its bytes: text as `log_line_prefix` shapes it, csvlog and jsonlog. Of each only the first line of
//! its message is taken: statements, details and hints may hold what is nobody's business.

use jiff::civil::DateTime;
use serde::Deserialize;

/// How a log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// `log_destination` of stderr.
    Text,
    /// csvlog.
    Csv,
    /// jsonlog (15 and later).
    Json,
}

impl Format {
    /// As the server's own settings call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "stderr",
            Self::Csv => "csvlog",
            Self::Json => "jsonlog",
        }
    }

    /// The format of a file by its name.
    pub fn of(name: &str) -> Self {
        match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
            "csv" => Self::Csv,
            "json" => Self::Json,
            _ => Self::Text,
        }
    }
}

/// One entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Whether its severity is a word that we know; if not, neither are those of its message.
    pub is_understood: bool,
    /// The first line of its message; empty where it is not understood.
    pub message: String,
    /// What a program that the server ran said just before it, to standard error; text alone has that.
    pub before: Option<String>,
    /// When, in seconds of the server's own, unknown time zone; good for differences alone.
    pub stamp: Option<f64>,
}

/// The severities, and what else text marks in the same way.
const SEVERITIES: [&str; 8] = ["LOG", "ERROR", "FATAL", "WARNING", "PANIC", "NOTICE", "INFO", "DEBUG"];
const MORE: [&str; 7] = ["DETAIL", "HINT", "STATEMENT", "CONTEXT", "QUERY", "LOCATION", "BACKTRACE"];

/// No record is longer, as far as we read it.
const MOST_BYTES: usize = 64 << 10;
/// No line that is shown is longer, in characters.
const MOST_SHOWN: usize = 300;
/// What a procedure raises is somebody's own words.
const RAISED: &str = "P0001";

/// Takes bytes as they come and gives entries.
#[derive(Debug)]
pub struct Reader {
    format: Format,
    /// The line that has not ended yet.
    line: Vec<u8>,
    /// Whether that is left out: it is too long, or we came in the middle of it.
    skips: bool,
    /// The lines of the csvlog record that is not whole yet: its quotes are still open.
    open: Vec<u8>,
    /// Whether they are.
    quoted: bool,
    /// The line before, if no server wrote it.
    raw: Option<String>,
}

impl Reader {
    /// Reads `format`. `in_the_middle`: the first line is not whole.
    pub fn new(format: Format, in_the_middle: bool) -> Self {
        Self { format, line: Vec::new(), skips: in_the_middle, open: Vec::new(), quoted: false, raw: None }
    }

    /// Takes the next bytes. What they are does not depend on the pieces in which they come.
    pub fn take(&mut self, bytes: &[u8], mut tell: impl FnMut(Entry)) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if !self.skips {
                self.line.extend_from_slice(piece);
            }
            if self.line.len() > MOST_BYTES {
                self.leave_out();
                self.skips = true;
            }
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                if !std::mem::take(&mut self.skips) {
                    self.line(line).into_iter().for_each(&mut tell);
                }
            }
        }
    }

    fn leave_out(&mut self) {
        self.line.clear();
        self.open.clear();
        self.quoted = false;
    }

    /// A whole line.
    fn line(&mut self, line: Vec<u8>) -> Option<Entry> {
        if self.format != Format::Csv {
            return self.record(&String::from_utf8_lossy(&line));
        }
        if begins_with_a_time(&line) {
            // If it was open, we came in the middle of quotes, and took outside for inside.
            self.open.clear();
            self.quoted = false;
        }
        self.quoted ^= line.iter().filter(|byte| **byte == b'"').count() % 2 == 1;
        self.open.extend_from_slice(&line);
        if self.open.len() > MOST_BYTES {
            self.leave_out();
            return None;
        }
        if self.quoted {
            return None;
        }
        let record = std::mem::take(&mut self.open);
        self.record(&String::from_utf8_lossy(&record))
    }

    fn record(&mut self, record: &str) -> Option<Entry> {
        match self.format {
            Format::Text => self.text(record.trim_end()),
            Format::Csv => csv(record),
            Format::Json => json(record),
        }
    }

    fn text(&mut self, line: &str) -> Option<Entry> {
        if line.starts_with('\t') {
            return None;
        }
        let before = self.raw.take();
        let Some((prefix, word, message)) = marked(line) else {
            self.raw = Some(shown(line)).filter(|raw| !raw.is_empty());
            return None;
        };
        let word = word.trim_end_matches(|c: char| c.is_ascii_digit());
        if MORE.contains(&word) {
            return None;
        }
        let (state, message) = match message.split_once(": ") {
            // log_error_verbosity = verbose
            Some((state, message)) if is_sqlstate(state) => (state, message),
            _ => ("", message),
        };
        let is_understood = SEVERITIES.contains(&word);
        Some(entry(is_understood, state, message, stamp(prefix), before))
    }
}

/// What stands before the severity of a line of text, the severity, and what stands after it. The server writes two blanks.
fn marked(line: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    while let Some(at) = line.get(from..).and_then(|rest| rest.find(":  ")) {
        let (head, tail) = line.split_at(from + at);
        let is_word = |c: char| c.is_uppercase() || c.is_ascii_digit() || c.is_alphabetic() && !c.is_lowercase();
        let start = head.char_indices().rev().take_while(|(_, c)| is_word(*c)).last().map_or(head.len(), |(at, _)| at);
        let (prefix, word) = head.split_at(start);
        if word.chars().any(char::is_alphabetic) && word.chars().count() >= 2 {
            return Some((prefix, word, tail.get(3..).unwrap_or_default()));
        }
        from += at + 3;
    }
    None
}

fn begins_with_a_time(line: &[u8]) -> bool {
    let shape = b"dddd-dd-dd dd:dd:dd";
    let fits = |(byte, shape): (&u8, &u8)| if *shape == b'd' { byte.is_ascii_digit() } else { byte == shape };
    line.len() > shape.len() && line.iter().zip(shape).all(fits)
}

fn is_sqlstate(word: &str) -> bool {
    word.len() == 5 && word.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
}

fn entry(is_understood: bool, state: &str, message: &str, stamp: Option<f64>, before: Option<String>) -> Entry {
    let is_told = is_understood && state != RAISED;
    let message = if is_told { shown(message.lines().next().unwrap_or_default()) } else { String::new() };
    Entry { is_understood, message, before, stamp }
}

fn csv(record: &str) -> Option<Entry> {
    let mut fields = Fields(Some(record.trim_end_matches(['\r', '\n'])));
    let time = fields.next()?;
    let severity = fields.nth(10)?;
    let (state, message) = (fields.next()?, fields.next()?);
    let word = severity.trim_end_matches(|c: char| c.is_ascii_digit());
    Some(entry(SEVERITIES.contains(&word), &state, &message, stamp(&time), None))
}

/// The fields of a record of CSV.
struct Fields<'a>(Option<&'a str>);

impl Iterator for Fields<'_> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let rest = self.0.take()?;
        let Some(quoted) = rest.strip_prefix('"') else {
            let (field, after) = rest.split_once(',').map_or((rest, None), |(field, after)| (field, Some(after)));
            self.0 = after;
            return Some(field.to_owned());
        };
        let mut field = String::new();
        let mut left = quoted;
        loop {
            let (part, after) = left.split_once('"')?;
            field.push_str(part);
            match after.strip_prefix('"') {
                Some(more) => {
                    field.push('"');
                    left = more;
                }
                None => {
                    self.0 = after.strip_prefix(',');
                    return Some(field);
                }
            }
        }
    }
}

#[derive(Deserialize)]
struct JsonEntry {
    #[serde(default)]
    timestamp: String,
    #[serde(default)]
    error_severity: String,
    #[serde(default)]
    state_code: String,
    #[serde(default)]
    message: String,
}

fn json(record: &str) -> Option<Entry> {
    let JsonEntry { timestamp, error_severity, state_code, message } = serde_json::from_str(record).ok()?;
    let word = error_severity.trim_end_matches(|c: char| c.is_ascii_digit());
    Some(entry(SEVERITIES.contains(&word), &state_code, &message, stamp(&timestamp), None))
}

/// The first time in a text that is written as the server does, `2026-11-23 11:04:05.678`.
fn stamp(text: &str) -> Option<f64> {
    let is_start =
        |at: &usize| text.as_bytes().get(at + 4) == Some(&b'-') && text.as_bytes().get(at + 10) == Some(&b' ');
    let at = (0..text.len().min(200)).find(is_start)?;
    let time: DateTime = text.get(at..at + 19)?.parse().ok()?;
    let millis =
        text.get(at + 19..at + 23).and_then(|part| part.strip_prefix('.')).and_then(|part| part.parse::<u16>().ok());
    let seconds = time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second();
    Some(seconds as f64 + f64::from(millis.unwrap_or(0)) / 1e3)
}

/// A line that may be shown: without control characters, cut, and without what a connection string would tell.
fn shown(text: &str) -> String {
    let plain: String =
        text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(4 * MOST_SHOWN).collect();
    // libpq repeats parts of a connection string that it cannot read.
    let safe = match plain.find("connection info string").or_else(|| plain.find("connection option")) {
        Some(_) => "a connection string cannot be read".to_owned(),
        None => without_userinfo(&without_passwords(&plain)),
    };
    safe.chars().take(MOST_SHOWN).collect()
}

/// `password=secret`, in any spelling that libpq takes, without the secret.
fn without_passwords(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut safe = String::new();
    let mut from = 0;
    while let Some(at) = lower.get(from..).and_then(|rest| rest.find("password")).map(|at| from + at) {
        let name = at + "password".len();
        let (before, rest) = (text.get(from..name).unwrap_or_default(), text.get(name..).unwrap_or_default());
        safe.push_str(before);
        let value = rest.trim_start();
        let Some(value) = value.strip_prefix('=').map(str::trim_start) else {
            from = name;
            continue;
        };
        safe.push_str("=***");
        let end = match value.strip_prefix('\'') {
            Some(quoted) => quoted.replace("\\'", "__").find('\'').map_or(value.len(), |end| end + 2),
            None => value.find(|c: char| c.is_whitespace() || c == '&').unwrap_or(value.len()),
        };
        from = text.len() - value.len() + end;
    }
    safe.push_str(text.get(from..).unwrap_or_default());
    safe
}

/// `scheme://user:secret@host` without user and secret.
fn without_userinfo(text: &str) -> String {
    let word =
        |word: &str| match word.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?.1))) {
            Some((scheme, rest)) => format!("{scheme}://***@{rest}"),
            None => word.to_owned(),
        };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(format: Format, bytes: &[u8], piece: usize) -> Vec<Entry> {
        let mut reader = Reader::new(format, false);
        let mut entries = Vec::new();
        bytes.chunks(piece).for_each(|piece| reader.take(piece, |entry| entries.push(entry)));
        entries
    }

    const TEXT: &str = "2026-11-23 11:04:05.678 UTC [7] LOG:  starting\n\
        cp: cannot create regular file '/wal/1': Permission denied\n\
        2026-11-23 11:04:06 UTC [8] LOG:  archive command failed with exit code 1\n\
        2026-11-23 11:04:06 UTC [8] DETAIL:  The failed archive command was: PGPASSWORD=x cp a b\n\
        2026-11-23 11:04:07 UTC [9] a@b ERROR:  58P01: requested WAL segment 1 has already been removed\n\
        2026-11-23 11:04:07 UTC [9] STATEMENT:  ALTER ROLE r PASSWORD 'x'\n\
        \tERROR:  not one\n\
        2026-11-23 11:04:08 UTC [9] FEHLER:  Passwort-Authentifizierung fehlgeschlagen\n";

    #[test]
    fn text_is_taken_line_by_line_however_it_comes() {
        for piece in [1, 7, 4096] {
            let found = all(Format::Text, TEXT.as_bytes(), piece);
            let told: Vec<_> = found.iter().map(|entry| (entry.is_understood, entry.message.as_str())).collect();
            assert_eq!(
                told,
                [
                    (true, "starting"),
                    (true, "archive command failed with exit code 1"),
                    (true, "requested WAL segment 1 has already been removed"),
                    (false, ""),
                ]
            );
            assert_eq!(found[1].before.as_deref(), Some("cp: cannot create regular file '/wal/1': Permission denied"));
            let seconds = found[1].stamp.unwrap() - found[0].stamp.unwrap();
            assert!((seconds - 0.322).abs() < 1e-3, "{seconds}");
        }
    }

    #[test]
    fn csv_and_json_give_the_same_and_a_statement_is_never_taken() {
        let csv = "2026-11-23 11:04:05.678 UTC,\"u\",\"d\",9,\"h\",6,1,\"SELECT\",2026-11-23 11:00:00 UTC,1/2,0,ERROR,58P01,\
            \"requested WAL segment \"\"1\"\" has already been removed\nmore\",,,,,,\"ALTER ROLE r\n PASSWORD 'x'\",,,\"app\"\n\
            2026-11-23 11:04:06.000 UTC,,,9,,6,2,,2026-11-23 11:00:00 UTC,,0,LOG,00000,\"next\",,,,,,,,,\"\"\n";
        let json = "{\"timestamp\":\"2026-11-23 11:04:05.678 UTC\",\"error_severity\":\"ERROR\",\"state_code\":\"58P01\",\
            \"message\":\"requested WAL segment \\\"1\\\" has already been removed\\nmore\",\"statement\":\"PASSWORD 'x'\"}\n\
            {\"timestamp\":\"2026-11-23 11:04:06.000 UTC\",\"error_severity\":\"LOG\",\"message\":\"next\"}\nnonsense\n";
        for piece in [1, 7, 4096] {
            let of_csv = all(Format::Csv, csv.as_bytes(), piece);
            assert_eq!(of_csv.len(), 2, "{of_csv:?}");
            assert_eq!(of_csv[0].message, "requested WAL segment \"1\" has already been removed");
            assert_eq!(all(Format::Json, json.as_bytes(), piece), of_csv);
        }
    }

    #[test]
    fn what_is_too_long_is_left_out_and_the_next_is_read() {
        let long = format!("LOG:  {}\nLOG:  next\n", "x".repeat(MOST_BYTES));
        assert_eq!(all(Format::Text, long.as_bytes(), 999).len(), 1);
        let open =
            format!("1,\"{}\n2026-11-23 11:04:06 UTC,,,9,,6,2,,x,,0,LOG,00000,\"next\",\n", "x".repeat(MOST_BYTES));
        let found = all(Format::Csv, open.as_bytes(), 999);
        assert_eq!(found.last().map(|entry| entry.message.as_str()), Some("next"), "{found:?}");
        let middle = "of \"a\" statement\nits end\",,\n2026-11-23 11:04:06 UTC,,,9,,6,2,,x,,0,LOG,00000,\"next\",\n";
        let mut reader = Reader::new(Format::Csv, true);
        let mut found = Vec::new();
        reader.take(format!("half\n{middle}").as_bytes(), |entry| found.push(entry.message));
        assert_eq!(found, ["next"]);
        let mut reader = Reader::new(Format::Text, true);
        let mut found = Vec::new();
        reader.take(b"ERROR:  half\nERROR:  whole\n", |entry| found.push(entry.message));
        assert_eq!(found, ["whole"]);
    }

    #[test]
    fn no_secret_is_shown() {
        for text in [
            "x password=hush y",
            "x PASSWORD = 'hu sh' y",
            "x password='it\\'s hush' y",
            "postgresql://me:hush@h/d y",
            "missing \"=\" after \"hush\" in connection info string",
            "sslpassword=hush y",
            "invalid connection option \"hush\"",
        ] {
            let shown = shown(text);
            assert!(!shown.contains("hu"), "{text}: {shown}");
            assert!(!text.ends_with(" y") || shown.ends_with(" y"), "{text}: {shown}");
        }
        assert_eq!(
            shown("password authentication failed for user \"r\""),
            "password authentication failed for user \"r\""
        );
    }
}
