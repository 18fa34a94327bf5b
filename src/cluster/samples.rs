//! Samples of a whole cluster: what its collectors have, and what the nodes add up to.

use std::collections::BTreeMap;
use std::time::Duration;

use super::archive::archive_samples;
use super::assess::{Assessment, Evidence, NodeAssessment, Verdict};
use super::cluster::{Cluster, WALSENDER_STAGES};
use super::facts::NodeFacts;
use super::families as family;
use super::lag::{At, STAGES};
use super::maintenance::maintenance_samples;
use super::observers::Agreement;
use super::promotable::Reason;
use super::senders::{reconnect_samples, sender_samples, upstream_samples};
use super::settings::setting_samples;
use super::slots::{expected_slot_samples, slot_samples};
use super::source::RecoverySource;
use super::sync::SyncState;
use super::visible;
use crate::archive_watch::{archive_dir, hostside};
use crate::clock::Moment;
use crate::collector::archive_verdict::ArchiveState;
use crate::collector::archiver::archive_evidence;
use crate::collector::replay_wait;
use crate::collector::snapshot::NodeView;
use crate::collector::{COLLECTORS, Pace};
use crate::metric::sample::Samples;
use crate::pg::failure::{Cause, NodeState};
use crate::pg::lsn::Lsn;
use crate::server_log::said;

/// Adds every sample of `cluster` at `now`.
pub fn cluster_samples(cluster: &Cluster, now: Moment, samples: &mut Samples) {
    let evidence = cluster.evidence(now);
    let assessment = evidence.assess(At::Now);
    let name = &cluster.layout().name;
    for (index, node) in assessment.nodes.iter().enumerate() {
        let facts = &evidence.facts[index];
        node_samples(name, node, facts, &evidence, samples);
        let view = node_view(index, &evidence);
        collector_samples(index, &view, &evidence, samples);
        archive_samples(index, node.is_primary, &view, &evidence, samples);
        lag_samples(name, node, facts, samples);
        lineage_samples(name, node, samples);
        recovery_samples(name, node, samples);
        sync_samples(name, node, samples);
        setting_samples(name, node, samples);
        sender_samples(index, &evidence, samples);
        upstream_samples(name, node, &evidence, samples);
        expected_slot_samples(index, &evidence, samples);
        if node.is_primary {
            slot_samples(index, &evidence, samples);
        }
        for (stage, sampled) in STAGES.iter().zip(&cluster.sampled()[index]) {
            if sampled.known + sampled.unknown == 0 {
                continue;
            }
            let labels = [name.as_str(), &node.name, stage];
            samples.histogram(&family::STANDBY_LAG_SAMPLED_SECONDS, &labels, &sampled.seconds);
            samples.histogram(&family::STANDBY_LAG_SAMPLED_BYTES, &labels, &sampled.bytes);
            for (known, ticks) in [("yes", sampled.known), ("no", sampled.unknown)] {
                samples.number(&family::STANDBY_LAG_TICKS, &[name, &node.name, stage, known], ticks as f64);
            }
        }
    }
    for ((node, standby), histograms) in cluster.walsender_lags() {
        for (stage, histogram) in WALSENDER_STAGES.iter().zip(histograms) {
            let labels = [name.as_str(), &assessment.nodes[*node].name, standby, stage];
            samples.histogram(&family::WALSENDER_LAG_SAMPLED, &labels, histogram);
        }
    }
    reconnect_samples(cluster, samples);
    summary_samples(cluster, &assessment, samples);
    maintenance_samples(cluster, now.wall, samples);
    if let Some(archive) = cluster.archive_dir(now) {
        archive_dir::samples(name, archive.map(|fact| &fact.value), now.wall, samples);
    }
}

fn node_samples(
    cluster: &str,
    node: &NodeAssessment,
    facts: &NodeFacts,
    evidence: &Evidence<'_>,
    samples: &mut Samples,
) {
    let labels = [cluster, node.name.as_str()];
    samples.flag(&family::NODE_UP, &labels, node.up);
    samples.flag(&family::NODE_LAST_PRIMARY, &labels, node.last_primary);
    samples.flag(&family::NODE_WITNESSED, &labels, node.witnessed);
    samples.states(&family::NODE_STATE_FAMILY, &labels, NodeState::ALL, node.state);
    if let Some(failure) = &facts.failure {
        let labels = [cluster, node.name.as_str(), failure.value.cause.as_str()];
        samples.flag(&family::NODE_CONNECT_FAILURE, &labels, true);
    }
    let login_window = evidence.layout.timing.login_window();
    let login = facts.login.as_ref().filter(|login| {
        evidence.now.mono.since(login.seen.mono) <= login_window && login.seen.mono >= evidence.not_before.mono
    });
    if let Some(ok) = login.and_then(|login| match &login.value {
        Ok(()) => Some(true),
        Err(failure) if failure.cause == Cause::RoleLimit => None,
        Err(_) => Some(false),
    }) {
        samples.flag(&family::NODE_LOGIN_OK, &labels, ok);
    }
    samples.known(&family::NODE_LAST_OBSERVATION, &labels, facts.read.map(|read| read.wall.as_seconds()));
    for opinion in &node.others.opinions {
        let labels = [cluster, node.name.as_str(), opinion.observer.as_str()];
        samples.states(&family::OBSERVER_AGREEMENT, &labels, &Agreement::ALL, opinion.agreement.as_str());
    }
}

impl Cluster {
    /// Whether archiving works on a node, as it was last read; `None`: there is no such node.
    pub fn archiving(&self, node: &str, now: Moment) -> Option<ArchiveState> {
        let index = self.layout().index_of(node)?;
        Some(archive_evidence(&node_view(index, &self.evidence(now))).verdict())
    }

    /// What replay on a node does, as it was last read; `None`: that is not known, or there is no such node.
    pub fn replaying(&self, node: &str, now: Moment) -> Option<&'static str> {
        let index = self.layout().index_of(node)?;
        replay_wait::replaying(&node_view(index, &self.evidence(now)))
    }
}

pub(super) fn node_view<'a>(index: usize, evidence: &Evidence<'a>) -> NodeView<'a> {
    let (layout, facts) = (evidence.layout, &evidence.facts[index]);
    let standby_names: BTreeMap<i32, String> = evidence
        .walsenders(index)
        .map(|(walsender, member)| (walsender.pid, layout.standby_name(walsender, member).to_owned()))
        .collect();
    NodeView {
        cluster: &layout.name,
        node: &layout.members[index].name,
        snapshot: &facts.snapshot,
        now: evidence.now,
        fast_window: layout.timing.fast_window(),
        slow_window: layout.timing.slow_window(),
        not_before: evidence.not_before,
        archive_hung_after: layout.timing.archive_hung_after,
        standby_names,
    }
}

fn collector_samples(index: usize, view: &NodeView<'_>, evidence: &Evidence<'_>, samples: &mut Samples) {
    let facts = &evidence.facts[index];
    for collector in COLLECTORS {
        let outcome = facts.snapshot.outcomes.get(collector.name());
        let good =
            outcome.is_some_and(|outcome| outcome.value.error.is_none()) && evidence.is_read(index, collector.pace());
        let labels = [view.cluster, view.node, collector.name()];
        samples.flag(&family::COLLECTOR_SUCCESS, &labels, good);
        let last_good = outcome.and_then(|outcome| outcome.value.last_good);
        samples.known(&family::COLLECTOR_LAST_SUCCESS, &labels, last_good.map(|at| at.wall.as_seconds()));
        if outcome.is_some() && collector.pace() == Pace::Slow {
            let rest = facts.snapshot.rests.get(collector.name()).map_or(Duration::ZERO, |rest| rest.value);
            samples.number(&family::COLLECTOR_REST, &labels, rest.as_secs_f64());
        }
        // What a reading no longer confirms is withheld: an old value would be a guess.
        if good {
            collector.samples(view, samples);
        }
    }
    for (reading, durations) in &facts.durations {
        samples.histogram(&family::COLLECTOR_DURATION, &[view.cluster, view.node, reading], durations);
    }
    if !evidence.blind {
        hostside::samples(view, samples);
        said::samples(view, samples);
        visible::samples(view, samples);
    }
}

fn lag_samples(cluster: &str, node: &NodeAssessment, facts: &NodeFacts, samples: &mut Samples) {
    let Some(lag) = &node.lag else { return };
    for (stage, lag) in lag.stages() {
        let labels = [cluster, node.name.as_str(), stage];
        samples.known(&family::STANDBY_LAG_SECONDS, &labels, lag.seconds.ok());
        samples.known(&family::STANDBY_LAG_BYTES, &labels, lag.bytes.map(|bytes| bytes as f64));
        samples.flag(&family::STANDBY_LAG_KNOWN, &labels, lag.seconds.is_ok());
    }
    let labels = [cluster, node.name.as_str()];
    let settings = facts.snapshot.settings.as_ref().filter(|_| node.up);
    samples.known(
        &family::STANDBY_APPLY_DELAY,
        &labels,
        settings.map(|settings| settings.value.recovery_min_apply_delay),
    );
}

fn lineage_samples(cluster: &str, node: &NodeAssessment, samples: &mut Samples) {
    let labels = [cluster, node.name.as_str()];
    let lineage = &node.lineage;
    for (family, verdict) in [
        (&family::NODE_FOREIGN_SYSTEM, Some(lineage.foreign_system)),
        (&family::NODE_TIMELINE_BEHIND, Some(lineage.behind)),
        (&family::STANDBY_DIVERGED, lineage.diverged),
        (&family::STANDBY_CAN_FOLLOW, lineage.can_follow),
        (&family::STANDBY_PROMOTABLE, node.promotable.as_ref().map(|promotable| promotable.verdict)),
    ] {
        if let Some(verdict) = verdict {
            samples.states(family, &labels, &Verdict::ALL, verdict.as_str());
        }
    }
    if let Some(promotable) = &node.promotable {
        for reason in Reason::all() {
            let stands = promotable.reasons.contains(&reason);
            samples.flag(&family::STANDBY_PROMOTABLE_BLOCK, &[cluster, &node.name, reason.as_str()], stands);
        }
    }
}

fn recovery_samples(cluster: &str, node: &NodeAssessment, samples: &mut Samples) {
    let labels = [cluster, node.name.as_str()];
    samples.states(&family::RECOVERY_SOURCE, &labels, &RecoverySource::ALL, node.source.as_str());
    if let Some(verdict) = node.needs_rebuild {
        samples.states(&family::STANDBY_NEEDS_REBUILD, &labels, &Verdict::ALL, verdict.as_str());
    }
}

fn sync_samples(cluster: &str, node: &NodeAssessment, samples: &mut Samples) {
    let Some(quorum) = &node.sync else { return };
    let labels = [cluster, node.name.as_str()];
    samples.states(&family::SYNC_QUORUM, &labels, &SyncState::ALL, quorum.state.as_str());
    samples.known(&family::SYNC_STANDBYS_SPARE, &labels, quorum.spare.map(|spare| spare as f64));
}

fn summary_samples(cluster: &Cluster, assessment: &Assessment, samples: &mut Samples) {
    let name = cluster.layout().name.as_str();
    for standby in &assessment.standbys {
        let labels = [name, standby.standby.as_str()];
        samples.flag(&family::STANDBY_EXPECTED, &labels, standby.expected);
        samples.flag(&family::STANDBY_CONNECTED, &labels, standby.connected);
        samples.flag(&family::STANDBY_NAME_CONFLICT, &labels, standby.name_conflict);
    }
    samples.number(&family::CLUSTER_PRIMARIES, &[name], assessment.primaries as f64);
    samples.states(&family::CLUSTER_SPLIT_BRAIN, &[name], &Verdict::ALL, assessment.split_brain.as_str());
    samples.known(&family::CLUSTER_TIMELINE, &[name], assessment.timeline.map(|timeline| f64::from(timeline.0)));
    samples.number(&family::TIMELINE_SWITCHES, &[name], assessment.timeline_switches as f64);
    samples.known(&family::TIMELINE_FORK, &[name], assessment.timeline_fork.map(Lsn::as_f64));
    for node in &assessment.nodes {
        let chosen = assessment.failover_candidate.as_ref() == Some(&node.name);
        samples.flag(&family::FAILOVER_CANDIDATE, &[name, &node.name], chosen);
    }
    if let Some(loss) = assessment.failover_loss {
        for (bound, bytes, seconds) in
            [("seen", loss.seen_bytes, loss.seen_seconds), ("estimated", loss.estimated_bytes, loss.estimated_seconds)]
        {
            samples.number(&family::CLUSTER_FAILOVER_LOSS_BYTES, &[name, bound], bytes as f64);
            samples.known(&family::CLUSTER_FAILOVER_LOSS_SECONDS, &[name, bound], seconds);
        }
    }
    samples.number(&family::LAG_HISTORY_POINTS, &[name], cluster.memory().history.len() as f64);
}
