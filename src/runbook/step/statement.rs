//! The step `sql`: a person's statement on one or several servers.

use std::fmt;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::node::{NoAdmin, Node, left};
use crate::pg::admin::StatementError;

/// Rows that are kept.
const MOST_ROWS: usize = 20;
/// Characters that are kept of a cell.
const LONGEST_CELL: usize = 200;
/// For a login, where the step's own deadline is further away.
const LOGIN: Duration = Duration::from_secs(5);

/// What a statement gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The columns' names.
    pub columns: Vec<String>,
    /// The first rows, cell by cell; `None` is NULL.
    pub rows: Vec<Vec<Option<String>>>,
    /// How many rows it returned or changed.
    pub total: u64,
}

/// Why it gave nothing.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SqlError {
    /// There is no session to run it by. Nothing was done.
    #[error(transparent)]
    NoAdmin(#[from] NoAdmin),
    /// It was sent. Unless it was refused, what it did may stand.
    #[error(transparent)]
    Statement(#[from] StatementError),
}

impl SqlError {
    /// Whether it is certain that the statement changed nothing.
    pub const fn is_harmless(&self) -> bool {
        matches!(self, Self::NoAdmin(_) | Self::Statement(StatementError::Refused { .. }))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows", self.total)?;
        for row in &self.rows {
            let cells = row.iter().map(|cell| cell.as_deref().unwrap_or("NULL"));
            let pairs: Vec<_> =
                self.columns.iter().zip(cells).map(|(column, cell)| format!("{column}={cell}")).collect();
            write!(f, "; {}", pairs.join(", "))?;
        }
        Ok(())
    }
}

/// Runs `statement` on all of `nodes` at once, each within `timeout`, as one transaction. What is not done by then is cancelled.
pub async fn run(nodes: &[&Node], statement: &str, timeout: Duration) -> Vec<(String, Result<Table, SqlError>)> {
    let each = nodes.iter().map(async |node| (node.name().to_owned(), run_on(node, statement, timeout).await));
    join_all(each).await
}

async fn run_on(node: &Node, statement: &str, timeout: Duration) -> Result<Table, SqlError> {
    let end = Instant::now() + timeout;
    let mut session = node.open_for_person(end.min(Instant::now() + LOGIN), timeout).await?;
    let answered = session.simple(statement, left(end)).await?;
    let cut = |cell: &String| cell.chars().take(LONGEST_CELL).collect();
    let rows = answered.records.rows().iter().take(MOST_ROWS);
    Ok(Table {
        columns: answered.records.columns().to_vec(),
        rows: rows.map(|row| row.iter().map(|cell| cell.as_ref().map(cut)).collect()).collect(),
        total: answered.rows,
    })
}
