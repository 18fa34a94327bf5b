//! Samples of a whole cluster: what its collectors have, and what the nodes add up to.

use std::collections::BTreeMap;

use super::assess::{Assessment, Evidence, NodeAssessment, Verdict};
use super::cluster::{Cluster, WALSENDER_STAGES};
use super::facts::NodeFacts;
use super::families as family;
use super::lag::{At, STAGES};
use super::observers::Agreement;
use super::settings::setting_samples;
use super::slots::slot_samples;
use super::sync::SyncState;
use crate::clock::Moment;
use crate::collector::snapshot::NodeView;
use crate::collector::{COLLECTORS, Pace};
use crate::metric::sample::Samples;
use crate::pg::failure::{Cause, NodeState};

/// Adds every sample of `cluster` at `now`.
pub fn cluster_samples(cluster: &Cluster, now: Moment, samples: &mut Samples) {
    let evidence = cluster.evidence(now);
    let assessment = evidence.assess(At::Now);
    let name = &cluster.layout().name;
    for (index, node) in assessment.nodes.iter().enumerate() {
        let facts = &evidence.facts[index];
        node_samples(name, node, facts, &evidence, samples);
        collector_samples(index, &evidence, samples);
        lag_samples(name, node, facts, samples);
        sync_samples(name, node, samples);
        setting_samples(name, node, samples);
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
    summary_samples(cluster, &assessment, samples);
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

fn collector_samples(index: usize, evidence: &Evidence<'_>, samples: &mut Samples) {
    let (layout, facts) = (evidence.layout, &evidence.facts[index]);
    let standby_names: BTreeMap<i32, String> = evidence
        .walsenders(index)
        .map(|(walsender, member)| {
            let name = member.map_or(&walsender.application_name, |member| &layout.members[member].name);
            (walsender.pid, name.clone())
        })
        .collect();
    let view = NodeView {
        cluster: &layout.name,
        node: &layout.members[index].name,
        snapshot: &facts.snapshot,
        now: evidence.now,
        fast_window: layout.timing.fast_window(),
        slow_window: layout.timing.slow_window(),
        not_before: evidence.not_before,
        archive_hung_after: layout.timing.archive_hung_after,
        standby_names,
    };
    let reading = |pace| match pace {
        Pace::Fast => evidence.is_fresh(index),
        Pace::Slow => !evidence.blind && facts.failure.is_none() && facts.slow_failure.is_none(),
    };
    for collector in COLLECTORS {
        let outcome = facts.snapshot.outcomes.get(collector.name());
        let good = outcome.is_some_and(|outcome| outcome.value.error.is_none()) && reading(collector.pace());
        let labels = [view.cluster, view.node, collector.name()];
        samples.flag(&family::COLLECTOR_SUCCESS, &labels, good);
        if let Some(durations) = facts.durations.get(collector.name()) {
            samples.histogram(&family::COLLECTOR_DURATION, &labels, durations);
        }
        // What a reading no longer confirms is withheld: an old value would be a guess.
        if good {
            collector.samples(&view, samples);
        }
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
    if let Some(diverged) = node.diverged {
        samples.states(&family::STANDBY_DIVERGED, &labels, &Verdict::ALL, diverged.as_str());
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
    if let Some(loss) = assessment.failover_loss {
        for (bound, bytes, seconds) in
            [("seen", loss.seen_bytes, loss.seen_seconds), ("estimated", loss.estimated_bytes, loss.estimated_seconds)]
        {
            samples.number(&family::CLUSTER_FAILOVER_LOSS_BYTES, &[name, bound], bytes as f64);
            samples.number(&family::CLUSTER_FAILOVER_LOSS_SECONDS, &[name, bound], seconds);
        }
    }
    samples.number(&family::LAG_HISTORY_POINTS, &[name], cluster.memory().history.len() as f64);
}
