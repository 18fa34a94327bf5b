//! The settings that matter to replication, WAL and archiving: what kind of value each has, and how that of a standby should stand
//! to its primary's. People read the list in `docs/settings.md`.

/// A setting of the list.
#[derive(Debug, PartialEq, Eq)]
pub struct Known {
    /// Its name in `pg_settings`, the label `name`.
    pub name: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// How a standby's value should stand to its primary's.
    pub rule: Rule,
}

/// What the values of a setting are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A time; -1 as it stands, with the meaning that the setting gives it.
    Seconds,
    /// A size; -1 as it stands.
    Bytes,
    /// A number without a unit, or a boolean: 1 or 0.
    Number,
    /// One of these words.
    Words(&'static [&'static str]),
}

/// How a standby's value should stand to its primary's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Not lower, or replay stops at the primary's next change of it; and equal, for the day of the failover.
    NotLower,
    /// Equal: after a failover the standby's value is the cluster's.
    Equal,
    /// None: what it does it does in one of the two roles alone, or to this machine.
    Own,
}

use Kind::{Bytes, Number, Seconds, Words};
use Rule::{Equal, NotLower, Own};

const fn known(name: &'static str, kind: Kind, rule: Rule) -> Known {
    Known { name, kind, rule }
}

/// The list, by name. A server has those of its version.
pub static KNOWN: &[Known] = &[
    known("archive_mode", Words(&["off", "on", "always"]), Equal),
    known("archive_timeout", Seconds, Equal),
    known("checkpoint_completion_target", Number, Equal),
    known("checkpoint_timeout", Seconds, Equal),
    known("checkpoint_warning", Seconds, Own),
    known("data_checksums", Number, Equal),
    known("fsync", Number, Equal),
    known("full_page_writes", Number, Equal),
    known("hot_standby", Number, Own),
    known("hot_standby_feedback", Number, Own),
    known("idle_replication_slot_timeout", Seconds, Equal),
    known("logical_decoding_work_mem", Bytes, Own),
    known("max_connections", Number, NotLower),
    known("max_locks_per_transaction", Number, NotLower),
    known("max_logical_replication_workers", Number, Own),
    known("max_prepared_transactions", Number, NotLower),
    known("max_replication_slots", Number, Equal),
    known("max_slot_wal_keep_size", Bytes, Equal),
    known("max_standby_archive_delay", Seconds, Own),
    known("max_standby_streaming_delay", Seconds, Own),
    known("max_wal_senders", Number, NotLower),
    known("max_wal_size", Bytes, Equal),
    known("max_worker_processes", Number, NotLower),
    known("min_wal_size", Bytes, Equal),
    known("recovery_min_apply_delay", Seconds, Own),
    known("recovery_target_timeline", Words(&["latest", "current", "fixed"]), Own),
    known("summarize_wal", Number, Equal),
    known("sync_replication_slots", Number, Own),
    known("synchronous_commit", Words(&["off", "local", "remote_write", "on", "remote_apply"]), Equal),
    known("track_commit_timestamp", Number, Equal),
    known("wal_buffers", Bytes, Own),
    known("wal_compression", Words(&["off", "on", "pglz", "lz4", "zstd"]), Equal),
    known("wal_keep_segments", Number, Equal),
    known("wal_keep_size", Bytes, Equal),
    known("wal_level", Words(&["minimal", "replica", "logical"]), Equal),
    known("wal_log_hints", Number, Equal),
    known("wal_receiver_status_interval", Seconds, Own),
    known("wal_receiver_timeout", Seconds, Own),
    known("wal_retrieve_retry_interval", Seconds, Own),
    known("wal_segment_size", Bytes, Own),
    known("wal_sender_timeout", Seconds, Equal),
    known("wal_summary_keep_time", Seconds, Equal),
];

/// The setting of this name, if it is in the list.
pub fn find(name: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.name == name)
}

/// Those that must not be lower on a standby.
pub fn not_lower() -> impl Iterator<Item = &'static Known> {
    KNOWN.iter().filter(|known| known.rule == NotLower)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = include_str!("../../docs/settings.md");

    #[test]
    fn the_list_is_sorted_and_holds_nothing_twice() {
        assert!(KNOWN.is_sorted_by(|one, next| one.name < next.name));
    }

    #[test]
    fn five_must_not_be_lower() {
        assert_eq!(not_lower().count(), 5);
        assert!(not_lower().all(|known| known.kind == Number));
    }

    #[test]
    fn the_page_for_people_has_a_row_for_each() {
        let list = PAGE.split("## The list").last().unwrap_or_default();
        let rows: Vec<_> = list.lines().filter(|line| line.starts_with("| `")).collect();
        let expected = KNOWN.iter().map(|known| {
            let kind = match known.kind {
                Seconds => "seconds",
                Bytes => "bytes",
                Number => "value",
                Words(_) => "state",
            };
            let rule = match known.rule {
                NotLower => "not lower",
                Equal => "equal",
                Own => "own",
            };
            format!("| `{}` | {kind} | {rule} | ", known.name)
        });
        let expected: Vec<_> = expected.collect();
        assert_eq!(rows.len(), expected.len());
        for (row, head) in rows.iter().zip(&expected) {
            assert!(row.starts_with(head) && row.len() > head.len() + 4, "{row}: {head}");
        }
    }
}
