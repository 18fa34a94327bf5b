//! The start page: what is seen of each node now, and where the rest is.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Html;
use maud::{Markup, html};

use super::layout;
use super::page::Pages;
use crate::clock::Moment;
use crate::cluster::Cluster;
use crate::cluster::assess::NodeAssessment;
use crate::cluster::facts::NodeFacts;
use crate::cluster::lag::StageLag;
use crate::cluster::observers::Role;

pub(super) async fn page(State(pages): State<Arc<Pages>>) -> Html<String> {
    let now = Moment::now();
    let body = html! {
        h1 { "pgvigil" }
        @for hub in pages.hubs().iter() {
            (cluster(&hub.cluster(), now))
        }
        p {
            a href="/runbooks/" { "/runbooks/" } " · "
            a href="/metrics" { "/metrics" } " · "
            a href="/api/v1/clusters" { "/api/v1/clusters" } " · "
            a href="/-/healthy" { "/-/healthy" } " · "
            a href="/-/ready" { "/-/ready" }
        }
        p { "pgvigil " (env!("CARGO_PKG_VERSION")) ". Reload for newer values." }
    };
    Html(layout::page("pgvigil", body).into_string())
}

fn cluster(cluster: &Cluster, now: Moment) -> Markup {
    let assessment = cluster.assess(now);
    let name = &cluster.layout().name;
    html! {
        h2 { a href={ "/api/v1/clusters/" (name) } { (name) } }
        p {
            "primary: " (assessment.primary.as_deref().unwrap_or("unknown"))
            " · split brain: " (assessment.split_brain.as_str())
            @if let Some(loss) = assessment.failover_loss {
                " · a failover now would lose " (loss.seen_bytes) " bytes as seen, "
                (loss.estimated_bytes) " as estimated"
            }
            @if let Some(maintenance) = cluster.maintenance(now.wall) {
                " · in maintenance until " (maintenance.until)
                @if let Some(reason) = &maintenance.reason { ": " (reason) }
            }
        }
        table {
            thead { tr { th { "node" } th { "state" } th { "role" } th { "received" } th { "replayed" } th { "why" } } }
            tbody {
                @for (index, node) in assessment.nodes.iter().enumerate() {
                    (row(node, cluster, index))
                }
            }
        }
    }
}

fn row(node: &NodeAssessment, cluster: &Cluster, index: usize) -> Markup {
    let facts = cluster.facts(index);
    html! {
        tr {
            td { (node.name) }
            td class=[(!node.up).then_some("bad")] { (node.state) }
            td { (Role::of(facts, node.up).as_str()) }
            @match &node.lag {
                Some(lag) => { td { (stage(&lag.received)) } td { (stage(&lag.replayed)) } }
                None => { td { "–" } td { "–" } }
            }
            td { (why(facts)) }
        }
    }
}

/// What keeps us from reading the node; if nothing does, what keeps others out.
fn why(facts: &NodeFacts) -> &str {
    let failure = facts.failure.as_ref().map(|failing| &failing.value);
    let failure = failure.or_else(|| facts.login.as_ref()?.value.as_ref().err());
    failure.map_or("", |failure| &failure.message)
}

fn stage(lag: &StageLag) -> String {
    match (lag.seconds, lag.bytes) {
        (Ok(seconds), Some(bytes)) => format!("{seconds:.1} s behind, {bytes} bytes"),
        (Ok(seconds), None) => format!("{seconds:.1} s behind"),
        (Err(why), _) => format!("unknown: {}", why.as_str()),
    }
}
