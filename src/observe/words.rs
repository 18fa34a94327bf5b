//! What the loops log: one line when something changes, none while it lasts. All lines of a node have the fields `cluster` and
//! `node`; those on a failure `reason`, and `state` where it is the node's own; those on a collector `collector`;
//! those on an observer `observer` and `state`.

use std::sync::PoisonError;

use url::Url;

use super::voice::Voice;
use super::{Hub, Watch};
use crate::clock::{Moment, Mono};
use crate::cluster::Cluster;
use crate::cluster::facts::NodeFacts;
use crate::cluster::maintenance::Maintenance;
use crate::cluster::observers::ObserverState;
use crate::collector::snapshot::Exchange;
use crate::collector::{COLLECTORS, Collector, Pace};
use crate::peer::PeerError;
use crate::pg::failure::{Cause, Failure, NodeState};

impl Watch {
    /// See [`super::voice::Voice::changes`]; a count of zero is `Some(None)`, which logs no field.
    fn says(&self, topic: &'static str, what: &str) -> Option<Option<u64>> {
        let mut voice = self.voice.lock().unwrap_or_else(PoisonError::into_inner);
        let left_out = voice.changes(topic, what, Mono::now())?;
        Some((left_out > 0).then_some(left_out))
    }

    /// What is known of the node; `None` once it is no longer configured.
    pub(super) fn facts<'a>(&self, known: &'a Cluster) -> Option<&'a NodeFacts> {
        known.layout().index_of(&self.name).map(|node| known.facts(node))
    }
}

/// After a failure of the fast reading was reported.
pub(super) fn failed(watch: &Watch) {
    let known = watch.hub.cluster();
    // As the facts have it: what a server said before it went away still counts.
    let Some(failing) = watch.facts(&known).and_then(|facts| facts.failure.as_ref()) else { return };
    let failure = &failing.value;
    let Some(left_out) = watch.says("reading", &gist(failure)) else { return };
    let (cluster, node, state) = (&*watch.cluster, &*watch.name, failure.state.as_str());
    let (reason, message) = (failure.cause.as_str(), &failure.message);
    match failure.state {
        NodeState::Starting | NodeState::Stopping => {
            tracing::info!(cluster, node, state, reason, left_out, "{message}");
        }
        _ => tracing::warn!(cluster, node, state, reason, left_out, "{message}"),
    }
}

/// After a reading was reported.
pub(super) fn answered(watch: &Watch, pace: Pace, exchange: Exchange) {
    let known = watch.hub.cluster();
    let Some(facts) = watch.facts(&known) else { return };
    if pace == Pace::Fast && facts.read == Some(exchange.received) {
        up(watch, facts);
        twin(watch, &known);
    }
    if pace == Pace::Slow
        && let Some(left_out) = watch.says("slow", "")
    {
        tracing::info!(cluster = &*watch.cluster, node = &*watch.name, left_out, "the slow collectors are read again");
    }
    for collector in COLLECTORS.iter().filter(|collector| collector.pace() == pace) {
        outcome(watch, facts, *collector);
    }
    if pace == Pace::Slow {
        grants(watch, facts);
    }
}

fn up(watch: &Watch, facts: &NodeFacts) {
    let Some(left_out) = watch.says("reading", "up") else { return };
    let version = facts.snapshot.version.map(|version| version.to_string());
    tracing::info!(cluster = &*watch.cluster, node = &*watch.name, state = "up", version, left_out, "the node is read");
}

fn twin(watch: &Watch, known: &Cluster) {
    let twin = known.layout().index_of(&watch.name).and_then(|node| known.evidence(Moment::now()).twin_of(node));
    let twin = twin.map_or("", |twin| known.layout().members[twin].name.as_str());
    let Some(left_out) = watch.says("twin", twin) else { return };
    let (cluster, node) = (&*watch.cluster, &*watch.name);
    match twin {
        "" => tracing::info!(cluster, node, left_out, "the node is a server of its own"),
        twin => tracing::error!(
            cluster,
            node,
            left_out,
            "this is the same server as node {twin}, and is counted once: correct the dsn of one of them"
        ),
    }
}

/// Before a failure of the slow reading is reported.
pub(super) fn slow_failed(watch: &Watch, failure: &Failure) {
    let known = watch.hub.cluster();
    let Some(facts) = watch.facts(&known) else { return };
    // With the fast reading gone too, that was said already; and it may notice an end or a silence a moment after us.
    if facts.failure.is_some() || !(is_an_answer(failure) || facts.slow_failure.is_some()) {
        return;
    }
    let Some(left_out) = watch.says("slow", &gist(failure)) else { return };
    let (cluster, node, reason, message) = (&*watch.cluster, &*watch.name, failure.cause.as_str(), &failure.message);
    let slow = COLLECTORS.iter().filter(|collector| collector.pace() == Pace::Slow);
    let hidden = slow.map(|collector| collector.name()).collect::<Vec<_>>().join(", ");
    match failure.cause == Cause::RoleLimit {
        true => tracing::warn!(
            cluster,
            node,
            reason,
            left_out,
            "no second connection for the slow collectors: {message}; raise the role's CONNECTION LIMIT to 3; hidden: {hidden}"
        ),
        false => tracing::warn!(
            cluster,
            node,
            reason,
            left_out,
            "no reading of the slow collectors: {message}; hidden: {hidden}"
        ),
    }
}

/// After a login probe. `again`: the one before failed too, and the fast reading has stood since.
pub(super) fn login(watch: &Watch, failure: Option<&Failure>, again: bool) {
    let (cluster, node) = (&*watch.cluster, &*watch.name);
    let Some(failure) = failure else {
        if let Some(left_out) = watch.says("login", "") {
            tracing::info!(cluster, node, left_out, "login probe: logins work again");
        }
        return;
    };
    // As with the slow reading.
    if !*watch.up.borrow() || !(again || is_an_answer(failure)) {
        return;
    }
    let Some(left_out) = watch.says("login", &gist(failure)) else { return };
    let (reason, message) = (failure.cause.as_str(), &failure.message);
    match failure.cause == Cause::RoleLimit {
        true => tracing::warn!(
            cluster,
            node,
            reason,
            left_out,
            "login probe: {message}; it goes on with two connections, but cannot tell whether others can log in: raise the role's CONNECTION LIMIT to 3"
        ),
        false => tracing::warn!(cluster, node, reason, left_out, "login probe: {message}"),
    }
}

/// After our own clock was late.
pub(super) fn late(hub: &Hub, left_out: u64) {
    let cluster = hub.cluster();
    tracing::warn!(
        cluster = cluster.layout().name,
        left_out = (left_out > 0).then_some(left_out),
        "our own clock was late by more than two intervals: all verdicts are unknown until every node was read anew"
    );
}

/// After maintenance ended by itself.
pub(super) fn maintenance_over(hub: &Hub, over: &Maintenance) {
    let known = hub.cluster();
    tracing::info!(cluster = known.layout().name, until = %over.until, "maintenance is over: its end has come");
}

/// After an observer was asked.
pub(super) fn observer(voice: &mut Voice, observer: &str, url: &Url, state: ObserverState, error: Option<&PeerError>) {
    let what = if state == ObserverState::Up { "" } else { state.as_str() };
    let Some(left_out) = voice.changes("observer", what, Mono::now()) else { return };
    let (left_out, state) = ((left_out > 0).then_some(left_out), state.as_str());
    match (what, error) {
        (_, Some(error)) => tracing::warn!(observer, state, left_out, "the observer is not counted: {error}"),
        ("ourselves", _) => tracing::info!(observer, state, left_out, "{url} is this very process: it is not counted"),
        ("twin", _) => tracing::warn!(
            observer,
            state,
            left_out,
            "{url} is the same process as an observer named before: it is counted once; correct the url of one of them"
        ),
        _ => tracing::info!(observer, state, left_out, "the observer answers, and is counted"),
    }
}

/// Names what a collector that fails hides, unless a missing grant is the reason, which [`grants`] names.
fn outcome(watch: &Watch, facts: &NodeFacts, collector: &dyn Collector) {
    let Some(outcome) = facts.snapshot.outcomes.get(collector.name()) else { return };
    let granted = facts.snapshot.privileges.as_ref().is_some_and(|fact| fact.value.pg_monitor);
    if collector.grant().is_some() && !granted {
        return;
    }
    let error = outcome.value.error.as_deref().unwrap_or_default();
    let Some(left_out) = watch.says(collector.name(), &without_digits(error)) else { return };
    let (cluster, node, hides, collector) = (&*watch.cluster, &*watch.name, families(collector), collector.name());
    match error {
        "" => tracing::info!(cluster, node, collector, left_out, "the collector is read again"),
        error => {
            let error = error.replace(|c: char| c.is_control(), " ");
            tracing::warn!(
                cluster,
                node,
                collector,
                left_out,
                "the collector cannot be read: {error}; hidden: {hides}"
            );
        }
    }
}

/// Names what the role lacks, and what it has too much.
fn grants(watch: &Watch, facts: &NodeFacts) {
    let Some(privileges) = facts.snapshot.privileges.as_ref().map(|fact| &fact.value) else { return };
    let what = match (privileges.superuser, privileges.pg_monitor) {
        (true, _) => "superuser",
        (false, false) => "no pg_monitor",
        (false, true) => "",
    };
    if watch.says("grants", what).is_none() {
        return;
    }
    let (cluster, node, role) = (&*watch.cluster, &*watch.name, &privileges.role);
    match what {
        "" => tracing::info!(cluster, node, role, "the role has what pgvigil needs, and no more"),
        "superuser" => tracing::warn!(
            cluster,
            node,
            role,
            "the role is a superuser: pgvigil needs no more than pg_monitor, see deploy/grants.sql"
        ),
        _ => {
            for collector in COLLECTORS {
                let Some(grant) = collector.grant() else { continue };
                let (collector, hides) = (collector.name(), families(*collector));
                tracing::warn!(
                    cluster,
                    node,
                    role,
                    collector,
                    "missing grant: GRANT {grant} TO {role}; hidden: {hides}"
                );
            }
        }
    }
}

/// Whether the server itself refused us, which says nothing about our other connections; what else ends or hinders one is likely to
/// hit them all.
const fn is_an_answer(failure: &Failure) -> bool {
    matches!(failure.state, NodeState::Rejecting | NodeState::AuthFailed)
}

/// What makes two failures the same event: the way to a server fails in few ways, what a server or a file says may differ in words.
fn gist(failure: &Failure) -> String {
    // Whether a process that dies closes a connection or resets it depends on what it had yet to read.
    if matches!(failure.cause, Cause::Closed | Cause::Reset) {
        return Cause::Closed.as_str().to_owned();
    }
    match failure.state {
        NodeState::Unreachable | NodeState::Timeout => failure.cause.as_str().to_owned(),
        _ => without_digits(&failure.message),
    }
}

/// Counts, times and pids differ each time.
fn without_digits(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_digit()).collect()
}

fn families(collector: &dyn Collector) -> String {
    collector.families().iter().map(|family| family.name).collect::<Vec<_>>().join(", ")
}
