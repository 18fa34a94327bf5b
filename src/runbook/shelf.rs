//! All runbooks there are: those that are compiled in, and those of the directories in `runbook_dirs`, which take their place or are
//! added. Read whole, and replaced whole.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::book::{Book, Class};
use super::guard::GUARDS;
use crate::assets;
use crate::config::{self, ConfigError, Origin};
use crate::nearest::nearest;

/// A directory has as many runbooks at most.
const MOST_FILES: usize = 1_000;
/// All of a directory together are not larger.
const MOST_BYTES: usize = 16 << 20;

/// Where a runbook comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// It is compiled in.
    BuiltIn,
    /// This file of a directory in `runbook_dirs`.
    File(PathBuf),
}

/// A runbook with its place.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// The runbook.
    pub book: Book,
    /// Where it comes from.
    pub source: Source,
    /// Whose place it took: the name or alert that both have, and where the other one comes from.
    replaces: Vec<(String, Source)>,
}

/// The runbooks that are found: each by its own name, and by those of its alerts.
#[derive(Debug, Default)]
pub struct Shelf(BTreeMap<String, Arc<Entry>>);

impl Shelf {
    /// Reads everything: the built-in ones, then each directory. The later one counts.
    pub fn read(dirs: &[PathBuf]) -> Result<Self, ConfigError> {
        let mut shelf = Self::default();
        let built_in = |asset: assets::Asset| Ok((Book::parse(Path::new(asset.path), asset.text)?, Source::BuiltIn));
        shelf.add(assets::runbooks().into_iter().map(built_in).collect::<Result<_, ConfigError>>()?)?;
        for dir in dirs {
            shelf.add(read(dir)?)?;
        }
        Ok(shelf)
    }

    /// Adds what was found in one place.
    fn add(&mut self, found: Vec<(Book, Source)>) -> Result<(), ConfigError> {
        let mut added: BTreeMap<String, Arc<Entry>> = BTreeMap::new();
        for (book, source) in found {
            let mut keys = vec![book.name.clone()];
            keys.extend(book.alerts.iter().filter(|alert| **alert != book.name).cloned());
            if let Some((key, other)) = keys.iter().find_map(|key| Some((key, added.get(key)?))) {
                let what = format!(
                    "{} and this are both the page of {key}: rename one, or take the alert out of one",
                    other.book.name
                );
                return Err(wrong(path_of(&book, &source), what));
            }
            let replaced = |key: &String| Some((key.clone(), self.0.get(key)?.source.clone()));
            let replaces = keys.iter().filter_map(replaced).collect();
            let entry = Arc::new(Entry { book, source, replaces });
            added.extend(keys.into_iter().map(|key| (key, entry.clone())));
        }
        self.0.extend(added);
        Ok(())
    }

    /// The runbook of this name or alert.
    pub fn find(&self, name: &str) -> Option<&Entry> {
        self.0.get(name).map(|entry| &**entry)
    }

    /// The name that was probably meant.
    pub fn nearest(&self, name: &str) -> Option<&str> {
        let lower: BTreeMap<String, &str> = self.0.keys().map(|key| (key.to_ascii_lowercase(), key.as_str())).collect();
        nearest(name, lower.keys().map(String::as_str)).and_then(|near| lower.get(near)).copied()
    }

    /// Every runbook that can be found, by name.
    pub fn entries(&self) -> Vec<&Entry> {
        let mut entries: Vec<&Arc<Entry>> = self.0.values().collect();
        entries.sort_by(|a, b| (&a.book.name, Arc::as_ptr(a)).cmp(&(&b.book.name, Arc::as_ptr(b))));
        entries.dedup_by(|a, b| Arc::ptr_eq(a, b));
        entries.into_iter().map(|entry| &**entry).collect()
    }

    /// What a person wants to know of them, a line each.
    pub fn summary(&self) -> Vec<String> {
        let entries = self.entries();
        let mut lines = vec![format!("{} runbooks", entries.len())];
        for entry in &entries {
            let Source::File(path) = &entry.source else { continue };
            let place = match entry.replaces.first() {
                None => String::new(),
                Some((key, Source::BuiltIn)) => format!(", in place of the built-in page of {key}"),
                Some((key, Source::File(other))) => format!(", in place of {} as the page of {key}", other.display()),
            };
            lines.push(format!("runbook {} is {}{place}", entry.book.name, path.display()));
        }
        let with_steps = entries.iter().filter(|entry| !entry.book.steps.is_empty()).count();
        if with_steps > 0 {
            lines.push(format!("runbooks with steps: {with_steps}"));
        }
        for class in [Class::Diagnose, Class::Reversible, Class::Failover] {
            if entries.iter().any(|entry| entry.book.class == class && !entry.book.steps.is_empty()) {
                let guards = GUARDS.iter().filter(|guard| guard.classes().contains(&class));
                let names: Vec<_> = guards.map(|guard| guard.name()).collect();
                lines.push(format!("guards of class {}: {}", class.as_str(), names.join(", ")));
            }
        }
        lines
    }
}

fn wrong(path: PathBuf, what: String) -> ConfigError {
    ConfigError { path: Some(path), origin: Origin::Nowhere, what }
}

fn path_of(book: &Book, source: &Source) -> PathBuf {
    match source {
        Source::BuiltIn => PathBuf::from(format!("runbooks/{}.md", book.name)),
        Source::File(path) => path.clone(),
    }
}

/// The runbooks of a directory: its own files that end in `.md`, but hidden ones, by name.
fn read(dir: &Path) -> Result<Vec<(Book, Source)>, ConfigError> {
    let unreadable = |error: std::io::Error| {
        let what = format!(
            "this directory of runbook_dirs cannot be read: {error}; make it readable, or remove it from the config"
        );
        wrong(dir.to_owned(), what)
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !is_hidden && path.extension().is_some_and(|extension| extension == "md") {
            paths.push(path);
        }
        if paths.len() > MOST_FILES {
            return Err(wrong(
                dir.to_owned(),
                format!("more than {MOST_FILES} runbooks are here: is it the right directory?"),
            ));
        }
    }
    paths.sort_unstable();
    let mut found = Vec::new();
    let mut bytes = 0;
    for path in paths {
        // Opening a pipe would wait for somebody to write to it.
        if fs::metadata(&path).is_ok_and(|it| !it.is_file()) {
            return Err(wrong(
                path,
                "this is no file, and its name is that of a runbook: rename or remove it".to_owned(),
            ));
        }
        let text = config::read_small(&path, "runbook");
        let text = text.map_err(|what| ConfigError { path: None, origin: Origin::Nowhere, what })?;
        bytes += text.len();
        if bytes > MOST_BYTES {
            let what = format!(
                "the runbooks here are larger than {} MiB together: is it the right directory?",
                MOST_BYTES >> 20
            );
            return Err(wrong(dir.to_owned(), what));
        }
        found.push((Book::parse(&path, &text)?, Source::File(path)));
    }
    Ok(found)
}
