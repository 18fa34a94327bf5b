//! Collector `control`: the control file. Which cluster this is, and its last checkpoint or restartpoint.

use serde::Serialize;

use super::snapshot::{Exchange, Fact, NodeView, Snapshot};
use super::{CollectError, Pace};
use crate::clock::Wall;
use crate::metric::family::{Family, Kind, Observers, Unit};
use crate::metric::sample::Samples;
use crate::pg::lsn::{Lsn, Timeline};
use crate::pg::records::{DecodeError, Record, Records};
use crate::pg::version::VersionedSql;

/// `pg_control_system()`, `pg_control_checkpoint()` and `pg_control_recovery()`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Control {
    /// `system_identifier`: the same for all nodes of one cluster.
    pub system_identifier: String,
    /// `pg_control_checkpoint().timeline_id`: stale after a promotion until its checkpoint ends.
    pub checkpoint_timeline: Timeline,
    /// `pg_control_recovery().min_recovery_end_timeline`; `None` on a primary.
    pub min_recovery_end_timeline: Option<Timeline>,
    /// `pg_control_recovery().min_recovery_end_lsn`: what a standby must replay at least, because it wrote pages of that time; `None`
    /// on a primary.
    pub min_recovery_end_lsn: Option<Lsn>,
    /// `pg_control_checkpoint().redo_lsn`.
    pub redo_lsn: Option<Lsn>,
    /// `pg_control_checkpoint().checkpoint_time`.
    pub checkpoint_time: Option<Wall>,
}

static SQL: VersionedSql = VersionedSql(&[(10, include_str!("sql/control.10.sql"))]);

static INFO: Family = Family {
    name: "pgvigil_node_info",
    help: "Version of the server and identifier of its cluster, always 1; nodes of one cluster share the identifier.",
    kind: Kind::Gauge,
    unit: Unit::None,
    labels: &["cluster", "node", "version", "system_identifier"],
    observers: Observers::Max,
};

static CHECKPOINT: Family = Family {
    name: "pgvigil_node_checkpoint_timestamp_seconds",
    help: "When the last checkpoint was made (on a standby: the one that the last restartpoint stands for), since the Unix epoch.",
    kind: Kind::Gauge,
    unit: Unit::Seconds,
    labels: &["cluster", "node"],
    observers: Observers::Max,
};

static REDO: Family = Family {
    name: "pgvigil_checkpoint_redo_position_bytes",
    help: "WAL position from which the server would replay after a crash: where its last checkpoint or restartpoint began.",
    kind: Kind::Gauge,
    unit: Unit::Bytes,
    labels: &["cluster", "node"],
    observers: Observers::Max,
};

static SINCE_CHECKPOINT: Family = Family {
    name: "pgvigil_wal_since_checkpoint_bytes",
    help: "WAL from where the last checkpoint or restartpoint began to what a primary has flushed or a standby replayed: what the server \
           would replay after a crash.",
    kind: Kind::Gauge,
    unit: Unit::Bytes,
    labels: &["cluster", "node"],
    observers: Observers::Max,
};

static RECOVERY_END: Family = Family {
    name: "pgvigil_recovery_end_position_bytes",
    help: "WAL position that a standby must replay at least before its data are whole: after a crash it refuses queries until then. \
           Absent on a primary.",
    kind: Kind::Gauge,
    unit: Unit::Bytes,
    labels: &["cluster", "node"],
    observers: Observers::Max,
};

static RECOVERY_END_TIMELINE: Family = Family {
    name: "pgvigil_recovery_end_timeline",
    help: "Timeline of recovery_end_position_bytes; on a standby that followed a promotion it is the old one for a while.",
    kind: Kind::Gauge,
    unit: Unit::None,
    labels: &["cluster", "node"],
    observers: Observers::Max,
};

static FAMILIES: [&Family; 6] = [&INFO, &CHECKPOINT, &REDO, &SINCE_CHECKPOINT, &RECOVERY_END, &RECOVERY_END_TIMELINE];

/// The collector.
#[derive(Debug)]
pub struct Collector;

impl super::Collector for Collector {
    fn name(&self) -> &'static str {
        "control"
    }

    fn pace(&self) -> Pace {
        Pace::Slow
    }

    fn sql(&self) -> &'static VersionedSql {
        &SQL
    }

    fn source(&self) -> &'static str {
        "pg_control_system(), pg_control_checkpoint(), pg_control_recovery()"
    }

    fn grant(&self) -> Option<&'static str> {
        None
    }

    fn families(&self) -> &'static [&'static Family] {
        &FAMILIES
    }

    fn store(&self, records: &Records, snapshot: &mut Snapshot, exchange: Exchange) -> Result<(), CollectError> {
        let value = decode(&records.single()?)?;
        snapshot.control = Some(Fact { value, seen: exchange.received });
        Ok(())
    }

    fn samples(&self, view: &NodeView<'_>, samples: &mut Samples) {
        let Some(control) = view.fresh(&view.snapshot.control, Pace::Slow) else { return };
        let [cluster, node] = view.labels();
        if let Some(version) = view.snapshot.version {
            samples.number(&INFO, &[cluster, node, &version.to_string(), &control.system_identifier], 1.0);
        }
        let labels = [cluster, node];
        samples.known(&CHECKPOINT, &labels, control.checkpoint_time.map(|time| time.as_seconds()));
        samples.known(&REDO, &labels, control.redo_lsn.map(Lsn::as_f64));
        let Some(recovery) = view.fresh(&view.snapshot.recovery, Pace::Fast) else { return };
        let done = if recovery.in_recovery { recovery.replay_lsn } else { recovery.flush_lsn };
        let since = done.zip(control.redo_lsn).map(|(done, redo)| done.bytes_since(redo) as f64);
        samples.known(&SINCE_CHECKPOINT, &labels, since);
        // A promoted node keeps them until its first checkpoint.
        if recovery.in_recovery {
            samples.known(&RECOVERY_END, &labels, control.min_recovery_end_lsn.map(Lsn::as_f64));
            let timeline = control.min_recovery_end_timeline.map(|timeline| f64::from(timeline.0));
            samples.known(&RECOVERY_END_TIMELINE, &labels, timeline);
        }
    }
}

fn decode(row: &Record<'_>) -> Result<Control, DecodeError> {
    Ok(Control {
        system_identifier: row.need_text("system_identifier")?.to_owned(),
        checkpoint_timeline: Timeline(row.need_number("checkpoint_timeline")?),
        min_recovery_end_timeline: row.number("min_recovery_end_timeline")?.map(Timeline),
        min_recovery_end_lsn: row.lsn("min_recovery_end_lsn")?,
        redo_lsn: row.lsn("redo_lsn")?,
        checkpoint_time: row.epoch("checkpoint_time")?,
    })
}
