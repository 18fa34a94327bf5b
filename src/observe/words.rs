//! What the loops log: one line when something changes, none while it lasts.

use super::Watch;
use crate::collector::{COLLECTORS, Collector};
use crate::pg::failure::{Cause, Failure, NodeState};
use crate::pg::session::Answers;

/// Before a failure is reported: says so if the node was not failing in this way already.
pub(super) fn failed(watch: &Watch, failure: &Failure) {
    let cluster = watch.hub.cluster();
    let before = cluster.facts(watch.node).failure.as_ref();
    if before.is_some_and(|before| before.value.message == failure.message) {
        return;
    }
    let (cluster, node, state) = (&*watch.cluster, &*watch.name, failure.state.as_str());
    let reason = failure.cause.as_str();
    match failure.state {
        NodeState::Starting | NodeState::Stopping => {
            tracing::info!(cluster, node, state, reason, "{}", failure.message);
        }
        _ => tracing::warn!(cluster, node, state, reason, "{}", failure.message),
    }
}

/// After a good reading was reported.
pub(super) fn up(watch: &Watch) {
    if !*watch.up.borrow() {
        let version = watch.hub.cluster().facts(watch.node).snapshot.version.map(|version| version.to_string());
        tracing::info!(cluster = &*watch.cluster, node = &*watch.name, state = "up", version, "the node is read");
    }
}

/// Before a failure of the slow reading is reported.
pub(super) fn slow_failed(watch: &Watch, failure: &Failure) {
    let cluster = watch.hub.cluster();
    let facts = cluster.facts(watch.node);
    // With the fast reading gone too, that was said already.
    let known = facts.slow_failure.as_ref().is_some_and(|before| before.value.message == failure.message);
    if known || facts.failure.is_some() {
        return;
    }
    let hides: Vec<_> =
        COLLECTORS.iter().filter(|collector| collector.pace() == crate::collector::Pace::Slow).collect();
    let hides = hides.iter().map(|collector| collector.name()).collect::<Vec<_>>().join(", ");
    let (cluster, node, message) = (&*watch.cluster, &*watch.name, &failure.message);
    match failure.cause == Cause::RoleLimit {
        true => {
            tracing::warn!(cluster, node, %hides, "no second connection for the slow collectors: {message}; raise the role's CONNECTION LIMIT to 3")
        }
        false => tracing::warn!(cluster, node, %hides, "no reading of the slow collectors: {message}"),
    }
}

/// Before the result of a login probe is reported.
pub(super) fn login(watch: &Watch, failure: Option<&Failure>) {
    let cluster = watch.hub.cluster();
    let before = cluster.facts(watch.node).login.as_ref().map(|login| login.value.as_ref().err());
    let (cluster, node) = (&*watch.cluster, &*watch.name);
    match (failure, before) {
        (Some(failure), Some(Some(before))) if before.message == failure.message => {}
        (Some(failure), _) if failure.cause == Cause::RoleLimit => tracing::warn!(
            cluster,
            node,
            "login probe: {}; it goes on with two connections, but cannot tell whether others can log in: raise the role's CONNECTION LIMIT to 3",
            failure.message
        ),
        (Some(failure), _) => tracing::warn!(cluster, node, "login probe: {}", failure.message),
        (None, Some(Some(_))) => tracing::info!(cluster, node, "login probe: logins work again"),
        (None, _) => {}
    }
}

/// Before answers are reported: names each collector that newly fails, with what it hides.
pub(super) fn answers(watch: &Watch, answers: &Answers) {
    for (collector, answer) in answers {
        if let Err(message) = answer {
            refused(watch, *collector, message);
        }
    }
}

/// After a slow reading was reported: names what the role lacks, and what it has too much.
pub(super) fn grants(watch: &Watch) {
    let cluster = watch.hub.cluster();
    let facts = cluster.facts(watch.node);
    let Some(privileges) = facts.snapshot.privileges.as_ref().map(|fact| &fact.value) else { return };
    if facts.durations.get("privileges").is_some_and(|durations| durations.count() > 1) {
        return;
    }
    let (cluster, node, role) = (&*watch.cluster, &*watch.name, &privileges.role);
    if privileges.superuser {
        tracing::warn!(
            cluster,
            node,
            role,
            "the role is a superuser: pgvigil needs no more than pg_monitor, see deploy/grants.sql"
        );
    }
    if privileges.pg_monitor {
        return;
    }
    for collector in COLLECTORS {
        if let Some(grant) = collector.grant() {
            let (collector, hides) = (collector.name(), families(*collector));
            tracing::warn!(cluster, node, role, collector, "missing grant: GRANT {grant} TO {role}; hidden: {hides}");
        }
    }
}

fn refused(watch: &Watch, collector: &dyn Collector, message: &str) {
    let cluster = watch.hub.cluster();
    let outcome = cluster.facts(watch.node).snapshot.outcomes.get(collector.name());
    if outcome.is_some_and(|outcome| outcome.value.error.as_deref() == Some(message)) {
        return;
    }
    let (cluster, node, collector, hides) = (&*watch.cluster, &*watch.name, collector.name(), families(collector));
    tracing::warn!(cluster, node, collector, "the collector's statement failed: {message}; hidden: {hides}");
}

fn families(collector: &dyn Collector) -> String {
    collector.families().iter().map(|family| family.name).collect::<Vec<_>>().join(", ")
}
