//! What a cluster remembers, and what of it survives a restart of pgvigil.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::history::History;
use super::maintenance::Maintenance;
use super::position::Remembered;
use super::promotable::Promised;
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
}
