//! What is looked at beside the servers of a cluster, for the doctor's checks.

use crate::collector::snapshot::Fact;
use crate::doctor::backup::Backups;
use crate::doctor::clients::Clients;

/// What was found beside the servers. What is not configured is `None`.
#[derive(Debug, Default)]
pub struct Aside {
    /// Its backups.
    pub backups: Option<Fact<Backups>>,
    /// What its clients use; empty if that is not configured.
    pub clients: Vec<Fact<Clients>>,
}
