//! What a node's log said: how often each class, and the newest of each.

use std::time::Duration;

use serde::Serialize;

use super::class::{self, About, CLASSES};
use super::entry::{Entry, Format};
use crate::clock::Moment;
use crate::collector::Pace;
use crate::collector::snapshot::NodeView;
use crate::metric::family::{Family, Kind, Observers, Unit};
use crate::metric::sample::Samples;

/// What was said before is over.
pub const RECENT: Duration = Duration::from_secs(600);

/// What a log said since it is read.
#[derive(Clone, Debug, Serialize)]
pub struct ServerLog {
    /// How it is written.
    pub format: &'static str,
    /// Whether its language is ours, by the newest entry; `None` before the first.
    pub is_understood: Option<bool>,
    /// Events by class, in the order of [`CLASSES`].
    #[serde(skip)]
    counts: Vec<u64>,
    /// The newest of each class.
    pub newest: Vec<Said>,
}

/// An event.
#[derive(Clone, Debug, Serialize)]
pub struct Said {
    /// The name of its class.
    pub class: &'static str,
    /// When, by our clock.
    #[serde(skip)]
    pub at: Moment,
    /// The log's own line, without secrets.
    pub line: String,
}

impl ServerLog {
    /// Nothing yet.
    pub fn new(format: Format) -> Self {
        Self { format: format.as_str(), is_understood: None, counts: vec![0; CLASSES.len()], newest: Vec::new() }
    }

    /// Takes in an entry that was written now.
    pub fn hear(&mut self, entry: &Entry, now: Moment) {
        if let Some(class) = self.note(entry, now) {
            self.counts[class] += 1;
        }
    }

    /// Takes in an entry that was written at `at`, before anybody counted; its class.
    pub fn note(&mut self, entry: &Entry, at: Moment) -> Option<usize> {
        self.is_understood = Some(entry.is_understood);
        let class = class::of(&entry.message)?;
        let line = match &entry.before {
            Some(before) if CLASSES[class].about == About::Archive => format!("{before}; {}", entry.message),
            _ => entry.message.clone(),
        };
        let name = CLASSES[class].name;
        self.newest.retain(|said| said.class != name);
        self.newest.push(Said { class: name, at, line });
        Some(class)
    }

    /// How often a class was counted.
    pub fn count(&self, class: &str) -> Option<u64> {
        self.counts.get(class::named(class)?).copied()
    }

    /// What was said of late, the newest first, each with its class.
    pub fn recent(&self, now: Moment) -> impl Iterator<Item = (&Said, &'static class::Class)> {
        let recent = self.newest.iter().rev().filter(move |said| now.mono.since(said.at.mono) <= RECENT);
        recent.filter_map(|said| Some((said, &CLASSES[class::named(said.class)?])))
    }
}

static LOG_EVENTS: Family = Family {
    name: "pgvigil_log_events_total",
    help: "Events in the server's own log since pgvigil reads it, by class (docs/server-log.md); only with log, absent while it cannot \
           be read or is written in a language other than English.",
    kind: Kind::Counter,
    unit: Unit::None,
    labels: &["cluster", "node", "class"],
    observers: Observers::Max,
};

/// All of them.
pub static FAMILIES: &[&Family] = &[&LOG_EVENTS];

/// Adds what the node's log said.
pub fn samples(view: &NodeView<'_>, samples: &mut Samples) {
    let Some(Ok(log)) = view.fresh(&view.snapshot.server_log, Pace::Slow) else { return };
    if log.is_understood == Some(false) {
        return;
    }
    for (class, count) in CLASSES.iter().zip(&log.counts) {
        samples.number(&LOG_EVENTS, &[view.cluster, view.node, class.name], *count as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Mono, Wall};

    fn entry(message: &str, before: Option<&str>) -> Entry {
        Entry { is_understood: true, message: message.to_owned(), before: before.map(str::to_owned), stamp: None }
    }

    fn at(seconds: u64) -> Moment {
        Moment { mono: Mono::from_nanos(seconds * 1_000_000_000), wall: Wall::from_seconds(seconds as f64) }
    }

    #[test]
    fn the_newest_of_each_class_is_kept_with_the_commands_own_words() {
        let mut log = ServerLog::new(Format::Text);
        let failed = "archive command failed with exit code 1";
        log.note(&entry(failed, None), at(1));
        log.hear(&entry(failed, Some("cp: no")), at(100));
        log.hear(&entry("all replication slots are in use", Some("noise")), at(650));
        log.hear(&entry("checkpoint complete", None), at(650));
        assert_eq!(
            (log.count("archive_failed"), log.count("slots_full"), log.count("crash")),
            (Some(1), Some(1), Some(0))
        );
        let recent = |now| log.recent(at(now)).map(|(said, _)| said.line.as_str()).collect::<Vec<_>>();
        assert_eq!(
            recent(700),
            ["all replication slots are in use", "cp: no; archive command failed with exit code 1"]
        );
        assert_eq!(recent(701), ["all replication slots are in use"]);
    }
}
