//! What a cluster remembers, and what of it survives a restart of pgvigil.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::history::History;
use super::position::Remembered;

/// The history of the primary and the last word of each node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// The cluster's system identifier, from the first primary that was seen.
    pub system_identifier: Option<String>,
    /// The name of the node that was last seen as the primary of the newest timeline.
    pub primary: Option<String>,
    /// The primary's positions.
    pub history: History,
    /// What is remembered of each node, by name.
    pub nodes: BTreeMap<String, Remembered>,
}

impl Memory {
    /// The memory of node `name`.
    pub fn node(&self, name: &str) -> Remembered {
        self.nodes.get(name).cloned().unwrap_or_default()
    }
}
