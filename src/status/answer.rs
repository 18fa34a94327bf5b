//! What the status needs of the API's answers; `openapi.yaml` describes them whole.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::clock::Wall;
use crate::pg::lsn::Lsn;

/// `/api/v1/clusters`.
#[derive(Clone, Debug, Deserialize)]
pub struct Clusters {
    /// When it was answered.
    pub now: Wall,
    /// All clusters, in the order of the config.
    pub clusters: Vec<Brief>,
}

/// A cluster in short.
#[derive(Clone, Debug, Deserialize)]
pub struct Brief {
    /// Its name.
    pub name: String,
    /// The node whose WAL is the measure.
    pub primary: Option<String>,
    /// no, yes or unknown.
    pub split_brain: String,
    /// Its nodes.
    pub nodes: Vec<BriefNode>,
}

/// A node in short.
#[derive(Clone, Debug, Deserialize)]
pub struct BriefNode {
    /// Whether a fresh reading exists.
    pub up: bool,
}

/// `/api/v1/clusters/{cluster}`.
#[derive(Clone, Debug, Deserialize)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// The node whose WAL is the measure.
    pub primary: Option<String>,
    /// no, yes or unknown.
    pub split_brain: String,
    /// The newest timeline that was seen.
    pub timeline: Option<u32>,
    /// The standby that a failover now would choose.
    pub failover_candidate: Option<String>,
    /// What a failover now would lose.
    pub failover_loss: Option<Loss>,
    /// People work on it.
    pub maintenance: Option<Maintenance>,
    /// Who is there, and who should be.
    pub standbys: Vec<Standby>,
    /// Its nodes, in the order of the config.
    pub nodes: Vec<Node>,
}

/// What a failover would lose, in bytes.
#[derive(Clone, Debug, Deserialize)]
pub struct Loss {
    /// At least.
    pub seen_bytes: u64,
    /// At most, by what is known.
    pub estimated_bytes: u64,
}

/// Maintenance that lasts.
#[derive(Clone, Debug, Deserialize)]
pub struct Maintenance {
    /// When it ends by itself.
    pub until: Wall,
    /// Who began it.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
}

/// An expected or connected standby.
#[derive(Clone, Debug, Deserialize)]
pub struct Standby {
    /// Its name.
    pub standby: String,
    /// Whether it is missed when it is not connected.
    pub expected: bool,
    /// Whether it is connected.
    pub connected: bool,
}

/// A node.
#[derive(Clone, Debug, Deserialize)]
pub struct Node {
    /// primary, standby or unknown.
    pub role: String,
    /// A state of archiving.
    pub archiving: String,
    /// A state of replay, where that is known.
    pub replay: Option<String>,
    /// What is concluded.
    pub verdicts: Verdicts,
    /// Why it is not read.
    pub failure: Option<Failure>,
    /// What was read last.
    #[serde(default)]
    pub facts: Facts,
}

/// The verdicts on a node.
#[derive(Clone, Debug, Deserialize)]
pub struct Verdicts {
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: String,
    /// Whether a fresh reading exists.
    pub up: bool,
    /// Of a standby.
    pub lag: Option<Lags>,
    /// Where it stands in the line of descent.
    pub lineage: Lineage,
    /// Of a standby: whether it could take over.
    pub promotable: Option<Promotable>,
    /// Of a primary: whether commits can go on.
    pub sync: Option<Sync>,
    /// Of a standby.
    pub settings: Option<Settings>,
    /// Of a standby: whether the WAL that it needs is gone.
    pub needs_rebuild: Option<String>,
    /// Of a standby: who feeds it.
    pub upstream: Option<String>,
    /// Whether it is not up for us and a standby proves that it lives.
    pub witnessed: bool,
    /// What other observers see of it.
    pub others: Others,
}

/// The lag of both stages.
#[derive(Clone, Debug, Deserialize)]
pub struct Lags {
    /// Received and flushed.
    pub received: Lag,
    /// Replayed.
    pub replayed: Lag,
}

/// How far behind.
#[derive(Clone, Debug, Deserialize)]
pub struct Lag {
    /// In seconds.
    pub seconds: Option<f64>,
    /// In bytes.
    pub bytes: Option<u64>,
    /// Why the seconds are not known.
    pub unknown: Option<String>,
}

/// Each no, yes or unknown.
#[derive(Clone, Debug, Deserialize)]
pub struct Lineage {
    /// Whether it belongs to another cluster.
    pub foreign_system: String,
    /// Of a standby: whether it has WAL that the primary's timeline does not have.
    pub diverged: Option<String>,
}

/// Whether a standby could take over.
#[derive(Clone, Debug, Deserialize)]
pub struct Promotable {
    /// no, yes or unknown.
    pub verdict: String,
    /// What stands in the way.
    pub reasons: Vec<Reason>,
}

/// What stands in the way.
#[derive(Clone, Debug, Deserialize)]
pub struct Reason {
    /// In words.
    pub meaning: String,
}

/// Whether synchronous commits can go on.
#[derive(Clone, Debug, Deserialize)]
pub struct Sync {
    /// satisfied, unsatisfied, off or unknown.
    pub state: String,
    /// How many standbys a commit waits for.
    pub required: Option<u64>,
    /// How many there are.
    pub candidates: Option<u64>,
    /// How many may go.
    pub spare: Option<i64>,
}

/// A standby's settings beside its primary's.
#[derive(Clone, Debug, Deserialize)]
pub struct Settings {
    /// Whether they stop replay: no, yes or unknown.
    pub replay_blocked: String,
}

/// What other observers see.
#[derive(Clone, Debug, Deserialize)]
pub struct Others {
    /// Each of them.
    pub opinions: Vec<Opinion>,
}

/// What one observer sees.
#[derive(Clone, Debug, Deserialize)]
pub struct Opinion {
    /// Its name.
    pub observer: String,
    /// agrees, disagrees or unknown.
    pub agreement: String,
    /// As what it sees the node.
    pub state: String,
}

/// Why a node is not read.
#[derive(Clone, Debug, Deserialize)]
pub struct Failure {
    /// How long it has been so.
    pub since_seconds: f64,
    /// What was said.
    pub value: Message,
}

/// Somebody's words.
#[derive(Clone, Debug, Deserialize)]
pub struct Message {
    /// For people.
    pub message: String,
}

/// What collectors read; of a node that is not up it is from before.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// Role and positions.
    pub recovery: Fact<Recovery>,
    /// Replication slots.
    pub slots: Fact<Vec<Slot>>,
    /// `pg_stat_archiver`.
    pub archiver: Fact<Archiver>,
    /// What waits to be archived.
    pub archive_status: Fact<ArchiveStatus>,
}

/// What one collector read.
#[derive(Clone, Debug, Deserialize)]
pub struct Fact<T> {
    /// How long ago.
    pub age_seconds: Option<f64>,
    /// What.
    pub value: Option<T>,
}

impl<T> Default for Fact<T> {
    fn default() -> Self {
        Self { age_seconds: None, value: None }
    }
}

/// Role and positions.
#[derive(Clone, Debug, Deserialize)]
pub struct Recovery {
    /// What a primary has on disk.
    pub flush_lsn: Option<Lsn>,
    /// What a standby has replayed.
    pub replay_lsn: Option<Lsn>,
    /// Of a standby: running, requested or paused.
    pub pause: Option<String>,
}

/// A replication slot.
#[derive(Clone, Debug, Deserialize)]
pub struct Slot {
    /// Its name.
    pub name: String,
    /// physical or logical.
    pub kind: String,
    /// Whether somebody uses it.
    pub active: bool,
    /// From where on it keeps WAL.
    pub restart_lsn: Option<Lsn>,
    /// reserved, extended, unreserved or lost; not of all servers.
    pub wal_status: Option<String>,
    /// How much may be written until it may be lost.
    pub safe_wal_size: Option<i64>,
}

/// The archiver's counters.
#[derive(Clone, Debug, Deserialize)]
pub struct Archiver {
    /// Files archived.
    pub archived_count: u64,
    /// When the last was, on the server's clock.
    pub last_archived_time: Option<Wall>,
    /// The server's clock then.
    pub server_time: Wall,
}

/// What waits to be archived.
#[derive(Clone, Debug, Deserialize)]
pub struct ArchiveStatus {
    /// Files that wait.
    pub ready: u64,
}

/// `/api/v1/runs`.
#[derive(Clone, Debug, Deserialize)]
pub struct Runs {
    /// Who keeps all runs from doing anything, by whom and why.
    pub paused: Option<BTreeMap<String, serde_json::Value>>,
    /// Those that are not over, then others.
    pub runs: Vec<Run>,
}

/// A run of a runbook.
#[derive(Clone, Debug, Deserialize)]
pub struct Run {
    /// Its id.
    pub id: String,
    /// Of which cluster.
    pub cluster: String,
    /// Which runbook.
    pub runbook: String,
    /// Where it stands; `awaiting`: a person is asked.
    pub phase: String,
    /// How it ended.
    pub outcome: Option<String>,
    /// The hash of what would be done.
    pub plan: String,
    /// The node that failed.
    pub primary: String,
    /// Whom it would promote.
    pub candidate: Option<String>,
    /// What that may lose.
    pub loss_bytes: Option<u64>,
    /// Steps done.
    pub steps_done: u64,
    /// All steps.
    pub steps: u64,
    /// What it says of itself.
    pub report: String,
    /// Until when a person is asked.
    pub until: Option<Wall>,
    /// Whether somebody has to take note of it.
    pub unacknowledged: bool,
}
