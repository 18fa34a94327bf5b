//! Starting and ending maintenance, for whoever may. What is changed is on disk before it is answered, where there is a disk.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::timeout;

use super::Hub;
use super::fleet::Hubs;
use super::keeper::{Keeper, NotKept};
use super::voice::Voice;
use crate::clock::{Moment, Mono};
use crate::cluster::maintenance::Maintenance;

/// How long we wait for the disk.
const KEEP_DEADLINE: Duration = Duration::from_secs(2);

/// What is to be done.
#[derive(Clone, Debug)]
pub enum Change {
    /// Starts one, or replaces the present one.
    Start {
        /// From now on.
        lasts: Duration,
        /// Why.
        reason: Option<String>,
    },
    /// Ends the present one, if there is any.
    End,
}

/// For which clusters.
#[derive(Clone, Debug)]
pub enum Which {
    /// All that are watched.
    All,
    /// The one that is watched.
    TheOnly,
    /// Those of these names.
    Named(Vec<String>),
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// A name that is none.
    #[error("there is no cluster {0}; GET /api/v1/clusters lists them. Nothing was changed")]
    NoCluster(String),
    /// None was named.
    #[error("{0} clusters are watched: name those that are meant, or say all. Nothing was changed")]
    WhichOne(usize),
}

/// What came of it: each cluster's name with its maintenance now, and why that is not on disk if it is not.
pub type Changed = (Vec<(String, Option<Maintenance>)>, Option<NotKept>);

/// Starts and ends maintenance.
pub struct Maintainer {
    hubs: Hubs,
    keeper: Arc<Keeper>,
    voice: Mutex<Voice>,
}

impl Maintainer {
    /// Of the clusters of `hubs`, kept by `keeper`.
    pub fn new(hubs: Hubs, keeper: Arc<Keeper>) -> Self {
        Self { hubs, keeper, voice: Mutex::default() }
    }

    /// Changes all of these clusters or, on error, none, because whoever is called `caller` asked for it.
    pub async fn change(&self, which: &Which, change: &Change, caller: &str) -> Result<Changed, Refused> {
        let meant = self.meant(which)?;
        let now = Moment::now();
        let changed = meant.iter().map(|hub| self.change_one(hub, change, caller, now)).collect();
        let (keeper, meant) = (self.keeper.clone(), meant);
        let keeping = tokio::task::spawn_blocking(move || keeper.save_now(&meant));
        let kept = match timeout(KEEP_DEADLINE, keeping).await {
            Ok(Ok(kept)) => kept,
            Ok(Err(_)) => Err(NotKept::Failed),
            Err(_) => Err(NotKept::Late),
        };
        Ok((changed, kept.err()))
    }

    fn meant(&self, which: &Which) -> Result<Vec<Arc<Hub>>, Refused> {
        let hubs = self.hubs.now();
        let named = |name: &String| {
            let hub = hubs.iter().find(|hub| hub.cluster().layout().name == *name);
            hub.cloned().ok_or_else(|| Refused::NoCluster(name.chars().filter(|c| !c.is_control()).take(60).collect()))
        };
        match which {
            Which::All => Ok(hubs.to_vec()),
            Which::TheOnly if hubs.len() == 1 => Ok(hubs.to_vec()),
            Which::TheOnly => Err(Refused::WhichOne(hubs.len())),
            Which::Named(names) => names.iter().map(named).collect(),
        }
    }

    fn change_one(&self, hub: &Hub, change: &Change, caller: &str, now: Moment) -> (String, Option<Maintenance>) {
        let mut known = hub.cluster();
        let name = known.layout().name.clone();
        let cluster = name.as_str();
        match change {
            Change::Start { lasts, reason } => {
                let maintenance = Maintenance::new(now, *lasts, caller, reason.clone());
                known.start_maintenance(maintenance.clone());
                if let Some(left_out) = self.says("start") {
                    tracing::info!(cluster, caller, until = %maintenance.until, left_out, "maintenance began");
                }
                (name, Some(maintenance))
            }
            Change::End => {
                if known.end_maintenance().is_some()
                    && let Some(left_out) = self.says("end")
                {
                    tracing::info!(cluster, caller, left_out, "maintenance was ended");
                }
                (name, None)
            }
        }
    }

    /// See [`Voice::happens`]; a count of zero is `Some(None)`, which logs no field.
    fn says(&self, topic: &'static str) -> Option<Option<u64>> {
        let left_out = self.voice.lock().unwrap_or_else(PoisonError::into_inner).happens(topic, Mono::now())?;
        Some((left_out > 0).then_some(left_out))
    }
}
