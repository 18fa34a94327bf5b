//! Gives a running standby another `primary_conninfo` so that its password reaches no log of the server.
//!
//! There are two ways into the log. The session that writes it may be logged: statement logging, durations, samples, errors, and the
//! extensions that keep statements (`pg_stat_statements`, `pgaudit`, `auto_explain`) are turned off for it, and `track_activities`,
//! since `pg_stat_activity` shows statements too. And the postmaster logs each parameter that a reload changes, with its value: the
//! level of its log is raised above that for the reload, and put back. In that moment the server's own log has nothing below FATAL.
//! Both take a superuser. Without a password in `primary_conninfo`, as with a `passfile`, none of it is needed or done. An extension
//! that keeps statements by another setting is not known here.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::node::left;
use crate::pg::admin::{AdminSession, StatementError};
use crate::pg::repointing::PrimaryConninfo;

/// For one statement.
const ONE: Duration = Duration::from_secs(2);
/// Between two looks whether a reload has come through.
const ASK_EACH: Duration = Duration::from_millis(20);
/// A level above that at which a changed parameter is logged.
const QUIET_LEVELS: [&str; 2] = ["fatal", "panic"];

/// What a session is told so that nothing of it is kept. Those that the server does not have are left out.
const QUIET: &str = "SELECT count(set_config(s.name, v.value, false))::text AS set
  FROM (VALUES ('log_statement', 'none'), ('log_duration', 'off'), ('log_min_duration_statement', '-1'),
               ('log_min_duration_sample', '-1'), ('log_transaction_sample_rate', '0'), ('log_min_error_statement', 'panic'),
               ('log_parameter_max_length', '0'), ('log_parameter_max_length_on_error', '0'),
               ('debug_print_parse', 'off'), ('debug_print_rewritten', 'off'), ('debug_print_plan', 'off'),
               ('debug_print_raw_parse', 'off'), ('track_activities', 'off'), ('pg_stat_statements.track_utility', 'off'),
               ('pg_stat_statements.track', 'none'), ('pgaudit.log', 'none'), ('auto_explain.log_min_duration', '-1')
       ) AS v(name, value)
  JOIN pg_settings s USING (name)";

/// Why a standby has no other `primary_conninfo`.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum WriteError {
    /// Nothing was changed, since a password could have reached the log.
    #[error(
        "its primary_conninfo has a password, which could not be kept out of its log, so that nothing was changed: {0}; \
         use a superuser, or a passfile in the place of the password"
    )]
    Loud(String),
    /// The server refused, or did not answer.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// It was written, and the server goes on with another.
    #[error(
        "it was written by ALTER SYSTEM, and after a reload the server has another: is it set on the command line?"
    )]
    Ignored,
}

/// Writes and reloads. The second value: what is left to be put right by a person.
pub(super) async fn write(
    session: &mut AdminSession,
    conninfo: &PrimaryConninfo,
    end: Instant,
) -> (Result<(), WriteError>, Option<String>) {
    let quiet = session.statement(QUIET, &[], left(end).min(ONE)).await;
    if !conninfo.has_secret() {
        return (alter(session, conninfo, end).await, None);
    }
    if let Err(error) = quiet {
        return (Err(WriteError::Loud(error.to_string())), None);
    }
    let level = match Level::read(session).await {
        Ok(level) => level,
        Err(error) => return (Err(error), None),
    };
    if QUIET_LEVELS.contains(&level.now.as_str()) {
        return (alter(session, conninfo, end).await, None);
    }
    let written = match raise(session, end).await {
        Ok(()) => alter(session, conninfo, end).await,
        Err(error) => Err(error),
    };
    let left = match level.put_back(session).await {
        Ok(()) => None,
        Err(error) => Some(format!(
            "log_min_messages is fatal in its postgresql.auto.conf and must be put back to {}: {error}",
            level.now
        )),
    };
    (written, left)
}

async fn alter(session: &mut AdminSession, conninfo: &PrimaryConninfo, end: Instant) -> Result<(), WriteError> {
    let text = conninfo.reveal();
    set(session, "primary_conninfo", &text).await?;
    match until(session, end, "SELECT (current_setting('primary_conninfo') = $1::text)::text AS so", &[&text]).await? {
        true => Ok(()),
        false => Err(WriteError::Ignored),
    }
}

/// The level of the server's log.
struct Level {
    now: String,
    /// What ALTER SYSTEM had set before.
    altered: Option<String>,
}

impl Level {
    async fn read(session: &mut AdminSession) -> Result<Self, WriteError> {
        let sql = "SELECT current_setting('log_min_messages') AS now,
                          (SELECT setting FROM pg_file_settings
                            WHERE name = 'log_min_messages' AND sourcefile LIKE '%postgresql.auto.conf'
                            ORDER BY seqno DESC LIMIT 1)::text AS altered";
        let loud = |error: String| WriteError::Loud(error);
        let records = session.statement(sql, &[], ONE).await.map_err(|error| loud(error.to_string()))?;
        let row = records.single().map_err(|error| loud(error.to_string()))?;
        let altered = row.text("altered").map_err(|error| loud(error.to_string()))?.map(str::to_owned);
        Ok(Self { now: row.need_text("now").map_err(|error| loud(error.to_string()))?.to_owned(), altered })
    }

    async fn put_back(&self, session: &mut AdminSession) -> Result<(), StatementError> {
        match &self.altered {
            Some(altered) => set(session, "log_min_messages", altered).await?,
            None => drop(session.simple("ALTER SYSTEM RESET log_min_messages", ONE).await?),
        }
        session.statement("SELECT pg_reload_conf()::text", &[], ONE).await.map(drop)
    }
}

/// Raises the level of the server's log, and waits until it is so: our session hears of a reload after the postmaster.
async fn raise(session: &mut AdminSession, end: Instant) -> Result<(), WriteError> {
    let loud = |error: StatementError| WriteError::Loud(error.to_string());
    set(session, "log_min_messages", QUIET_LEVELS[0]).await.map_err(loud)?;
    let sql = "SELECT (setting = $1::text AND source = 'configuration file')::text AS so FROM pg_settings
                WHERE name = 'log_min_messages'";
    match until(session, end, sql, &QUIET_LEVELS[..1]).await.map_err(loud)? {
        true => Ok(()),
        false => Err(WriteError::Loud(
            "log_min_messages cannot be changed by ALTER SYSTEM: is it set on the command line, for the role or the database?".to_owned(),
        )),
    }
}

/// ALTER SYSTEM takes no parameters: the server itself quotes the value.
async fn set(session: &mut AdminSession, name: &str, value: &str) -> Result<(), StatementError> {
    let sql = "SELECT 'ALTER SYSTEM SET ' || quote_ident($1::text) || ' = ' || quote_literal($2::text) AS statement";
    let records = session.statement(sql, &[name, value], ONE).await?;
    let statement = records.single().and_then(|row| row.need_text("statement").map(str::to_owned));
    let unreadable = |error: crate::pg::records::DecodeError| StatementError::Refused {
        message: error.to_string(),
        sqlstate: String::new(),
    };
    session.simple(&statement.map_err(unreadable)?, ONE).await.map(drop)
}

/// Reloads, and asks `sql` (column `so`) until it is so; `false`: it was not by then.
async fn until(
    session: &mut AdminSession,
    end: Instant,
    sql: &str,
    parameters: &[&str],
) -> Result<bool, StatementError> {
    session.statement("SELECT pg_reload_conf()::text", &[], ONE).await?;
    loop {
        let records = session.statement(sql, parameters, ONE).await?;
        if records.single().and_then(|row| row.need_boolean("so")) == Ok(true) {
            return Ok(true);
        }
        if left(end).is_zero() {
            return Ok(false);
        }
        sleep(ASK_EACH).await;
    }
}
