//! The process's environment as a value, and how it overlays the file.

use std::collections::BTreeMap;

use figment::value::{Dict, Map};
use figment::{Figment, Metadata, Profile, Provider};

use super::problem::{Origin, Problem};
use super::raw::{RawConfig, SCALARS};
use super::yaml::unknown;

/// What the variables that set config keys begin with; `__` stands for the dot of a section.
pub const PREFIX: &str = "PGVIGIL_";

/// The environment, taken once.
#[derive(Clone, Debug, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The environment of this process. What is not UTF-8 is taken as well as it goes.
    pub fn of_this_process() -> Self {
        let text = |os: std::ffi::OsString| os.to_string_lossy().into_owned();
        std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect()
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// One value with the name of where it comes from: a layer of its own, so that every value keeps its origin.
struct Layer<'a> {
    from: String,
    key: &'a str,
    value: &'a str,
}

impl Provider for Layer<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.from.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let nested = figment::util::nest(self.key, self.value.into());
        Ok(Profile::Default.collect(nested.into_dict().unwrap_or_default()))
    }
}

const DEFAULT: &str = "default";
const FILE: &str = "file";

/// The values of [`SCALARS`] after defaults, file and environment, each with its origin.
pub(super) struct Merged<'a> {
    figment: Figment,
    raw: &'a RawConfig,
}

impl<'a> Merged<'a> {
    /// Defaults below the file below the environment.
    pub(super) fn of(raw: &'a RawConfig, env: &Environment) -> Result<Self, Problem> {
        let layer = |from: &str, key, value| Layer { from: from.to_owned(), key, value };
        let mut figment = Figment::new();
        for (key, value) in SCALARS {
            figment = figment.merge(layer(DEFAULT, key, value));
            if let Some(value) = raw.scalar(key) {
                figment = figment.merge(layer(FILE, key, &value.value));
            }
        }
        for (name, value) in &env.0 {
            let Some(variable) = name.strip_prefix(PREFIX) else { continue };
            let key = key_of(name, variable)?;
            figment = figment.merge(layer(name, key, value));
        }
        Ok(Self { figment, raw })
    }

    /// The value of one of [`SCALARS`].
    pub(super) fn get(&self, key: &str) -> (String, Origin) {
        let value = self.figment.extract_inner(key).unwrap_or_default();
        let from = self.figment.find_metadata(key).map_or(DEFAULT, |metadata| metadata.name.as_ref());
        let origin = match from {
            DEFAULT => Origin::Nowhere,
            FILE => self.raw.scalar(key).map_or(Origin::Nowhere, Origin::from),
            variable => Origin::Variable(variable.to_owned()),
        };
        (value, origin)
    }
}

/// The key that a variable sets.
fn key_of(name: &str, variable: &str) -> Result<&'static str, Problem> {
    let key = variable.to_lowercase().replace("__", ".");
    if let Some((key, _)) = SCALARS.iter().find(|(known, _)| *known == key) {
        return Ok(key);
    }
    let first = key.split('.').next().unwrap_or_default();
    let what = if ["clusters", "observers", "runbook_dirs"].contains(&first) {
        format!("{first} is a list, and lists are set in the config file alone")
    } else {
        unknown(&key, &SCALARS.map(|(key, _)| key))
    };
    Err(Problem::new(Origin::Variable(name.to_owned()), what))
}
