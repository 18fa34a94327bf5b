//! What a check says.

use serde::Serialize;

/// How bad it is when a check fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something does not work, or data is in danger.
    Error,
    /// It works today, and will not one day.
    Warning,
    /// Worth knowing.
    Note,
}

impl Severity {
    /// The value of the label `severity`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// What a check says of one node, or of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// The mistake is made.
    Failed,
    /// It cannot be said.
    Unknown,
    /// All is well.
    Ok,
}

/// One thing to do, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cure {
    /// On which node; `None`: not on a server of the cluster.
    pub node: Option<String>,
    /// How.
    #[serde(flatten)]
    pub act: Act,
}

/// How something is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Act {
    /// A statement, as superuser.
    Sql(String),
    /// A restart of PostgreSQL.
    Restart(&'static str),
    /// By a person, in words.
    Words(String),
}

/// What a check says of one node, or of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Of which node; `None`: of the cluster.
    pub node: Option<String>,
    /// The answer.
    pub answer: Answer,
    /// What was seen, or why it cannot be said.
    pub seen: String,
    /// What mends it; empty unless it failed.
    pub fix: Vec<Cure>,
}
