//! Collector `settings`: those that the meaning of other facts hangs on. `primary_conninfo` is never read: it may hold a password.

use super::snapshot::{Exchange, Fact, NodeView, Settings, Snapshot};
use super::{CollectError, Pace};
use crate::metric::family::Family;
use crate::metric::sample::Samples;
use crate::pg::records::{DecodeError, Record, Records};
use crate::pg::version::VersionedSql;

static SQL: VersionedSql = VersionedSql(&[(10, include_str!("sql/settings.10.sql"))]);

/// The collector. It makes no series of its own.
#[derive(Debug)]
pub struct Collector;

impl super::Collector for Collector {
    fn name(&self) -> &'static str {
        "settings"
    }

    fn pace(&self) -> Pace {
        Pace::Slow
    }

    fn sql(&self) -> &'static VersionedSql {
        &SQL
    }

    fn source(&self) -> &'static str {
        "current_setting()"
    }

    fn grant(&self) -> Option<&'static str> {
        None
    }

    fn families(&self) -> &'static [&'static Family] {
        &[]
    }

    fn store(&self, records: &Records, snapshot: &mut Snapshot, exchange: Exchange) -> Result<(), CollectError> {
        let value = decode(&records.single()?)?;
        snapshot.settings = Some(Fact { value, seen: exchange.received });
        Ok(())
    }

    fn samples(&self, _: &NodeView<'_>, _: &mut Samples) {}
}

fn decode(row: &Record<'_>) -> Result<Settings, DecodeError> {
    Ok(Settings {
        wal_receiver_status_interval: row.need_number("wal_receiver_status_interval")?,
        wal_sender_timeout: row.need_number("wal_sender_timeout")?,
        wal_receiver_timeout: row.need_number("wal_receiver_timeout")?,
        recovery_min_apply_delay: row.number("recovery_min_apply_delay")?.unwrap_or(0.0),
        restore_command_set: row.boolean("restore_command_set")?.unwrap_or(true),
        wal_segment_size: row.need_number("wal_segment_size")?,
    })
}
