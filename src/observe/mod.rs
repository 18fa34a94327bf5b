//! The loops that watch: for each node a fast and a slow reading and a login probe, for each cluster a tick. The [`fleet`] starts and
//! ends them as the config says. [`observers`] asks other pgvigils what they see.

mod archive_dir;
mod backups;
mod beside;
pub mod clients;
mod data_dir;
mod finder;
pub mod fleet;
pub mod keeper;
mod login;
pub mod maintenance;
mod node;
pub mod observers;
pub mod once;
pub mod own;
mod pacing;
pub mod places;
pub mod pulse;
pub mod punctuality;
mod server_log;
pub mod state_file;
mod tick;
mod timings;
mod told;
pub mod voice;
mod words;
pub mod write_probe;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::clock::Moment;
use crate::cluster::facts::Report;
use crate::cluster::{Cluster, layout::Layout, memory::Memory};
use crate::pg::failure::Failure;
use crate::pg::session::Session;
pub use finder::{Finder, Found, Source};
use places::{Manner, Places};
use pulse::{Pulse, Pulses};
use punctuality::Punctuality;
use timings::Timings;
use voice::Voice;

/// One cluster as its loops and the pages share it. The lock is held for computing, never across a wait.
pub struct Hub {
    name: Arc<str>,
    cluster: Mutex<Cluster>,
}

impl Hub {
    /// A cluster of which nothing is known but what is remembered.
    pub fn new(layout: Layout, memory: Memory) -> Self {
        let name = layout.name.as_str().into();
        Self { name, cluster: Mutex::new(Cluster::new(layout, memory, Moment::now())) }
    }

    /// The cluster's name, which never changes.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The cluster, for as long as the guard lives.
    pub fn cluster(&self) -> MutexGuard<'_, Cluster> {
        self.cluster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what the loops of `node` have to say; of a node that is no longer configured, nothing.
    fn report(&self, node: &str, report: Report) {
        let mut cluster = self.cluster();
        if let Some(index) = cluster.layout().index_of(node) {
            cluster.report(index, report, Moment::now());
        }
    }
}

/// What the loops of all nodes share.
struct Shared {
    pulses: Arc<Pulses>,
    punctuality: Arc<Punctuality>,
    places: Arc<Places>,
}

/// What the loops of one node share.
#[derive(Clone)]
struct Watch {
    hub: Arc<Hub>,
    cluster: Arc<str>,
    name: Arc<str>,
    finder: Arc<Finder>,
    timing: Timings,
    /// One connect in flight a node.
    connecting: Arc<Semaphore>,
    /// And so many in all.
    places: Arc<Places>,
    /// How this node's connects went.
    manner: Arc<Manner>,
    /// Whether the fast reading stands; the other loops connect only then.
    up: watch::Sender<bool>,
    /// What was said of the node.
    voice: Arc<Mutex<Voice>>,
    /// Of the fast loop.
    pulse: Arc<Pulse>,
    punctuality: Arc<Punctuality>,
}

impl Watch {
    /// The node's part of `interval`, of which the first of its readings waits some or all: loops that began together, as all do when we
    /// start, would ask all servers at one moment. The same at each start.
    fn part_of(&self, interval: Duration) -> Duration {
        part_of(interval, [&*self.cluster, &*self.name])
    }

    /// Logs in, when there is a place for it.
    async fn log_in(&self) -> Result<Session, Failure> {
        let timing = self.timing.now();
        let (target, tls) = self.finder.find(timing.connect_timeout).await?;
        // Apart from the loop that logs in, which would keep the room of a handshake for good: 40 KB a node.
        let connect = Box::pin(Session::connect(&target, &tls, timing.connect_timeout, timing.query_timeout));
        self.places.admit(&self.manner, timing.connect_timeout, connect).await
    }
}

/// A part of `interval` by name.
fn part_of<const N: usize>(interval: Duration, names: [&str; N]) -> Duration {
    let bytes = names.into_iter().flat_map(|name| name.bytes().chain([0]));
    let hash = bytes.fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    interval.mul_f64(f64::from(hash) / f64::from(u32::MAX))
}

/// Loops that run until they are dropped.
struct Loops {
    tasks: JoinSet<()>,
    _pulse: Arc<Pulse>,
}

/// Where a node's own files are, if they can be looked into.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// Its data directory.
    pub data_dir: Option<PathBuf>,
    /// Its log: a file, or a directory of files.
    pub log: Option<PathBuf>,
}

/// Watches the node `name` of `hub`'s cluster, and its files `beside` us, until the returned loops are dropped.
fn observe(hub: &Arc<Hub>, name: &str, source: Source, beside: &Beside, timing: Timings, shared: &Shared) -> Loops {
    let cluster = hub.name.clone();
    let pulse = shared.pulses.add(format!("{cluster}/{name}"), timing.now().sample_interval);
    let watch = Watch {
        hub: hub.clone(),
        cluster,
        name: name.into(),
        finder: Arc::new(Finder::new(source)),
        timing: timing.clone(),
        connecting: Arc::new(Semaphore::new(1)),
        places: shared.places.clone(),
        manner: Arc::default(),
        up: watch::Sender::new(false),
        voice: Arc::default(),
        pulse: pulse.clone(),
        punctuality: shared.punctuality.clone(),
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(node::fast(watch.clone()));
    tasks.spawn(node::slow(watch.clone()));
    tasks.spawn(login::probe(watch));
    if let Some(path) = beside.data_dir.clone() {
        tasks.spawn(data_dir::watch(hub.clone(), name.to_owned(), path, timing.clone()));
    }
    if let Some(path) = beside.log.clone() {
        tasks.spawn(server_log::watch(hub.clone(), name.to_owned(), path, timing));
    }
    Loops { tasks, _pulse: pulse }
}

/// Ticks for `hub`'s cluster until the returned loops are dropped.
fn tick(hub: &Arc<Hub>, timing: Timings, pulses: &Pulses) -> Loops {
    let name = hub.name().to_owned();
    let pulse = pulses.add(name, timing.now().sample_interval);
    let mut tasks = JoinSet::new();
    tasks.spawn(tick::tick(hub.clone(), timing, pulse.clone()));
    Loops { tasks, _pulse: pulse }
}
