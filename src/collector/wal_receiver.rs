//! Collector `wal_receiver`: `pg_stat_wal_receiver`, the process that streams WAL to a standby. No row means that there is none.

use serde::Serialize;

use super::snapshot::{Exchange, Fact, NodeView, Snapshot};
use super::{CollectError, Pace};
use crate::clock::Wall;
use crate::metric::family::{Family, Kind, Observers, Unit};
use crate::metric::sample::Samples;
use crate::pg::lsn::{Lsn, Timeline};
use crate::pg::records::{DecodeError, Record, Records};
use crate::pg::version::VersionedSql;

/// The row of `pg_stat_wal_receiver`. `conninfo` is never read: it may hold a password.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WalReceiver {
    /// `status`: stopped, starting, streaming, waiting, restarting, stopping (and connecting where a server has it).
    pub status: String,
    /// `receive_start_lsn`.
    pub receive_start_lsn: Option<Lsn>,
    /// `receive_start_tli`.
    pub receive_start_tli: Option<Timeline>,
    /// `written_lsn`; `received_lsn` before 13.
    pub written_lsn: Option<Lsn>,
    /// `flushed_lsn` (13+).
    pub flushed_lsn: Option<Lsn>,
    /// `received_tli`.
    pub received_tli: Option<Timeline>,
    /// `last_msg_send_time`, on the upstream's clock.
    pub last_msg_send_time: Option<Wall>,
    /// `last_msg_receipt_time`, on this server's clock.
    pub last_msg_receipt_time: Option<Wall>,
    /// `latest_end_lsn`: the upstream's last position as it told the standby.
    pub latest_end_lsn: Option<Lsn>,
    /// `latest_end_time`.
    pub latest_end_time: Option<Wall>,
    /// `slot_name`.
    pub slot_name: Option<String>,
    /// `sender_host` (11+).
    pub sender_host: Option<String>,
    /// `sender_port` (11+).
    pub sender_port: Option<u16>,
}

static SQL: VersionedSql = VersionedSql(&[
    (10, include_str!("sql/wal_receiver.10.sql")),
    (11, include_str!("sql/wal_receiver.11.sql")),
    (13, include_str!("sql/wal_receiver.13.sql")),
]);

static UP: Family = Family {
    name: "pgvigil_wal_receiver_up",
    help: "1 if a standby's walreceiver streams, 0 if there is none or it does anything else; absent on a primary.",
    kind: Kind::Gauge,
    unit: Unit::None,
    labels: &["cluster", "node"],
    observers: Observers::Max,
};

static STATE: Family = Family {
    name: "pgvigil_wal_receiver_state",
    help: "State of a standby's walreceiver, 1 for the present one; none: no process, waiting for more than seconds: diverged; \
           absent on a primary.",
    kind: Kind::Gauge,
    unit: Unit::None,
    labels: &["cluster", "node", "state"],
    observers: Observers::Max,
};

static MESSAGE_AGE: Family = Family {
    name: "pgvigil_wal_receiver_last_message_age_seconds",
    help: "Time since the upstream last said anything to the walreceiver, all on the standby's clock; up to 30 s when idle.",
    kind: Kind::Gauge,
    unit: Unit::Seconds,
    labels: &["cluster", "node"],
    observers: Observers::Min,
};

static FAMILIES: [&Family; 3] = [&UP, &STATE, &MESSAGE_AGE];

const STATES: &[&str] =
    &["none", "stopped", "starting", "connecting", "streaming", "waiting", "restarting", "stopping", "unknown"];

/// The collector.
#[derive(Debug)]
pub struct Collector;

impl super::Collector for Collector {
    fn name(&self) -> &'static str {
        "wal_receiver"
    }

    fn pace(&self) -> Pace {
        Pace::Fast
    }

    fn sql(&self) -> &'static VersionedSql {
        &SQL
    }

    fn source(&self) -> &'static str {
        "pg_stat_wal_receiver"
    }

    fn grant(&self) -> Option<&'static str> {
        Some("pg_monitor")
    }

    fn families(&self) -> &'static [&'static Family] {
        &FAMILIES
    }

    fn store(&self, records: &Records, snapshot: &mut Snapshot, exchange: Exchange) -> Result<(), CollectError> {
        let value = if records.rows().is_empty() { None } else { Some(decode(&records.single()?)?) };
        snapshot.wal_receiver = Some(Fact { value, seen: exchange.received });
        Ok(())
    }

    fn samples(&self, view: &NodeView<'_>, samples: &mut Samples) {
        let labels = view.labels();
        let recovery = view.fresh(&view.snapshot.recovery, Pace::Fast);
        if recovery.is_some_and(|recovery| !recovery.in_recovery) {
            return;
        }
        let receiver = view.fresh(&view.snapshot.wal_receiver, Pace::Fast);
        let state = match receiver.filter(|_| recovery.is_some()) {
            None => "unknown",
            Some(None) => "none",
            Some(Some(receiver)) => STATES.iter().find(|state| **state == receiver.status).unwrap_or(&"unknown"),
        };
        samples.states(&STATE, &labels, STATES, state);
        let (Some(recovery), Some(receiver)) = (recovery, receiver) else { return };
        samples.flag(&UP, &labels, state == "streaming");
        let Some(receiver) = receiver else { return };
        let age = receiver.last_msg_receipt_time.map(|receipt| {
            let since_reading = view.snapshot.recovery.as_ref().map_or(0.0, |fact| view.age(fact).as_secs_f64());
            recovery.server_time.seconds_since(receipt).max(0.0) + since_reading
        });
        samples.known(&MESSAGE_AGE, &labels, age);
    }
}

fn decode(row: &Record<'_>) -> Result<WalReceiver, CollectError> {
    let status = row.text("status")?.ok_or(CollectError::MissingGrant("pg_monitor"))?;
    Ok(WalReceiver {
        status: status.to_owned(),
        receive_start_lsn: row.lsn("receive_start_lsn")?,
        receive_start_tli: timeline(row, "receive_start_tli")?,
        written_lsn: row.lsn("written_lsn")?,
        flushed_lsn: row.lsn("flushed_lsn")?,
        received_tli: timeline(row, "received_tli")?,
        last_msg_send_time: row.epoch("last_msg_send_time")?,
        last_msg_receipt_time: row.epoch("last_msg_receipt_time")?,
        latest_end_lsn: row.lsn("latest_end_lsn")?,
        latest_end_time: row.epoch("latest_end_time")?,
        slot_name: row.text("slot_name")?.map(str::to_owned),
        sender_host: row.text("sender_host")?.map(str::to_owned),
        sender_port: row.number("sender_port")?,
    })
}

/// Timelines count from 1; 0 stands for none.
fn timeline(row: &Record<'_>, column: &str) -> Result<Option<Timeline>, DecodeError> {
    Ok(row.number(column)?.filter(|number| *number > 0).map(Timeline))
}
