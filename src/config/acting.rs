//! What `pgvigil check` says of acting on a cluster: its manager, what runbooks may do, and the services that this needs.

use super::manager::Manager;
use super::runbooks::{Lock, Permit};
use super::service::Service;
use super::settings::{Cluster, Settings};
use crate::runbook::book::Mode;

impl Settings {
    /// Takes from `old` all that runbooks go by: managers, permits and `admin_dsn`. A cluster or node that is new there, or another
    /// server by its `dsn`, is only looked at. Whether that is another config than what is written.
    pub fn act_as(&mut self, old: &Self) -> bool {
        let mut differs = false;
        for cluster in &mut self.clusters {
            let before = old.clusters.iter().find(|before| before.name == cluster.name);
            let (manager, runbooks) = match before {
                Some(before) => (before.manager.clone(), before.runbooks.clone()),
                None => (cluster.manager.clone(), Permit::default()),
            };
            differs |= cluster.manager != manager || cluster.runbooks != runbooks;
            (cluster.manager, cluster.runbooks) = (manager, runbooks);
            for node in &mut cluster.nodes {
                let twin = before.and_then(|before| before.nodes.iter().find(|before| before.name == node.name));
                let admin_dsn = twin.filter(|twin| twin.dsn == node.dsn).and_then(|twin| twin.admin_dsn.clone());
                differs |= node.admin_dsn != admin_dsn;
                node.admin_dsn = admin_dsn;
            }
        }
        differs
    }
}

/// What is written of it, in a line; nothing if nothing is.
pub(super) fn line(cluster: &Cluster) -> Option<String> {
    let mut parts = Vec::new();
    match &cluster.manager {
        None => {}
        Some(Manager::None) => parts.push("has no manager".to_owned()),
        Some(manager) => parts.push(match manager.service() {
            Some(service) => format!("is managed by {} at {}", manager.as_str(), service.shown()),
            None => format!("is managed by {}", manager.as_str()),
        }),
    }
    if cluster.runbooks != Permit::default() {
        let lock = match &cluster.runbooks.lock {
            Lock::None => String::new(),
            Lock::SingleReceiver => " by a single receiver".to_owned(),
            Lock::Etcd(lock) => format!(" under a lock in etcd at {}", lock.service.shown()),
        };
        parts.push(format!("lets runbooks be {}{lock}", cluster.runbooks.mode.as_str()));
    }
    (!parts.is_empty()).then(|| format!("{} {}", cluster.name, parts.join(" and ")))
}

/// What is allowed and yet not well.
pub(super) fn notes(cluster: &Cluster) -> Vec<String> {
    let (name, mode) = (&cluster.name, cluster.runbooks.mode);
    let mut notes = Vec::new();
    if cluster.ceiling() < mode {
        let lacking = cluster.nodes.iter().filter(|node| node.admin_dsn.is_none());
        let lacking: Vec<&str> = lacking.map(|node| node.name.as_str()).collect();
        notes.push(format!(
            "cluster {name}: runbooks stay dry-run, because there is no admin_dsn of {}",
            lacking.join(", ")
        ));
    }
    if let (Some(manager), true, false) = (&cluster.manager, mode > Mode::DryRun, cluster.promotes()) {
        notes.push(format!("cluster {name}: runbooks promote nothing there themselves, {} does", manager.as_str()));
    }
    for (what, service) in services(cluster) {
        if service.shows_its_password() {
            notes.push(format!(
                "{what} of cluster {name}: our password goes there without TLS, for all to read: use https"
            ));
        }
    }
    notes
}

/// The services that acting on it needs, with what they are called.
pub(super) fn services(cluster: &Cluster) -> Vec<(&'static str, &Service)> {
    let manager = cluster.manager.as_ref().and_then(|manager| Some((manager.as_str(), manager.service()?)));
    let lock = match &cluster.runbooks.lock {
        Lock::Etcd(lock) => Some(("the etcd lock", &lock.service)),
        Lock::None | Lock::SingleReceiver => None,
    };
    manager.into_iter().chain(lock).collect()
}
