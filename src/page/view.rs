//! Everything that a page shows of a cluster at one moment, and nothing that is made of another.

use crate::archive_watch::archive_dir::ArchiveDir;
use crate::clock::{Moment, Wall};
use crate::cluster::Cluster;
use crate::cluster::assess::{NodeAssessment, Verdict};
use crate::cluster::facts::NodeFacts;
use crate::cluster::look::Look;
use crate::cluster::loss::Loss;
use crate::cluster::maintenance::Maintenance;
use crate::cluster::observers::Role;
use crate::cluster::trend::{EACH, Point, SPAN};
use crate::doctor::patient::Patient;
use crate::doctor::{Judgement, judge};
use crate::pg::failure::NodeState;
use crate::runbook::run::Run;
use crate::runbook::runs::Runs;

/// So many runs that are over are shown, the newest.
const MOST_ENDED: usize = 8;

/// A cluster at one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// Its name.
    pub cluster: String,
    /// The moment.
    pub now: Moment,
    /// The node that all are measured by, or the last that was.
    pub primary: Option<String>,
    /// Whether more than one node writes.
    pub split_brain: Verdict,
    /// Whom a failover would choose.
    pub candidate: Option<String>,
    /// What it would lose.
    pub loss: Option<Loss>,
    /// The present maintenance.
    pub maintenance: Option<Maintenance>,
    /// The nodes, in the order of the config.
    pub nodes: Vec<Node>,
    /// Connected standbys that the config does not name.
    pub strangers: Vec<String>,
    /// What is in `archive_dir`, if there is one; the inner is `None` where that is not known.
    pub archive_dir: Option<Option<ArchiveDir>>,
    /// Its runs.
    pub runs: Told,
    /// What the doctor's checks say.
    pub checks: Vec<Judgement>,
}

/// What the journal tells of a cluster.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Its open run and the newest that are over.
    pub runs: Vec<Run>,
    /// Who stopped all runs, and why.
    pub paused: Option<String>,
}

impl Told {
    /// What it tells of this cluster.
    pub fn of(runs: &Runs, cluster: &str) -> Self {
        let of_it = |run: &&Run| run.plan.episode.cluster == cluster;
        let ended = runs.ended().rev().filter(of_it).take(MOST_ENDED);
        let paused = runs.paused().map(|switched| match switched.comment.as_str() {
            "" => switched.by.clone(),
            comment => format!("{}: {comment}", switched.by),
        });
        Self { runs: runs.open().filter(of_it).chain(ended).cloned().collect(), paused }
    }

    /// The run that is not over.
    pub fn open(&self) -> Option<&Run> {
        self.runs.iter().find(|run| run.outcome().is_none())
    }
}

/// A node at one moment.
#[derive(Clone, Debug)]
pub struct Node {
    /// The verdicts.
    pub verdicts: NodeAssessment,
    /// Its state.
    pub state: NodeState,
    /// What is shown of it beside them.
    pub look: Look,
    /// What keeps us from reading it, or others from logging in.
    pub why: String,
    /// Since when it is in its state, if it is not up.
    pub since: Option<Wall>,
    /// Whether it is missed when it is not connected, and whether it is; `None` for the primary.
    pub connection: Option<(bool, bool)>,
    /// Its lag over the last minutes, in slots of the same length, the oldest first: received and replayed.
    pub trend: Vec<Past>,
}

/// A standby's lag in one of the last minutes' slots.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Past {
    /// Nothing was looked at then, or the node was the primary.
    Nothing,
    /// It was not known at some tick.
    Unknown,
    /// The worst of its ticks, in seconds: received and replayed. One alone may be not known.
    Known(Option<f64>, Option<f64>),
}

impl Node {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.verdicts.name
    }

    /// Whether it is seen writing.
    pub fn writes(&self) -> bool {
        self.look.role == Role::Primary
    }

    /// Whether it is, or was when it was last seen, the primary.
    pub fn leads(&self) -> bool {
        self.writes() || self.verdicts.is_primary
    }

    /// Whether its replay stands still, or is about to, by command or by its settings.
    pub fn is_paused(&self) -> bool {
        matches!(self.look.replay, "paused" | "pause_requested")
    }

    /// Whether it is missed.
    pub fn is_missing(&self) -> bool {
        self.connection == Some((true, false))
    }
}

impl View {
    /// The cluster as it is at `now`, with what the journal tells of it.
    pub fn of(cluster: &Cluster, runs: Told, now: Moment) -> Self {
        let patient = Patient::new(cluster, now);
        let checks = judge(&patient);
        let assessment = patient.assessment;
        let is_node = |name: &str| cluster.layout().index_of(name).is_some();
        let strangers = assessment.standbys.iter().filter(|standby| standby.connected && !is_node(&standby.standby));
        let strangers = strangers.map(|standby| standby.standby.clone()).collect();
        let name = &cluster.layout().name;
        let nodes =
            assessment.nodes.into_iter().zip(cluster.looks(now)).enumerate().map(|(index, (verdicts, look))| {
                let facts = cluster.facts(index);
                let standby = assessment.standbys.iter().find(|standby| standby.standby == verdicts.name);
                Node {
                    state: NodeState::named(verdicts.state).unwrap_or(NodeState::Unknown),
                    why: why(facts).to_owned(),
                    since: facts.failure.as_ref().map(|failing| failing.since.wall).filter(|_| !verdicts.up),
                    connection: standby.map(|standby| (standby.expected, standby.connected)),
                    trend: trend(cluster.trends()[index].since(now.mono.minus(SPAN)), now),
                    verdicts,
                    look,
                }
            });
        Self {
            cluster: name.clone(),
            now,
            primary: assessment.primary,
            split_brain: assessment.split_brain,
            candidate: assessment.failover_candidate,
            loss: assessment.failover_loss,
            maintenance: cluster.maintenance(now.wall).cloned(),
            nodes: nodes.collect(),
            strangers,
            archive_dir: cluster.archive_dir(now).map(|fact| fact.map(|fact| fact.value.clone())),
            runs,
            checks,
        }
    }

    /// The node of this name.
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name() == name)
    }

    /// The standbys and what is none by its own word.
    pub fn standbys(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| !node.leads())
    }
}

/// So many slots the last minutes have.
pub const SLOTS: usize = 60;

/// The points in slots of the same length.
fn trend<'a>(points: impl Iterator<Item = &'a Point>, now: Moment) -> Vec<Past> {
    let mut slots = vec![Past::Nothing; SLOTS];
    let length = SPAN.as_secs_f64() / SLOTS as f64;
    // Slots stand still for as long as a point lasts, so that a picture changes no oftener than it must.
    let end = (now.wall.as_seconds() / EACH.as_secs_f64()).floor() * EACH.as_secs_f64();
    for point in points {
        let ago = (end - point.at.wall.as_seconds()).max(0.0);
        let Some(slot) = SLOTS.checked_sub(1 + (ago / length) as usize).and_then(|slot| slots.get_mut(slot)) else {
            continue;
        };
        let new = Past::Known(point.received, point.replayed);
        *slot = match (*slot, new) {
            (Past::Nothing, Past::Known(None, None)) => Past::Unknown,
            (Past::Nothing, new) => new,
            (Past::Known(received, replayed), Past::Known(more_received, more_replayed)) => {
                let worst = |one: Option<f64>, other: Option<f64>| Some(one?.max(other?));
                match (worst(received, more_received), worst(replayed, more_replayed)) {
                    (None, None) => Past::Unknown,
                    (received, replayed) => Past::Known(received, replayed),
                }
            }
            (before, _) => before,
        };
    }
    slots
}

/// What keeps us from reading the node; if nothing does, what keeps others out.
fn why(facts: &NodeFacts) -> &str {
    let failure = facts.failure.as_ref().map(|failing| &failing.value);
    let failure = failure.or_else(|| facts.login.as_ref()?.value.as_ref().err());
    failure.map_or("", |failure| &failure.message)
}
