//! Whether WAL gets into the archive, and whether the archive is whole.

use maud::{Markup, html};

use super::figures::{bytes, seconds};
use super::view::{Node, View};
use crate::archive_watch::archive_dir::ArchiveDir;
use crate::cluster::archive::ArchiveLag;
use crate::collector::archive_verdict::ArchiveState;

/// The section.
pub fn section(view: &View) -> Markup {
    let of = |state| {
        let names = view.nodes.iter().filter(|node| node.look.archive == state).map(Node::name);
        names.collect::<Vec<_>>().join(", ")
    };
    let told = |node: &&Node| !matches!(node.look.archive, ArchiveState::Off | ArchiveState::Unknown);
    let (off, unknown) = (of(ArchiveState::Off), of(ArchiveState::Unknown));
    html! {
        section id="archive" aria-labelledby="archive-title" {
            h2 id="archive-title" { "Archive" }
            @if view.nodes.iter().any(|node| told(&node)) {
                table {
                    thead { tr { th { "node" } th { "archiving" } th { "not archived yet" } } }
                    tbody { @for node in view.nodes.iter().filter(told) { (line(node)) } }
                }
            }
            @if !off.is_empty() { p { "No archiver runs on " (off) "." } }
            @if !unknown.is_empty() { p { "? Not known on " (unknown) "." } }
            @if let Some(archive) = &view.archive_dir {
                p { "Directory of the archive: " (archive.as_ref().map_or_else(|| "? not known".to_owned(), directory)) "." }
            }
        }
    }
}

fn line(node: &Node) -> Markup {
    let state = node.look.archive;
    html! {
        tr data-archive=(state.as_str()) {
            th scope="row" { (node.name()) }
            td class=[is_bad(state).then_some("bad")] { (words(state)) }
            td.figure { (node.look.archive_lag.map_or_else(|| "unknown".to_owned(), lag)) }
        }
    }
}

const fn is_bad(state: ArchiveState) -> bool {
    matches!(state, ArchiveState::Unset | ArchiveState::Noop | ArchiveState::Hung | ArchiveState::Failing)
}

const fn words(state: ArchiveState) -> &'static str {
    match state {
        ArchiveState::Off => "off",
        ArchiveState::Unset => "▲ unset: on without a command, WAL piles up",
        ArchiveState::Noop => "▲ noop: the command keeps nothing",
        ArchiveState::Hung => "▲ hung: a segment waits and nothing moves",
        ArchiveState::Failing => "▲ failing",
        ArchiveState::Never => "never: nothing was archived yet",
        ArchiveState::Ok => "✓ ok",
        ArchiveState::Unknown => "? unknown",
    }
}

fn lag(lag: ArchiveLag) -> String {
    match lag.seconds {
        Some(age) => format!("{}, {} old", bytes(lag.bytes), seconds(age)),
        None => bytes(lag.bytes),
    }
}

fn directory(archive: &ArchiveDir) -> String {
    let Some(found) = &archive.found else { return archive.state.as_str().to_owned() };
    let totals = found.totals.map(|(number, amount)| format!(", {number} segments of {}", bytes(amount)));
    let missing = found.missing.filter(|missing| *missing > 0).map(|missing| match &found.first_missing {
        Some(first) => format!(", {missing} missing, the first {first}"),
        None => format!(", {missing} missing"),
    });
    let bad = found.first_bad.as_ref().map(|name| format!(", not as it should be: {name}"));
    format!(
        "{}{}{}{}",
        archive.state.as_str(),
        totals.unwrap_or_default(),
        missing.unwrap_or_default(),
        bad.unwrap_or_default()
    )
}
