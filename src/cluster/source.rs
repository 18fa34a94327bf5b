//! Where a standby gets its WAL from: as far as it is certain, from the state of its walreceiver, what replay waits for, and whether
//! there is a `restore_command` at all.

use serde::Serialize;

use super::assess::Evidence;
use crate::collector::{replay_wait, settings};

/// The first major version that tells whether `restore_command` is set.
const TELLS_RESTORE_COMMAND: u32 = 12;

/// Where WAL comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RecoverySource {
    /// A walreceiver streams it.
    Streaming,
    /// Nothing streams; replay turns to `restore_command`, whether that brings any or not.
    Archive,
    /// Nothing streams, and no command is asked.
    None,
    /// The node is a primary.
    NotInRecovery,
    /// It cannot be said.
    Unknown,
}

impl RecoverySource {
    /// The values of the label `state`.
    pub const ALL: [&'static str; 5] = ["streaming", "archive", "none", "not_in_recovery", "unknown"];

    /// The value of the label `state`.
    pub const fn as_str(self) -> &'static str {
        Self::ALL[self as usize]
    }
}

impl Evidence<'_> {
    /// Where node number `index` gets its WAL from.
    pub(super) fn recovery_source(&self, index: usize) -> RecoverySource {
        let snapshot = &self.facts[index].snapshot;
        let Some(recovery) = snapshot.recovery.as_ref().filter(|_| self.is_fresh(index)) else {
            return RecoverySource::Unknown;
        };
        if !recovery.value.in_recovery {
            return RecoverySource::NotInRecovery;
        }
        if self.streams(index) {
            return RecoverySource::Streaming;
        }
        let receiver_seen =
            snapshot.wal_receiver.as_ref().is_some_and(|fact| Some(fact.seen) == self.facts[index].read);
        let settings = self.slow_fact(index, &settings::Collector, &snapshot.settings);
        let Some(settings) = settings.filter(|_| receiver_seen) else { return RecoverySource::Unknown };
        if !settings.restore_command_set {
            return RecoverySource::None;
        }
        let told = snapshot.version.is_some_and(|version| version.major() >= TELLS_RESTORE_COMMAND);
        match self.slow_fact(index, &replay_wait::Collector, &snapshot.replay_wait).filter(|_| told) {
            None => RecoverySource::Unknown,
            // So long as a walreceiver tries to connect, which may take for ever, the command is not asked.
            Some(wait) if wait.awaits_stream() => RecoverySource::None,
            Some(_) => RecoverySource::Archive,
        }
    }
}
