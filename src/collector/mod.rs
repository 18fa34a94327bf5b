//! Collectors: one file a view. Each has constant SQL, decodes its records into its part of the [`Snapshot`], and makes samples of it.
//!
//! To add one: `sql/<view>.<lowest major>.sql`, a file here with its facts, a field in [`snapshot::Snapshot`], a line in [`COLLECTORS`].

pub mod archive_status;
pub mod archive_verdict;
pub mod archiver;
pub mod base_backups;
pub mod checkpoints;
pub mod checksums;
pub mod conflicts;
pub mod control;
pub mod limits;
pub mod prefetch;
pub mod privileges;
pub mod recovery;
pub mod replay_wait;
pub mod setting_list;
pub mod settings;
pub mod slot_details;
pub mod slot_stats;
pub mod slots;
pub mod snapshot;
pub mod sync;
pub mod wal_dir;
pub mod wal_receiver;
pub mod wal_stats;
pub mod walsender_kind;
pub mod walsenders;

use crate::metric::family::Family;
use crate::metric::sample::Samples;
use crate::pg::records::{DecodeError, Records};
use crate::pg::version::VersionedSql;
use snapshot::{Exchange, NodeView, Snapshot};

/// How often a collector reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Each `sample_interval`, on the connection of the fast reading.
    Fast,
    /// Each `collect_interval`, on a connection of its own, so that it never stops the lag clock.
    Slow,
}

impl Pace {
    /// What a reading of several collectors of this pace is called.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Slow => "slow",
        }
    }
}

/// Why a collector's records did not become facts.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CollectError {
    /// The role sees rows whose cells are NULL. Never to be shown as a lag of 0.
    #[error("missing grant: {0}")]
    MissingGrant(&'static str),
    /// The rows do not look as the view is documented.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

/// One view of the server.
pub trait Collector: Sync {
    /// The name, as in `collector_success{collector}`.
    fn name(&self) -> &'static str;
    /// Fast or slow.
    fn pace(&self) -> Pace;
    /// The statement: constant, right on a primary and on a standby, every column cast to text.
    fn sql(&self) -> &'static VersionedSql;
    /// The views and functions that the facts come from, for people.
    fn source(&self) -> &'static str;
    /// What the role must be granted for this collector, for `deploy/grants.sql` and the word at start; `None` if nothing.
    fn grant(&self) -> Option<&'static str>;
    /// The families that `samples` may add.
    fn families(&self) -> &'static [&'static Family];
    /// Types `records` into this collector's facts. Leaves the snapshot as it was on error.
    fn store(&self, records: &Records, snapshot: &mut Snapshot, exchange: Exchange) -> Result<(), CollectError>;
    /// Adds the samples of this collector's facts, those that are still fresh.
    fn samples(&self, view: &NodeView<'_>, samples: &mut Samples);
}

/// Every collector there is, in the order in which the statements of one pace are sent: the positions first, and the slots next
/// after the walsenders that hold them.
pub static COLLECTORS: &[&dyn Collector] = &[
    &recovery::Collector,
    &wal_receiver::Collector,
    &walsenders::Collector,
    &slots::Collector,
    &archiver::Collector,
    &archive_status::Collector,
    &control::Collector,
    &settings::Collector,
    &sync::Collector,
    &privileges::Collector,
    &slot_details::Collector,
    &slot_stats::Collector,
    &limits::Collector,
    &conflicts::Collector,
    &replay_wait::Collector,
    &wal_stats::Collector,
    &wal_dir::Collector,
    &checkpoints::Collector,
    &prefetch::Collector,
    &checksums::Collector,
    &base_backups::Collector,
];

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::clock::{Moment, Mono, Wall};
    use crate::pg::version::ServerVersion;

    /// The names of the columns that a statement returns. Each stands on a line of its own, cast to text.
    fn columns(sql: &str) -> Vec<&str> {
        let column = |line: &str| line.rsplit_once("::text AS ").map(|(head, _)| head.len() + "::text AS ".len());
        sql.lines().filter_map(|line| Some(line.get(column(line)?..)?.trim_end_matches(','))).collect()
    }

    fn variants() -> impl Iterator<Item = (&'static dyn Collector, u32, &'static str)> {
        COLLECTORS
            .iter()
            .flat_map(|collector| collector.sql().0.iter().map(|(lowest, sql)| (*collector, *lowest, *sql)))
    }

    #[test]
    fn names_are_unique() {
        let names: BTreeSet<_> = COLLECTORS.iter().map(|collector| collector.name()).collect();
        assert_eq!(names.len(), COLLECTORS.len());
    }

    #[test]
    fn all_variants_of_a_view_return_the_same_columns() {
        for collector in COLLECTORS {
            let all: BTreeSet<_> = collector.sql().0.iter().map(|(_, sql)| columns(sql)).collect();
            assert_eq!(all.len(), 1, "{}: {all:?}", collector.name());
            assert!(collector.sql().0.is_sorted_by_key(|(lowest, _)| lowest), "{}", collector.name());
        }
    }

    #[test]
    fn every_supported_server_has_a_statement_of_every_collector() {
        for major in 13..=19 {
            for collector in COLLECTORS {
                assert!(collector.sql().pick(ServerVersion(major * 10_000)).is_some(), "{} {major}", collector.name());
            }
        }
    }

    #[test]
    fn every_column_is_cast_to_text_and_named() {
        for (collector, lowest, sql) in variants() {
            let head = sql.split("\n  FROM ").next().unwrap_or_default();
            let ends = head.lines().filter(|line| line.ends_with(',')).count() + 1;
            assert_eq!(columns(sql).len(), ends, "{}.{lowest}", collector.name());
            assert!(
                !sql.contains(';') || collector.name() == "archiver",
                "{}.{lowest}: one statement",
                collector.name()
            );
        }
    }

    #[test]
    fn no_statement_reads_a_secret() {
        for (collector, lowest, sql) in variants() {
            let code: String = sql.lines().filter(|line| !line.starts_with("--")).collect();
            assert!(!code.contains("conninfo"), "{}.{lowest}", collector.name());
            // The text of a command only ever stands inside a comparison.
            for setting in ["archive_command", "archive_library", "restore_command"] {
                let reads = code.matches(setting).count();
                let judged = [
                    format!("btrim(current_setting('{setting}')"),
                    format!("(current_setting('{setting}', true) <> '')"),
                ];
                let judged: usize = judged.iter().map(|form| code.matches(form.as_str()).count()).sum();
                let named = code.matches(&format!("AS {setting}_set")).count();
                assert_eq!(reads, judged + named, "{}.{lowest} reads {setting}", collector.name());
            }
        }
    }

    #[test]
    fn a_failed_reading_leaves_the_snapshot_as_it_was() {
        let no_columns = Records::new([].into(), vec![vec![]]);
        for collector in COLLECTORS {
            let mut snapshot = Snapshot::default();
            assert!(collector.store(&no_columns, &mut snapshot, exchange()).is_err(), "{}", collector.name());
            assert_eq!(format!("{snapshot:?}"), format!("{:?}", Snapshot::default()), "{}", collector.name());
        }
    }

    fn exchange() -> Exchange {
        let sent = Moment { mono: Mono::from_nanos(1_000_000_000), wall: Wall::from_seconds(1.0) };
        Exchange { sent, received: sent.plus(Duration::from_millis(2)) }
    }

    /// Cells that the column could hold, at their limits too; now and then one that no server should send.
    fn cell(column: &str) -> impl Strategy<Value = Option<String>> + use<> {
        let lsn = ["0/0", "0/3000060", "FFFFFFFF/FFFFFFFF"].as_slice();
        let epoch = ["1795369949.478673", "0", "-1e308", "NaN", "Infinity", "-Infinity"].as_slice();
        let likely = match column {
            name if name.ends_with("_lsn") => lsn,
            name if name.ends_with("_time") || name.ends_with("_at") || name.ends_with("_start") => epoch,
            "last_xact_replay" | "stats_reset" | "busy_since" => epoch,
            name if name.starts_with("in_") || name.ends_with("_set") => &["true", "f"],
            "temporary" | "active" | "superuser" | "pg_monitor" | "sees_all" | "pending_restart" => &["t", "false"],
            "timeline" => &["00000001", "FFFFFFFF"],
            "state" | "status" => &["streaming", "startup", "backup", "waiting", ""],
            "pause" => &["not paused", "paused", "later"],
            "mode" => &["on", "off", "always", "never"],
            "data_checksums" => &["on", "off", "inprogress-on"],
            "oldest" => &["0000000000000001", "FFFFFFFFFFFFFFFF", "1"],
            "command" => &["set", "noop", "unset"],
            "slot_type" => &["physical", "logical"],
            "wal_status" => &["reserved", "lost", "gone"],
            "name" => &["wal_level", "wal_keep_size", "wal_sender_timeout", "max_connections", "port"],
            "unit" => &["8kB", "MB", "ms", "min", "8"],
            _ => &["0", "1", "1.5", "-1", "65535", "2147483647", "9223372036854775807", "18446744073709551615"],
        };
        let likely = prop::sample::select(likely).prop_map(|text| Some(text.to_owned()));
        prop_oneof![40 => likely, 4 => Just(None), 1 => any::<String>().prop_map(Some)]
    }

    fn answer() -> impl Strategy<Value = (usize, Vec<Vec<Option<String>>>)> {
        let rows = prop_oneof![4 => 1..2usize, 1 => 0..4usize];
        (0..COLLECTORS.len(), rows).prop_flat_map(|(index, rows)| {
            let row: Vec<_> = columns(COLLECTORS[index].sql().0[0].1).into_iter().map(cell).collect();
            (Just(index), prop::collection::vec(row, rows))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn no_answer_makes_a_collector_panic(answers in prop::collection::vec(answer(), 1..20), version in 100_000..200_000u32) {
            let mut snapshot = Snapshot { version: Some(ServerVersion(version)), ..Snapshot::default() };
            for (index, rows) in answers {
                let collector = COLLECTORS[index];
                let names: Vec<_> = columns(collector.sql().0[0].1).into_iter().map(str::to_owned).collect();
                // Whether the answer is accepted is not the question here.
                let _ = collector.store(&Records::new(names.into(), rows), &mut snapshot, exchange());
            }
            let view = NodeView {
                cluster: "c",
                node: "n",
                snapshot: &snapshot,
                now: exchange().received,
                fast_window: Duration::from_secs(3),
                slow_window: Duration::from_secs(30),
                not_before: Moment::default(),
                archive_hung_after: Duration::from_secs(60),
                standby_names: BTreeMap::new(),
            };
            let mut samples = Samples::default();
            for collector in COLLECTORS {
                collector.samples(&view, &mut samples);
            }
        }
    }
}
