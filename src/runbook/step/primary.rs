//! What observation knows of the primary whose failure is in question.

use std::time::Duration;

use super::node::Node;
use crate::clock::{Moment, Mono, Wall};
use crate::cluster::Cluster;
use crate::cluster::facts::NodeFacts;
use crate::pg::lsn::Timeline;
use crate::runbook::evidence::{Look, Primary};

/// Whoever wrote within so long before it was last seen was moving.
const MOVING: Duration = Duration::from_secs(1);

/// The number of the cluster's last primary among `nodes`.
pub(super) fn number(cluster: &Cluster, nodes: &[Node]) -> Option<usize> {
    let name = cluster.memory().primary.as_deref()?;
    nodes.iter().position(|node| node.name() == name)
}

/// What is known of that node, which has just been probed; `None` if it was not seen since this machine's boot.
pub(super) fn known(
    cluster: &Cluster,
    number: usize,
    looks: &[Look],
    processes: Option<usize>,
    now: Moment,
) -> Option<Primary> {
    let look = looks.get(number)?;
    let memory = cluster.memory();
    let facts = cluster.facts(cluster.layout().index_of(&look.node)?);
    let remembered = memory.node(&look.node);
    let (timeline, flushed) = memory.history.newest().max(remembered.written)?;
    // What a standby heard of it on the same timeline.
    let heard = memory.reported.filter(|(reported, _)| *reported == timeline).map(|(_, lsn)| lsn);
    let read = facts.read.map(|read| read.mono).max(memory.history.last_seen())?;
    let settings = facts.snapshot.settings.as_ref();
    let sender_timeout = settings.map(|settings| settings.value.wal_sender_timeout).filter(|seconds| *seconds > 0.0);
    let moved = memory.history.timeline() == Some(timeline);
    let moved = memory.history.last_moved().filter(|_| moved);
    Some(Primary {
        node: number,
        timeline,
        system_identifier: memory.system_identifier.as_ref().and_then(|identifier| identifier.parse().ok()),
        flushed: heard.map_or(flushed, |heard| heard.max(flushed)),
        seen: moment_of(read, now),
        was_moving: moved.is_some_and(|moved| read.since(moved) <= MOVING),
        wal_sender_timeout: sender_timeout.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        stopping: stopping(facts.failure.as_ref().map(|failing| (failing.value.intended_stop, failing.since)), look),
        processes,
        fed: fed(cluster, &look.node, facts, looks),
        archiving: cluster.archiving(&look.node, now),
    })
}

/// The numbers of the nodes that its walsenders fed when it was last read.
fn fed(cluster: &Cluster, node: &str, facts: &NodeFacts, looks: &[Look]) -> Option<Vec<usize>> {
    let layout = cluster.layout();
    let names: Vec<&str> = match &facts.snapshot.walsenders {
        Some(_) => {
            let members = layout.standbys(&facts.snapshot).filter_map(|(_, member)| layout.members.get(member?));
            members.map(|member| member.name.as_str()).collect()
        }
        // This process has not read it: what the one before remembered.
        None => {
            let (primary, names) = cluster.memory().promised.as_ref()?.fed();
            if primary != node {
                return None;
            }
            names.collect()
        }
    };
    let mut fed: Vec<_> = names.iter().filter_map(|name| looks.iter().position(|look| look.node == *name)).collect();
    fed.sort_unstable();
    fed.dedup();
    Some(fed)
}

/// Since when it is known to be stopped on purpose: by its own word just now, or by what it said before it went away. `observed`:
/// whether observation takes it for that, and since when it is in its present state.
fn stopping(observed: Option<(bool, Moment)>, look: &Look) -> Option<Moment> {
    let failure = look.probe.as_ref().err()?;
    match observed {
        Some((true, since)) => Some(since),
        _ => failure.intended_stop.then_some(look.at),
    }
}

/// The newest timeline that `node` of this system was certainly on.
pub(super) fn timeline_of(cluster: &Cluster, node: &str, system_identifier: u64) -> Option<Timeline> {
    let remembered = cluster.memory().node(node);
    let same = remembered.system.and_then(|system| system.parse().ok()) == Some(system_identifier);
    remembered.timeline.filter(|_| same)
}

/// A moment of this boot on both clocks.
fn moment_of(mono: Mono, now: Moment) -> Moment {
    let ago = now.mono.since(mono).as_secs_f64();
    Moment { mono, wall: Wall::from_seconds(now.wall.as_seconds() - ago) }
}
