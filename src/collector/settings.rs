//! Collector `settings`: those that the meaning of other facts hangs on. `primary_conninfo` is never read: it may hold a password.

use serde::Serialize;

use super::snapshot::{Exchange, Fact, NodeView, Snapshot};
use super::{CollectError, Pace};
use crate::metric::family::Family;
use crate::metric::sample::Samples;
use crate::pg::records::{DecodeError, Record, Records};
use crate::pg::version::VersionedSql;

/// The settings that the meaning of other facts hangs on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Settings {
    /// `wal_receiver_status_interval` in seconds; 0: no periodic reply.
    pub wal_receiver_status_interval: f64,
    /// `wal_sender_timeout` in seconds; 0: none.
    pub wal_sender_timeout: f64,
    /// `wal_receiver_timeout` in seconds; 0: none.
    pub wal_receiver_timeout: f64,
    /// `recovery_min_apply_delay` in seconds; 0 before 12, where no query sees it.
    pub recovery_min_apply_delay: f64,
    /// Whether `restore_command` is set: then WAL may come from the archive too. The text is not kept.
    /// `true` before 12, where no query sees it.
    pub restore_command_set: bool,
    /// `wal_segment_size` in bytes.
    pub wal_segment_size: u64,
}

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
