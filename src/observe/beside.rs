//! The loops that look at files, where pgvigil runs beside a server or can look into its archive.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::{Hub, archive_dir, data_dir};

/// Where a cluster's files are, as far as they can be looked at.
pub struct Beside {
    /// The data directories, each with the name of its node.
    pub data_dirs: Vec<(String, PathBuf)>,
    /// The archive.
    pub archive_dir: Option<PathBuf>,
}

/// Looks until the returned set is dropped.
pub fn watch_beside(hub: &Arc<Hub>, beside: Beside) -> JoinSet<()> {
    let mut loops = JoinSet::new();
    for (node, path) in beside.data_dirs {
        loops.spawn(data_dir::watch(hub.clone(), node, path));
    }
    if let Some(path) = beside.archive_dir {
        loops.spawn(archive_dir::watch(hub.clone(), path));
    }
    loops
}

/// How long to rest after a look that took `took`, so that looking takes no more than a twentieth of the time.
pub(super) fn rest(took: Duration, least: Duration, most: Duration) -> Duration {
    (20 * took).clamp(least, most.max(least))
}
