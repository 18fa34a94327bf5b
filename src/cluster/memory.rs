//! What a cluster remembers, and what of it survives a restart of pgvigil.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::history::History;
use super::maintenance::Maintenance;
use super::position::Remembered;
use super::promotable::Promised;
use crate::clock::Mono;
use crate::pg::lsn::{Lsn, Timeline};

/// The history of the primary and the last word of each node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// The cluster's system identifier, from the first primary that was seen.
    pub system_identifier: Option<String>,
    /// The name of the node that was last seen as the primary of the newest timeline.
    pub primary: Option<String>,
    /// The primary's positions.
    pub history: History,
    /// The newest timeline that any node of the system was on.
    #[serde(default)]
    pub timeline: Option<Timeline>,
    /// The newest timeline that another observer of the same system told of.
    #[serde(default)]
    pub told_timeline: Option<Timeline>,
    /// How often it rose while we looked.
    #[serde(default)]
    pub timeline_switches: u64,
    /// The highest position that a standby heard of its primary, with the timeline of its stream.
    #[serde(default)]
    pub reported: Option<(Timeline, Lsn)>,
    /// When a standby that the primary feeds last had all that it was told, with the timeline of its stream.
    #[serde(default)]
    pub heard: Option<(Timeline, Mono)>,
    /// Whom the primary's commits waited for.
    #[serde(default)]
    pub promised: Option<Promised>,
    /// The maintenance that was started last, until it is seen to be over.
    #[serde(default)]
    pub maintenance: Option<Maintenance>,
    /// What is remembered of each node, by name.
    pub nodes: BTreeMap<String, Remembered>,
}

/// What a memory holds that changes seldom, to compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roles((Option<String>, Option<String>, [Option<Timeline>; 2], Option<Promised>));

impl Memory {
    /// Who is the primary of which timeline of which system, and whom it fed.
    pub fn roles(&self) -> Roles {
        let Self { system_identifier, primary, timeline, told_timeline, promised, .. } = self;
        Roles((system_identifier.clone(), primary.clone(), [*timeline, *told_timeline], promised.clone()))
    }

    /// The memory of node `name`.
    pub fn node(&self, name: &str) -> Remembered {
        self.nodes.get(name).cloned().unwrap_or_default()
    }

    /// What of it holds after a boot of our machine, whose clock all moments are of: who was the primary, and the timelines.
    pub fn timeless(mut self) -> Self {
        self.history = self.history.timeless();
        self.heard = None;
        for node in self.nodes.values_mut() {
            *node = std::mem::take(node).timeless();
        }
        self
    }

    /// Takes in that a node of the system is on `timeline`. What is found at first is no switch.
    pub fn note_timeline(&mut self, timeline: Timeline, at_first: bool) {
        let before = self.timeline.replace(self.timeline.map_or(timeline, |newest| newest.max(timeline)));
        if let Some(before) = before.filter(|_| !at_first) {
            self.timeline_switches += u64::from(timeline.0.saturating_sub(before.0));
        }
    }

    /// Takes in that an observer of `system` saw a node on `timeline`.
    pub fn note_told_timeline(&mut self, system: Option<&String>, timeline: Option<Timeline>) {
        if system.is_some() && system == self.system_identifier.as_ref() {
            self.told_timeline = self.told_timeline.max(timeline);
        }
    }

    /// Takes in that a standby that receives `timeline` heard of `lsn`.
    pub fn note_reported(&mut self, timeline: Timeline, lsn: Lsn) {
        self.reported = self.reported.max(Some((timeline, lsn)));
    }

    /// Takes in that at `at` a standby had all that the primary of `timeline` had told it.
    pub fn note_heard(&mut self, timeline: Timeline, at: Mono) {
        self.heard = self.heard.max(Some((timeline, at)));
    }

    /// Whether the primary fed this node when it was last read.
    pub fn is_fed(&self, node: &str) -> bool {
        self.promised
            .as_ref()
            .map(Promised::fed)
            .is_some_and(|(primary, mut fed)| self.primary.as_deref() == Some(primary) && fed.any(|name| name == node))
    }
}
