//! Collector `checksums`: whether pages bear checksums, and how many were found wrong.

use serde::Serialize;

use super::snapshot::{Exchange, Fact, NodeView, Snapshot};
use super::{CollectError, Pace};
use crate::metric::family::{Family, Kind, Observers, Unit};
use crate::metric::sample::Samples;
use crate::pg::records::{DecodeError, Record, Records};
use crate::pg::version::VersionedSql;

/// `data_checksums`, and the sum of `checksum_failures` in `pg_stat_database`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checksums {
    /// `data_checksums`; `None` for a word that no known server says.
    pub enabled: Option<bool>,
    /// `checksum_failures` of all databases and of what they share (12+); `None` without checksums.
    pub failures: Option<u64>,
}

static SQL: VersionedSql =
    VersionedSql(&[(10, include_str!("sql/checksums.10.sql")), (12, include_str!("sql/checksums.12.sql"))]);

static ENABLED: Family = Family {
    name: "pgvigil_data_checksums",
    help: "1 if pages bear checksums, else 0: a page that the disk spoilt is then read as it is.",
    kind: Kind::Gauge,
    unit: Unit::None,
    labels: &["cluster", "node"],
    observers: Observers::Max,
};

static FAILURES: Family = Family {
    name: "pgvigil_data_checksum_failures_total",
    help: "Pages that were read with a wrong checksum, in all databases, since the statistics began; absent without checksums.",
    kind: Kind::Counter,
    unit: Unit::None,
    labels: &["cluster", "node"],
    observers: Observers::Max,
};

static FAMILIES: [&Family; 2] = [&ENABLED, &FAILURES];

/// The collector.
#[derive(Debug)]
pub struct Collector;

impl super::Collector for Collector {
    fn name(&self) -> &'static str {
        "checksums"
    }

    fn pace(&self) -> Pace {
        Pace::Slow
    }

    fn sql(&self) -> &'static VersionedSql {
        &SQL
    }

    fn source(&self) -> &'static str {
        "data_checksums, pg_stat_database"
    }

    fn grant(&self) -> Option<&'static str> {
        None
    }

    fn families(&self) -> &'static [&'static Family] {
        &FAMILIES
    }

    fn store(&self, records: &Records, snapshot: &mut Snapshot, exchange: Exchange) -> Result<(), CollectError> {
        let value = decode(&records.single()?)?;
        snapshot.checksums = Some(Fact { value, seen: exchange.received });
        Ok(())
    }

    fn samples(&self, view: &NodeView<'_>, samples: &mut Samples) {
        let Some(checksums) = view.fresh(&view.snapshot.checksums, Pace::Slow) else { return };
        let labels = view.labels();
        samples.known(&ENABLED, &labels, checksums.enabled.map(|enabled| f64::from(u8::from(enabled))));
        let failures = checksums.failures.filter(|_| checksums.enabled == Some(true));
        samples.known(&FAILURES, &labels, failures.map(|failures| failures as f64));
    }
}

fn decode(row: &Record<'_>) -> Result<Checksums, DecodeError> {
    let enabled = match row.need_text("data_checksums")? {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    };
    Ok(Checksums { enabled, failures: row.number("failures")? })
}
