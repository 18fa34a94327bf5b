//! A look at a whole cluster: every node probed at once over a new connection, and what observation made of the time before.

use std::time::Duration;

use futures_util::future::{join, join_all};

use super::node::Node;
use super::{primary, processes, server};
use crate::clock::{Moment, Wall};
use crate::observe::Hub;
use crate::runbook::evidence::{Evidence, Look};

/// Probes `nodes`, which are in the order of the config, all at once: none takes longer than `deadline`, and none waits for another.
pub async fn look(nodes: &[Node], hub: &Hub, deadline: Duration) -> Evidence {
    let began = Moment::now();
    let suspect = primary::number(&hub.cluster(), nodes);
    let data_dir = suspect.and_then(|number| nodes.get(number)?.data_dir.clone());
    let counting = async {
        match data_dir {
            Some(data_dir) => processes::in_directory(data_dir, deadline).await,
            None => None,
        }
    };
    let (mut looks, processes) = join(join_all(nodes.iter().map(|node| probe(node, deadline))), counting).await;
    let ended = Moment::now();
    let cluster = hub.cluster();
    for look in &mut looks {
        // Without a receiver the control file speaks, which lags behind what observation has seen.
        if let Ok(server) = &mut look.probe
            && server.in_recovery
            && server.receiver.is_none()
            && let Some(seen) = primary::timeline_of(&cluster, &look.node, server.system_identifier)
        {
            server.timeline = server.timeline.max(seen);
        }
    }
    Evidence {
        cluster: cluster.layout().name.clone(),
        began,
        ended,
        primary: suspect.and_then(|number| primary::known(&cluster, number, &looks, processes, ended)),
        nodes: looks,
        assessment: cluster.assess(ended),
        blind: cluster.evidence(ended).blind,
        maintenance: cluster.maintenance(ended.wall).map(|maintenance| until(maintenance.until, ended)),
    }
}

async fn probe(node: &Node, deadline: Duration) -> Look {
    let probe = server::ask(node, deadline).await;
    Look { node: node.name().to_owned(), at: Moment::now(), probe, has_admin: node.has_admin() }
}

/// The moment at which the wall clock says `wall`.
fn until(wall: Wall, now: Moment) -> Moment {
    let left = Duration::try_from_secs_f64(wall.seconds_since(now.wall)).unwrap_or(Duration::ZERO);
    Moment { mono: now.mono.plus(left), wall }
}
