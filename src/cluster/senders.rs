//! Samples of what sends and receives WAL that hang on more than one reading: ages on our own clock, counts, and who feeds whom.

use std::collections::BTreeMap;

use super::assess::{Evidence, NodeAssessment};
use super::cluster::Cluster;
use super::families as family;
use super::upstream::Upstream;
use crate::metric::sample::Samples;

/// Adds how long ago node number `index` last had news of each standby that it feeds; of several with one name the oldest.
pub(super) fn sender_samples(index: usize, evidence: &Evidence<'_>, samples: &mut Samples) {
    let (layout, facts) = (evidence.layout, &evidence.facts[index]);
    let mut ages = BTreeMap::<&str, f64>::new();
    for (walsender, member) in evidence.walsenders(index) {
        let Some(replied) = facts.replied(walsender) else { continue };
        let age = evidence.now.mono.since(replied.mono).as_secs_f64();
        let oldest = ages.entry(layout.standby_name(walsender, member)).or_insert(age);
        *oldest = oldest.max(age);
    }
    let settings = facts.snapshot.settings.as_ref().filter(|_| facts.slow_failure.is_none());
    let settings = settings.filter(|settings| {
        let age = evidence.now.mono.since(settings.seen.mono);
        age <= layout.timing.slow_window() && settings.seen.mono >= evidence.not_before.mono
    });
    let timeout = settings.map(|settings| settings.value.wal_sender_timeout).filter(|timeout| *timeout > 0.0);
    for (standby, age) in ages {
        let labels = [layout.name.as_str(), &layout.members[index].name, standby];
        samples.number(&family::WALSENDER_REPLY_AGE, &labels, age);
        samples.known(&family::WALSENDER_REPLY_AGE_RATIO, &labels, timeout.map(|timeout| age / timeout));
    }
}

/// Adds who feeds a standby: every other node, and the words for none of them.
pub(super) fn upstream_samples(cluster: &str, node: &NodeAssessment, evidence: &Evidence<'_>, samples: &mut Samples) {
    let Some(upstream) = &node.upstream else { return };
    let others = evidence.layout.members.iter().map(|member| member.name.as_str()).filter(|name| *name != node.name);
    for word in others.chain(Upstream::WORDS) {
        samples.flag(&family::STANDBY_UPSTREAM, &[cluster, &node.name, word], upstream.as_str() == word);
    }
}

/// Adds the counts of streams that were made anew: counters stay while a node is not seen.
pub(super) fn reconnect_samples(cluster: &Cluster, samples: &mut Samples) {
    let layout = cluster.layout();
    for (node, standby, count) in cluster.reconnects().counts() {
        let labels = [layout.name.as_str(), &layout.members[node].name, standby];
        samples.number(&family::WALSENDER_RECONNECTS, &labels, count as f64);
    }
    for (index, member) in layout.members.iter().enumerate() {
        let starts = cluster.facts(index).receiver.count;
        let labels = [layout.name.as_str(), &member.name];
        samples.known(&family::WAL_RECEIVER_STARTS, &labels, starts.map(|starts| starts as f64));
    }
}
