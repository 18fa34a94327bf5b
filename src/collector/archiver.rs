//! Collector `archiver`: `pg_stat_archiver`, with the settings that its meaning hangs on, and the verdict on archiving.

use serde::Serialize;

use super::archive_verdict::{ArchiveEvidence, ArchiveState};
use super::snapshot::{Exchange, Fact, NodeView, Snapshot};
use super::{CollectError, Pace};
use crate::archive_watch::hostside;
use crate::clock::Wall;
use crate::metric::family::{Family, Kind, Observers, Unit};
use crate::metric::sample::Samples;
use crate::pg::records::{DecodeError, Record, Records};
use crate::pg::version::VersionedSql;

/// The row of `pg_stat_archiver`, with the settings that its meaning hangs on read in the same statement.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Archiver {
    /// `archived_count`.
    pub archived_count: u64,
    /// `last_archived_wal`: may be a .history, .partial or .backup name.
    pub last_archived_wal: Option<String>,
    /// `last_archived_time`.
    pub last_archived_time: Option<Wall>,
    /// `failed_count`.
    pub failed_count: u64,
    /// `last_failed_wal`.
    pub last_failed_wal: Option<String>,
    /// `last_failed_time`.
    pub last_failed_time: Option<Wall>,
    /// `stats_reset`.
    pub stats_reset: Option<Wall>,
    /// `archive_mode`: off, on, always.
    pub mode: String,
    /// What `archive_command` and `archive_library` amount to; the text itself is not kept, it may hold a secret.
    /// `Unset` while `archive_mode` is off, since the server then hides the command.
    pub command: ArchiveCommand,
    /// `clock_timestamp()` of this server.
    pub server_time: Wall,
}

/// What the archive settings do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ArchiveCommand {
    /// Neither a command nor a library: WAL piles up.
    Unset,
    /// A command that succeeds without keeping anything, such as `cd .` or `/bin/true`.
    Noop,
    /// A command or a library that may work.
    Set,
}

static SQL: VersionedSql =
    VersionedSql(&[(10, include_str!("sql/archiver.10.sql")), (15, include_str!("sql/archiver.15.sql"))]);

static STATE: Family = Family {
    name: "pgvigil_archive_state",
    help: "Whether WAL archiving works, 1 for the present state; the first that holds of off, unset (WAL piles up), noop (keeps \
           nothing), hung (a segment waits and no counter moves), failing, never (nothing archived yet), ok, unknown.",
    kind: Kind::Gauge,
    unit: Unit::None,
    labels: &["cluster", "node", "state"],
    observers: Observers::Max,
};

static ARCHIVED: Family = Family {
    name: "pgvigil_archived_segments_total",
    help: "Files archived since the server's statistics began, as pg_stat_archiver counts them; absent where no archiver runs.",
    kind: Kind::Counter,
    unit: Unit::None,
    labels: &["cluster", "node"],
    observers: Observers::Max,
};

static FAILURES: Family = Family {
    name: "pgvigil_archive_failures_total",
    help: "Failed attempts to archive since the server's statistics began; a command that a signal ends is not among them. Absent \
           where no archiver runs.",
    kind: Kind::Counter,
    unit: Unit::None,
    labels: &["cluster", "node"],
    observers: Observers::Max,
};

static LAST_SUCCESS: Family = Family {
    name: "pgvigil_archive_last_success_timestamp_seconds",
    help: "When a file was last archived, on the server's clock, since the Unix epoch; absent if never, and where no archiver runs.",
    kind: Kind::Gauge,
    unit: Unit::Seconds,
    labels: &["cluster", "node"],
    observers: Observers::Max,
};

static LAST_FAILURE: Family = Family {
    name: "pgvigil_archive_last_failure_timestamp_seconds",
    help: "When archiving last failed, on the server's clock, since the Unix epoch; absent if never, and where no archiver runs.",
    kind: Kind::Gauge,
    unit: Unit::Seconds,
    labels: &["cluster", "node"],
    observers: Observers::Max,
};

static FAMILIES: [&Family; 5] = [&STATE, &ARCHIVED, &FAILURES, &LAST_SUCCESS, &LAST_FAILURE];

/// The collector.
#[derive(Debug)]
pub struct Collector;

impl super::Collector for Collector {
    fn name(&self) -> &'static str {
        "archiver"
    }

    fn pace(&self) -> Pace {
        Pace::Slow
    }

    fn sql(&self) -> &'static VersionedSql {
        &SQL
    }

    fn source(&self) -> &'static str {
        "pg_stat_archiver"
    }

    fn grant(&self) -> Option<&'static str> {
        None
    }

    fn families(&self) -> &'static [&'static Family] {
        &FAMILIES
    }

    fn store(&self, records: &Records, snapshot: &mut Snapshot, exchange: Exchange) -> Result<(), CollectError> {
        let value = decode(&records.single()?)?;
        snapshot.archiver = Some(Fact { value, seen: exchange.received });
        Ok(())
    }

    fn samples(&self, view: &NodeView<'_>, samples: &mut Samples) {
        let labels = view.labels();
        let evidence = archive_evidence(view);
        samples.states(&STATE, &labels, ArchiveState::ALL, evidence.verdict().as_str());
        // What a demoted node counted while it was a primary says nothing of the present.
        let Some(archiver) = evidence.archiver.filter(|_| evidence.archives() == Some(true)) else { return };
        samples.number(&ARCHIVED, &labels, archiver.archived_count as f64);
        samples.number(&FAILURES, &labels, archiver.failed_count as f64);
        samples.known(&LAST_SUCCESS, &labels, archiver.last_archived_time.map(|time| time.as_seconds()));
        samples.known(&LAST_FAILURE, &labels, archiver.last_failed_time.map(|time| time.as_seconds()));
    }
}

/// What the verdict on a node's archiving is made of, from what is fresh of it.
pub fn archive_evidence<'a>(view: &NodeView<'a>) -> ArchiveEvidence<'a> {
    let recovery = view.fresh(&view.snapshot.recovery, Pace::Fast);
    ArchiveEvidence {
        archiver: view.fresh(&view.snapshot.archiver, Pace::Slow),
        status: hostside::archive_status(view),
        in_recovery: recovery.map(|recovery| recovery.in_recovery),
        started_at: recovery.map(|recovery| recovery.started_at),
        hung_after: view.archive_hung_after,
    }
}

fn decode(row: &Record<'_>) -> Result<Archiver, DecodeError> {
    let command = match row.need_text("command")? {
        "unset" => ArchiveCommand::Unset,
        "noop" => ArchiveCommand::Noop,
        "set" => ArchiveCommand::Set,
        _ => return Err(DecodeError::Type { column: "command".to_owned(), expected: "unset, noop or set" }),
    };
    let server_time = row.epoch("server_time")?;
    Ok(Archiver {
        archived_count: row.need_number("archived_count")?,
        last_archived_wal: row.text("last_archived_wal")?.map(str::to_owned),
        last_archived_time: row.epoch("last_archived_time")?,
        failed_count: row.need_number("failed_count")?,
        last_failed_wal: row.text("last_failed_wal")?.map(str::to_owned),
        last_failed_time: row.epoch("last_failed_time")?,
        stats_reset: row.epoch("stats_reset")?,
        mode: row.need_text("mode")?.to_owned(),
        command,
        server_time: server_time.ok_or_else(|| DecodeError::Null("server_time".to_owned()))?,
    })
}
