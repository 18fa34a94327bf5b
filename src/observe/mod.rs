//! The loops that watch: for each node a fast and a slow reading and a login probe, for each cluster a tick.

mod archive_dir;
pub mod beside;
mod data_dir;
pub mod keeper;
mod login;
mod node;
pub mod own;
mod patience;
pub mod state_file;
mod tick;
mod voice;
mod words;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::clock::Moment;
use crate::cluster::facts::Report;
use crate::cluster::layout::Timing;
use crate::cluster::{Cluster, layout::Layout, memory::Memory};
use crate::pg::dsn::Target;
use crate::pg::failure::Failure;
use voice::Voice;

/// Where a node's loops find out whom to connect to; asked before each connect, so that a rotated password is picked up.
pub type Source = Arc<dyn Fn() -> Result<Target, Failure> + Send + Sync>;

/// One cluster as its loops and the pages share it. The lock is held for computing, never across a wait.
pub struct Hub {
    cluster: Mutex<Cluster>,
}

impl Hub {
    /// A cluster of which nothing is known but what is remembered.
    pub fn new(layout: Layout, memory: Memory) -> Self {
        Self { cluster: Mutex::new(Cluster::new(layout, memory, Moment::now())) }
    }

    /// The cluster, for as long as the guard lives.
    pub fn cluster(&self) -> MutexGuard<'_, Cluster> {
        self.cluster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report(&self, node: usize, report: Report) {
        self.cluster().report(node, report, Moment::now());
    }
}

/// What the loops of one node share.
#[derive(Clone)]
struct Watch {
    hub: Arc<Hub>,
    cluster: Arc<str>,
    name: Arc<str>,
    node: usize,
    source: Source,
    timing: Timing,
    /// One connect in flight a node.
    connecting: Arc<Semaphore>,
    /// Whether the fast reading stands; the other loops connect only then.
    up: watch::Sender<bool>,
    /// What was said of the node.
    voice: Arc<Mutex<Voice>>,
}

/// Watches `hub`'s cluster until the returned set is dropped. `sources` are in the order of the layout's members.
pub fn observe(hub: &Arc<Hub>, sources: Vec<Source>) -> JoinSet<()> {
    let layout = hub.cluster().layout().clone();
    let mut loops = JoinSet::new();
    for (node, (member, source)) in layout.members.iter().zip(sources).enumerate() {
        let watch = Watch {
            hub: hub.clone(),
            cluster: layout.name.as_str().into(),
            name: member.name.as_str().into(),
            node,
            source,
            timing: layout.timing,
            connecting: Arc::new(Semaphore::new(1)),
            up: watch::Sender::new(false),
            voice: Arc::default(),
        };
        loops.spawn(node::fast(watch.clone()));
        loops.spawn(node::slow(watch.clone()));
        loops.spawn(login::probe(watch));
    }
    loops.spawn(tick::tick(hub.clone(), layout.timing.sample_interval));
    loops
}
