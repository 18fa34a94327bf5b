//! The sessions that act: one fresh connection each, never kept. What was asked on a kept one would prove nothing about a new one.

use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, SimpleQueryMessage};

use super::dsn::Target;
use super::failure::Failure;
use super::records::Records;
use super::session::link::Link;
use super::session::whole_row;
use super::tls::Connector;
use super::version::ServerVersion;

/// How long a cancel may take to reach the server.
const CANCEL_WITHIN: Duration = Duration::from_secs(1);
/// How long a cancelled statement may take to end.
const END_WITHIN: Duration = Duration::from_secs(1);

/// One connection that may change something.
pub struct AdminSession {
    link: Link,
}

/// Why a statement gave nothing. No text of a statement is in it: there may be a password in that.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StatementError {
    /// The server refused it, and the session goes on.
    #[error("the server refused: {message} (SQLSTATE {sqlstate})")]
    Refused {
        /// The server's words.
        message: String,
        /// Its SQLSTATE.
        sqlstate: String,
    },
    /// It was not done within its deadline, and was cancelled. What it did until then may stand.
    #[error("no answer within {0:?}; it was cancelled, and what it did may stand")]
    Late(Duration),
    /// The session is over. What the statement did may stand.
    #[error("the session ended: {0}")]
    Lost(Failure),
}

/// What statements in a person's words gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    /// The rows of the last that gave any, as text.
    pub records: Records,
    /// How many rows the last of all returned or changed.
    pub rows: u64,
}

impl AdminSession {
    /// Connects and logs in, all within `deadline`. The server bounds each statement, and each wait for a lock, by `bound`; no server
    /// bounds a commit that waits for synchronous standbys.
    pub async fn connect(
        target: &Target,
        tls: &Connector,
        deadline: Duration,
        bound: Duration,
    ) -> Result<Self, Failure> {
        Self::connect_with(target, tls, deadline, bound, "-c search_path=pg_catalog").await
    }

    /// The same for statements in a person's words, who means the `search_path` of the role.
    pub async fn connect_for_person(
        target: &Target,
        tls: &Connector,
        deadline: Duration,
        bound: Duration,
    ) -> Result<Self, Failure> {
        Self::connect_with(target, tls, deadline, bound, "").await
    }

    async fn connect_with(
        target: &Target,
        tls: &Connector,
        deadline: Duration,
        bound: Duration,
        more: &str,
    ) -> Result<Self, Failure> {
        let millis = bound.as_millis().max(1);
        // Written out: a role or a database may have been given another default.
        let options = format!(
            "-c default_transaction_read_only=off -c statement_timeout={millis} -c lock_timeout={millis} {more}"
        );
        Ok(Self { link: Link::dial(target, tls, deadline, &options).await? })
    }

    /// The server's version.
    pub const fn version(&self) -> ServerVersion {
        self.link.version
    }

    /// Runs one statement whose columns are all text, with `parameters` for `$1::text` and so on. What is not done within `deadline`
    /// is cancelled.
    pub async fn statement(
        &mut self,
        sql: &str,
        parameters: &[&str],
        deadline: Duration,
    ) -> Result<Records, StatementError> {
        let parameters: Vec<_> = parameters.iter().map(|text| text as &(dyn ToSql + Sync)).collect();
        self.link.renew();
        let rows = within(&self.link, self.link.client.query(sql, &parameters), deadline).await?;
        let rows = match rows {
            Ok(rows) => rows,
            Err(error) => return Err(self.refusal(&error).await),
        };
        let columns = rows.first().map(Row::columns).unwrap_or_default();
        let columns = columns.iter().map(|column| column.name().to_owned()).collect();
        Ok(Records::new(columns, rows.iter().map(whole_row).collect()))
    }

    /// Runs statements without parameters: those that take none, and a person's own, whose columns may be of any type.
    pub async fn simple(&mut self, sql: &str, deadline: Duration) -> Result<Answered, StatementError> {
        self.link.renew();
        let messages = match within(&self.link, self.link.client.simple_query(sql), deadline).await? {
            Ok(messages) => messages,
            Err(error) => return Err(self.refusal(&error).await),
        };
        let (mut columns, mut cells, mut rows) = (Vec::new(), Vec::new(), 0);
        for message in &messages {
            match message {
                SimpleQueryMessage::RowDescription(described) => {
                    columns = described.iter().map(|column| column.name().to_owned()).collect();
                    cells.clear();
                }
                SimpleQueryMessage::Row(row) => {
                    cells.push((0..row.len()).map(|index| row.get(index).map(str::to_owned)).collect());
                }
                SimpleQueryMessage::CommandComplete(count) => rows = *count,
                _ => {}
            }
        }
        Ok(Answered { records: Records::new(columns.into(), cells), rows })
    }

    async fn refusal(&mut self, error: &tokio_postgres::Error) -> StatementError {
        let said = error.as_db_error().map(|said| (said.message().to_owned(), said.code().code().to_owned()));
        match (self.link.refusal(error).await, said) {
            (Ok(_), Some((message, sqlstate))) => StatementError::Refused { message, sqlstate },
            (Ok(sentence), None) => StatementError::Refused { message: sentence, sqlstate: String::new() },
            (Err(failure), _) => StatementError::Lost(failure),
        }
    }
}

/// What `asked` gives within `deadline`. Beyond it the server is told to stop: a backend that waits for a synchronous standby would
/// wait on after we are gone.
async fn within<T>(
    link: &Link,
    asked: impl Future<Output = Result<T, tokio_postgres::Error>>,
    deadline: Duration,
) -> Result<Result<T, tokio_postgres::Error>, StatementError> {
    let mut asked = std::pin::pin!(asked);
    if let Ok(answer) = timeout_at(Instant::now() + deadline, &mut asked).await {
        return Ok(answer);
    }
    link.cancel(CANCEL_WITHIN).await;
    // Its end tells nothing: a commit that no longer waits says that it is done.
    let _ = timeout(END_WITHIN, asked).await;
    Err(StatementError::Late(deadline))
}
