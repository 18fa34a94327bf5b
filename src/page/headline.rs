//! What somebody must see first: what is wrong, and whether a failover would work.

use maud::{Markup, html};

use super::figures::count;
use super::nodes;
use super::verdict::{Answer, answer, sentence};
use super::view::View;
use crate::archive_watch::archive_dir::ArchiveDirState;
use crate::cluster::assess::Verdict;
use crate::collector::archive_verdict::ArchiveState;
use crate::pg::failure::NodeState;
use crate::runbook::run::Phase;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing is wrong that we see, and all is seen.
    Good,
    /// Something is not known.
    Unknown,
    /// Something is wrong, and the primary works.
    Warning,
    /// The cluster has no primary, or more than one.
    Critical,
}

impl Level {
    /// As the style sheet calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// Its sign in text: no two are of one shape.
    const fn mark(self) -> &'static str {
        match self {
            Self::Good => "✓",
            Self::Unknown => "?",
            Self::Warning => "▲",
            Self::Critical => "✕",
        }
    }
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// How bad it is.
    pub level: Level,
    /// In one sentence.
    pub words: String,
}

/// The head of a cluster's page. `id`: that of its element, if it is the only one of its page.
pub fn headline(view: &View, id: Option<&str>) -> Markup {
    let troubles = troubles(view);
    let level = troubles.first().map_or(Level::Good, |trouble| trouble.level);
    let works = answer(view);
    html! {
        div id=[id] {
            @if view.split_brain == Verdict::Yes {
                p id=[id.map(|_| "split-brain")] role="alert" { strong { "✕ SPLIT BRAIN" } " " (writers(view)) }
            }
            @if let Some(run) = view.runs.open().filter(|run| run.phase == Phase::Awaiting) {
                p.call {
                    strong { "A run waits for approval: " }
                    a href={ "/runs/" (run.id) } { (run.plan.runbook) }
                    @if let Some(until) = run.until { ", until " (super::figures::time(until.wall)) }
                }
            }
            div.state data-level=(level.as_str()) {
                p.now { span aria-hidden="true" { (level.mark()) " " } (summary(view, &troubles)) }
                @if troubles.len() > 1 {
                    ul { @for trouble in &troubles[1..] { li { (trouble.level.mark()) " " (trouble.words) } } }
                }
            }
            div.state data-level=(works.level()) {
                p.now { span aria-hidden="true" { (works.mark()) " " } (sentence(view)) }
            }
            @if let Some(maintenance) = &view.maintenance {
                p.note {
                    "In maintenance until " (super::figures::time(maintenance.until)) ", by " (maintenance.by)
                    @if let Some(reason) = &maintenance.reason { ": " (reason) }
                }
            }
            @if let Some(paused) = &view.runs.paused { p.note { "Runbooks are paused, by " (paused) } }
        }
    }
}

fn writers(view: &View) -> String {
    let names: Vec<_> = view.nodes.iter().filter(|node| node.writes()).map(|node| node.name()).collect();
    format!(
        "{} take writes. What one of them takes will be lost: stop applications from writing to one.",
        names.join(" and ")
    )
}

fn summary(view: &View, troubles: &[Trouble]) -> String {
    match troubles.first() {
        Some(worst) => worst.words.clone(),
        None => format!("{} up, {} writes", all_of(view), view.primary.as_deref().unwrap_or_default()),
    }
}

fn all_of(view: &View) -> String {
    match view.nodes.len() {
        1 => "1 node is".to_owned(),
        many => format!("All {} are", count(many, "node")),
    }
}

/// Everything that is not as it should be, the worst first.
pub fn troubles(view: &View) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    let mut tell = |level, words| troubles.push(Trouble { level, words });
    if view.split_brain == Verdict::Yes {
        tell(Level::Critical, "More than one node takes writes".to_owned());
    }
    match view.primary.as_deref().and_then(|name| view.node(name)) {
        None => tell(Level::Unknown, "No primary was seen yet".to_owned()),
        Some(primary) if primary.writes() => {}
        Some(primary) => {
            let level = if primary.state == NodeState::Unknown { Level::Unknown } else { Level::Critical };
            tell(level, format!("The primary {} is {}", primary.name(), nodes::state(primary)));
        }
    }
    for node in view.standbys() {
        let name = node.name();
        match node.state {
            NodeState::Up if node.is_missing() => tell(Level::Warning, format!("{name} does not stream")),
            NodeState::Up => {}
            NodeState::Unknown => tell(Level::Unknown, format!("{name} is {}", nodes::state(node))),
            _ => tell(Level::Warning, format!("{name} is {}", nodes::state(node))),
        }
        if node.is_paused() {
            tell(Level::Warning, format!("Replay on {name} is paused"));
        }
        if node.verdicts.lineage.diverged == Some(Verdict::Yes) {
            tell(Level::Warning, format!("{name} has diverged from the primary's timeline"));
        }
        if node.verdicts.needs_rebuild == Some(Verdict::Yes) {
            tell(Level::Warning, format!("{name} must be made anew: the WAL that it needs is gone"));
        }
    }
    for node in &view.nodes {
        let name = node.name();
        if let Some(words) = archiving(node.look.archive) {
            tell(Level::Warning, format!("{name}: archiving {words}"));
        }
        for slot in node.look.slots.iter().flatten().filter(|slot| matches!(slot.wal_status, "lost" | "unreserved")) {
            tell(Level::Warning, format!("{name}: slot {} is {}", slot.name, slot.wal_status));
        }
    }
    let archive = view.archive_dir.as_ref().and_then(Option::as_ref).map(|archive| archive.state);
    if let Some(state) = archive.filter(|state| !matches!(state, ArchiveDirState::Ok | ArchiveDirState::Unknown)) {
        tell(Level::Warning, format!("The archive is not whole: {}", state.as_str()));
    }
    if let Some(run) = view.runs.runs.iter().find(|run| run.is_unacknowledged()) {
        tell(Level::Warning, format!("Run {} ended {} and nobody took note of it", run.id, run.phase.as_str()));
    }
    if view.split_brain == Verdict::Unknown && troubles.is_empty() {
        tell_late(&mut troubles);
    }
    troubles.sort_by_key(|trouble| std::cmp::Reverse(trouble.level));
    troubles
}

fn tell_late(troubles: &mut Vec<Trouble>) {
    troubles.push(Trouble { level: Level::Unknown, words: "It is not known whether one node alone writes".to_owned() });
}

fn archiving(state: ArchiveState) -> Option<&'static str> {
    match state {
        ArchiveState::Hung => Some("hangs"),
        ArchiveState::Failing => Some("fails"),
        ArchiveState::Unset => Some("is on without a command, and WAL piles up"),
        ArchiveState::Noop => Some("keeps nothing"),
        ArchiveState::Off | ArchiveState::Never | ArchiveState::Ok | ArchiveState::Unknown => None,
    }
}

impl Answer {
    /// As the style sheet calls it.
    pub const fn level(self) -> &'static str {
        match self {
            Self::Yes => Level::Good.as_str(),
            Self::Unknown => Level::Unknown.as_str(),
            Self::No => Level::Critical.as_str(),
        }
    }

    const fn mark(self) -> &'static str {
        match self {
            Self::Yes => Level::Good.mark(),
            Self::Unknown => Level::Unknown.mark(),
            Self::No => Level::Critical.mark(),
        }
    }
}
