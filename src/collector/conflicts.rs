//! Collector `conflicts`: `pg_stat_database_conflicts`, what replay on a standby ended because it stood in its way.

use serde::Serialize;

use super::snapshot::{Exchange, Fact, NodeView, Snapshot};
use super::{CollectError, Pace};
use crate::metric::family::{Family, Kind, Observers, Unit};
use crate::metric::sample::Samples;
use crate::pg::records::{DecodeError, Record, Records};
use crate::pg::version::VersionedSql;

/// The sums of `pg_stat_database_conflicts` over all databases, since the statistics began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Conflicts {
    /// `pg_is_in_recovery()`: on a primary nothing conflicts with replay.
    pub in_recovery: bool,
    /// `confl_tablespace`.
    pub tablespace: u64,
    /// `confl_lock`.
    pub lock: u64,
    /// `confl_snapshot`.
    pub snapshot: u64,
    /// `confl_bufferpin`.
    pub bufferpin: u64,
    /// `confl_deadlock`.
    pub deadlock: u64,
    /// `confl_active_logicalslot` (16+).
    pub logical_slot: Option<u64>,
}

static SQL: VersionedSql =
    VersionedSql(&[(10, include_str!("sql/conflicts.10.sql")), (16, include_str!("sql/conflicts.16.sql"))]);

static CONFLICTS: Family = Family {
    name: "pgvigil_recovery_conflicts_total",
    help: "Queries of a standby that replay cancelled, by cause, in all databases; logical_slot (16 and newer): uses of logical slots. \
           13 and 14 forget them at each restart.",
    kind: Kind::Counter,
    unit: Unit::None,
    labels: &["cluster", "node", "cause"],
    observers: Observers::Max,
};

static FAMILIES: [&Family; 1] = [&CONFLICTS];

/// The collector.
#[derive(Debug)]
pub struct Collector;

impl super::Collector for Collector {
    fn name(&self) -> &'static str {
        "conflicts"
    }

    fn pace(&self) -> Pace {
        Pace::Slow
    }

    fn sql(&self) -> &'static VersionedSql {
        &SQL
    }

    fn source(&self) -> &'static str {
        "pg_stat_database_conflicts"
    }

    fn grant(&self) -> Option<&'static str> {
        None
    }

    fn families(&self) -> &'static [&'static Family] {
        &FAMILIES
    }

    fn store(&self, records: &Records, snapshot: &mut Snapshot, exchange: Exchange) -> Result<(), CollectError> {
        let value = decode(&records.single()?)?;
        snapshot.conflicts = Some(Fact { value, seen: exchange.received });
        Ok(())
    }

    fn samples(&self, view: &NodeView<'_>, samples: &mut Samples) {
        let conflicts = view.fresh(&view.snapshot.conflicts, Pace::Slow);
        // A promoted node keeps what it counted as a standby.
        let Some(conflicts) = conflicts.filter(|conflicts| conflicts.in_recovery) else { return };
        for (cause, count) in [
            ("tablespace", Some(conflicts.tablespace)),
            ("lock", Some(conflicts.lock)),
            ("snapshot", Some(conflicts.snapshot)),
            ("bufferpin", Some(conflicts.bufferpin)),
            ("deadlock", Some(conflicts.deadlock)),
            ("logical_slot", conflicts.logical_slot),
        ] {
            samples.known(&CONFLICTS, &[view.cluster, view.node, cause], count.map(|count| count as f64));
        }
    }
}

fn decode(row: &Record<'_>) -> Result<Conflicts, DecodeError> {
    Ok(Conflicts {
        in_recovery: row.need_boolean("in_recovery")?,
        tablespace: row.need_number("tablespace")?,
        lock: row.need_number("lock")?,
        snapshot: row.need_number("snapshot")?,
        bufferpin: row.need_number("bufferpin")?,
        deadlock: row.need_number("deadlock")?,
        logical_slot: row.number("logical_slot")?,
    })
}
