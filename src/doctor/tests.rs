//! The catalogue of checks itself.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::check::CHECKS;
use super::page;

#[test]
fn there_are_many_checks_and_each_is_named_once() {
    let names: BTreeSet<_> = CHECKS.iter().map(|check| check.id).collect();
    assert_eq!(names.len(), CHECKS.len());
    assert!(CHECKS.len() >= 45, "{}", CHECKS.len());
    for check in CHECKS {
        for text in [check.title, check.seen, check.why, check.fix, check.versions] {
            assert!(text.len() > 10, "{}", check.id);
        }
        for text in [check.seen, check.why, check.fix, check.versions] {
            assert!(text.ends_with('.') || text.ends_with(')'), "{}: {text}", check.id);
        }
    }
}

#[test]
fn the_pages_are_the_checks() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(page::DIR);
    let pages = CHECKS.iter().map(|check| (format!("{}.md", check.id), page::of(check)));
    let pages: Vec<_> = pages.chain([("README.md".to_owned(), page::index())]).collect();
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(&dir).unwrap();
        for (name, text) in &pages {
            fs::write(dir.join(name), text).unwrap();
        }
    }
    for (name, text) in &pages {
        assert_eq!(fs::read_to_string(dir.join(name)).unwrap_or_default(), *text, "{name}: UPDATE=1 writes it");
    }
    let files: BTreeSet<_> =
        fs::read_dir(&dir).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(files, pages.into_iter().map(|(name, _)| name).collect(), "a page without a check");
}
