//! The wiring: knows everyone, known by none.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures_util::FutureExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use crate::clock::Wall;
use crate::cluster::layout::{Layout, Member, Timing};
use crate::config::{self, Cluster, Environment, Node, Settings};
use crate::http::{self, Door};
use crate::observe::keeper::Keeper;
use crate::observe::{Hub, Source, observe, own};
use crate::pg::failure::Failure;

/// How long the last save may take once the HTTP door is closed. A disk that hangs must not keep us.
const LAST_SAVE_DEADLINE: Duration = Duration::from_millis(500);

/// Watches the clusters of `settings` and answers at `door` until SIGINT or SIGTERM.
pub async fn serve(settings: Settings, door: Door, environment: Environment) -> anyhow::Result<()> {
    let stop = stopped()?.shared();
    let listener = http::listen(settings.listen)?;
    let environment = Arc::new(environment);
    let keeper = Arc::new(Keeper::new(settings.state_dir.path.clone(), settings.state_dir.explicit));
    let mut hubs = Vec::new();
    let mut loops = Vec::new();
    for cluster in &settings.clusters {
        let layout = layout(&settings, cluster);
        let hub = Arc::new(Hub::new(layout, keeper.load(&cluster.name)));
        loops.push(observe(&hub, cluster.nodes.iter().map(|node| source(node, &environment)).collect()));
        hubs.push(hub);
    }
    let hubs: Arc<[Arc<Hub>]> = hubs.into();
    let keeping = tokio::spawn(keeper.clone().keep(hubs.clone()));
    let last_save = tokio::spawn({
        let (stop, keeper, hubs) = (stop.clone(), keeper.clone(), hubs.clone());
        async move {
            stop.await;
            // While requests under way are answered.
            tokio::task::spawn_blocking(move || keeper.save(&hubs)).await
        }
    });
    let own: http::OwnSource = {
        let (started, keeper) = (Wall::now(), keeper.clone());
        Arc::new(move || own::read(started, keeper.saved()))
    };
    tracing::info!(listen = %settings.listen, clusters = hubs.len(), "pgvigil is ready");
    http::serve(listener, hubs, own, Arc::new(door), stop).await?;
    drop(loops);
    keeping.abort();
    if timeout(LAST_SAVE_DEADLINE, last_save).await.is_err() {
        tracing::warn!("the last save of the lag history did not end in time: the one before it counts");
    }
    tracing::info!("pgvigil has stopped");
    Ok(())
}

/// Waits for SIGINT or SIGTERM. With a handler, a file that would grow beyond `ulimit -f` is an error of its write (SIGXFSZ) and not
/// our end, like a disk that is full.
fn stopped() -> anyhow::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let file_size = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
    let file_size = signal(file_size).context("cannot listen for SIGXFSZ")?;
    Ok(async move {
        let _kept = file_size;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

fn layout(settings: &Settings, cluster: &Cluster) -> Layout {
    let member = |node: &Node| Member {
        name: node.name.clone(),
        slot: node.slot.clone(),
        application_name: node.application_name.clone(),
        expected: node.expected,
    };
    let timing = Timing {
        sample_interval: settings.sample_interval,
        collect_interval: settings.collect_interval,
        login_interval: settings.login_interval,
        connect_timeout: settings.timeouts.connect,
        query_timeout: settings.timeouts.query,
        archive_hung_after: settings.archive_hung_after,
    };
    Layout { name: cluster.name.clone(), members: cluster.nodes.iter().map(member).collect(), timing }
}

/// Reads the node's connection string anew for each connect, so that a rotated password is picked up.
fn source(node: &Node, environment: &Arc<Environment>) -> Source {
    let (node, environment) = (node.clone(), environment.clone());
    Arc::new(move || config::target(&node, &environment).map_err(Failure::from))
}
