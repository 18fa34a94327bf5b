//! `/api/v1/clusters[/{c}]`: what is known as JSON, every fact with its age and where it came from.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::page::Pages;
use crate::clock::Moment;
use crate::cluster::Cluster;
use crate::cluster::facts::NodeFacts;
use crate::cluster::observers::Role;
use crate::collector::COLLECTORS;
use crate::collector::snapshot::Fact;
use crate::doctor::patient::Patient;
use crate::doctor::report::Report;

pub(super) async fn clusters(State(pages): State<Arc<Pages>>) -> Json<Value> {
    let now = Moment::now();
    let hubs = pages.hubs();
    let clusters = hubs.iter().map(|hub| {
        let cluster = hub.cluster();
        let assessment = cluster.assess(now);
        let nodes = assessment.nodes.iter().enumerate().map(|(index, node)| {
            let facts = cluster.facts(index);
            json!({
                "name": node.name,
                "state": node.state,
                "up": node.up,
                "role": Role::of(facts, node.up),
                "age_seconds": facts.heard().map(|heard| age(now, heard)),
                "since_seconds": facts.failure.as_ref().map(|failing| age(now, failing.since)),
            })
        });
        json!({
            "name": cluster.layout().name,
            "system_identifier": cluster.memory().system_identifier,
            "primary": assessment.primary,
            "split_brain": assessment.split_brain,
            "timeline": assessment.timeline,
            "nodes": nodes.collect::<Vec<_>>(),
        })
    });
    Json(json!({
        "now": now.wall.as_seconds(),
        "instance": pages.instance(),
        "clusters": clusters.collect::<Vec<_>>(),
    }))
}

pub(super) async fn cluster(State(pages): State<Arc<Pages>>, Path(name): Path<String>) -> Response {
    let hubs = pages.hubs();
    let hub = hubs.iter().find(|hub| hub.cluster().layout().name == name);
    match hub {
        Some(hub) => Json(describe(&hub.cluster(), pages.instance(), Moment::now())).into_response(),
        None => no_cluster(),
    }
}

/// What the doctor's checks say of a cluster, by what the loops read.
pub(super) async fn checks(State(pages): State<Arc<Pages>>, Path(name): Path<String>) -> Response {
    let now = Moment::now();
    let hubs = pages.hubs();
    let Some(hub) = hubs.iter().find(|hub| hub.cluster().layout().name == name) else { return no_cluster() };
    let cluster = hub.cluster();
    let mut report = Report::of(&Patient::new(&cluster, now), None).json();
    if let Some(report) = report.as_object_mut() {
        report.insert("now".to_owned(), now.wall.as_seconds().into());
    }
    Json(report).into_response()
}

fn no_cluster() -> Response {
    let error = json!({ "error": "there is no such cluster; GET /api/v1/clusters lists them" });
    (StatusCode::NOT_FOUND, Json(error)).into_response()
}

fn describe(cluster: &Cluster, instance: &str, now: Moment) -> Value {
    let assessment = cluster.assess(now);
    let nodes = assessment.nodes.iter().enumerate().map(|(index, node)| {
        let facts = cluster.facts(index);
        json!({
            "role": Role::of(facts, node.up),
            "archiving": cluster.archiving(&node.name, now),
            "replay": cluster.replaying(&node.name, now),
            "verdicts": node,
            "failure": facts.failure.as_ref().map(|failing| json!({
                "source": "connect or read",
                "age_seconds": age(now, failing.seen),
                "since_seconds": age(now, failing.since),
                "value": failing.value,
            })),
            "login": facts.login.as_ref().map(|login| json!({
                "source": "a new login",
                "age_seconds": age(now, login.seen),
                "value": { "ok": login.value.is_ok(), "failure": login.value.as_ref().err() },
            })),
            "facts": facts_of(facts, now),
            "hostside": facts.snapshot.hostside.as_ref().map(|fact| json!({
                "source": "data_dir",
                "age_seconds": age(now, fact.seen),
                "value": fact.value,
            })),
            "server_log": facts.snapshot.server_log.as_ref().map(|fact| json!({
                "source": "log",
                "age_seconds": age(now, fact.seen),
                "value": fact.value,
            })),
            "visible": facts.snapshot.visible.as_ref().map(|fact| json!({
                "source": "write_probe",
                "age_seconds": age(now, fact.seen),
                "value": fact.value,
            })),
        })
    });
    json!({
        "now": now.wall.as_seconds(),
        "instance": instance,
        "name": cluster.layout().name,
        "primary": assessment.primary,
        "primaries": assessment.primaries,
        "split_brain": assessment.split_brain,
        "timeline": assessment.timeline,
        "timeline_switches": assessment.timeline_switches,
        "timeline_fork": assessment.timeline_fork,
        "failover_candidate": assessment.failover_candidate,
        "failover_loss": assessment.failover_loss,
        "standbys": assessment.standbys,
        "maintenance": cluster.maintenance(now.wall),
        "archive_dir": cluster.archive_dir(now).flatten().map(|fact| json!({
            "source": "archive_dir",
            "age_seconds": age(now, fact.seen),
            "value": fact.value,
        })),
        "nodes": nodes.collect::<Vec<_>>(),
    })
}

fn facts_of(facts: &NodeFacts, now: Moment) -> Value {
    let snapshot = &facts.snapshot;
    let mut all = Map::new();
    for collector in COLLECTORS {
        let name = collector.name();
        let value = match name {
            "recovery" => value(&snapshot.recovery),
            "walsenders" => value(&snapshot.walsenders),
            "wal_receiver" => value(&snapshot.wal_receiver),
            "slots" => value(&snapshot.slots),
            "archiver" => value(&snapshot.archiver),
            "archive_status" => value(&snapshot.archive_status),
            "control" => value(&snapshot.control),
            "settings" => value(&snapshot.settings),
            "sync" => value(&snapshot.sync),
            "privileges" => value(&snapshot.privileges),
            "slot_details" => value(&snapshot.slot_details),
            "slot_stats" => value(&snapshot.slot_stats),
            "limits" => value(&snapshot.limits),
            "conflicts" => value(&snapshot.conflicts),
            "replay_wait" => value(&snapshot.replay_wait),
            "wal_stats" => value(&snapshot.wal_stats),
            "wal_dir" => value(&snapshot.wal_dir),
            "checkpoints" => value(&snapshot.checkpoints),
            "prefetch" => value(&snapshot.prefetch),
            "checksums" => value(&snapshot.checksums),
            "base_backups" => value(&snapshot.base_backups),
            _ => None,
        };
        let outcome = snapshot.outcomes.get(name);
        let fact = json!({
            "source": collector.source(),
            "age_seconds": value.as_ref().map(|(_, seen)| age(now, *seen)),
            "rest_seconds": snapshot.rests.get(name).map(|rest| rest.value.as_secs_f64()),
            "error": outcome.and_then(|outcome| outcome.value.error.clone()),
            "value": value.map(|(value, _)| value),
        });
        all.insert(name.to_owned(), fact);
    }
    Value::Object(all)
}

fn value<T: Serialize>(fact: &Option<Fact<T>>) -> Option<(Value, Moment)> {
    let fact = fact.as_ref()?;
    Some((serde_json::to_value(&fact.value).ok()?, fact.seen))
}

fn age(now: Moment, seen: Moment) -> f64 {
    now.mono.since(seen.mono).as_secs_f64()
}
