//! Collector `privileges`: what our own role may see. Readable by every role.

use serde::Serialize;

use super::snapshot::{Exchange, Fact, NodeView, Snapshot};
use super::{CollectError, Pace};
use crate::metric::family::{Family, Kind, Observers, Unit};
use crate::metric::sample::Samples;
use crate::pg::records::{DecodeError, Record, Records};
use crate::pg::version::VersionedSql;

/// What our role may see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Privileges {
    /// `current_user`.
    pub role: String,
    /// `rolsuper`: more than pgvigil needs.
    pub superuser: bool,
    /// Whether the role has the rights of `pg_monitor`.
    pub pg_monitor: bool,
    /// `rolconnlimit`; -1: none.
    pub connection_limit: i32,
}

static SQL: VersionedSql = VersionedSql(&[(10, include_str!("sql/privileges.10.sql"))]);

static PRIVILEGE: Family = Family {
    name: "pgvigil_node_privilege",
    help: "1 if pgvigil's role has the privilege: pg_monitor is needed, superuser is more than it should have.",
    kind: Kind::Gauge,
    unit: Unit::None,
    labels: &["cluster", "node", "privilege"],
    observers: Observers::Own,
};

static FAMILIES: [&Family; 1] = [&PRIVILEGE];

/// The collector.
#[derive(Debug)]
pub struct Collector;

impl super::Collector for Collector {
    fn name(&self) -> &'static str {
        "privileges"
    }

    fn pace(&self) -> Pace {
        Pace::Slow
    }

    fn sql(&self) -> &'static VersionedSql {
        &SQL
    }

    fn source(&self) -> &'static str {
        "pg_roles"
    }

    fn grant(&self) -> Option<&'static str> {
        None
    }

    fn families(&self) -> &'static [&'static Family] {
        &FAMILIES
    }

    fn store(&self, records: &Records, snapshot: &mut Snapshot, exchange: Exchange) -> Result<(), CollectError> {
        let value = decode(&records.single()?)?;
        snapshot.privileges = Some(Fact { value, seen: exchange.received });
        Ok(())
    }

    fn samples(&self, view: &NodeView<'_>, samples: &mut Samples) {
        let Some(privileges) = view.fresh(&view.snapshot.privileges, Pace::Slow) else { return };
        let [cluster, node] = view.labels();
        for (privilege, held) in [("pg_monitor", privileges.pg_monitor), ("superuser", privileges.superuser)] {
            samples.flag(&PRIVILEGE, &[cluster, node, privilege], held);
        }
    }
}

fn decode(row: &Record<'_>) -> Result<Privileges, DecodeError> {
    Ok(Privileges {
        role: row.need_text("role")?.to_owned(),
        superuser: row.need_boolean("superuser")?,
        pg_monitor: row.need_boolean("pg_monitor")?,
        connection_limit: row.need_number("connection_limit")?,
    })
}
