//! libpq's service files: sections of `[name]`, each with lines of `option=value`.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::DsnError;
use crate::pg::trail::Trail;

/// Larger files are no service files.
const MAX_BYTES: u64 = 1 << 20;

/// Where the system's own file is unless `PGSYSCONFDIR` says: Debian's place.
const SYSTEM_DIR: &str = "/etc/postgresql-common";

/// Takes an option of the service.
pub(super) type Take<'a> = &'a mut dyn FnMut(&str, String) -> Result<(), DsnError>;

/// Hands each option of the service to `take`: from the file that `PGSERVICEFILE` names, else from `~/.pg_service.conf`; if it is not
/// there, from `pg_service.conf` of the system. The files that are read leave a `trail`.
pub(super) fn read(
    service: &str,
    env: &dyn Fn(&str) -> Option<String>,
    home: Option<&Path>,
    trail: &Trail,
    take: Take<'_>,
) -> Result<(), DsnError> {
    let named = env("PGSERVICEFILE").map(PathBuf::from);
    let own = named.clone().or_else(|| Some(home?.join(".pg_service.conf")));
    let system = env("PGSYSCONFDIR").map_or_else(|| PathBuf::from(SYSTEM_DIR), PathBuf::from).join("pg_service.conf");
    let mut looked = Vec::new();
    for path in own.into_iter().chain([system]) {
        trail.about_to_read(&path);
        let Some(text) = text_of(&path, named.as_ref() == Some(&path))? else { continue };
        if section(&text, service, &path, take)? {
            return Ok(());
        }
        looked.push(path.display().to_string());
    }
    let looked = if looked.is_empty() { "any file (there is none)".to_owned() } else { looked.join(" or ") };
    Err(DsnError::NoService { name: service.to_owned(), looked })
}

/// The text of a file; `None` if it does not exist and need not.
fn text_of(path: &Path, is_needed: bool) -> Result<Option<String>, DsnError> {
    let bad = |why: String| DsnError::ServiceFile { path: path.to_owned(), why };
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes)) {
        Ok(_) => String::from_utf8(bytes).map(Some).map_err(|_| bad("it is not UTF-8 text".to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound && !is_needed => Ok(None),
        Err(error) => Err(bad(error.to_string())),
    }
}

/// Whether the service is in the text. No error shows a value, which may be a password.
fn section(text: &str, service: &str, path: &Path, take: Take<'_>) -> Result<bool, DsnError> {
    let head = format!("[{service}]");
    let mut found = false;
    for (number, line) in text.lines().enumerate() {
        let bad =
            |why: &str| DsnError::ServiceFile { path: path.to_owned(), why: format!("line {}: {why}", number + 1) };
        let line = line.trim_matches(|c: char| c.is_ascii_whitespace());
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line.starts_with('[') {
            if found {
                return Ok(true);
            }
            found = line.starts_with(&head);
            continue;
        }
        if !found {
            continue;
        }
        if line.starts_with("ldap") {
            return Err(bad("pgvigil asks no LDAP server: write out host, port and user"));
        }
        match line.split_once('=') {
            None => return Err(bad("no = is in it: options are written name=value")),
            Some(("service" | "servicefile", _)) => return Err(bad("a service cannot name another one")),
            Some((name, value)) => take(name, value.to_owned()).map_err(|error| match error {
                DsnError::Stray(_) => bad("this is not a connection option"),
                error => bad(&error.to_string()),
            })?,
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str, service: &str) -> Result<Option<String>, String> {
        let mut all = String::new();
        let mut take = |name: &str, value: String| {
            all += &format!("{name}={value};");
            Ok(())
        };
        let found = section(text, service, Path::new("f"), &mut take).map_err(|error| error.to_string())?;
        Ok(found.then_some(all))
    }

    #[test]
    fn a_section_ends_where_the_next_begins() {
        let text = "# all\n[a]\nhost=db1\n\n  port=6000\t\n[b]\nhost = x\npassword=a=b # c\r\n[a]\nhost=db3\n";
        assert_eq!(options(text, "a").unwrap().as_deref(), Some("host=db1;port=6000;"));
        assert_eq!(options(text, "b").unwrap().as_deref(), Some("host = x;password=a=b # c;"));
        assert_eq!(options(text, "c").unwrap(), None);
    }

    #[test]
    fn mistakes_are_named_by_their_line_and_show_no_value() {
        for (line, why) in [
            ("secret", "service file f: line 2: no = is in it: options are written name=value"),
            ("service=secret", "service file f: line 2: a service cannot name another one"),
            ("ldap://secret", "service file f: line 2: pgvigil asks no LDAP server: write out host, port and user"),
        ] {
            assert_eq!(options(&format!("[a]\n{line}\n"), "a"), Err(why.to_owned()));
        }
    }
}
