//! The wiring: knows everyone, known by none.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use crate::clock::Wall;
use crate::cluster::layout::{Layout, Member, Timing};
use crate::cluster::memory::Memory;
use crate::config::settings::StateDir;
use crate::config::{self, Cluster, Environment, Node, Settings};
use crate::http;
use crate::observe::{Hub, Source, observe, own, state_file};
use crate::pg::failure::Failure;

/// How often the lag history is written down: what a crash of pgvigil may forget.
const SAVE_EACH: Duration = Duration::from_secs(10);

/// Watches the clusters of `settings` and answers over HTTP until SIGINT or SIGTERM.
pub async fn serve(settings: Settings, environment: Environment) -> anyhow::Result<()> {
    let listener = http::listen(settings.listen)?;
    let environment = Arc::new(environment);
    let history = Arc::new(History::new(&settings.state_dir));
    let mut hubs = Vec::new();
    let mut loops = Vec::new();
    for cluster in &settings.clusters {
        let layout = layout(&settings, cluster);
        let hub = Arc::new(Hub::new(layout, history.load(&cluster.name)));
        loops.push(observe(&hub, cluster.nodes.iter().map(|node| source(node, &environment)).collect()));
        hubs.push(hub);
    }
    let hubs: Arc<[Arc<Hub>]> = hubs.into();
    let saver = tokio::spawn(save_forever(history.clone(), hubs.clone()));
    let own: http::OwnSource = {
        let (started, history) = (Wall::now(), history.clone());
        Arc::new(move || own::read(started, history.saved()))
    };
    tracing::info!(listen = %settings.listen, clusters = hubs.len(), "pgvigil is ready");
    http::serve(listener, hubs.clone(), own, stopped()?).await?;
    drop(loops);
    saver.abort();
    history.save(&hubs);
    tracing::info!("pgvigil has stopped");
    Ok(())
}

/// Waits for SIGINT or SIGTERM.
fn stopped() -> anyhow::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    Ok(async move {
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

/// The lag histories on disk.
struct History {
    /// `None`: nowhere to keep them, which was said at start.
    state_dir: Option<PathBuf>,
    /// Whether the last try for each cluster succeeded, for the page.
    saved: Mutex<Vec<(String, bool)>>,
    /// A failure is logged once, and its end.
    warned: AtomicBool,
}

impl History {
    fn new(state_dir: &StateDir) -> Self {
        let usable = state_file::prepare(&state_dir.path);
        if let Err(error) = &usable {
            match state_dir.explicit {
                true => tracing::error!("{error}"),
                false => tracing::warn!("{error}"),
            }
        }
        // A directory that was asked for is tried again at each save; one that nobody named is not needed.
        let keep = state_dir.explicit || usable.is_ok();
        Self {
            state_dir: keep.then(|| state_dir.path.clone()),
            saved: Mutex::default(),
            warned: AtomicBool::new(usable.is_err()),
        }
    }

    fn saved(&self) -> Vec<(String, bool)> {
        self.saved.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn load(&self, cluster: &str) -> Memory {
        let load = |dir: &Path| state_file::load(dir, cluster);
        self.state_dir.as_deref().map_or(Ok(Memory::default()), load).unwrap_or_else(|error| {
            tracing::warn!(cluster, "{error}");
            Memory::default()
        })
    }

    fn save(&self, hubs: &[Arc<Hub>]) {
        let Some(dir) = &self.state_dir else { return };
        let mut saved = Vec::with_capacity(hubs.len());
        for hub in hubs {
            let (name, memory) = {
                let cluster = hub.cluster();
                (cluster.layout().name.clone(), cluster.memory().clone())
            };
            let result = state_file::save(dir, &name, &memory);
            match &result {
                Err(error) if !self.warned.swap(true, Ordering::Relaxed) => tracing::error!(cluster = name, "{error}"),
                Ok(()) if self.warned.swap(false, Ordering::Relaxed) => {
                    tracing::info!(cluster = name, "lag history is kept again")
                }
                _ => {}
            }
            saved.push((name, result.is_ok()));
        }
        *self.saved.lock().unwrap_or_else(PoisonError::into_inner) = saved;
    }
}

async fn save_forever(history: Arc<History>, hubs: Arc<[Arc<Hub>]>) {
    let mut ticks = interval(SAVE_EACH);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let (history, hubs) = (history.clone(), hubs.clone());
        // A disk may be slow; the loops that watch must not wait for it.
        if tokio::task::spawn_blocking(move || history.save(&hubs)).await.is_err() {
            tracing::error!("saving the lag history failed unexpectedly");
        }
    }
}
