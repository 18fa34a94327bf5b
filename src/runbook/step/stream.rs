//! Whether a standby streams from a given primary, by the word of both: its walreceiver, and the primary's walsender for it.

use std::time::Duration;

use tokio::time::Instant;

use super::node::{Node, left};
use super::server;
use crate::pg::admin::AdminSession;
use crate::pg::failure::Failure;
use crate::pg::lsn::{Lsn, Timeline};
use crate::pg::repointing::PrimaryConninfo;
use crate::runbook::evidence::Server;

/// No question takes longer.
const ONE: Duration = Duration::from_secs(2);

/// The server that standbys are to follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Where other servers reach it.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The timeline that it writes.
    pub timeline: Timeline,
    /// Where that left the one before, if it is known.
    pub fork: Option<Lsn>,
}

/// What a standby is told to follow.
pub(super) struct Following {
    /// Its `primary_conninfo`.
    pub(super) conninfo: PrimaryConninfo,
    /// Its `primary_slot_name`; empty if it has none.
    pub(super) slot: String,
}

/// How a standby stands to its upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    /// It streams.
    Streams,
    /// It does not, and why.
    Not(String),
    /// It has replayed what the upstream's timeline does not have.
    Beyond(String),
}

/// What the standby of `session` is told to follow.
pub(super) async fn following(session: &mut AdminSession, end: Instant) -> Result<Following, String> {
    let sql = "SELECT current_setting('primary_conninfo') AS conninfo, current_setting('primary_slot_name') AS slot";
    let records = session.statement(sql, &[], left(end).min(ONE)).await.map_err(|error| error.to_string())?;
    let row = records.single().map_err(|error| error.to_string())?;
    let conninfo = row.need_text("conninfo").map_err(|error| error.to_string())?;
    let slot = row.need_text("slot").map_err(|error| error.to_string())?.to_owned();
    let conninfo = PrimaryConninfo::parse(conninfo).map_err(|error| format!("its primary_conninfo: {error}"))?;
    Ok(Following { conninfo, slot })
}

/// How the standby of `session` stands to `to`, by its own word and by that of the primary's session.
pub(super) async fn stands(
    session: &mut AdminSession,
    primary: &mut AdminSession,
    standby: &Node,
    following: &Following,
    to: &Upstream,
    end: Instant,
) -> Result<Stream, Failure> {
    let server = server::read(session, end.min(Instant::now() + ONE)).await?;
    if let Some(why) = own_word(&server, to) {
        return Ok(why);
    }
    let sql = "SELECT count(*)::text AS walsenders
                 FROM pg_stat_replication s LEFT JOIN pg_replication_slots k ON k.active_pid = s.pid
                WHERE s.state = 'streaming' AND (k.slot_name = $1::text OR s.application_name IN ($2::text, $3::text))";
    let name = following.conninfo.option("application_name").unwrap_or(&standby.member.application_name);
    let names = [following.slot.as_str(), name, standby.member.application_name.as_str()];
    let records = primary.statement(sql, &names, left(end).min(ONE)).await;
    let walsenders: Option<u64> = records.ok().and_then(|records| records.single().ok()?.number("walsenders").ok()?);
    Ok(match walsenders {
        Some(1..) => Stream::Streams,
        Some(0) => Stream::Not("the new primary shows no walsender for it".to_owned()),
        None => Stream::Not("the new primary does not say whether it has a walsender for it".to_owned()),
    })
}

/// What speaks against a stream by the standby's own word.
fn own_word(server: &Server, to: &Upstream) -> Option<Stream> {
    if !server.in_recovery {
        return Some(Stream::Not(format!("it is no standby: it writes timeline {}", server.timeline)));
    }
    let Some(receiver) = server.receiver.as_ref().filter(|receiver| receiver.streams) else {
        let beyond = server.replayed.zip(to.fork).filter(|(replayed, fork)| replayed > fork);
        return Some(match beyond {
            Some((replayed, fork)) if server.timeline < to.timeline => Stream::Beyond(format!(
                "it replayed timeline {} to {replayed}, beyond {fork}, where timeline {} begins",
                server.timeline, to.timeline
            )),
            _ => Stream::Not("its walreceiver does not stream".to_owned()),
        });
    };
    match &receiver.sender {
        Some((host, port)) if (host, *port) == (&to.host, to.port) && server.timeline >= to.timeline => None,
        Some((host, port)) if (host, *port) == (&to.host, to.port) => {
            Some(Stream::Not(format!("it streams timeline {} still", server.timeline)))
        }
        Some((host, port)) => Some(Stream::Not(format!("it streams from {host}:{port}"))),
        None => Some(Stream::Not("it does not say from where it streams".to_owned())),
    }
}
