//! What a server says of itself in one statement over a new connection.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::node::{Node, left};
use crate::pg::admin::{AdminSession, StatementError};
use crate::pg::failure::{Cause, Failure};
use crate::pg::lsn::{Lsn, Timeline};
use crate::pg::records::{DecodeError, Record, Records};
use crate::pg::version::ServerVersion;
use crate::runbook::evidence::{Receiver, Server};
use crate::runbook::manager::detect;

const SQL: &str = include_str!("sql/server.13.sql");

/// Asks `node` over a new connection; the answer is there within `deadline`, or why there is none.
pub(super) async fn ask(node: &Node, deadline: Duration) -> Result<Server, Failure> {
    let end = Instant::now() + deadline;
    let mut session = node.open(end).await?;
    let mut server = match read(&mut session, end).await {
        // A promotion came between two columns; it does not come twice.
        Err(failure) if failure.cause == Cause::Query => read(&mut session, end).await?,
        answer => answer?,
    };
    server.manager = detect::detect(&rows(&mut session, detect::SQL, end).await?).map_err(undecodable)?;
    Ok(server)
}

/// The same over an open session, but for the traces of a cluster manager.
pub(super) async fn read(session: &mut AdminSession, end: Instant) -> Result<Server, Failure> {
    let version = session.version();
    decode(&rows(session, SQL, end).await?, version).map_err(undecodable)
}

async fn rows(session: &mut AdminSession, sql: &str, end: Instant) -> Result<Records, Failure> {
    let deadline = left(end);
    // Given up before the session would cancel it: the server's own bound ends it, and nobody waits for that.
    match timeout_at(end, session.statement(sql, &[], deadline + Duration::from_secs(1))).await {
        Ok(Ok(records)) => Ok(records),
        Ok(Err(StatementError::Lost(failure))) => Err(failure),
        Ok(Err(refused)) => Err(Failure::new(Cause::Query, &refused.to_string())),
        Err(_) => Err(Failure::new(Cause::Timeout, &format!("no answer to a statement within {deadline:?}"))),
    }
}

fn undecodable(error: DecodeError) -> Failure {
    Failure::new(Cause::Query, &error.to_string())
}

fn decode(records: &Records, version: ServerVersion) -> Result<Server, DecodeError> {
    let row = records.single()?;
    let in_recovery = row.need_boolean("in_recovery")?;
    let (receive, replay) = (row.lsn("receive_lsn")?, row.lsn("replay_lsn")?);
    let receiver = receiver(&row)?;
    let received = row.number("received_tli")?.filter(|_| receiver.is_some());
    let (timeline, position) = match in_recovery {
        false => (hexadecimal(row.need_text("written_timeline")?)?, need(row.lsn("flush_lsn")?, "flush_lsn")?),
        true => {
            let control: u32 = row.need_number("control_timeline")?;
            // A standby that has neither received nor replayed is at the very beginning.
            (Timeline(received.unwrap_or(control)), receive.max(replay).unwrap_or(Lsn(0)))
        }
    };
    Ok(Server {
        version,
        system_identifier: row.need_number("system_identifier")?,
        timeline,
        in_recovery,
        position,
        replayed: replay.filter(|_| in_recovery),
        receiver,
        replay_paused: in_recovery && row.need_boolean("replay_paused")?,
        apply_delay: Duration::from_millis(row.need_number("apply_delay")?),
        synchronous_standby_names: row.need_text("synchronous_standby_names")?.to_owned(),
        manager: None,
    })
}

/// A role that may not see the receiver's state sees that there is one: that is an error, and no receiver at rest.
fn receiver(row: &Record<'_>) -> Result<Option<Receiver>, DecodeError> {
    if !row.need_boolean("has_receiver")? {
        return Ok(None);
    }
    let silent: Option<f64> = row.number("silent")?;
    let timeout: u64 = row.need_number("receiver_timeout")?;
    let host = row.text("sender_host")?;
    let port: Option<u16> = row.text("sender_port")?.and_then(|port| port.parse().ok());
    Ok(Some(Receiver {
        streams: row.need_text("receiver_status")? == "streaming",
        silent: silent.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO)),
        timeout: (timeout > 0).then(|| Duration::from_millis(timeout)),
        sender: host.map(str::to_owned).zip(port),
    }))
}

fn need<T>(cell: Option<T>, column: &str) -> Result<T, DecodeError> {
    cell.ok_or_else(|| DecodeError::Null(column.to_owned()))
}

/// The timeline at the head of a WAL file's name.
fn hexadecimal(digits: &str) -> Result<Timeline, DecodeError> {
    let wrong =
        |_| DecodeError::Type { column: "written_timeline".to_owned(), expected: "the head of a WAL file's name" };
    u32::from_str_radix(digits, 16).map(Timeline).map_err(wrong)
}
