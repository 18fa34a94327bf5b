//! Lines of the logs of real servers, recorded by `live::server_log`: each class is told in each format and version.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use pgvigil::server_log::class::{self, CLASSES};
use pgvigil::server_log::entry::{Format, Reader};

use crate::fixture::ROOT;
use crate::golden::MAJORS;

/// Those that a primary's log has, whatever the format.
const OF_A: [&str; 12] = [
    "archive_failed",
    "connections_full",
    "crash",
    "hba",
    "password",
    "replication_timeout",
    "role",
    "slot_lost",
    "slot_taken",
    "slots_full",
    "wal_removed",
    "walsenders_full",
];

/// Those that a standby's has.
const OF_B: [&str; 10] = [
    "conflict",
    "foreign_system",
    "hba",
    "password",
    "primary_unreachable",
    "recovery_paused",
    "role",
    "slot_missing",
    "stream_broken",
    "wal_removed",
];

fn dir(major: u32) -> PathBuf {
    [ROOT, "tests/fixtures", &format!("pg{major}"), "log"].iter().collect()
}

fn classes(format: Format, text: &str) -> BTreeSet<&'static str> {
    let mut found = BTreeSet::new();
    Reader::new(format, false).take(text.as_bytes(), |entry| {
        assert!(entry.is_understood && entry.stamp.is_some(), "{entry:?}");
        found.extend(class::of(&entry.message).map(|class| CLASSES[class].name));
    });
    found
}

/// Keeps the first line of each class of the logs of a and b.
pub fn record(major: u32, logs: &[PathBuf; 2]) {
    for (name, log) in ["a", "b"].into_iter().zip(logs) {
        let files: BTreeSet<_> = fs::read_dir(log).unwrap().map(|file| file.unwrap().path()).collect();
        for extension in ["log", "csv", "json"] {
            let of_it = files.iter().filter(|path| path.extension().is_some_and(|known| known == extension));
            let text: String = of_it.map(|path| fs::read_to_string(path).unwrap()).collect();
            if text.is_empty() {
                continue;
            }
            let (mut kept, mut seen) = (String::new(), BTreeSet::new());
            for line in text.split_inclusive('\n') {
                let mut reader = Reader::new(Format::of(&format!("x.{extension}")), false);
                reader.take(line.as_bytes(), |entry| {
                    if class::of(&entry.message).is_some_and(|class| seen.insert(class)) {
                        kept.push_str(line);
                    }
                });
            }
            fs::create_dir_all(dir(major)).unwrap();
            fs::write(dir(major).join(format!("{name}.{extension}")), kept).unwrap();
        }
    }
}

#[test]
fn each_class_is_told_in_every_format_of_every_version() {
    for major in MAJORS {
        for (file, since, expected) in
            [("a.log", 13, &OF_A[..]), ("a.csv", 13, &OF_A), ("a.json", 15, &OF_A), ("b.log", 13, &OF_B)]
        {
            if major < since {
                continue;
            }
            let path = dir(major).join(file);
            let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let found = classes(Format::of(file), &text);
            let missing: Vec<_> = expected.iter().filter(|class| !found.contains(*class)).collect();
            assert!(missing.is_empty(), "{}: {missing:?}", path.display());
        }
    }
}
