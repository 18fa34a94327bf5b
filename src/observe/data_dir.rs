//! A node's data directory: looked at each `collect_interval`, and sooner when the kernel hints that a segment's status changed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use super::Hub;
use super::beside::rest;
use super::timings::Timings;
use super::voice::Voice;
use crate::archive_watch::data_dir::{DataDir, Seen};
use crate::archive_watch::hostside::{FAMILIES, Hostside};
use crate::archive_watch::look_error::LookError;
use crate::clock::{Moment, Mono};
use crate::cluster::Cluster;
use crate::cluster::facts::Report;
use crate::patience::patiently;

/// Longer looks count for nothing.
const DEADLINE: Duration = Duration::from_secs(10);
/// Two looks are at least so far apart, however many hints there are.
const LEAST_REST: Duration = Duration::from_millis(500);
/// What cannot be looked at is tried again after so many intervals.
const SLOWLY: u32 = 3;

pub(super) async fn watch(hub: Arc<Hub>, name: String, path: PathBuf, mut timing: Timings) {
    let cluster = hub.cluster().layout().name.clone();
    let hint = Arc::new(Notify::new());
    let open = || {
        let hint = hint.clone();
        DataDir::new(path.clone(), move || hint.notify_one())
    };
    let mut words = Words {
        hub: hub.clone(),
        cluster,
        name: name.clone(),
        path: path.display().to_string(),
        voice: Voice::default(),
        foreign_since: None,
    };
    let mut dir = open();
    loop {
        let started = Instant::now();
        let looked = patiently(dir, DEADLINE, DataDir::look, || {
            report(&hub, &name, None);
            words.hangs();
        });
        let interval = timing.now().collect_interval;
        let mut again = interval;
        match looked.await {
            Ok((same, seen)) => {
                dir = same;
                match seen {
                    Some(Ok(seen)) => {
                        report(&hub, &name, Some(seen.hostside.clone()));
                        words.seen(&seen);
                    }
                    // A moment later it is one or the other.
                    Some(Err(LookError::Replaced(_))) => again = Duration::ZERO,
                    Some(Err(error)) => {
                        report(&hub, &name, None);
                        words.cannot(&error);
                        again = SLOWLY * interval;
                    }
                    None => {}
                }
            }
            Err(_) => {
                report(&hub, &name, None);
                dir = open();
            }
        }
        sleep(rest(started.elapsed(), LEAST_REST, interval)).await;
        tokio::select! {
            () = sleep_until(started + again) => {}
            // Without a look that went well there are no hints.
            () = hint.notified(), if again <= interval => {}
            () = timing.changed() => {}
        }
    }
}

fn node_of(cluster: &Cluster, name: &str) -> Option<usize> {
    cluster.layout().members.iter().position(|member| member.name == name)
}

fn report(hub: &Hub, name: &str, found: Option<Hostside>) {
    let mut cluster = hub.cluster();
    if let Some(node) = node_of(&cluster, name) {
        cluster.report(node, Report::Hostside(found), Moment::now());
    }
}

/// What is said of the directory.
struct Words {
    hub: Arc<Hub>,
    cluster: String,
    name: String,
    path: String,
    voice: Voice,
    /// Since when the directory seems to be another server's.
    foreign_since: Option<Mono>,
}

impl Words {
    fn says(&mut self, topic: &'static str, what: &str) -> Option<Option<u64>> {
        let left_out = self.voice.changes(topic, what, Mono::now())?;
        Some((left_out > 0).then_some(left_out))
    }

    fn seen(&mut self, seen: &Seen) {
        if let Some(left_out) = self.says("data_dir", "seen") {
            let (cluster, node, path) = (&self.cluster, &self.name, &self.path);
            tracing::info!(cluster, node, left_out, "data_dir {path} is looked into");
        } else if seen.replaced {
            let (cluster, node, path) = (&self.cluster, &self.name, &self.path);
            tracing::info!(cluster, node, "data_dir {path} is another directory than before: it is looked into anew");
        }
        let why = seen.no_hints.clone().unwrap_or_default();
        if let Some(left_out) = self.says("hints", &why) {
            let (cluster, node) = (&self.cluster, &self.name);
            match why.as_str() {
                "" => {
                    tracing::info!(cluster, node, left_out, "data_dir: the kernel hints again when something changes")
                }
                why => tracing::warn!(
                    cluster,
                    node,
                    left_out,
                    "data_dir: no hints from the kernel when something changes ({why}): it is looked into each collect_interval"
                ),
            }
        }
        self.owner(seen);
    }

    /// Whether the directory is this node's. After a restart the file tells it a moment before the server does, or after: only what both
    /// still say when the server was read again counts.
    fn owner(&mut self, seen: &Seen) {
        let recovery = {
            let cluster = self.hub.cluster();
            let node = node_of(&cluster, &self.name);
            node.and_then(|node| cluster.facts(node).snapshot.recovery.clone())
        };
        let Some(recovery) = recovery else { return };
        if !seen.hostside.is_of_another(Some(recovery.value.started_at)) {
            self.foreign_since = None;
        } else if recovery.seen.mono <= *self.foreign_since.get_or_insert(Mono::now()) {
            return;
        }
        let foreign = self.foreign_since.is_some();
        let Some(left_out) = self.says("owner", if foreign { "foreign" } else { "" }) else { return };
        let (cluster, node, path) = (&self.cluster, &self.name, &self.path);
        match foreign {
            false => tracing::info!(cluster, node, left_out, "data_dir {path} is this node's"),
            true => tracing::error!(
                cluster,
                node,
                left_out,
                "data_dir {path} is another server's, which did not start when this node did: correct data_dir or dsn; hidden: {}",
                hidden()
            ),
        }
    }

    fn cannot(&mut self, error: &LookError) {
        let error = error.to_string();
        let Some(left_out) = self.says("data_dir", &error) else { return };
        let (cluster, node) = (&self.cluster, &self.name);
        tracing::warn!(cluster, node, left_out, "data_dir: {error}; hidden: {}", hidden());
    }

    fn hangs(&mut self) {
        let Some(left_out) = self.says("data_dir", "hangs") else { return };
        let (cluster, node, path) = (&self.cluster, &self.name, &self.path);
        tracing::warn!(
            cluster,
            node,
            left_out,
            "data_dir {path} did not answer within {} s: is its file system well? hidden: {}",
            DEADLINE.as_secs(),
            hidden()
        );
    }
}

fn hidden() -> String {
    FAMILIES.iter().map(|family| family.name).collect::<Vec<_>>().join(", ")
}
