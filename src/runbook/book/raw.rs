//! Front matter as it is written: every key there is, each with the place where it stands.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_saphyr::Spanned;

/// All of it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawBook {
    /// Whose page it is.
    pub alerts: Vec<Spanned<String>>,
    /// What may happen at most.
    pub class: Option<Spanned<String>>,
    /// Whether it is a switchover.
    pub planned: Option<Spanned<bool>>,
    /// Who decides.
    pub mode: Option<Spanned<String>>,
    /// What starts it.
    pub trigger: Option<Spanned<Vec<Spanned<String>>>>,
    /// Beyond which nothing is done.
    pub limits: RawLimits,
    /// More guards than the class has.
    pub guards: Vec<Spanned<IgnoredAny>>,
    /// What is done, in this order.
    pub steps: Vec<Spanned<RawStep>>,
}

/// Beyond which nothing is done.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawLimits {
    /// WAL that a promotion may lose.
    pub max_loss_bytes: Option<Spanned<String>>,
    /// How old a fact may be.
    pub max_evidence_age: Option<Spanned<String>>,
    /// How long nothing starts after a run.
    pub block_after_run: Option<Spanned<String>>,
    /// How long a stream that was moving must be silent.
    pub hang_limit: Option<Spanned<String>>,
    /// How long an intended stop is waited for.
    pub restart_grace: Option<Spanned<String>>,
}

/// One step: exactly one of these.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawStep {
    /// Keep the old primary from writing.
    pub fence: Option<Spanned<RawFence>>,
    /// Make the candidate the primary.
    pub promote: Option<Spanned<RawTimed>>,
    /// Ask the cluster manager for all of that.
    pub delegate: Option<Spanned<RawTimed>>,
    /// Let the other standbys follow it.
    pub repoint: Option<Spanned<RawTimed>>,
    /// A hook.
    pub run: Option<Spanned<RawRun>>,
    /// A statement.
    pub sql: Option<Spanned<RawSql>>,
    /// A pause.
    pub wait: Option<Spanned<RawWait>>,
    /// Look whether it came about.
    pub verify: Option<Spanned<RawVerify>>,
}

/// Keep the old primary from writing.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawFence {
    /// The hook.
    pub argv: Option<Spanned<Vec<Spanned<String>>>>,
    /// The hook that says whether it is done.
    pub probe: Option<Spanned<Vec<Spanned<String>>>>,
    /// The hook that undoes it.
    pub undo: Option<Spanned<Vec<Spanned<String>>>>,
    /// How long the hook may take.
    pub timeout: Option<Spanned<String>>,
    /// Whether it may run twice.
    pub idempotent: Option<bool>,
}

/// A step of which only the deadline can be set.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawTimed {
    /// How long it may take.
    pub timeout: Option<Spanned<String>>,
}

/// A hook.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawRun {
    /// What it is called in reports.
    pub name: Option<Spanned<String>>,
    /// The hook.
    pub argv: Option<Spanned<Vec<Spanned<String>>>>,
    /// The hook that says whether it is done.
    pub probe: Option<Spanned<Vec<Spanned<String>>>>,
    /// How long the hook may take.
    pub timeout: Option<Spanned<String>>,
    /// Whether it may run twice.
    pub idempotent: Option<bool>,
}

/// A statement.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawSql {
    /// On which servers.
    pub on: Option<Spanned<String>>,
    /// The statement.
    pub statement: Option<Spanned<String>>,
    /// How long it may take on each.
    pub timeout: Option<Spanned<String>>,
    /// Whether it may run twice.
    pub idempotent: Option<bool>,
}

/// A pause.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawWait {
    /// Its length.
    #[serde(rename = "for")]
    pub pause: Option<Spanned<String>>,
}

/// Look whether it came about.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawVerify {
    /// Exactly one node accepts writes.
    pub one_writable: Option<bool>,
    /// The other nodes stream within this.
    pub standbys_streaming_within: Option<Spanned<String>>,
}
