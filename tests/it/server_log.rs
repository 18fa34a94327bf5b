//! Lines of the logs of real servers 13 to 18: each class is told in each format and version.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use pgvigil::server_log::class::{self, CLASSES};
use pgvigil::server_log::entry::{Format, Reader};

use crate::fixture::ROOT;
use crate::golden::MAJORS;

/// Those that a primary alone can be brought to say.
const RECORDED: [&str; 10] = [
    "archive_failed",
    "connections_full",
    "crash",
    "hba",
    "password",
    "role",
    "slot_missing",
    "slots_full",
    "wal_removed",
    "walsenders_full",
];

fn classes(format: Format, text: &str) -> BTreeSet<&'static str> {
    let mut found = BTreeSet::new();
    Reader::new(format, false).take(text.as_bytes(), |entry| {
        assert!(entry.is_understood && entry.stamp.is_some(), "{entry:?}");
        found.extend(class::of(&entry.message).map(|class| CLASSES[class].name));
    });
    found
}

#[test]
fn each_class_is_told_in_every_format_of_every_version() {
    for major in MAJORS {
        for (file, since) in [("a.log", 13), ("a.csv", 13), ("a.json", 15)] {
            if major < since {
                continue;
            }
            let path: PathBuf = [ROOT, "tests/fixtures", &format!("pg{major}"), "log", file].iter().collect();
            let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert_eq!(classes(Format::of(file), &text), BTreeSet::from(RECORDED), "{}", path.display());
        }
    }
}
