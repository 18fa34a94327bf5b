//! The words of a scenario file, and the world that they make. Ages are told as they are at the look: `4s`, `200ms`.
//!
//! What is not said is well: the primary `a` (timeline 1, at 0/5000000, seen 1 s ago while it wrote) fed the other nodes, which answer
//! as standbys that have all of it and no walreceiver any more; an automatic runbook with a fence, one receiver, `manager: none`.

use std::collections::BTreeMap;

use pgvigil::runbook::guard::{Answer, Stage};
use serde::Deserialize;

/// A file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it shows, in one sentence.
    #[expect(dead_code, reason = "for whoever reads the file")]
    pub about: String,
    /// Before what the guards are judged: plan, fence or promote.
    pub stage: Stage,
    /// The verdict on the primary.
    pub verdict: String,
    /// The guards that do not pass.
    pub blocks: BTreeMap<String, Answer>,
    /// Who would be promoted.
    #[serde(default)]
    pub candidate: Option<String>,
    /// The silence after which this primary would be said to hang; none: no silence would do.
    #[serde(default)]
    pub hang_limit: Option<String>,
    /// Parts of what the verdict or a guard says.
    #[serde(default)]
    pub says: Vec<String>,
    #[serde(default)]
    pub primary: PrimaryWords,
    pub nodes: BTreeMap<String, NodeWords>,
    /// The look before: what differs of each node.
    #[serde(default)]
    pub before: Option<Before>,
    #[serde(default)]
    pub run: RunWords,
}

/// The primary when it was last seen.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PrimaryWords {
    pub node: String,
    pub known: bool,
    pub timeline: u32,
    pub flushed: String,
    pub seen: String,
    pub was_writing: bool,
    pub stopped_on_purpose: Option<String>,
    pub processes: Option<usize>,
    /// Whom it fed; all others if it is not said, and `[unknown]`.
    pub fed: Option<Vec<String>>,
    /// Whether a standby got a message from it after we had lost it.
    pub witnessed: bool,
    pub system_known: bool,
    pub archiver_hangs: bool,
    /// What other observers see: `up 1s`, `timeout 1s`, `unknown`.
    pub observers: BTreeMap<String, String>,
}

impl Default for PrimaryWords {
    fn default() -> Self {
        Self {
            node: "a".into(),
            known: true,
            timeline: 1,
            flushed: "0/5000000".into(),
            seen: "1s".into(),
            was_writing: true,
            stopped_on_purpose: None,
            processes: None,
            fed: None,
            witnessed: false,
            system_known: true,
            archiver_hangs: false,
            observers: BTreeMap::new(),
        }
    }
}

/// A node at the look.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodeWords {
    /// standby, primary, or why it does not: a value of `node_connect_failure{reason}`.
    pub answers: String,
    /// none; `silent 4s`; `connecting`; `waiting 4s`, which does not stream; `streaming`, which heard nothing yet.
    pub receiver: String,
    pub wal_receiver_timeout: String,
    /// Who feeds it, as observed.
    pub fed_by: Option<String>,
    pub timeline: u32,
    pub position: String,
    pub replayed: Option<String>,
    pub replayed_known: bool,
    pub other_system: bool,
    pub apply_delay: String,
    pub replay_paused: bool,
    pub admin_dsn: bool,
    pub manager: Option<String>,
    /// Reasons of `promotable_block`; none: it is promotable.
    pub promotable_block: Vec<String>,
    pub observed: bool,
}

impl Default for NodeWords {
    fn default() -> Self {
        Self {
            answers: "standby".into(),
            receiver: "none".into(),
            wal_receiver_timeout: "60s".into(),
            fed_by: None,
            timeline: 1,
            position: "0/5000000".into(),
            replayed: None,
            replayed_known: true,
            other_system: false,
            apply_delay: "0s".into(),
            replay_paused: false,
            admin_dsn: true,
            manager: None,
            promotable_block: Vec::new(),
            observed: true,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    pub age: String,
    pub nodes: BTreeMap<String, NodeWords>,
}

/// The run.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunWords {
    pub class: String,
    /// Whether it is a switchover.
    pub planned: bool,
    /// Where the primary that was stopped said that its WAL ends.
    pub shutdown: Option<String>,
    pub mode: String,
    pub limits: String,
    /// `observation`, `person`, or an alert: `firing 5s`, `resolved 5s`, `truncated 5s`.
    pub cause: String,
    /// How old the look is.
    pub age: String,
    pub blind: bool,
    pub paused: bool,
    pub maintenance: bool,
    /// Bytes that the promotion may lose; `None` where observation cannot tell.
    pub loss: Option<u64>,
    pub loss_known: bool,
    /// The newest timeline that observation knows.
    pub timeline: u32,
    /// The timeline that the run is about.
    pub episode: u32,
    pub lock: String,
    pub has_lock: bool,
    pub single_receiver: bool,
    pub manager: Option<String>,
    /// What Patroni is asked to do it says before: then the one step is delegate.
    pub patroni: Option<PatroniWords>,
    pub hooks: Vec<String>,
    pub open_runs_elsewhere: usize,
    pub clusters_failing: usize,
    pub past: Vec<PastWords>,
}

impl Default for RunWords {
    fn default() -> Self {
        Self {
            class: "failover".into(),
            planned: false,
            shutdown: None,
            mode: "automatic".into(),
            limits: "{}".into(),
            cause: "observation".into(),
            age: "100ms".into(),
            blind: false,
            paused: false,
            maintenance: false,
            loss: Some(0),
            loss_known: true,
            timeline: 1,
            episode: 1,
            lock: "not_yet".into(),
            has_lock: false,
            single_receiver: true,
            manager: Some("none".into()),
            patroni: None,
            hooks: Vec::new(),
            open_runs_elsewhere: 0,
            clusters_failing: 0,
            past: Vec::new(),
        }
    }
}

/// What a cluster manager says that is to be asked.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PatroniWords {
    pub answers: bool,
    /// Who leads and runs.
    pub leads: Option<String>,
    /// Members that do not lead, and run.
    pub others: Vec<String>,
    pub nofailover: Vec<String>,
    pub paused: bool,
    /// For how long it may act itself.
    pub acts_within: String,
}

impl Default for PatroniWords {
    fn default() -> Self {
        Self {
            answers: true,
            leads: Some("a".into()),
            others: vec!["b".into()],
            nofailover: Vec::new(),
            paused: false,
            acts_within: "50s".into(),
        }
    }
}

/// A run that ended.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PastWords {
    pub ended: String,
    pub acted: bool,
    pub acknowledged: bool,
    #[serde(default)]
    pub promoted: Option<String>,
}

impl Scenario {
    pub fn read(text: &str, name: &str) -> Self {
        serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"))
    }
}
