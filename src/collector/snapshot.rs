//! What is known of one node: typed facts, each with the moment at which it was seen.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::Pace;
use super::archive_status::ArchiveStatus;
use super::archiver::Archiver;
use super::base_backups::BaseBackup;
use super::checkpoints::Checkpoints;
use super::checksums::Checksums;
use super::conflicts::Conflicts;
use super::control::Control;
use super::limits::Limits;
use super::prefetch::Prefetch;
use super::privileges::Privileges;
use super::recovery::Recovery;
use super::replay_wait::ReplayWait;
use super::settings::Settings;
use super::slot_details::SlotDetails;
use super::slot_stats::SlotStats;
use super::slots::Slot;
use super::sync::Sync;
use super::wal_dir::WalDir;
use super::wal_receiver::WalReceiver;
use super::wal_stats::WalStats;
use super::walsender_kind::WalsenderKind;
use super::walsenders::Walsender;
use crate::archive_watch::hostside::Hostside;
use crate::clock::Moment;
use crate::cluster::visible::Visible;
use crate::pg::version::ServerVersion;
use crate::server_log::said::ServerLog;

/// When a statement was sent, and when its answer was complete.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    /// Just before it was sent.
    pub sent: Moment,
    /// When the last row had arrived: the fact's age counts from here.
    pub received: Moment,
}

/// A value with the moment at which it was seen.
#[derive(Clone, Debug, Serialize)]
pub struct Fact<T> {
    /// What was seen.
    pub value: T,
    /// When.
    pub seen: Moment,
}

/// Everything known of one node. A field is `None` until its collector has succeeded once.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// `server_version_num`, reported at login.
    pub version: Option<ServerVersion>,
    /// Collector `recovery`.
    pub recovery: Option<Fact<Recovery>>,
    /// Collector `walsenders`.
    pub walsenders: Option<Fact<Vec<Walsender>>>,
    /// Collector `wal_receiver`; no row means that there is no walreceiver.
    pub wal_receiver: Option<Fact<Option<WalReceiver>>>,
    /// Collector `slots`.
    pub slots: Option<Fact<Vec<Slot>>>,
    /// Collector `archiver`.
    pub archiver: Option<Fact<Archiver>>,
    /// Collector `archive_status`.
    pub archive_status: Option<Fact<ArchiveStatus>>,
    /// Collector `control`.
    pub control: Option<Fact<Control>>,
    /// Collector `settings`.
    pub settings: Option<Fact<Settings>>,
    /// Collector `sync`.
    pub sync: Option<Fact<Sync>>,
    /// Collector `privileges`.
    pub privileges: Option<Fact<Privileges>>,
    /// Collector `slot_details`; temporary slots are left out.
    pub slot_details: Option<Fact<Vec<SlotDetails>>>,
    /// Collector `slot_stats`; temporary slots are left out.
    pub slot_stats: Option<Fact<Vec<SlotStats>>>,
    /// Collector `limits`.
    pub limits: Option<Fact<Limits>>,
    /// Collector `conflicts`.
    pub conflicts: Option<Fact<Conflicts>>,
    /// Collector `replay_wait`.
    pub replay_wait: Option<Fact<ReplayWait>>,
    /// Collector `wal_stats`; `None` inside where the server counts no WAL.
    pub wal_stats: Option<Fact<Option<WalStats>>>,
    /// Collector `wal_dir`.
    pub wal_dir: Option<Fact<WalDir>>,
    /// Collector `checkpoints`.
    pub checkpoints: Option<Fact<Checkpoints>>,
    /// Collector `prefetch`; `None` inside where the server fetches nothing ahead.
    pub prefetch: Option<Fact<Option<Prefetch>>>,
    /// Collector `checksums`.
    pub checksums: Option<Fact<Checksums>>,
    /// Collector `base_backups`.
    pub base_backups: Option<Fact<Vec<BaseBackup>>>,
    /// The node's own files, where pgvigil runs beside it.
    pub hostside: Option<Fact<Hostside>>,
    /// What its own log said, or why that is not known; `None`: the config names none.
    pub server_log: Option<Fact<Result<ServerLog, String>>>,
    /// What the newest write probe found here.
    pub visible: Option<Fact<Visible>>,
    /// How each collector's last reading went, by its name.
    pub outcomes: BTreeMap<&'static str, Fact<Outcome>>,
    /// How long a collector that costs the server much rests after its last reading, by its name, and when that reading was.
    pub rests: BTreeMap<&'static str, Fact<Duration>>,
}

impl Snapshot {
    /// The slots; none while they were never read.
    pub fn slots(&self) -> &[Slot] {
        self.slots.as_ref().map_or(&[], |fact| fact.value.as_slice())
    }

    /// For how much longer than others a fact counts that was seen at `seen`: until its collector, which rests, reads again.
    pub fn rest_after(&self, seen: Moment) -> Duration {
        self.rests.values().find(|rest| rest.seen == seen).map_or(Duration::ZERO, |rest| rest.value)
    }

    /// The walsenders with what each of them feeds, by their rows alone; none while they were never read.
    pub fn senders(&self) -> impl Iterator<Item = (&Walsender, WalsenderKind)> {
        let walsenders = self.walsenders.as_ref().map_or(&[][..], |fact| &fact.value);
        let server_time = self.recovery.as_ref().map(|fact| fact.value.server_time);
        walsenders.iter().map(move |walsender| (walsender, WalsenderKind::of(walsender, self.slots(), server_time)))
    }
}

/// How a collector's last reading went.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// What went wrong, in a sentence without secrets; `None` if it went well.
    pub error: Option<String>,
    /// From sending the statement to the last row.
    pub duration: Duration,
    /// When a reading last went well; `None` if none did yet.
    pub last_good: Option<Moment>,
}

/// One node as a collector's samples see it: its facts, and what is still fresh.
#[derive(Debug)]
pub struct NodeView<'a> {
    /// Label `cluster`.
    pub cluster: &'a str,
    /// Label `node`.
    pub node: &'a str,
    /// The facts.
    pub snapshot: &'a Snapshot,
    /// The present.
    pub now: Moment,
    /// Up to which age a fact of the fast reading counts.
    pub fast_window: Duration,
    /// Up to which age a fact of the slow reading counts.
    pub slow_window: Duration,
    /// Facts seen earlier count for nothing: our own loop was late.
    pub not_before: Moment,
    /// From which age on a `.ready` file that nobody touches means that the archiver hangs.
    pub archive_hung_after: Duration,
    /// The `standby` label of each walsender of this node that feeds a standby, by pid.
    pub standby_names: BTreeMap<i32, String>,
}

impl<'a> NodeView<'a> {
    /// The label values that every series of this node begins with.
    pub fn labels(&self) -> [&'a str; 2] {
        [self.cluster, self.node]
    }

    /// The walsenders of this node with what each of them feeds: what the configuration knows as a standby is one.
    pub fn senders(&self) -> impl Iterator<Item = (&'a Walsender, WalsenderKind)> {
        self.snapshot.senders().map(|(walsender, kind)| {
            let known = self.standby_names.contains_key(&walsender.pid);
            (walsender, if known { WalsenderKind::Standby } else { kind })
        })
    }

    /// How long ago the fact was seen.
    pub fn age<T>(&self, fact: &Fact<T>) -> Duration {
        self.now.mono.since(fact.seen.mono)
    }

    /// The fact, unless it is too old to be shown.
    pub fn fresh<T>(&self, fact: &'a Option<Fact<T>>, pace: Pace) -> Option<&'a T> {
        let window = match pace {
            Pace::Fast => self.fast_window,
            Pace::Slow => self.slow_window,
        };
        let fact = fact.as_ref()?;
        let window = window.saturating_add(self.snapshot.rest_after(fact.seen));
        let young = self.age(fact) <= window && fact.seen.mono >= self.not_before.mono;
        young.then_some(&fact.value)
    }
}
