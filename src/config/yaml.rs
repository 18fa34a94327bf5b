//! YAML into a type: one document, no duplicate keys, bounded aliases, and errors in one sentence that never quotes a value of the
//! file, because any of them may be a password.

use serde::de::DeserializeOwned;
use serde_saphyr::Error;
use serde_saphyr::options::DuplicateKeyPolicy;

use super::problem::{Origin, Problem};
use crate::nearest::nearest;

/// Larger files are not read.
pub(super) const MAX_BYTES: u64 = 1 << 20;

/// Types the text of a file.
pub(crate) fn parse<T: DeserializeOwned + Default>(text: &str) -> Result<T, Problem> {
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::Error,
        strict_booleans: true,
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_events: 200_000,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_depth: 32,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 50_000 },
    };
    match serde_saphyr::from_str_with_options::<Option<T>>(text, options) {
        Ok(value) => Ok(value.unwrap_or_default()),
        Err(error) => Err(explain(&error)),
    }
}

fn explain(error: &Error) -> Problem {
    let error = error.without_snippet();
    let what = match error {
        Error::AliasError { error, .. } => return explain(error),
        Error::SerdeUnknownField { field, expected, .. } => unknown(field, expected),
        Error::SerdeUnknownVariant { expected, .. } => {
            format!("this is none that there is: use one of {}", expected.join(", "))
        }
        Error::ExternallyTaggedEnumExpectedScalarOrMapping { .. } => {
            "one word or a section of keys belongs here".to_owned()
        }
        Error::SerdeMissingField { field, .. } => format!("{field} is missing here"),
        Error::DuplicateMappingKey { key: Some(key), .. } if is_plain(key) => format!("{key} is set twice: keep one"),
        Error::DuplicateMappingKey { .. } => "a key is set twice: keep one".to_owned(),
        Error::SerdeInvalidType { expected, .. } | Error::SerdeInvalidValue { expected, .. } => {
            format!("{} belongs here", shape(expected))
        }
        Error::Unexpected { expected, .. } => format!("{} belongs here", shape(expected)),
        Error::InvalidScalar { ty, .. } => format!("{} belongs here", shape(ty)),
        Error::InvalidBooleanStrict { .. } => "true or false belongs here".to_owned(),
        Error::NullIntoString { .. } => "the value is missing: write one, or remove the key".to_owned(),
        Error::MultipleDocuments { .. } => "a second document begins here: write one document, without ---".to_owned(),
        Error::UnknownAnchor { .. } => "this alias names no anchor".to_owned(),
        Error::Eof { .. } => "the file ends in the middle of something".to_owned(),
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => {
            "it is nested too deeply or repeats itself too often by aliases: write it out".to_owned()
        }
        _ => "this is not YAML as it should be: check indentation, quotes and brackets".to_owned(),
    };
    Problem::new(error.location().map_or(Origin::Nowhere, Origin::from), what)
}

/// A key that is none; it is shown only if it looks like one.
pub(super) fn unknown(field: &str, expected: &[&'static str]) -> String {
    let field = if is_plain(field) { field } else { "this" };
    match nearest(field, expected.iter().copied()) {
        Some(near) => format!("{field} is not a key here: did you mean {near}?"),
        None => {
            format!("{field} is not a key here: the keys are {}", expected.join(", "))
        }
    }
}

fn is_plain(key: &str) -> bool {
    key.len() <= 40 && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
}

/// What serde expects, in the words of a person who writes YAML.
fn shape(expected: &str) -> &'static str {
    if expected.contains("struct") || expected.contains("map") {
        "a section of keys"
    } else if expected.contains("sequence") {
        "a list"
    } else if expected.contains("bool") {
        "true or false"
    } else {
        "one value"
    }
}
