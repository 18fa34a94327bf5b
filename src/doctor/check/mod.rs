//! The checks: one file each. Each looks at the whole [`Patient`] and says of every node that it concerns what it saw.
//! `docs/checks/` has a page for each.

mod application_name_unique;
mod apply_delay;
mod archive_failing;
mod archive_gap;
mod archive_hung;
mod archive_mode;
mod archive_noop;
mod archive_timeout;
mod archive_unset;
mod backup_age;
mod checksum_failures;
mod client_routing;
mod clock;
mod collation;
mod conflicts;
mod connections;
mod conninfo_credential;
mod conninfo_missing;
mod conninfo_target;
mod foreign_system;
mod fsync;
mod full_page_writes;
mod hba_error;
mod hba_replication;
mod hot_standby;
mod lag_columns;
mod listen_addresses;
mod log_cause;
mod log_read;
mod logical_failover;
mod manager;
mod max_replication_slots;
mod max_wal_senders;
mod monitor_grants;
mod monitor_superuser;
mod needed_wal;
mod no_primary;
mod no_standby;
mod node_reachable;
mod one_standby;
mod pending_restart;
mod preload;
mod prepared_transactions;
mod promotable;
mod recovery_target;
mod recovery_target_timeline;
mod replay_paused;
mod replication_role;
mod replication_superuser;
mod replication_tls;
mod reserved_connections;
mod restore_command;
mod rewind;
mod same_server;
mod settings_drift;
mod settings_lower;
mod slot_inactive;
mod slot_limit;
mod slot_lost;
mod slot_named;
mod slot_used;
mod standby_delay;
mod status_interval;
mod streaming;
mod sync_spare;
mod sync_unsatisfied;
mod synchronous_commit;
mod timeline;
mod timeouts;
mod trigger_file;
mod two_primaries;
mod version_major;
mod version_minor;
mod wal_disk;
mod wal_level;
mod write_visible;

use super::cures::{elsewhere, quoted};
use super::finding::{Finding, Severity};
use super::hba::{self, Met};
use super::patient::{Judged, Patient, ill_if};
use crate::archive_watch::archive_dir::ArchiveDirState;
use crate::cluster::assess::Verdict;
use crate::cluster::sync::SyncState;
use crate::collector::archive_verdict::ArchiveState;
use crate::collector::recovery::ReplayPause;
use crate::server_log::class::{About, Class};

/// A mistake that can be made, and how it is seen.
#[derive(Debug)]
pub struct Check {
    /// Its name: words of the field in snake case, the label `check`.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is so when all is well, in a few words.
    pub title: &'static str,
    /// What it looks at, and when it fails.
    pub seen: &'static str,
    /// Why it matters.
    pub why: &'static str,
    /// What mends it.
    pub fix: &'static str,
    /// Where versions differ.
    pub versions: &'static str,
    /// What it says of the cluster.
    pub judge: fn(&Patient<'_>) -> Vec<Finding>,
}

/// Every check, in the order in which they are shown within their severity.
pub static CHECKS: &[&Check] = &[
    &node_reachable::CHECK,
    &two_primaries::CHECK,
    &no_primary::CHECK,
    &client_routing::CHECK,
    &no_standby::CHECK,
    &one_standby::CHECK,
    &foreign_system::CHECK,
    &same_server::CHECK,
    &streaming::CHECK,
    &conninfo_missing::CHECK,
    &conninfo_target::CHECK,
    &conninfo_credential::CHECK,
    &application_name_unique::CHECK,
    &hba_replication::CHECK,
    &hba_error::CHECK,
    &replication_role::CHECK,
    &replication_superuser::CHECK,
    &replication_tls::CHECK,
    &wal_level::CHECK,
    &max_wal_senders::CHECK,
    &max_replication_slots::CHECK,
    &hot_standby::CHECK,
    &settings_lower::CHECK,
    &settings_drift::CHECK,
    &pending_restart::CHECK,
    &slot_named::CHECK,
    &slot_used::CHECK,
    &slot_inactive::CHECK,
    &slot_lost::CHECK,
    &slot_limit::CHECK,
    &logical_failover::CHECK,
    &needed_wal::CHECK,
    &write_visible::CHECK,
    &timeouts::CHECK,
    &status_interval::CHECK,
    &recovery_target_timeline::CHECK,
    &timeline::CHECK,
    &recovery_target::CHECK,
    &trigger_file::CHECK,
    &replay_paused::CHECK,
    &apply_delay::CHECK,
    &standby_delay::CHECK,
    &conflicts::CHECK,
    &sync_unsatisfied::CHECK,
    &sync_spare::CHECK,
    &synchronous_commit::CHECK,
    &promotable::CHECK,
    &archive_mode::CHECK,
    &archive_unset::CHECK,
    &archive_noop::CHECK,
    &archive_failing::CHECK,
    &archive_hung::CHECK,
    &archive_gap::CHECK,
    &archive_timeout::CHECK,
    &restore_command::CHECK,
    &backup_age::CHECK,
    &full_page_writes::CHECK,
    &fsync::CHECK,
    &rewind::CHECK,
    &checksum_failures::CHECK,
    &clock::CHECK,
    &version_major::CHECK,
    &version_minor::CHECK,
    &lag_columns::CHECK,
    &listen_addresses::CHECK,
    &wal_disk::CHECK,
    &log_cause::CHECK,
    &log_read::CHECK,
    &reserved_connections::CHECK,
    &connections::CHECK,
    &monitor_grants::CHECK,
    &monitor_superuser::CHECK,
    &manager::CHECK,
    &preload::CHECK,
    &collation::CHECK,
    &prepared_transactions::CHECK,
];

/// Whether archiving of the primary is in this state.
fn archive(patient: &Patient<'_>, state: ArchiveState, seen: &str, fix: &str) -> Vec<Finding> {
    patient.on_primary(|node| {
        let found = patient.archiving(node)?;
        if found == ArchiveState::Unknown {
            return None;
        }
        let cause = patient.cause(node, About::Archive).filter(|_| state == ArchiveState::Failing);
        Some(match cause {
            Some((said, class)) => {
                ill_if(found == state, || format!("{seen}; {said}"), || patient.words(node, class.fix))
            }
            None => ill_if(found == state, || seen.to_owned(), || patient.words(node, fix)),
        })
    })
}
