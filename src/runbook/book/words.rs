//! The words of front matter.

use serde::{Deserialize, Serialize};

/// What a runbook may do at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// It reads.
    Diagnose,
    /// What it does can be undone.
    Reversible,
    /// It makes another node the primary.
    Failover,
    /// Nothing is done but by a person.
    HumanOnly,
}

/// Who decides whether the steps are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Nobody: it is only said what would be done.
    DryRun,
    /// A person approves the plan.
    Manual,
    /// pgvigil.
    Automatic,
}

/// What starts a runbook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trigger {
    /// An alert that Alertmanager sends.
    Alert,
    /// What pgvigil sees itself.
    Observation,
}

/// On which servers a statement runs, by what they are when the run is planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// The primary.
    Primary,
    /// The standby that would be promoted.
    Candidate,
    /// Every standby.
    Standbys,
}

impl Class {
    /// Every value, with its word in front matter.
    pub const ALL: [(&'static str, Self); 4] = [
        ("diagnose", Self::Diagnose),
        ("reversible", Self::Reversible),
        ("failover", Self::Failover),
        ("human-only", Self::HumanOnly),
    ];

    /// Its word in front matter.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Diagnose => "diagnose",
            Self::Reversible => "reversible",
            Self::Failover => "failover",
            Self::HumanOnly => "human-only",
        }
    }
}

impl Mode {
    /// Every value, with its word in front matter.
    pub const ALL: [(&'static str, Self); 3] =
        [("dry-run", Self::DryRun), ("manual", Self::Manual), ("automatic", Self::Automatic)];

    /// Its word in front matter.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DryRun => "dry-run",
            Self::Manual => "manual",
            Self::Automatic => "automatic",
        }
    }
}

impl Trigger {
    /// Every value, with its word in front matter.
    pub const ALL: [(&'static str, Self); 2] = [("alert", Self::Alert), ("observation", Self::Observation)];

    /// Its word in front matter.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Observation => "observation",
        }
    }
}

impl Target {
    /// Every value, with its word in front matter.
    pub const ALL: [(&'static str, Self); 3] =
        [("primary", Self::Primary), ("candidate", Self::Candidate), ("standbys", Self::Standbys)];

    /// Its word in front matter.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Candidate => "candidate",
            Self::Standbys => "standbys",
        }
    }
}
