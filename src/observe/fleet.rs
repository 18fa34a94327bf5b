//! Everything that is watched: starts and ends the loops of clusters and nodes as the config says, also while pgvigil runs. What did
//! not change is not touched: its connections, history and histograms live on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::{Mutex, watch};

use super::keeper::Keeper;
use super::pulse::Pulses;
use super::{Hub, Loops, Source, observe, tick};
use crate::cluster::layout::Layout;
use crate::config::Dsn;

/// A cluster as it is to be watched.
pub struct Plan {
    /// Who is who.
    pub layout: Layout,
    /// How to reach each member, in the layout's order.
    pub dials: Vec<Dial>,
}

/// How to reach a node.
pub struct Dial {
    /// Where its connection string is: another one may lead to another server.
    pub dsn: Dsn,
    /// Gives the connection string.
    pub source: Source,
}

/// The clusters as they are watched now.
#[derive(Clone)]
pub struct Hubs(watch::Receiver<Arc<[Arc<Hub>]>>);

impl Hubs {
    /// The clusters of this moment, in the order of the config.
    pub fn now(&self) -> Arc<[Arc<Hub>]> {
        self.0.borrow().clone()
    }
}

/// The loops of all clusters. Dropping it ends them.
pub struct Fleet {
    keeper: Arc<Keeper>,
    running: Mutex<Vec<Running>>,
    hubs: watch::Sender<Arc<[Arc<Hub>]>>,
    pulses: Arc<Pulses>,
}

struct Running {
    hub: Arc<Hub>,
    ticking: Loops,
    nodes: BTreeMap<String, (Dsn, Loops)>,
}

impl Fleet {
    /// Watches nothing yet. What is remembered of a cluster comes from `keeper`.
    pub fn new(keeper: Arc<Keeper>) -> Self {
        Self { keeper, running: Mutex::default(), hubs: watch::Sender::new([].into()), pulses: Arc::default() }
    }

    /// The clusters, for those who show or keep them.
    pub fn hubs(&self) -> Hubs {
        Hubs(self.hubs.subscribe())
    }

    /// Whether all loops go round.
    pub fn pulses(&self) -> Arc<Pulses> {
        self.pulses.clone()
    }

    /// Watches what `plans` say, and nothing else.
    pub async fn apply(&self, plans: Vec<Plan>) {
        let mut running = self.running.lock().await;
        let mut before = std::mem::take(&mut *running);
        for plan in plans {
            let same = |running: &Running| running.hub.cluster().layout().name == plan.layout.name;
            let this = match before.iter().position(same) {
                Some(at) => before.swap_remove(at).changed(plan, &self.pulses).await,
                None => Running::start(plan, &self.keeper, &self.pulses),
            };
            running.push(this);
        }
        // The page no longer shows those that are gone; then their loops end.
        self.hubs.send_replace(running.iter().map(|running| running.hub.clone()).collect());
        drop(before);
    }
}

impl Running {
    fn start(plan: Plan, keeper: &Keeper, pulses: &Pulses) -> Self {
        let memory = keeper.load(&plan.layout.name);
        let names = plan.layout.members.iter().map(|member| member.name.clone()).collect::<Vec<_>>();
        let hub = Arc::new(Hub::new(plan.layout, memory));
        let nodes =
            names.into_iter().zip(plan.dials).map(|(name, dial)| start_node(&hub, name, dial, pulses)).collect();
        let ticking = tick(&hub, pulses);
        Self { hub, ticking, nodes }
    }

    /// Follows the config: ends the loops of nodes that are gone or reached otherwise, and starts those that are new.
    async fn changed(mut self, plan: Plan, pulses: &Pulses) -> Self {
        let before = self.hub.cluster().layout().clone();
        if before == plan.layout && plan.dials.iter().map(|dial| &dial.dsn).eq(self.dsns(&before)) {
            return self;
        }
        let timing_changed = before.timing != plan.layout.timing;
        let dials: BTreeMap<_, _> =
            plan.layout.members.iter().map(|member| member.name.clone()).zip(plan.dials).collect();
        let kept: BTreeSet<_> = dials
            .iter()
            .filter(|(name, dial)| self.nodes.get(*name).is_some_and(|(dsn, _)| *dsn == dial.dsn))
            .map(|(name, _)| name.clone())
            .collect();
        let ended = std::mem::take(&mut self.nodes);
        for (name, (dsn, mut loops)) in ended {
            if kept.contains(&name) && !timing_changed {
                self.nodes.insert(name, (dsn, loops));
            } else {
                // To the end: a loop's last report must not reach a new node of the same name.
                loops.tasks.shutdown().await;
            }
        }
        self.hub.cluster().relayout(plan.layout, &kept);
        for (name, dial) in dials {
            if !self.nodes.contains_key(&name) {
                let (name, node) = start_node(&self.hub, name, dial, pulses);
                self.nodes.insert(name, node);
            }
        }
        if timing_changed {
            self.ticking = tick(&self.hub, pulses);
        }
        self
    }

    fn dsns<'a>(&'a self, layout: &'a Layout) -> impl Iterator<Item = &'a Dsn> {
        layout.members.iter().filter_map(|member| self.nodes.get(&member.name)).map(|(dsn, _)| dsn)
    }
}

fn start_node(hub: &Arc<Hub>, name: String, dial: Dial, pulses: &Pulses) -> (String, (Dsn, Loops)) {
    let loops = observe(hub, &name, dial.source, pulses);
    (name, (dial.dsn, loops))
}
