//! What is wrong with a config, and where: file with line and column, or environment variable.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where a value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In the file, at this line and column, both counted from 1.
    File(u64, u64),
    /// In an environment variable.
    Variable(String),
    /// Nowhere in particular: a default, or the file as a whole.
    Nowhere,
}

impl<T> From<&serde_saphyr::Spanned<T>> for Origin {
    fn from(spanned: &serde_saphyr::Spanned<T>) -> Self {
        Self::from(spanned.referenced)
    }
}

impl From<serde_saphyr::Location> for Origin {
    fn from(location: serde_saphyr::Location) -> Self {
        match location.line() {
            0 => Self::Nowhere,
            line => Self::File(line, location.column()),
        }
    }
}

/// One thing that is wrong, before the file's name is known.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) origin: Origin,
    /// A sentence without secrets.
    pub(crate) what: String,
}

impl Problem {
    pub(crate) fn new(origin: impl Into<Origin>, what: impl Into<String>) -> Self {
        Self { origin: origin.into(), what: what.into() }
    }

    pub(crate) fn in_file(self, path: Option<&Path>) -> ConfigError {
        ConfigError { path: path.map(Path::to_owned), origin: self.origin, what: self.what }
    }
}

/// A config that cannot be used: where, what, and what to do. Safe to show.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub struct ConfigError {
    /// The file; `None` where there is none.
    pub path: Option<PathBuf>,
    /// Where in it, or in which variable.
    pub origin: Origin,
    /// What is wrong and what to do, in a sentence without secrets.
    pub what: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.origin, &self.path) {
            (Origin::Variable(name), _) => write!(f, "environment variable {name}: {}", self.what),
            (Origin::File(line, column), Some(path)) => {
                write!(f, "{}:{line}:{column}: {}", path.display(), self.what)
            }
            (_, Some(path)) => write!(f, "{}: {}", path.display(), self.what),
            (_, None) => f.write_str(&self.what),
        }
    }
}
