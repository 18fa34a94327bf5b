//! Where a run stands, and how it ended.

use serde::{Deserialize, Serialize};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was shown what would be done.
    DryRun,
    /// The guards blocked it until it was given up. Nothing was done.
    Blocked,
    /// Nobody approved it in time. Nothing was done.
    Expired,
    /// A person said no. Nothing was done.
    Rejected,
    /// What it was about is over: another timeline, or another primary. Nothing was done.
    Stale,
    /// The primary is well again. Nothing was done.
    Recovered,
    /// Another pgvigil acts. Nothing was done by this one since. Somebody has to take note of it if anything was done before.
    Superseded,
    /// It was ended before the promotion, and what was done is undone or was nothing.
    Aborted,
    /// The old primary is fenced and there is no new one: somebody is needed.
    FailedFenced,
    /// Nobody knows how far it came: somebody is needed.
    Indeterminate,
    /// The new primary writes, and not everything else came about.
    Degraded,
    /// All of it came about.
    Succeeded,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::DryRun,
        Self::Blocked,
        Self::Expired,
        Self::Rejected,
        Self::Stale,
        Self::Recovered,
        Self::Superseded,
        Self::Aborted,
        Self::FailedFenced,
        Self::Indeterminate,
        Self::Degraded,
        Self::Succeeded,
    ];

    /// As the journal and the metrics write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DryRun => "dry_run",
            Self::Blocked => "blocked",
            Self::Expired => "expired",
            Self::Rejected => "rejected",
            Self::Stale => "stale",
            Self::Recovered => "recovered",
            Self::Superseded => "superseded",
            Self::Aborted => "aborted",
            Self::FailedFenced => "failed_fenced",
            Self::Indeterminate => "indeterminate",
            Self::Degraded => "degraded",
            Self::Succeeded => "succeeded",
        }
    }

    /// Whether somebody has to take note before anything starts by itself again.
    pub const fn needs_acknowledgement(self) -> bool {
        matches!(self, Self::Aborted | Self::FailedFenced | Self::Indeterminate | Self::Degraded | Self::Succeeded)
    }
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// It was planned, and the guards were judged.
    Planned,
    /// Guards block the plan; they are judged again and again.
    Blocked,
    /// A person is asked.
    Awaiting,
    /// The right to act is asked for.
    Locking,
    /// Between two steps.
    Ready,
    /// A step was begun, and nothing is known of its end.
    Acting,
    /// It is asked whether the step is done.
    Probing,
    /// What was done is being undone.
    Undoing,
    /// It is over.
    Ended(Outcome),
}

impl Phase {
    /// As people read it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Blocked => "blocked",
            Self::Awaiting => "awaiting",
            Self::Locking => "locking",
            Self::Ready => "ready",
            Self::Acting => "acting",
            Self::Probing => "probing",
            Self::Undoing => "undoing",
            Self::Ended(outcome) => outcome.as_str(),
        }
    }
}
