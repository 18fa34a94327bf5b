//! Keeps the clusters' memories on disk while pgvigil runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::Hub;
use super::fleet::Hubs;
use super::state_file::{self, StateFileError};
use crate::clock::Mono;
use crate::cluster::memory::Memory;

/// How often the memories are written down: what a crash of pgvigil may forget of positions.
const SAVE_EACH: Duration = Duration::from_secs(10);
/// How soon it is written down who is the primary of which timeline, and whom it feeds: without that nothing can be said of a primary
/// that is gone.
const LOOK_EACH: Duration = Duration::from_secs(1);
/// A memory that was not written down for so long is not kept, whatever the last try gave: the disk may hang.
const STALE: Duration = Duration::from_secs(35);

/// The one who keeps the memories.
pub struct Keeper {
    /// `None`: nowhere to keep them, which was said at start.
    state_dir: Option<PathBuf>,
    /// What the last try for each cluster gave.
    last: Mutex<BTreeMap<String, Try>>,
    /// One save at a time: two would write into the same new file.
    saving: Mutex<()>,
}

/// Why what was changed is in memory alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotKept {
    /// There is no place to keep it.
    #[error("kept in memory alone, a restart of pgvigil forgets it: there is no state_dir that can be used, set one")]
    NoStateDir,
    /// The disk refused.
    #[error("kept in memory alone, a restart of pgvigil may forget it: state_dir cannot be written, the log says why")]
    Failed,
    /// The disk does not answer.
    #[error("kept in memory alone until state_dir answers, which it does not: see whether its disk hangs")]
    Late,
}

#[derive(Clone, Copy)]
struct Try {
    ok: bool,
    at: Mono,
}

impl Keeper {
    /// A `state_dir` that was asked for (`explicit`) is tried at each save, and the first says what is wrong with it; one that nobody
    /// named is done without if it cannot be used, which is said here.
    pub fn new(state_dir: PathBuf, explicit: bool) -> Self {
        let usable = if explicit { Ok(()) } else { state_file::prepare(&state_dir) };
        if let Err(error) = &usable {
            tracing::warn!("{error}");
        }
        let state_dir = usable.is_ok().then_some(state_dir);
        Self { state_dir, last: Mutex::default(), saving: Mutex::default() }
    }

    /// What is remembered of `cluster`. Why it is nothing, if it should not be, is said.
    pub fn load(&self, cluster: &str) -> Memory {
        let Some(dir) = &self.state_dir else { return Memory::default() };
        state_file::load(dir, cluster).unwrap_or_else(|error| match error {
            StateFileError::OtherBoot { ref timeless, .. } => {
                tracing::info!(cluster, "{error}");
                Memory::clone(timeless)
            }
            error => {
                tracing::warn!(cluster, "{error}");
                Memory::default()
            }
        })
    }

    /// Whether each cluster's memory is on disk as it was a moment ago, for the page.
    pub fn saved(&self) -> Vec<(String, bool)> {
        let (now, last) = (Mono::now(), self.last.lock().unwrap_or_else(PoisonError::into_inner));
        last.iter().map(|(cluster, last)| (cluster.clone(), last.ok && now.since(last.at) <= STALE)).collect()
    }

    /// Writes all memories down. A failure is logged once, and its end. What was said of clusters that are gone is forgotten.
    pub fn save(&self, hubs: &[Arc<Hub>]) {
        let Some(dir) = &self.state_dir else { return };
        let _one_at_a_time = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        let names: Vec<_> = hubs.iter().map(|hub| hub.cluster().layout().name.clone()).collect();
        self.last.lock().unwrap_or_else(PoisonError::into_inner).retain(|name, _| names.contains(name));
        for hub in hubs {
            self.write(dir, hub);
        }
    }

    /// Writes the memories of these clusters down, which must not wait for the next time.
    pub fn save_now(&self, hubs: &[Arc<Hub>]) -> Result<(), NotKept> {
        let Some(dir) = &self.state_dir else { return Err(NotKept::NoStateDir) };
        let _one_at_a_time = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = hubs.iter().filter(|hub| !self.write(dir, hub)).count();
        if failed == 0 { Ok(()) } else { Err(NotKept::Failed) }
    }

    /// Writes one memory down, and tells whether that went well.
    fn write(&self, dir: &Path, hub: &Hub) -> bool {
        let (name, memory) = {
            let cluster = hub.cluster();
            (cluster.layout().name.clone(), cluster.memory().clone())
        };
        let result = state_file::save(dir, &name, &memory);
        let ok = result.is_ok();
        let this = Try { ok, at: Mono::now() };
        let before = self.last.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), this);
        match (result, before) {
            (Err(_), Some(Try { ok: false, .. })) => {}
            (Err(error), _) => tracing::error!(cluster = name, "{error}"),
            (Ok(()), Some(Try { ok: false, .. })) => tracing::info!(cluster = name, "lag history is kept again"),
            (Ok(()), _) => {}
        }
        ok
    }

    /// Saves again and again.
    pub async fn keep(self: Arc<Self>, hubs: Hubs) {
        let mut ticks = interval(LOOK_EACH);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut saved, mut known) = (None::<Mono>, BTreeMap::new());
        loop {
            ticks.tick().await;
            let (keeper, hubs) = (self.clone(), hubs.now());
            let now = Mono::now();
            let roles: BTreeMap<_, _> =
                hubs.iter().map(|hub| (hub.name().to_owned(), hub.cluster().memory().roles())).collect();
            let all = saved.is_none_or(|saved| now.since(saved) >= SAVE_EACH) || known.len() != roles.len();
            let changed = |hub: &&Arc<Hub>| known.get(hub.name()) != roles.get(hub.name());
            let urgent: Vec<_> = hubs.iter().filter(changed).cloned().collect();
            known = roles;
            if all {
                saved = Some(now);
            } else if urgent.is_empty() {
                continue;
            }
            // A disk may be slow; the loops that watch must not wait for it.
            let saving = move || match all {
                true => keeper.save(&hubs),
                // What fails is said, and tried again with all others.
                false => drop(keeper.save_now(&urgent)),
            };
            if tokio::task::spawn_blocking(saving).await.is_err() {
                tracing::error!("saving the lag history failed unexpectedly");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::layout::{Layout, Timing};
    use crate::cluster::maintenance::Maintenance;

    fn hub() -> Arc<Hub> {
        let second = Duration::from_secs(1);
        let timing = Timing {
            sample_interval: second,
            collect_interval: second,
            login_interval: second,
            connect_timeout: second,
            query_timeout: second,
            archive_hung_after: second,
        };
        let layout =
            Layout { name: "orders".into(), members: Vec::new(), observers: Vec::new(), manager: None, timing };
        Arc::new(Hub::new(layout, Memory::default()))
    }

    #[test]
    fn whether_it_is_on_disk_is_told_at_once() {
        let dir = std::env::temp_dir().join(format!("pgvigil-keeper-{}", std::process::id()));
        let hubs = [hub()];
        let now = crate::clock::Moment::now();
        hubs[0].cluster().start_maintenance(Maintenance::new(now, Duration::from_secs(60), "ops", None));
        let keeper = Keeper::new(dir.clone(), true);
        assert_eq!(keeper.save_now(&hubs), Ok(()));
        assert_eq!(keeper.load("orders").maintenance, hubs[0].cluster().maintenance(now.wall).cloned());
        // A file is no directory.
        let file = dir.join("orders.lag-history.json").join("state");
        assert_eq!(Keeper::new(file.clone(), true).save_now(&hubs), Err(NotKept::Failed));
        assert_eq!(Keeper::new(file, false).save_now(&hubs), Err(NotKept::NoStateDir));
        std::fs::remove_dir_all(dir).unwrap();
    }
}
