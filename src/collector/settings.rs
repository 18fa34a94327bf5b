//! Collector `settings`: those of [`KNOWN`], and which await a restart. A text is never read: `primary_conninfo` may hold a password.

use std::collections::BTreeMap;

use serde::Serialize;

use super::setting_list::{KNOWN, Kind, Known, find};
use super::snapshot::{Exchange, Fact, NodeView, Snapshot};
use super::{CollectError, Pace};
use crate::metric::family::{Family, Kind as Type, Observers, Unit};
use crate::metric::sample::Samples;
use crate::pg::records::{DecodeError, Record, Records};
use crate::pg::version::VersionedSql;

/// The rows of `pg_settings` that matter, as our own session sees them; first those that the meaning of other facts hangs on.
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
    /// Those of [`KNOWN`] that this server has, by name.
    pub known: BTreeMap<&'static str, Setting>,
    /// How many of all settings have another value in the files that needs a restart; `None` for a role that does not see all.
    pub pending_restart: Option<u32>,
}

/// One row of `pg_settings`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Setting {
    /// `setting`, in base units.
    pub value: Value,
    /// `pending_restart`; `None` for a setting that needs no restart.
    pub pending_restart: Option<bool>,
}

/// The value of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// Seconds, bytes, a bare number, or a boolean as 1 or 0.
    Number(f64),
    /// One of the words of its kind, or [`UNKNOWN`].
    Word(&'static str),
}

/// A word that no server had when this was written.
pub const UNKNOWN: &str = "unknown";

static SQL: VersionedSql = VersionedSql(&[(10, include_str!("sql/settings.10.sql"))]);

const fn gauge(name: &'static str, unit: Unit, labels: &'static [&'static str], help: &'static str) -> Family {
    Family { name, help, kind: Type::Gauge, unit, labels, observers: Observers::Max }
}

const NODE_NAME: &[&str] = &["cluster", "node", "name"];

static SECONDS: Family = gauge(
    "pgvigil_setting_seconds",
    Unit::Seconds,
    NODE_NAME,
    "A setting that is a time; -1 and 0 mean what the setting says of them, see docs/settings.md.",
);

static BYTES: Family = gauge(
    "pgvigil_setting_bytes",
    Unit::Bytes,
    NODE_NAME,
    "A setting that is a size; -1 and 0 mean what the setting says of them, see docs/settings.md.",
);

static VALUE: Family =
    gauge("pgvigil_setting_value", Unit::None, NODE_NAME, "A setting that is a bare number, or on (1) or off (0).");

static STATE: Family = gauge(
    "pgvigil_setting_state",
    Unit::None,
    &["cluster", "node", "name", "state"],
    "A setting that is one of a few words, 1 for the present one; a recovery_target_timeline that is a number is fixed.",
);

static PENDING: Family = gauge(
    "pgvigil_setting_pending_restart",
    Unit::None,
    NODE_NAME,
    "1 if the server's files have another value for the setting, which awaits a restart, else 0.",
);

static ALL_PENDING: Family = gauge(
    "pgvigil_settings_pending_restart",
    Unit::None,
    &["cluster", "node"],
    "How many of all settings have another value in the server's files, which awaits a restart.",
);

static FAMILIES: [&Family; 6] = [&SECONDS, &BYTES, &VALUE, &STATE, &PENDING, &ALL_PENDING];

/// The collector.
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
        "pg_settings"
    }

    fn grant(&self) -> Option<&'static str> {
        None
    }

    fn families(&self) -> &'static [&'static Family] {
        &FAMILIES
    }

    fn store(&self, records: &Records, snapshot: &mut Snapshot, exchange: Exchange) -> Result<(), CollectError> {
        let value = decode(records)?;
        snapshot.settings = Some(Fact { value, seen: exchange.received });
        Ok(())
    }

    fn samples(&self, view: &NodeView<'_>, samples: &mut Samples) {
        let Some(settings) = view.fresh(&view.snapshot.settings, Pace::Slow) else { return };
        let [cluster, node] = view.labels();
        for known in KNOWN {
            let Some(setting) = settings.known.get(known.name) else { continue };
            let labels = [cluster, node, known.name];
            match (known.kind, setting.value) {
                (Kind::Seconds, Value::Number(number)) => samples.number(&SECONDS, &labels, number),
                (Kind::Bytes, Value::Number(number)) => samples.number(&BYTES, &labels, number),
                (_, Value::Number(number)) => samples.number(&VALUE, &labels, number),
                (Kind::Words(words), Value::Word(word)) => {
                    samples.states(&STATE, &labels, &[words, &[UNKNOWN]].concat(), word);
                }
                (_, Value::Word(_)) => {}
            }
            samples.known(&PENDING, &labels, setting.pending_restart.map(|pending| f64::from(u8::from(pending))));
        }
        samples.known(&ALL_PENDING, &[cluster, node], settings.pending_restart.map(f64::from));
    }
}

fn decode(records: &Records) -> Result<Settings, DecodeError> {
    let mut known = BTreeMap::new();
    let (mut pending, mut sees_all, mut restore_command_set) = (0, true, None);
    for row in records.iter() {
        let pending_restart = row.boolean("pending_restart")?;
        pending += u32::from(pending_restart == Some(true));
        sees_all &= row.need_boolean("sees_all")?;
        restore_command_set = row.boolean("restore_command_set")?;
        // A value that cannot be read is left out: the others are still worth having.
        let setting = find(row.need_text("name")?);
        if let Some((setting, value)) = setting.map(|setting| Ok((setting, value(setting, &row)?))).transpose()? {
            known.extend(value.map(|value| (setting.name, Setting { value, pending_restart })));
        }
    }
    let number = |name: &str| match known.get(name) {
        Some(Setting { value: Value::Number(number), .. }) => Some(*number),
        _ => None,
    };
    let need = |name: &str| number(name).ok_or_else(|| DecodeError::Null(name.to_owned()));
    Ok(Settings {
        wal_receiver_status_interval: need("wal_receiver_status_interval")?,
        wal_sender_timeout: need("wal_sender_timeout")?,
        wal_receiver_timeout: need("wal_receiver_timeout")?,
        recovery_min_apply_delay: number("recovery_min_apply_delay").unwrap_or(0.0),
        restore_command_set: restore_command_set.unwrap_or(true),
        wal_segment_size: need("wal_segment_size")? as u64,
        pending_restart: sees_all.then_some(pending),
        known,
    })
}

/// The row's value in base units; `None` if it is not of the setting's kind.
fn value(known: &Known, row: &Record<'_>) -> Result<Option<Value>, DecodeError> {
    let (Some(text), unit) = (row.text("setting")?, row.text("unit")?.unwrap_or_default()) else { return Ok(None) };
    if let Kind::Words(words) = known.kind {
        let word = words.iter().find(|word| **word == text);
        return Ok(Some(Value::Word(word.unwrap_or(&UNKNOWN))));
    }
    let number = match text {
        "on" => Some(1.0),
        "off" => Some(0.0),
        _ => text.parse::<f64>().ok().filter(|number| number.is_finite()),
    };
    let scaled = number.and_then(|number| match known.kind {
        // Below 0 it is a word in disguise, not a time or a size.
        Kind::Seconds | Kind::Bytes if number < 0.0 => Some(number),
        Kind::Seconds => seconds(number, unit),
        Kind::Bytes => bytes(number, unit),
        _ => unit.is_empty().then_some(number),
    });
    Ok(scaled.map(Value::Number))
}

fn seconds(number: f64, unit: &str) -> Option<f64> {
    match unit {
        // Divided, so that a millisecond is the number nearest to 0.001.
        "us" => Some(number / 1e6),
        "ms" => Some(number / 1e3),
        "s" => Some(number),
        "min" => Some(number * 60.0),
        "h" => Some(number * 3_600.0),
        "d" => Some(number * 86_400.0),
        _ => None,
    }
}

/// The unit may be a multiple, as the server's block: 8kB.
fn bytes(number: f64, unit: &str) -> Option<f64> {
    let letters = unit.trim_start_matches(|digit: char| digit.is_ascii_digit());
    let multiple = match unit.strip_suffix(letters)? {
        "" => 1.0,
        digits => digits.parse().ok()?,
    };
    let size = match letters {
        "B" => 1.0,
        "kB" => 1024.0,
        "MB" => 1_048_576.0,
        "GB" => 1_073_741_824.0,
        "TB" => 1_099_511_627_776.0,
        _ => return None,
    };
    Some(number * multiple * size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, setting: &str, unit: &str) -> Option<Value> {
        let columns = ["setting", "unit"].map(str::to_owned);
        let cells = [setting, unit].map(|cell| (!cell.is_empty()).then(|| cell.to_owned()));
        let records = Records::new(columns.into(), vec![cells.to_vec()]);
        value(find(name).unwrap(), &records.single().unwrap()).unwrap()
    }

    #[test]
    fn the_statement_reads_the_list_and_nothing_else() {
        let (_, sql) = SQL.0[0];
        let list = sql.split(" IN (").last().unwrap();
        let names: Vec<_> = list.split('\'').skip(1).step_by(2).collect();
        let expected: Vec<_> = KNOWN.iter().map(|known| known.name).collect();
        assert_eq!(names, expected);
    }

    #[test]
    fn values_come_in_base_units() {
        for (name, setting, unit, expected) in [
            ("wal_sender_timeout", "60000", "ms", 60.0),
            ("wal_sender_timeout", "1", "ms", 0.001),
            ("checkpoint_timeout", "300", "s", 300.0),
            ("wal_summary_keep_time", "14400", "min", 864_000.0),
            ("max_standby_streaming_delay", "-1", "ms", -1.0),
            ("max_slot_wal_keep_size", "-1", "MB", -1.0),
            ("max_wal_size", "1024", "MB", 1_073_741_824.0),
            ("wal_buffers", "512", "8kB", 4_194_304.0),
            ("logical_decoding_work_mem", "65536", "kB", 67_108_864.0),
            ("wal_segment_size", "16777216", "B", 16_777_216.0),
            ("wal_segment_size", "2048", "8kB", 16_777_216.0),
            ("checkpoint_completion_target", "0.9", "", 0.9),
            ("max_connections", "100", "", 100.0),
            ("fsync", "off", "", 0.0),
            ("fsync", "on", "", 1.0),
        ] {
            assert_eq!(read(name, setting, unit), Some(Value::Number(expected)), "{name} {setting}{unit}");
        }
    }

    #[test]
    fn what_is_not_of_its_kind_is_left_out() {
        for (name, setting, unit) in [
            ("wal_sender_timeout", "60000", "kB"),
            ("wal_sender_timeout", "60000", ""),
            ("max_wal_size", "1024", "ms"),
            ("max_wal_size", "1024", "8"),
            ("max_connections", "100", "s"),
            ("max_connections", "many", ""),
            ("max_connections", "NaN", ""),
            ("max_connections", "", ""),
        ] {
            assert_eq!(read(name, setting, unit), None, "{name} {setting}{unit}");
        }
    }

    #[test]
    fn a_word_is_one_of_its_kind_or_unknown() {
        assert_eq!(read("wal_level", "logical", ""), Some(Value::Word("logical")));
        assert_eq!(read("wal_level", "auto", ""), Some(Value::Word(UNKNOWN)));
        assert_eq!(read("recovery_target_timeline", "fixed", ""), Some(Value::Word("fixed")));
    }
}
