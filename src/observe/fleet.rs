//! Everything that is watched: starts and ends the loops of clusters and nodes as the config says, also while pgvigil runs. What did
//! not change is not touched: its connections, history and histograms live on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::backups;
use super::clients::{self, Entrance};
use super::keeper::Keeper;
use super::places::Places;
use super::pulse::Pulses;
use super::timings::Timings;
use super::write_probe::{self, Admins};
use super::{Beside, Hub, Loops, Shared, Source, observe, own, tick};
use crate::cluster::aside::Aside;
use crate::cluster::layout::{Layout, Timing};
use crate::config::{Backup, Dsn};
use crate::metric::fleet::Load;

/// How long the disk may take to forget a maintenance.
const FORGET_DEADLINE: Duration = Duration::from_secs(2);

/// A cluster as it is to be watched.
pub struct Plan {
    /// Who is who.
    pub layout: Layout,
    /// Where to find each member, in the layout's order.
    pub places: Vec<(Place, Source)>,
    /// The directory of the cluster's archive, if it can be looked into.
    pub archive_dir: Option<PathBuf>,
    /// How often the write probe goes, and as whom on each member; `None`: never.
    pub write_probe: Option<(Duration, Admins)>,
    /// Who is asked for its backups.
    pub backup: Option<Backup>,
    /// What its clients use.
    pub clients: Vec<Entrance>,
}

/// Where to find a node: another place may be another server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where its connection string is.
    pub dsn: Dsn,
    /// Whether a pooler is in between.
    pub pooled: bool,
    /// Its own files.
    pub beside: Beside,
}

/// The clusters as they are watched now.
#[derive(Clone)]
pub struct Hubs {
    clusters: watch::Receiver<Arc<[Arc<Hub>]>>,
    instance: Arc<str>,
}

impl Hubs {
    /// The clusters of this moment, in the order of the config.
    pub fn now(&self) -> Arc<[Arc<Hub>]> {
        self.clusters.borrow().clone()
    }

    /// Who watches: the name of this process, which no other has.
    pub fn instance(&self) -> &str {
        &self.instance
    }
}

/// The loops of all clusters. Dropping it ends them.
pub struct Fleet {
    keeper: Arc<Keeper>,
    running: Mutex<Vec<Running>>,
    hubs: watch::Sender<Arc<[Arc<Hub>]>>,
    instance: Arc<str>,
    shared: Shared,
}

struct Running {
    hub: Arc<Hub>,
    timing: watch::Sender<Timing>,
    _ticking: Loops,
    nodes: BTreeMap<String, (Place, Loops)>,
    archive_dir: Option<PathBuf>,
    looking: JoinSet<()>,
    errands: JoinSet<()>,
}

impl Fleet {
    /// Watches nothing yet. What is remembered of a cluster comes from `keeper`; `max_connects` may be under way at a time.
    pub fn new(keeper: Arc<Keeper>, max_connects: usize) -> Self {
        let instance = own::instance().into();
        let places = Arc::new(Places::new(max_connects));
        Self {
            keeper,
            running: Mutex::default(),
            hubs: watch::Sender::new([].into()),
            instance,
            shared: Shared { pulses: Arc::default(), punctuality: Arc::default(), places },
        }
    }

    /// The clusters, for those who show or keep them.
    pub fn hubs(&self) -> Hubs {
        Hubs { clusters: self.hubs.subscribe(), instance: self.instance.clone() }
    }

    /// Whether all loops go round.
    pub fn pulses(&self) -> Arc<Pulses> {
        self.shared.pulses.clone()
    }

    /// How well all loops keep up.
    pub fn load(&self) -> Load {
        let Shared { punctuality, places, .. } = &self.shared;
        Load { late: punctuality.counted(), connects_waiting: places.waiting(), connects_open: places.open() }
    }

    /// So many connects may be under way at a time.
    pub fn allow_connects(&self, most: usize) {
        self.shared.places.allow(most);
    }

    /// Watches what `plans` say, and nothing else.
    pub async fn apply(&self, plans: Vec<Plan>) {
        let mut running = self.running.lock().await;
        let mut before = std::mem::take(&mut *running);
        for plan in plans {
            let same = |running: &Running| running.hub.cluster().layout().name == plan.layout.name;
            let this = match before.iter().position(same) {
                Some(at) => before.swap_remove(at).changed(plan, &self.shared).await,
                None => Running::start(plan, &self.keeper, &self.shared),
            };
            running.push(this);
        }
        // The page no longer shows those that are gone; then their loops end.
        self.hubs.send_replace(running.iter().map(|running| running.hub.clone()).collect());
        let gone: Vec<_> = before.iter().map(|gone| gone.hub.clone()).collect();
        drop(before);
        self.end_maintenance(gone).await;
    }

    /// What is no longer watched is not in maintenance when it comes back.
    async fn end_maintenance(&self, mut gone: Vec<Arc<Hub>>) {
        gone.retain(|hub| hub.cluster().end_maintenance().is_some());
        if gone.is_empty() {
            return;
        }
        let keeper = self.keeper.clone();
        // That it fails is said by the keeper; a disk that hangs must not hold up the config.
        let _ = timeout(FORGET_DEADLINE, tokio::task::spawn_blocking(move || keeper.save_now(&gone))).await;
    }
}

impl Running {
    fn start(plan: Plan, keeper: &Keeper, shared: &Shared) -> Self {
        let memory = keeper.load(&plan.layout.name);
        let names = plan.layout.members.iter().map(|member| member.name.clone()).collect::<Vec<_>>();
        let timing = watch::Sender::new(plan.layout.timing);
        let hub = Arc::new(Hub::new(plan.layout, memory));
        let looking = start_looking(&hub, plan.archive_dir.clone());
        let errands = start_errands(&hub, plan.write_probe, plan.backup, plan.clients);
        let ticking = tick(&hub, Timings::of(&timing), &shared.pulses);
        let mut this = Self {
            hub,
            timing,
            _ticking: ticking,
            nodes: BTreeMap::new(),
            archive_dir: plan.archive_dir,
            looking,
            errands,
        };
        for (name, (place, source)) in names.into_iter().zip(plan.places) {
            this.start_node(name, place, source, shared);
        }
        this
    }

    /// Follows the config: ends the loops of nodes that are gone or elsewhere, and starts those that are new. All others go on, with
    /// another timing too.
    async fn changed(mut self, plan: Plan, shared: &Shared) -> Self {
        if self.archive_dir != plan.archive_dir {
            self.looking.shutdown().await;
            self.hub.cluster().forget_archive();
            self.looking = start_looking(&self.hub, plan.archive_dir.clone());
            self.archive_dir = plan.archive_dir;
        }
        // An errand keeps nothing: it begins anew.
        self.errands.shutdown().await;
        *self.hub.cluster().aside_mut() = Aside::default();
        let before = self.hub.cluster().layout().clone();
        if before == plan.layout && plan.places.iter().map(|(place, _)| place).eq(self.places(&before)) {
            self.errands = start_errands(&self.hub, plan.write_probe, plan.backup, plan.clients);
            return self;
        }
        let timing = plan.layout.timing;
        let places: BTreeMap<_, _> =
            plan.layout.members.iter().map(|member| member.name.clone()).zip(plan.places).collect();
        let kept: BTreeSet<_> = places
            .iter()
            .filter(|(name, (place, _))| self.nodes.get(*name).is_some_and(|(known, _)| known == place))
            .map(|(name, _)| name.clone())
            .collect();
        let ended = std::mem::take(&mut self.nodes);
        for (name, (place, mut loops)) in ended {
            if kept.contains(&name) {
                self.nodes.insert(name, (place, loops));
            } else {
                // To the end: a loop's last report must not reach a new node of the same name.
                loops.tasks.shutdown().await;
            }
        }
        self.hub.cluster().relayout(plan.layout, &kept);
        self.timing.send_if_modified(|known| std::mem::replace(known, timing) != timing);
        for (name, (place, source)) in places {
            if !self.nodes.contains_key(&name) {
                self.start_node(name, place, source, shared);
            }
        }
        self.errands = start_errands(&self.hub, plan.write_probe, plan.backup, plan.clients);
        self
    }

    fn start_node(&mut self, name: String, place: Place, source: Source, shared: &Shared) {
        let timing = Timings::of(&self.timing);
        let loops = observe(&self.hub, &name, source, &place.beside, timing, shared);
        self.nodes.insert(name, (place, loops));
    }

    fn places<'a>(&'a self, layout: &'a Layout) -> impl Iterator<Item = &'a Place> {
        layout.members.iter().filter_map(|member| self.nodes.get(&member.name)).map(|(place, _)| place)
    }
}

fn start_errands(
    hub: &Arc<Hub>,
    write_probe: Option<(Duration, Admins)>,
    backup: Option<Backup>,
    entrances: Vec<Entrance>,
) -> JoinSet<()> {
    let mut errands = JoinSet::new();
    if let Some((interval, admins)) = write_probe {
        errands.spawn(write_probe::watch(hub.clone(), admins, interval));
    }
    if let Some(backup) = backup {
        errands.spawn(backups::watch(hub.clone(), backup));
    }
    if !entrances.is_empty() {
        errands.spawn(clients::watch(hub.clone(), entrances));
    }
    errands
}

fn start_looking(hub: &Arc<Hub>, archive_dir: Option<PathBuf>) -> JoinSet<()> {
    let mut looking = JoinSet::new();
    if let Some(path) = archive_dir {
        looking.spawn(super::archive_dir::watch(hub.clone(), path));
    }
    looking
}
