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
    /// `pid`: to see restarts, and nothing else.
    #[serde(skip)]
    pub pid: Option<i32>,
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

static MESSAGE_AGE_RATIO: Family = Family {
    name: "pgvigil_wal_receiver_message_age_ratio",
    help: "Time since the upstream last said anything, as a part of wal_receiver_timeout: 1 is where the walreceiver gives up, and a \
           healthy idle one stays below 0.6. Absent without a timeout.",
    kind: Kind::Gauge,
    unit: Unit::None,
    labels: &["cluster", "node"],
    observers: Observers::Min,
};

static SEND_TIME: Family = Family {
    name: "pgvigil_wal_receiver_last_message_send_timestamp_seconds",
    help: "When the upstream sent its last message, on the upstream's clock, since the Unix epoch.",
    kind: Kind::Gauge,
    unit: Unit::Seconds,
    labels: &["cluster", "node"],
    observers: Observers::Max,
};

static RECEIPT_TIME: Family = Family {
    name: "pgvigil_wal_receiver_last_message_receipt_timestamp_seconds",
    help: "When the walreceiver got the last message, on the standby's clock, since the Unix epoch.",
    kind: Kind::Gauge,
    unit: Unit::Seconds,
    labels: &["cluster", "node"],
    observers: Observers::Max,
};

static POSITION: Family = Family {
    name: "pgvigil_wal_receiver_position_bytes",
    help: "WAL positions of the walreceiver: written, flushed (13 and later), and latest_end, the upstream's end of WAL as it last \
           told it.",
    kind: Kind::Gauge,
    unit: Unit::Bytes,
    labels: &["cluster", "node", "stage"],
    observers: Observers::Max,
};

static LATEST_END_TIME: Family = Family {
    name: "pgvigil_wal_receiver_latest_end_timestamp_seconds",
    help: "When the upstream last told the walreceiver a new end of WAL, since the Unix epoch; it stands still while nothing is written.",
    kind: Kind::Gauge,
    unit: Unit::Seconds,
    labels: &["cluster", "node"],
    observers: Observers::Max,
};

static TIMELINE: Family = Family {
    name: "pgvigil_wal_receiver_timeline",
    help: "Timelines of the walreceiver: start, that it began to stream on, and received, that of the WAL that it last received.",
    kind: Kind::Gauge,
    unit: Unit::None,
    labels: &["cluster", "node", "stage"],
    observers: Observers::Max,
};

static SLOT_INFO: Family = Family {
    name: "pgvigil_wal_receiver_slot_info",
    help: "1 for the slot of its upstream that the walreceiver streams from; absent where it uses none, or a temporary one.",
    kind: Kind::Gauge,
    unit: Unit::None,
    labels: &["cluster", "node", "slot"],
    observers: Observers::Max,
};

static FAMILIES: [&Family; 10] = [
    &UP,
    &STATE,
    &MESSAGE_AGE,
    &MESSAGE_AGE_RATIO,
    &SEND_TIME,
    &RECEIPT_TIME,
    &POSITION,
    &LATEST_END_TIME,
    &TIMELINE,
    &SLOT_INFO,
];

/// How a server names the slot of a walreceiver that makes its own (`wal_receiver_create_temp_slot`); its pid follows.
const PASSING_SLOT: &str = "pg_walreceiver_";

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
        let timeout = view.fresh(&view.snapshot.settings, Pace::Slow).map(|settings| settings.wal_receiver_timeout);
        let timeout = timeout.filter(|timeout| *timeout > 0.0);
        samples.known(&MESSAGE_AGE_RATIO, &labels, age.zip(timeout).map(|(age, timeout)| age / timeout));
        for (family, time) in [
            (&SEND_TIME, receiver.last_msg_send_time),
            (&RECEIPT_TIME, receiver.last_msg_receipt_time),
            (&LATEST_END_TIME, receiver.latest_end_time),
        ] {
            samples.known(family, &labels, time.map(Wall::as_seconds));
        }
        let [cluster, node] = labels;
        for (stage, lsn) in [
            ("written", receiver.written_lsn),
            ("flushed", receiver.flushed_lsn),
            ("latest_end", receiver.latest_end_lsn),
        ] {
            samples.known(&POSITION, &[cluster, node, stage], lsn.map(Lsn::as_f64));
        }
        for (stage, timeline) in [("start", receiver.receive_start_tli), ("received", receiver.received_tli)] {
            samples.known(&TIMELINE, &[cluster, node, stage], timeline.map(|timeline| f64::from(timeline.0)));
        }
        if let Some(slot) = receiver.slot_name.as_deref().filter(|slot| !slot.starts_with(PASSING_SLOT)) {
            samples.flag(&SLOT_INFO, &[cluster, node, slot], true);
        }
    }
}

fn decode(row: &Record<'_>) -> Result<WalReceiver, CollectError> {
    let status = row.text("status")?.ok_or(CollectError::MissingGrant("pg_monitor"))?;
    Ok(WalReceiver {
        pid: row.number("pid")?,
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
