//! What a check says.

use std::fmt;

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
    /// In which database; `None`: in any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// How.
    #[serde(flatten)]
    pub act: Act,
}

impl fmt::Display for Cure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(node) = &self.node {
            write!(f, "on {node}")?;
            if let Some(database) = &self.database {
                write!(f, " in database {database}")?;
            }
            f.write_str(": ")?;
        }
        match &self.act {
            Act::Sql(statement) => write!(f, "{statement};"),
            Act::Psql(line) => write!(f, "in psql: {line}"),
            Act::Line { file, line } => write!(f, "at the top of {file}: {line}"),
            Act::Restart(what) => write!(f, "restart {what}"),
            Act::Words(words) => f.write_str(words),
        }
    }
}

/// How something is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Act {
    /// A statement, as superuser.
    Sql(String),
    /// A line for psql, as superuser: a statement that makes another one, with what the server alone knows.
    Psql(String),
    /// A line at the top of a file.
    Line {
        /// The file; its name alone where its place is not known.
        file: String,
        /// The line.
        line: String,
    },
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
