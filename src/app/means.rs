//! What the engine works with, from the settings.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::config::runbooks::Lock as LockSettings;
use crate::config::{self, Cluster, Dsn, Environment, Manager, Node, Service, Settings};
use crate::observe::Source;
use crate::pg::failure::{Cause, Failure};
use crate::runbook::book::Mode;
use crate::runbook::engine::Means;
use crate::runbook::guard::Terms;
use crate::runbook::lock::{Etcd, EtcdSettings, Lock};
use crate::runbook::manager::patroni::client::Patroni;
use crate::runbook::plan::hash;
use crate::runbook::step::node::Node as StepNode;

/// Patroni is asked how it stands within this.
const PATRONI_WITHIN: Duration = Duration::from_secs(2);

/// One for each cluster.
pub(super) fn means(settings: &Settings, environment: &Arc<Environment>) -> Vec<Means> {
    // The same after a restart, so that a run that goes on gets its lock back; of two on one machine each has a journal of its own.
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let state_dir = std::path::absolute(&settings.state_dir.path).unwrap_or_else(|_| settings.state_dir.path.clone());
    let instance = format!("{host}:{}", state_dir.display());
    let hooks_dir = settings.state_dir.path.join("hooks");
    let one = |cluster: &Cluster| {
        let members = super::layout(settings, cluster, environment).members;
        let nodes = cluster.nodes.iter().zip(members);
        let nodes = nodes.map(|(node, member)| {
            let admin = node.admin_dsn.is_some().then(|| admin_source(node, environment));
            StepNode::new(member, admin, super::source(node, environment), node.data_dir.clone())
        });
        Means {
            cluster: cluster.name.clone(),
            terms: terms(cluster, settings.sample_interval),
            // Secrets are not in it: a rotated password is no other config.
            config: hash(&[format!("{cluster:?} {:?} {hooks_dir:?}", settings.sample_interval).as_bytes()]),
            reach: reach(cluster),
            nodes: nodes.collect(),
            lock: lock(&cluster.runbooks.lock),
            patroni: patroni(cluster).map(|service| Patroni::new(service.clone(), PATRONI_WITHIN)),
            hooks_dir: hooks_dir.clone(),
            instance: instance.clone(),
        }
    };
    settings.clusters.iter().map(one).collect()
}

/// A hash of where and as whom the nodes are reached, which another address or password changes.
fn reach(cluster: &Cluster) -> String {
    let dsns = cluster.nodes.iter().flat_map(|node| [Some(&node.dsn), node.admin_dsn.as_ref()]);
    let parts = dsns.map(|dsn| match dsn {
        Some(Dsn::Inline(secret)) => secret.reveal().as_bytes().to_vec(),
        Some(Dsn::File(path)) => path.as_os_str().as_encoded_bytes().to_vec(),
        None => Vec::new(),
    });
    let parts: Vec<_> = parts.collect();
    hash(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

fn terms(cluster: &Cluster, sample_interval: Duration) -> Terms {
    Terms {
        ceiling: if cluster.promotes() { cluster.ceiling() } else { Mode::DryRun },
        delegated: if patroni(cluster).is_some() { cluster.ceiling() } else { Mode::DryRun },
        single_receiver: matches!(cluster.runbooks.lock, LockSettings::SingleReceiver),
        has_lock: matches!(cluster.runbooks.lock, LockSettings::Etcd(_)),
        manager: cluster.manager.as_ref().map(Manager::as_str),
        sample_interval,
    }
}

fn patroni(cluster: &Cluster) -> Option<&Service> {
    match &cluster.manager {
        Some(Manager::Patroni(service)) => Some(service),
        _ => None,
    }
}

fn lock(settings: &LockSettings) -> Lock {
    let LockSettings::Etcd(etcd) = settings else { return Lock::Single };
    let (user, password_file): (Option<String>, Option<PathBuf>) = match &etcd.service.login {
        Some(login) => (Some(login.username.clone()), Some(login.password_file.clone())),
        None => (None, None),
    };
    let (endpoints, ca_file) = (etcd.service.urls.clone(), etcd.service.ca_file.clone());
    let settings = EtcdSettings { endpoints, prefix: etcd.prefix.clone(), ttl: etcd.ttl, user, password_file, ca_file };
    Lock::Etcd(Etcd::new(&settings))
}

/// Reads the node's files anew for each connect, so that a rotated password is picked up.
pub(super) fn admin_source(node: &Node, environment: &Arc<Environment>) -> Source {
    let (node, environment) = (node.clone(), environment.clone());
    Arc::new(move |trail| {
        let target = config::admin_target(&node, &environment, trail)
            .ok_or_else(|| Failure::new(Cause::Config, "it has no admin_dsn"))??;
        let tls = target.connector(trail).map_err(|error| Failure::new(Cause::Tls, &error.to_string()))?;
        Ok((target, tls))
    })
}
