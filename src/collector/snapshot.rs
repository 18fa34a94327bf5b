//! What is known of one node: typed facts, each with the moment at which it was seen.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::Pace;
use crate::clock::{Moment, Wall};
use crate::pg::lsn::{Lsn, Timeline};
use crate::pg::version::ServerVersion;

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
    /// How each collector's last reading went, by its name.
    pub outcomes: BTreeMap<&'static str, Fact<Outcome>>,
}

impl Snapshot {
    /// The slots; none while they were never read.
    pub fn slots(&self) -> &[Slot] {
        self.slots.as_ref().map_or(&[], |fact| fact.value.as_slice())
    }

    /// The walsenders that feed a standby, or what connects as one: neither base backups nor logical replication.
    ///
    /// A logical walsender always holds a logical slot, so its pid is such a slot's `active_pid`. The slots are read next after
    /// the walsenders; without them every walsender that streams counts as physical.
    pub fn physical_walsenders(&self) -> impl Iterator<Item = &Walsender> {
        let logical = |pid| self.slots().iter().any(|slot| slot.kind == "logical" && slot.active_pid == Some(pid));
        let walsenders = self.walsenders.as_ref().map_or(&[][..], |fact| &fact.value);
        walsenders.iter().filter(move |walsender| !walsender.is_base_backup() && !logical(walsender.pid))
    }
}

/// How a collector's last reading went.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// What went wrong, in a sentence without secrets; `None` if it went well.
    pub error: Option<String>,
    /// From sending the statement to the last row.
    pub duration: Duration,
}

/// One row of the recovery functions: is this node a primary, and where does its WAL stand.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recovery {
    /// `pg_is_in_recovery()`: the only safe test of the role.
    pub in_recovery: bool,
    /// On a primary the timeline that it writes, from the WAL file name of its own position
    /// (`pg_control_checkpoint` is stale after a promotion); `None` on a standby.
    pub timeline: Option<Timeline>,
    /// `pg_current_wal_insert_lsn()`, primary only; runs ahead of `flush_lsn` even when idle.
    pub insert_lsn: Option<Lsn>,
    /// `pg_current_wal_flush_lsn()`, primary only: what a crash keeps, and what lag is measured against.
    pub flush_lsn: Option<Lsn>,
    /// `pg_last_wal_receive_lsn()`; NULL if it never streamed. After a restart it begins at a segment's start, before `replay_lsn`.
    /// On a promoted node it keeps its last value.
    pub receive_lsn: Option<Lsn>,
    /// `pg_last_wal_replay_lsn()`. On a promoted node it keeps its last value: where the new timeline forked off.
    pub replay_lsn: Option<Lsn>,
    /// `pg_get_wal_replay_pause_state()` (14+) or `pg_is_wal_replay_paused()`; `None` on a primary.
    pub pause: Option<ReplayPause>,
    /// `pg_last_xact_replay_timestamp()`: the server's clock of the primary at the last replayed commit.
    pub last_xact_replay: Option<Wall>,
    /// `clock_timestamp()` of this server.
    pub server_time: Wall,
    /// Server clock less ours, in seconds, by the midpoint of the exchange; off by half the round trip at most.
    pub clock_offset_seconds: f64,
    /// `pg_postmaster_start_time()`.
    pub started_at: Wall,
}

/// Whether replay is paused by command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplayPause {
    /// Not paused.
    Running,
    /// Pause requested, not yet reached (14+).
    Requested,
    /// Paused.
    Paused,
}

/// One row of `pg_stat_replication`: a walsender of this node.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Walsender {
    /// `pid`: to match a slot's `active_pid`, never a label.
    pub pid: i32,
    /// `application_name`.
    pub application_name: String,
    /// `state`: startup, catchup, streaming, backup, stopping.
    pub state: String,
    /// `sent_lsn`.
    pub sent_lsn: Option<Lsn>,
    /// `write_lsn`; NULL until the first reply.
    pub write_lsn: Option<Lsn>,
    /// `flush_lsn`: the standby keeps up to here through a crash.
    pub flush_lsn: Option<Lsn>,
    /// `replay_lsn`.
    pub replay_lsn: Option<Lsn>,
    /// `write_lag` in seconds: a round trip on this server's clock; NULL when idle.
    pub write_lag: Option<f64>,
    /// `flush_lag` in seconds.
    pub flush_lag: Option<f64>,
    /// `replay_lag` in seconds.
    pub replay_lag: Option<f64>,
    /// `sync_state`: async, potential, sync, quorum.
    pub sync_state: Option<String>,
    /// `reply_time`: the standby's clock when it last reported.
    pub reply_time: Option<Wall>,
    /// `backend_start`.
    pub backend_start: Option<Wall>,
}

impl Walsender {
    /// Whether it sends a base backup; the WAL that goes with one comes through a walsender of its own.
    pub fn is_base_backup(&self) -> bool {
        self.state == "backup"
    }
}

/// The row of `pg_stat_wal_receiver`. `conninfo` is never read: it may hold a password.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WalReceiver {
    /// `status`: stopped, starting, streaming, waiting, restarting, stopping (and connecting where a server has it).
    pub status: String,
    /// `receive_start_lsn`.
    pub receive_start_lsn: Option<Lsn>,
    /// `receive_start_tli`.
    pub receive_start_tli: Option<Timeline>,
    /// `written_lsn`; `received_lsn` before 13.
    pub written_lsn: Option<Lsn>,
    /// `flushed_lsn` (13+).
    pub flushed_lsn: Option<Lsn>,
    /// `received_tli`.
    pub received_tli: Option<Timeline>,
    /// `last_msg_send_time`, on the upstream's clock.
    pub last_msg_send_time: Option<Wall>,
    /// `last_msg_receipt_time`, on this server's clock.
    pub last_msg_receipt_time: Option<Wall>,
    /// `latest_end_lsn`: the upstream's last position as it told the standby.
    pub latest_end_lsn: Option<Lsn>,
    /// `latest_end_time`.
    pub latest_end_time: Option<Wall>,
    /// `slot_name`.
    pub slot_name: Option<String>,
    /// `sender_host` (11+).
    pub sender_host: Option<String>,
    /// `sender_port` (11+).
    pub sender_port: Option<u16>,
}

/// One row of `pg_replication_slots`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Slot {
    /// `slot_name`.
    pub name: String,
    /// `slot_type`: physical or logical.
    pub kind: String,
    /// `temporary`.
    pub temporary: bool,
    /// `active`.
    pub active: bool,
    /// `active_pid`: the walsender that uses it.
    pub active_pid: Option<i32>,
    /// `restart_lsn`; NULL for a slot never used or lost.
    pub restart_lsn: Option<Lsn>,
    /// `confirmed_flush_lsn`, logical slots only.
    pub confirmed_flush_lsn: Option<Lsn>,
    /// `wal_status` (13+): reserved, extended, unreserved, lost; NULL without `restart_lsn` unless lost.
    pub wal_status: Option<String>,
    /// `safe_wal_size` in bytes (13+); NULL when lost or without `max_slot_wal_keep_size`.
    pub safe_wal_size: Option<i64>,
}

impl Slot {
    /// `safe_wal_size` where it means something: the server tells a size for a slot that holds nothing too.
    pub fn safe_bytes(&self) -> Option<i64> {
        self.safe_wal_size.filter(|_| self.restart_lsn.is_some())
    }
}

/// What of a row of `pg_replication_slots` is not needed each second.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SlotDetails {
    /// `slot_name`.
    pub name: String,
    /// `slot_type`: physical or logical.
    pub kind: String,
    /// `age(xmin)`, in transactions; `None` while the slot keeps no rows.
    pub xmin_age: Option<f64>,
    /// `age(catalog_xmin)`, in transactions; `None` while the slot keeps no catalogue rows.
    pub catalog_xmin_age: Option<f64>,
    /// Seconds since `inactive_since` (17+); NULL while the slot is in use.
    pub inactive_age: Option<f64>,
    /// `invalidation_reason` (17+), what `conflicting` (16+) and `wal_status` (13+) say of it, or "none"; `None` before 13.
    pub invalidation: Option<String>,
    /// `two_phase` (14+).
    pub two_phase: Option<bool>,
    /// `failover` (17+).
    pub failover: Option<bool>,
    /// `synced` (17+).
    pub synced: Option<bool>,
}

/// One row of `pg_stat_replication_slots` (14+), since the slot's `stats_reset`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SlotStats {
    /// `slot_name`.
    pub name: String,
    /// `total_txns`.
    pub total_txns: u64,
    /// `total_bytes`.
    pub total_bytes: u64,
    /// `spill_txns`.
    pub spill_txns: u64,
    /// `spill_bytes`.
    pub spill_bytes: u64,
    /// `stream_txns`.
    pub stream_txns: u64,
    /// `stream_bytes`.
    pub stream_bytes: u64,
}

/// What a server was started with, and what of it is taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Rows of `pg_replication_slots`, of `max_replication_slots`.
    pub slots: Usage,
    /// Rows of `pg_stat_get_wal_senders()`, of `max_wal_senders`.
    pub walsenders: Usage,
}

/// So many of so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// How many are taken.
    pub used: u32,
    /// How many there can be.
    pub limit: u32,
}

/// The sums of `pg_stat_database_conflicts` over all databases, since the statistics began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Conflicts {
    /// `pg_is_in_recovery()`: on a primary nothing conflicts with replay.
    pub in_recovery: bool,
    /// `confl_tablespace`.
    pub tablespace: u64,
    /// `confl_lock`.
    pub lock: u64,
    /// `confl_snapshot`.
    pub snapshot: u64,
    /// `confl_bufferpin`.
    pub bufferpin: u64,
    /// `confl_deadlock`.
    pub deadlock: u64,
    /// `confl_active_logicalslot` (16+).
    pub logical_slot: Option<u64>,
}

/// The row of the startup process in `pg_stat_activity`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReplayWait {
    /// `pg_is_in_recovery()`: on a primary there is no startup process.
    pub in_recovery: bool,
    /// Whether there is a row whose `backend_type` is startup.
    pub found: bool,
    /// `wait_event_type`.
    pub wait_event_type: Option<String>,
    /// `wait_event`: its names differ between versions.
    pub wait_event: Option<String>,
}

/// The row of `pg_stat_archiver`, with the settings that its meaning hangs on read in the same statement.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Archiver {
    /// `archived_count`.
    pub archived_count: u64,
    /// `last_archived_wal`: may be a .history, .partial or .backup name.
    pub last_archived_wal: Option<String>,
    /// `last_archived_time`.
    pub last_archived_time: Option<Wall>,
    /// `failed_count`.
    pub failed_count: u64,
    /// `last_failed_wal`.
    pub last_failed_wal: Option<String>,
    /// `last_failed_time`.
    pub last_failed_time: Option<Wall>,
    /// `stats_reset`.
    pub stats_reset: Option<Wall>,
    /// `archive_mode`: off, on, always.
    pub mode: String,
    /// What `archive_command` and `archive_library` amount to; the text itself is not kept, it may hold a secret.
    /// `Unset` while `archive_mode` is off, since the server then hides the command.
    pub command: ArchiveCommand,
    /// `clock_timestamp()` of this server.
    pub server_time: Wall,
}

/// What the archive settings do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ArchiveCommand {
    /// Neither a command nor a library: WAL piles up.
    Unset,
    /// A command that succeeds without keeping anything, such as `cd .` or `/bin/true`.
    Noop,
    /// A command or a library that may work.
    Set,
}

/// `pg_ls_archive_statusdir()`: what waits for the archiver.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ArchiveStatus {
    /// Number of `.ready` files.
    pub ready: u64,
    /// Age in seconds of the oldest `.ready` file by the server's clock; `None` if there is none.
    pub oldest_ready_age: Option<f64>,
}

/// `pg_control_system()`, `pg_control_checkpoint()` and `pg_control_recovery()`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Control {
    /// `system_identifier`: the same for all nodes of one cluster.
    pub system_identifier: String,
    /// `pg_control_checkpoint().timeline_id`: stale after a promotion until its checkpoint ends.
    pub checkpoint_timeline: Timeline,
    /// `pg_control_recovery().min_recovery_end_timeline`; `None` on a primary.
    pub min_recovery_end_timeline: Option<Timeline>,
    /// `pg_control_checkpoint().redo_lsn`.
    pub redo_lsn: Option<Lsn>,
    /// `pg_control_checkpoint().checkpoint_time`.
    pub checkpoint_time: Option<Wall>,
}

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

/// Whom commits wait for, and who waits.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sync {
    /// `synchronous_standby_names`; empty: off.
    pub standby_names: String,
    /// `synchronous_commit` of our own session: what sessions have that set none. With off or local a commit waits for nobody.
    pub synchronous_commit: String,
    /// `statement_timestamp()` of this server: just before it looked.
    pub server_time: Wall,
    /// The backends whose `wait_event` is SyncRep: as many as `max_connections` at most.
    pub waiters: Vec<SyncWaiter>,
}

/// One row of `pg_stat_activity` whose commit waits for standbys.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SyncWaiter {
    /// `pid`: never a label.
    pub pid: i32,
    /// The latest of `xact_start`, `query_start` and `state_change`: the wait began after it.
    pub busy_since: Option<Wall>,
    /// When the wait began at the earliest, on this server's clock.
    pub waiting_since: Wall,
}

impl Sync {
    /// For how many seconds a backend has waited at most; 0 if none waits.
    pub fn longest_wait(&self) -> f64 {
        let waits = self.waiters.iter().map(|waiter| self.server_time.seconds_since(waiter.waiting_since));
        waits.fold(0.0, f64::max)
    }
}

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
    /// The `standby` label of each of this node's walsenders, by pid.
    pub standby_names: BTreeMap<i32, String>,
}

impl<'a> NodeView<'a> {
    /// The label values that every series of this node begins with.
    pub fn labels(&self) -> [&'a str; 2] {
        [self.cluster, self.node]
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
        let young = self.age(fact) <= window && fact.seen.mono >= self.not_before.mono;
        young.then_some(&fact.value)
    }
}
