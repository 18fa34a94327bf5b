//! The wiring: knows everyone, known by none.

mod means;
mod reload;
mod watchdog;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures_util::FutureExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::clock::Wall;
use crate::cluster::layout::{Layout, Member, Timing};
use crate::config::clients::{Clients, Way};
use crate::config::reload::FileChanges;
use crate::config::{self, Backup, Cluster, Environment, Manager, Node, Replication, Report, Role, Settings};
use crate::http::{self, Door, Runbooks, Sources};
use crate::log::Log;
use crate::metric::own::Own;
use crate::observe::clients::{By, Entrance};
use crate::observe::fleet::{Fleet, Place, Plan};
use crate::observe::keeper::Keeper;
use crate::observe::maintenance::Maintainer;
use crate::observe::observers::Observers;
use crate::observe::once::Asked;
use crate::observe::{Beside, Found, Source, own};
use crate::peer::Address;
use crate::pg::dsn::Target;
use crate::pg::failure::{Cause, Failure};
use crate::pg::trail::Trail;
use crate::runbook::book::Mode;
use crate::runbook::engine;
use crate::runbook::intake::Intake;
use crate::runbook::journal;
use crate::runbook::shelf::Shelf;
use crate::systemd::Systemd;
use reload::{Parts, Reloader, Trigger};

/// How long the last save may take once the HTTP door is closed. A disk that hangs must not keep us.
const LAST_SAVE_DEADLINE: Duration = Duration::from_millis(500);

/// Watches the clusters of the config in `report` and answers at `door` until SIGINT or SIGTERM. The config is read again on SIGHUP,
/// on request, and when its file says something else; the runbooks on the first two alone. `log` is the log of this process.
pub async fn serve(report: Report, door: Door, shelf: Shelf, environment: Environment, log: Log) -> anyhow::Result<()> {
    let stop = stopped()?.shared();
    let mut hang_up = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    let Report { path, settings, .. } = report;
    let listen = settings.listen;
    let listener = http::listen(listen)?;
    let systemd = Arc::new(Systemd::of(&|name| environment.get(name), std::process::id()));
    let environment = Arc::new(environment);
    let keeper = Arc::new(Keeper::new(settings.state_dir.path.clone(), settings.state_dir.explicit));
    let fleet = Arc::new(Fleet::new(keeper.clone(), settings.max_connects));
    fleet.apply(plans(&settings, &environment)).await;
    let hubs = fleet.hubs();
    let observers = Arc::new(Observers::new(hubs.clone()));
    observers.apply(addresses(&settings)).await;
    let (door, runbooks) = (Arc::new(door), Arc::new(Runbooks::new(shelf)));
    let intake = intake(&settings)?;
    let books: engine::Books = {
        let runbooks = runbooks.clone();
        Arc::new(move || runbooks.now())
    };
    let engine = Arc::new(engine::Engine::default());
    let desk = engine::Parts { hubs: hubs.clone(), intake: intake.clone(), books, means: engine.means() };
    engine.apply(&desk, means::means(&settings, &environment)).await;
    let (native, native_histograms) = watch::channel(settings.native_histograms);
    let parts = Parts {
        native_histograms: native,
        door: door.clone(),
        runbooks: runbooks.clone(),
        fleet: fleet.clone(),
        observers: observers.clone(),
        systemd: systemd.clone(),
        engine: engine.clone(),
        desk: desk.clone(),
    };
    let reloader = Reloader::new(path.clone(), settings, environment, parts);
    let mut tasks = JoinSet::new();
    tasks.spawn(keeper.clone().keep(hubs.clone()));
    tasks.spawn({
        let reloader = reloader.clone();
        async move {
            while hang_up.recv().await.is_some() {
                // What is wrong was logged.
                let _ = reloader.clone().reload(Trigger::Signal).await;
            }
        }
    });
    if let Some(path) = path {
        let reloader = reloader.clone();
        tasks.spawn(async move {
            let mut changes = FileChanges::of(path).await;
            loop {
                changes.next().await;
                let _ = reloader.clone().reload(Trigger::File).await;
            }
        });
    }
    let last_save = tokio::spawn({
        let (stop, keeper, hubs, systemd) = (stop.clone(), keeper.clone(), hubs.clone(), systemd.clone());
        async move {
            stop.await;
            systemd.stopping();
            // While requests under way are answered.
            tokio::task::spawn_blocking(move || keeper.save(&hubs.now())).await
        }
    });
    let own: http::OwnSource = {
        let (started, keeper, reloader, intake) = (Wall::now(), keeper.clone(), reloader.clone(), intake.clone());
        let (hubs, fleet) = (hubs.clone(), fleet.clone());
        Arc::new(move || {
            let clusters: Vec<_> = hubs.now().iter().map(|hub| hub.cluster().layout().name.clone()).collect();
            own::read(Own {
                start_time: started.as_seconds(),
                state_saved: keeper.saved(),
                config: reloader.outcome(),
                observers: observers.states(),
                log: log.events(),
                load: fleet.load(),
                webhook: intake.told(),
                runbooks: intake.runbooks(clusters),
                ..Own::default()
            })
        })
    };
    let reload: http::Reload = Arc::new(move |name| {
        let reloader = reloader.clone();
        async move { reloader.reload(Trigger::Request(name)).await }.boxed()
    });
    systemd.ready();
    tasks.spawn(watchdog::watch(systemd, fleet.pulses(), hubs.clone()));
    tracing::info!(%listen, clusters = hubs.now().len(), "pgvigil is ready");
    let maintainer = Maintainer::new(hubs.clone(), keeper);
    http::serve(
        listener,
        Sources { hubs, own, native_histograms, reload, maintainer, runbooks, intake, engine: desk },
        door,
        stop,
    )
    .await?;
    drop((tasks, engine, fleet));
    if timeout(LAST_SAVE_DEADLINE, last_save).await.is_err() {
        tracing::warn!("the last save of the lag history did not end in time: the one before it counts");
    }
    tracing::info!("pgvigil has stopped");
    Ok(())
}

/// Whoever takes in alerts. Where nobody may hand any in, the journal is left alone until somebody does.
fn intake(settings: &Settings) -> anyhow::Result<Arc<Intake>> {
    let is_expected = settings.access.iter().any(|holder| holder.role.includes(Role::Ingest))
        || settings.clusters.iter().any(|cluster| cluster.ceiling() > Mode::DryRun);
    Intake::start(journal::directory(&settings.state_dir.path), is_expected)
        .context("cannot start the journal's thread")
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

/// What is to be watched by these settings. Reads the files that say where the nodes are.
fn plans(settings: &Settings, environment: &Arc<Environment>) -> Vec<Plan> {
    let place = |node: &Node| Place {
        dsn: node.dsn.clone(),
        pooled: node.pooled,
        beside: Beside { data_dir: node.data_dir.clone(), log: node.log.clone() },
    };
    let admin = |node: &Node| node.admin_dsn.is_some().then(|| means::admin_source(node, environment));
    let plan = |cluster: &Cluster| Plan {
        layout: layout(settings, cluster, environment),
        places: cluster.nodes.iter().map(|node| (place(node), source(node, environment))).collect(),
        archive_dir: cluster.archive_dir.clone(),
        backup: cluster.backup.clone(),
        clients: entrances(cluster, environment),
        write_probe: cluster.write_probe.map(|interval| (interval, cluster.nodes.iter().map(admin).collect())),
    };
    settings.clusters.iter().map(plan).collect()
}

/// A cluster as it is to be looked at once.
pub struct Visit {
    /// Who is who.
    pub layout: Layout,
    /// Where to ask each member, in the layout's order.
    pub nodes: Vec<Asked>,
    /// Who is asked for its backups.
    pub backup: Option<Backup>,
    /// What its clients use.
    pub clients: Vec<Entrance>,
}

/// What is to be looked at once by these settings. Reads the files that say where the nodes are.
pub fn visits(settings: &Settings, environment: &Arc<Environment>) -> Vec<Visit> {
    let asked = |cluster: &Cluster, node: &Node| {
        let admin = node.admin_dsn.is_some().then(|| means::admin_source(node, environment));
        // A pooler speaks no replication.
        let replication = cluster.replication.as_ref().filter(|_| !node.pooled);
        let replication = replication.map(|replication| replication_source(node, replication, environment));
        Asked { source: source(node, environment), admin, replication, log: node.log.clone() }
    };
    let visit = |cluster: &Cluster| Visit {
        layout: layout(settings, cluster, environment),
        nodes: cluster.nodes.iter().map(|node| asked(cluster, node)).collect(),
        backup: cluster.backup.clone(),
        clients: entrances(cluster, environment),
    };
    settings.clusters.iter().map(visit).collect()
}

/// What the clients of a cluster use.
fn entrances(cluster: &Cluster, environment: &Arc<Environment>) -> Vec<Entrance> {
    let entrance = |clients: &Clients| {
        let by = match clients.way.clone() {
            Way::Haproxy(stats, backend) => By::Haproxy(stats, backend),
            Way::Dsn(dsn) => {
                let environment = environment.clone();
                By::Dsn(Arc::new(move || {
                    let trail = Trail::default();
                    let (wanted, targets) = config::client_targets(&dsn, &environment, &trail)?;
                    let with_tls = |target: Target| {
                        let tls = target.connector(&trail);
                        let tls = tls.map_err(|error| Failure::new(Cause::Tls, &error.to_string()))?;
                        Ok((target, tls))
                    };
                    Ok((wanted, targets.into_iter().map(with_tls).collect::<Result<_, Failure>>()?))
                }))
            }
        };
        Entrance { name: clients.name.clone(), by }
    };
    cluster.clients.iter().map(entrance).collect()
}

/// Whom to ask for a second view.
fn addresses(settings: &Settings) -> Vec<(String, Address)> {
    settings.observers.iter().map(|observer| (observer.name.clone(), config::address(observer))).collect()
}

fn layout(settings: &Settings, cluster: &Cluster, environment: &Environment) -> Layout {
    let member = |node: &Node| Member {
        name: node.name.clone(),
        slot: node.slot.clone(),
        application_name: node.application_name.clone(),
        address: node
            .address
            .clone()
            .or_else(|| Some(config::target(node, environment, &Trail::default()).ok()?.address)),
        expected: node.expected,
    };
    let observers = settings.observers.iter().map(|observer| observer.name.clone()).collect();
    let timing = Timing {
        sample_interval: settings.sample_interval,
        collect_interval: settings.collect_interval,
        login_interval: settings.login_interval,
        connect_timeout: settings.timeouts.connect,
        query_timeout: settings.timeouts.query,
        archive_hung_after: settings.archive_hung_after,
    };
    Layout {
        name: cluster.name.clone(),
        members: cluster.nodes.iter().map(member).collect(),
        observers,
        manager: cluster.manager.as_ref().map(Manager::as_str),
        timing,
    }
}

/// Reads the node's files anew for each connect, so that a rotated password is picked up.
fn source(node: &Node, environment: &Arc<Environment>) -> Source {
    let (node, environment) = (node.clone(), environment.clone());
    Arc::new(move |trail| find(&node, &environment, trail))
}

/// The same as a standby logs in there.
fn replication_source(node: &Node, replication: &Replication, environment: &Arc<Environment>) -> Source {
    let (node, replication, environment) = (node.clone(), replication.clone(), environment.clone());
    Arc::new(move |trail| {
        let target = config::replication_target(&node, &replication, &environment, trail)?;
        let tls = target.connector(trail).map_err(|error| Failure::new(Cause::Tls, &error.to_string()))?;
        Ok((target, tls))
    })
}

fn find(node: &Node, environment: &Environment, trail: &Trail) -> Found {
    let target = config::target(node, environment, trail)?;
    let tls = target.connector(trail).map_err(|error| Failure::new(Cause::Tls, &error.to_string()))?;
    Ok((target, tls))
}
