//! libpq's password file: lines of `host:port:database:user:password`, where `*` matches everything.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Larger files are no password files.
const MAX_BYTES: u64 = 1 << 20;

/// For whom a password is looked up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Login<'a> {
    /// The host's name as it was given; `localhost` for the default socket directory.
    pub(super) host: &'a str,
    pub(super) port: &'a str,
    pub(super) dbname: &'a str,
    pub(super) user: &'a str,
}

/// What a password file gave.
#[derive(PartialEq, Eq)]
pub(super) enum Lookup {
    /// The password of the first line that matches.
    Found(String),
    /// No such file, or no line that matches.
    Nothing,
    /// The file is ignored, and why.
    Ignored(String),
}

/// Looks for `login` in the file. Like libpq it ignores a file that others may read, or that is no plain file.
pub(super) fn look_up(path: &Path, login: Login<'_>) -> Lookup {
    let ignored = |why: &str| Lookup::Ignored(format!("password file {} is ignored: {why}", path.display()));
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Lookup::Nothing,
        Err(error) => return ignored(&error.to_string()),
    };
    if !metadata.is_file() {
        return ignored("it is not a plain file");
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        return ignored("its group or others may access it; chmod it to 0600");
    }
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes)) {
        Ok(_) => match find(&String::from_utf8_lossy(&bytes), login) {
            Some(password) if !password.is_empty() => Lookup::Found(password),
            _ => Lookup::Nothing,
        },
        Err(error) => ignored(&error.to_string()),
    }
}

/// The password of the first line that matches.
fn find(text: &str, login: Login<'_>) -> Option<String> {
    let wanted = [login.host, login.port, login.dbname, login.user];
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let mut fields = Fields(line);
        let matches = wanted.iter().all(|wanted| {
            let (raw, plain) = fields.next_field();
            raw == "*" || plain == *wanted
        });
        // A line without a fifth field is none; one that is empty ends the search, and there is no password.
        let is_whole = line.matches(':').count() >= 4;
        (matches && is_whole).then(|| fields.next_field().1)
    })
}

/// The rest of a line; `\:` and `\\` are plain characters of a field.
struct Fields<'a>(&'a str);

impl<'a> Fields<'a> {
    /// The next field, as written and as meant; empty behind the last.
    fn next_field(&mut self) -> (&'a str, String) {
        let mut plain = String::new();
        let mut chars = self.0.char_indices();
        let mut end = self.0.len();
        while let Some((at, c)) = chars.next() {
            match c {
                ':' => {
                    end = at;
                    break;
                }
                '\\' => plain.extend(chars.next().map(|(_, c)| c)),
                c => plain.push(c),
            }
        }
        let (field, rest) = self.0.split_at(end);
        self.0 = rest.strip_prefix(':').unwrap_or(rest);
        (field, plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGIN: Login<'_> = Login { host: "db1", port: "5432", dbname: "postgres", user: "pgvigil" };

    #[test]
    fn the_first_line_that_matches_counts() {
        for (text, password) in [
            ("db1:5432:postgres:pgvigil:one\n*:*:*:*:two", Some("one")),
            ("db2:5432:postgres:pgvigil:one\r\n*:*:*:*:two\r\n", Some("two")),
            ("#db1:5432:postgres:pgvigil:no\n\ndb1:*:*:pgvigil:a\\:b\\\\c", Some("a:b\\c")),
            ("db1:5432:postgres:pgvigil:\n*:*:*:*:two", Some("")),
            ("db1:5432:postgres", None),
            ("\\*:*:*:*:no", None),
            ("db1:5432:postgres:pgvigil:one:two", Some("one")),
        ] {
            assert_eq!(find(text, LOGIN).as_deref(), password, "{text}");
        }
    }
}
