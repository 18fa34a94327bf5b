//! What the engine knows when it decides: fresh probes of every node over new connections, and what observation made of the time before.
//! Pure.

use std::time::Duration;

use super::manager::detect::Detected;
use crate::clock::Moment;
use crate::cluster::assess::Assessment;
use crate::collector::archive_verdict::ArchiveState;
use crate::pg::failure::Failure;
use crate::pg::lsn::{Lsn, Timeline};
use crate::pg::version::ServerVersion;

/// One look at a cluster.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The cluster's name.
    pub cluster: String,
    /// When the look began: no probe is older.
    pub began: Moment,
    /// When its last probe was answered or given up.
    pub ended: Moment,
    /// One for each node, in the order of the config.
    pub nodes: Vec<Look>,
    /// The primary whose failure is in question; `None` if none was ever seen.
    pub primary: Option<Primary>,
    /// What observation says at `ended`.
    pub assessment: Assessment,
    /// Whether our own loops ran late and no full round was made since.
    pub blind: bool,
    /// Until when somebody works on the cluster and said so.
    pub maintenance: Option<Moment>,
}

/// The node that was the primary when one was last seen.
#[derive(Clone, Debug)]
pub struct Primary {
    /// Its number in [`Evidence::nodes`].
    pub node: usize,
    /// The timeline that it wrote.
    pub timeline: Timeline,
    /// Its cluster's system identifier, as far as it was seen.
    pub system_identifier: Option<u64>,
    /// The highest flushed position that it was seen at or told.
    pub flushed: Lsn,
    /// When it was last read.
    pub seen: Moment,
    /// Whether it wrote WAL within the last second before that.
    pub was_moving: bool,
    /// Its `wal_sender_timeout`; `None` if it was never read, or is off.
    pub wal_sender_timeout: Option<Duration>,
    /// Since when it is known to be stopped on purpose.
    pub stopping: Option<Moment>,
    /// Processes that live in its data directory, where pgvigil runs beside it.
    pub processes: Option<usize>,
    /// The nodes that its walsenders fed when it was last read, by number; `None` if that was never read.
    pub fed: Option<Vec<usize>>,
    /// Whether its archiver worked when it was last read.
    pub archiving: Option<ArchiveState>,
}

/// What one node said.
#[derive(Clone, Debug)]
pub struct Look {
    /// The node.
    pub node: String,
    /// When the probe was answered or given up.
    pub at: Moment,
    /// What a new connection got.
    pub probe: Result<Server, Failure>,
    /// Whether the config has an admin DSN for it.
    pub has_admin: bool,
}

/// A server that answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// Its version.
    pub version: ServerVersion,
    /// `pg_control_system()`.
    pub system_identifier: u64,
    /// The timeline that it writes or, as a standby, receives or replays.
    pub timeline: Timeline,
    /// `pg_is_in_recovery()`.
    pub in_recovery: bool,
    /// On a primary the flushed position; on a standby the received one, or the replayed if that is further.
    pub position: Lsn,
    /// On a standby what it has replayed.
    pub replayed: Option<Lsn>,
    /// Its walreceiver, if it runs.
    pub receiver: Option<Receiver>,
    /// Whether replay is paused.
    pub replay_paused: bool,
    /// `recovery_min_apply_delay`.
    pub apply_delay: Duration,
    /// `synchronous_standby_names`.
    pub synchronous_standby_names: String,
    /// The cluster manager that left its mark on the server, if one did.
    pub manager: Option<Detected>,
}

/// A walreceiver.
#[derive(Clone, Debug, PartialEq)]
pub struct Receiver {
    /// Whether `status` is streaming.
    pub streams: bool,
    /// Since when no message came, by the server's own clock; `None` if none came yet.
    pub silent: Option<Duration>,
    /// `wal_receiver_timeout`; `None` if it is off.
    pub timeout: Option<Duration>,
    /// Where it connects to.
    pub sender: Option<(String, u16)>,
}

impl Evidence {
    /// What the primary in question said.
    pub fn primary_look(&self) -> Option<&Look> {
        self.nodes.get(self.primary.as_ref()?.node)
    }

    /// Servers that answered, with their number.
    pub fn servers(&self) -> impl Iterator<Item = (usize, &Server)> {
        self.nodes.iter().enumerate().filter_map(|(number, look)| Some((number, look.probe.as_ref().ok()?)))
    }

    /// Nodes that accept writes, by number.
    pub fn writers(&self) -> impl Iterator<Item = (usize, &Server)> {
        self.servers().filter(|(_, server)| !server.in_recovery)
    }

    /// Nodes other than the primary in question, by number.
    pub fn standbys(&self) -> impl Iterator<Item = (usize, &Look)> {
        let primary = self.primary.as_ref().map(|primary| primary.node);
        self.nodes.iter().enumerate().filter(move |(number, _)| Some(*number) != primary)
    }

    /// The number of a node.
    pub fn number_of(&self, node: &str) -> Option<usize> {
        self.nodes.iter().position(|look| look.node == node)
    }

    /// What a promotion of `candidate` would lose at most, in bytes: by observation's estimate, and no less than the probes show to be
    /// missing. `None` if that is not known, also because observation would choose another that has received more or less.
    pub fn loss_to(&self, candidate: &str) -> Option<u64> {
        let of = |name: &str| self.nodes.iter().find(|look| look.node == name)?.probe.as_ref().ok();
        let place = |name: &str| of(name).map(|server| (server.timeline, server.position));
        let chosen = self.assessment.failover_candidate.as_deref()?;
        let is_as_far = chosen == candidate || (place(chosen).is_some() && place(chosen) == place(candidate));
        let estimated = self.assessment.failover_loss.as_ref().filter(|_| is_as_far)?.estimated_bytes;
        let server = of(candidate);
        let missing =
            self.primary.as_ref().zip(server).map(|(primary, server)| primary.flushed.bytes_since(server.position));
        Some(estimated.max(missing.unwrap_or_default()))
    }
}
