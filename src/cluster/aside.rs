//! What is looked at beside the servers of a cluster, for the doctor's checks.

use crate::collector::snapshot::Fact;
use crate::doctor::backup::Backups;

/// What was found beside the servers. What is not configured is `None`.
#[derive(Debug, Default)]
pub struct Aside {
    /// Its backups.
    pub backups: Option<Fact<Backups>>,
}
