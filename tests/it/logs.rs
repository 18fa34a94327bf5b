//! The words of the log: every field of every line is in the documentation, and means the same everywhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::architecture::sources;
use crate::fixture::ROOT;

/// The arguments of each macro of tracing in a source, up to the message.
fn events(text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("tracing::") {
        let rest = &text[at + "tracing::".len()..];
        let Some((level, rest)) = rest.split_once("!(") else { continue };
        if ["error", "warn", "info", "debug", "trace"].contains(&level) {
            found.push(arguments(rest));
        }
    }
    found
}

/// What stands before the first string that is an argument by itself, and that string.
fn arguments(text: &str) -> Vec<String> {
    let (mut arguments, mut argument, mut depth, mut quoted) = (Vec::new(), String::new(), 0, false);
    let mut before = ' ';
    for c in text.chars() {
        match c {
            '"' if before != '\\' => quoted = !quoted,
            '(' | '[' | '{' if !quoted => depth += 1,
            ')' | ']' | '}' if !quoted && depth > 0 => depth -= 1,
            ')' | ',' if !quoted && depth == 0 => {
                arguments.push(std::mem::take(&mut argument).trim().to_owned());
                if c == ')' || arguments.last().is_some_and(|last| last.starts_with('"')) {
                    break;
                }
                continue;
            }
            _ => {}
        }
        before = c;
        argument.push(c);
    }
    arguments
}

/// The names of the fields of an event.
fn fields(arguments: &[String]) -> impl Iterator<Item = &str> {
    arguments.iter().filter(|argument| !argument.starts_with('"') && !argument.is_empty()).map(|argument| {
        let name = argument.split_once('=').map_or(argument.as_str(), |(name, _)| name);
        name.trim().trim_start_matches('%')
    })
}

#[test]
fn every_field_is_in_the_documentation_and_nothing_else() {
    let page = fs::read_to_string(Path::new(ROOT).join("docs/logs.md")).unwrap();
    let table = page.split_once("## Fields").unwrap().1.split_once("\n## ").unwrap().0;
    let rows =
        table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`')).map(|(name, _)| name.to_owned());
    let documented: BTreeSet<String> = rows.collect();
    let (mut used, mut count) = (BTreeSet::new(), 0);
    for (module, text) in sources() {
        assert!(!text.contains("use tracing::{") || module.starts_with("log/"), "{module}: name the macros in full");
        for event in events(&text) {
            count += 1;
            let message = event.iter().find(|argument| argument.starts_with('"'));
            assert!(message.is_some(), "{module}: an event without a message: {event:?}");
            for field in fields(&event) {
                assert!(!field.starts_with('?'), "{module}: {field} would show whatever Debug shows");
                used.insert(field.to_owned());
            }
        }
    }
    assert!(count > 20, "{count} events are seen");
    assert_eq!(used, documented);
}

#[test]
fn the_scan_sees_what_it_should() {
    let text = r#"tracing::warn!(cluster, node = &*a.b(c, d), %listen, left_out = (x > 0).then_some(x), "a {x}, \"b\"", y = 1);
        tracing::info!("nothing");"#;
    let seen = events(text);
    assert_eq!(fields(&seen[0]).collect::<Vec<_>>(), ["cluster", "node", "listen", "left_out"]);
    assert_eq!(seen[1], ["\"nothing\""]);
}
