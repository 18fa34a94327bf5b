//! Questions through a pooler that gives each transaction another session of the server, as PgBouncer does with
//! `pool_mode = transaction`. Such a one takes no options at the login, and what is prepared or set in one transaction is not there in
//! the next. So each question is one message of the simple protocol, which is one transaction: its bounds, then the statement.

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::{Error, SimpleQueryMessage};

use super::FIRST_WITH_JIT;
use super::link::Link;
use crate::pg::records::Records;

/// Runs the statement, read-only and bounded by `within`.
pub(super) async fn ask(link: &Link, sql: &str, within: Duration) -> Result<Records, Error> {
    let messages = link.client.simple_query(&message(sql, link.version.major(), within)).await?;
    let (mut columns, mut rows): (Arc<[String]>, _) = (Arc::new([]), Vec::new());
    for message in messages {
        match message {
            SimpleQueryMessage::RowDescription(described) => {
                columns = described.iter().map(|column| column.name().to_owned()).collect();
            }
            SimpleQueryMessage::Row(row) => {
                rows.push((0..row.len()).map(|cell| row.try_get(cell).ok().flatten().map(str::to_owned)).collect());
            }
            _ => {}
        }
    }
    Ok(Records::new(columns, rows))
}

/// Several statements in one message are one transaction.
fn message(sql: &str, major: u32, within: Duration) -> String {
    let millis = within.as_millis();
    let jit = if major >= FIRST_WITH_JIT { "SET LOCAL jit = off; " } else { "" };
    format!(
        "SET LOCAL transaction_read_only = on; SET LOCAL statement_timeout = {millis}; SET LOCAL lock_timeout = {millis}; \
         SET LOCAL search_path = pg_catalog; SET LOCAL client_min_messages = error; {jit}\n{sql}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statement_comes_last_and_the_bounds_end_with_the_transaction() {
        let text = message("SELECT 1 -- one", 10, Duration::from_secs(2));
        assert!(text.ends_with("\nSELECT 1 -- one"));
        assert!(text.split("; ").filter(|part| !part.starts_with('\n')).all(|part| part.starts_with("SET LOCAL ")));
        assert!(!text.contains("jit") && message("", 11, Duration::from_secs(2)).contains("jit"));
    }
}
