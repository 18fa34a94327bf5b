//! What a page for people shows of a node beside the verdicts: its replay, its archiving and its slots, as far as they are fresh.

use super::archive::{ArchiveLag, archive_lag};
use super::cluster::Cluster;
use super::observers::Role;
use super::samples::node_view;
use super::slots::{is_expected, seconds_to_lost};
use crate::clock::Moment;
use crate::collector::Pace;
use crate::collector::archive_verdict::ArchiveState;
use crate::collector::archiver::archive_evidence;
use crate::collector::recovery::replay_state;
use crate::collector::slots::wal_state;
use crate::pg::lsn::Timeline;

/// One node.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// What it was at its last reading; unknown where that is too old.
    pub role: Role,
    /// Whether it replays, in the words of `pgvigil_replay_state`.
    pub replay: &'static str,
    /// The timeline that a primary writes.
    pub timeline: Option<Timeline>,
    /// Whether archiving works.
    pub archive: ArchiveState,
    /// What its archive lacks, where that is known.
    pub archive_lag: Option<ArchiveLag>,
    /// Its slots that are not temporary; `None` where they are not known.
    pub slots: Option<Vec<SlotLook>>,
}

/// One slot.
#[derive(Clone, Debug, PartialEq)]
pub struct SlotLook {
    /// Its name.
    pub name: String,
    /// Physical or logical.
    pub kind: String,
    /// Whether a walsender uses it.
    pub active: bool,
    /// Whether the configuration knows it.
    pub expected: bool,
    /// Whether the WAL that it needs is there, in the words of `pgvigil_slot_wal_status`.
    pub wal_status: &'static str,
    /// WAL that it holds back, in bytes.
    pub retained: Option<u64>,
    /// What may be written before it may be lost, in bytes; `None` also where there is no limit.
    pub safe: Option<i64>,
    /// In how many seconds that may be.
    pub seconds_to_lost: Option<f64>,
}

impl Cluster {
    /// Each node in the order of the configuration.
    pub fn looks(&self, now: Moment) -> Vec<Look> {
        let evidence = self.evidence(now);
        let primary = evidence.fresh_primary();
        let rate = self.memory().history.mean_rate();
        let look = |index: usize| {
            let view = node_view(index, &evidence);
            let up = evidence.is_fresh(index);
            let recovery = view.fresh(&view.snapshot.recovery, Pace::Fast).filter(|_| up);
            let end = recovery.and_then(|recovery| match recovery.in_recovery {
                true => recovery.replay_lsn,
                false => recovery.flush_lsn,
            });
            let slots = view.fresh(&view.snapshot.slots, Pace::Fast).filter(|_| up).map(|slots| {
                let slots = slots.iter().filter(|slot| !slot.temporary).map(|slot| SlotLook {
                    name: slot.name.clone(),
                    kind: slot.kind.clone(),
                    active: slot.active,
                    expected: is_expected(slot, evidence.layout),
                    wal_status: wal_state(&view, slot),
                    retained: end.zip(slot.keeps_from()).map(|(end, from)| end.bytes_since(from)),
                    safe: slot.safe_bytes(),
                    // The rate is that of the primary's own history.
                    seconds_to_lost: seconds_to_lost(slot, rate).filter(|_| primary == Some(index)),
                });
                slots.collect()
            });
            Look {
                role: Role::of(&evidence.facts[index], up),
                replay: replay_state(recovery),
                timeline: recovery.and_then(|recovery| recovery.timeline),
                archive: if evidence.blind { ArchiveState::Unknown } else { archive_evidence(&view).verdict() },
                archive_lag: archive_lag(index, primary == Some(index), &view, &evidence),
                slots,
            }
        };
        (0..evidence.facts.len()).map(look).collect()
    }
}
