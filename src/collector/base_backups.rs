//! Collector `base_backups`: `pg_stat_progress_basebackup`, one row for each base backup that this node sends at the moment.

use serde::Serialize;

use super::snapshot::{Exchange, Fact, NodeView, Snapshot};
use super::{CollectError, Pace};
use crate::metric::family::{Family, Kind, Observers, Unit};
use crate::metric::sample::Samples;
use crate::pg::records::{Record, Records};
use crate::pg::version::VersionedSql;

/// One row of `pg_stat_progress_basebackup`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BaseBackup {
    /// `phase`.
    pub phase: String,
    /// `backup_total` in bytes, an estimate made once; `None` before it is made and where the client wants none.
    pub backup_total: Option<u64>,
    /// `backup_streamed` in bytes; it may exceed the estimate in the end.
    pub backup_streamed: Option<u64>,
    /// `tablespaces_total`.
    pub tablespaces_total: Option<u64>,
    /// `tablespaces_streamed`.
    pub tablespaces_streamed: Option<u64>,
}

/// There is no such view before 13.
static SQL: VersionedSql = VersionedSql(&[(13, include_str!("sql/base_backups.13.sql"))]);

const fn gauge(name: &'static str, unit: Unit, labels: &'static [&'static str], help: &'static str) -> Family {
    Family { name, help, kind: Kind::Gauge, unit, labels, observers: Observers::Max }
}

const NODE: &[&str] = &["cluster", "node"];

static COUNT: Family = gauge(
    "pgvigil_base_backups",
    Unit::None,
    NODE,
    "Base backups that this node sends at the moment; the series of their progress are absent while there is none.",
);

static PHASE: Family = gauge(
    "pgvigil_base_backup_phase",
    Unit::None,
    &["cluster", "node", "state"],
    "Phase of the base backup in progress, 1 for the present one; of several, the one that has come least far.",
);

static STREAMED: Family = gauge(
    "pgvigil_base_backup_streamed_bytes",
    Unit::Bytes,
    NODE,
    "Sent of all base backups in progress so far; it may exceed the estimate in the end.",
);

static ESTIMATED: Family = gauge(
    "pgvigil_base_backup_estimated_bytes",
    Unit::Bytes,
    NODE,
    "What all base backups in progress will send, as estimated when they began; absent while one has no estimate.",
);

static TABLESPACES: Family = gauge(
    "pgvigil_base_backup_tablespaces",
    Unit::None,
    &["cluster", "node", "stage"],
    "Tablespaces of all base backups in progress: streamed so far, and the total, absent until a backup knows it.",
);

static FAMILIES: [&Family; 5] = [&COUNT, &PHASE, &STREAMED, &ESTIMATED, &TABLESPACES];

/// The server's words for the phases, in their order, and ours.
const PHASES: [(&str, &str); 6] = [
    ("initializing", "initializing"),
    ("waiting for checkpoint to finish", "waiting_for_checkpoint"),
    ("estimating backup size", "estimating_size"),
    ("streaming database files", "streaming_files"),
    ("waiting for wal archiving to finish", "waiting_for_archiving"),
    ("transferring wal files", "transferring_wal"),
];

/// The states, least advanced first. `unknown` stands for a word that no known server says.
const STATES: &[&str] = &[
    "unknown",
    "initializing",
    "waiting_for_checkpoint",
    "estimating_size",
    "streaming_files",
    "waiting_for_archiving",
    "transferring_wal",
];

/// The collector.
#[derive(Debug)]
pub struct Collector;

impl super::Collector for Collector {
    fn name(&self) -> &'static str {
        "base_backups"
    }

    fn pace(&self) -> Pace {
        Pace::Slow
    }

    fn sql(&self) -> &'static VersionedSql {
        &SQL
    }

    fn source(&self) -> &'static str {
        "pg_stat_progress_basebackup"
    }

    fn grant(&self) -> Option<&'static str> {
        Some("pg_monitor")
    }

    fn families(&self) -> &'static [&'static Family] {
        &FAMILIES
    }

    fn store(&self, records: &Records, snapshot: &mut Snapshot, exchange: Exchange) -> Result<(), CollectError> {
        let value = records.iter().map(|row| decode(&row)).collect::<Result<_, _>>()?;
        snapshot.base_backups = Some(Fact { value, seen: exchange.received });
        Ok(())
    }

    fn samples(&self, view: &NodeView<'_>, samples: &mut Samples) {
        let Some(backups) = view.fresh(&view.snapshot.base_backups, Pace::Slow) else { return };
        let [cluster, node] = view.labels();
        let labels = [cluster, node];
        samples.number(&COUNT, &labels, backups.len() as f64);
        let Some(phase) = backups.iter().map(|backup| rank(&backup.phase)).min() else { return };
        samples.states(&PHASE, &labels, STATES, STATES.get(phase).unwrap_or(&"unknown"));
        samples.known(&STREAMED, &labels, sum(backups, |backup| backup.backup_streamed));
        samples.known(&ESTIMATED, &labels, sum(backups, |backup| backup.backup_total));
        let tablespaces = [
            ("streamed", sum(backups, |backup| backup.tablespaces_streamed)),
            ("total", sum(backups, |backup| backup.tablespaces_total)),
        ];
        for (stage, count) in tablespaces {
            samples.known(&TABLESPACES, &[cluster, node, stage], count);
        }
    }
}

/// `phase` alone is never NULL for a role that may see it.
fn decode(row: &Record<'_>) -> Result<BaseBackup, CollectError> {
    let phase = row.text("phase")?.ok_or(CollectError::MissingGrant("pg_monitor"))?;
    // An older server says 0 of what it has not counted yet: no backup is empty, nor without a tablespace.
    let counted = |column| Ok::<_, CollectError>(row.number(column)?.filter(|number| *number > 0));
    Ok(BaseBackup {
        phase: phase.to_owned(),
        backup_total: counted("backup_total")?,
        backup_streamed: row.number("backup_streamed")?,
        tablespaces_total: counted("tablespaces_total")?,
        tablespaces_streamed: row.number("tablespaces_streamed")?,
    })
}

/// How far a phase is, as an index into [`STATES`].
fn rank(phase: &str) -> usize {
    let ours = PHASES.iter().find(|(word, _)| *word == phase).map_or("unknown", |(_, ours)| ours);
    STATES.iter().position(|state| *state == ours).unwrap_or(0)
}

/// The sum, if every part is known.
fn sum(backups: &[BaseBackup], part: fn(&BaseBackup) -> Option<u64>) -> Option<f64> {
    backups.iter().map(|backup| part(backup).map(|part| part as f64)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_has_its_state_in_the_order_in_which_they_come() {
        let ranks: Vec<_> = PHASES.iter().map(|(word, _)| rank(word)).collect();
        assert_eq!(ranks, [1, 2, 3, 4, 5, 6]);
        assert_eq!(rank("brewing"), 0);
    }
}
