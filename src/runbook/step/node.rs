//! A node as steps reach it: over a new connection each time, by the admin DSN where there is one.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::layout::Member;
use crate::observe::{Finder, Source};
use crate::pg::admin::AdminSession;
use crate::pg::failure::Failure;

/// One node of a cluster. Kept for a whole run, so that files that hang hold one thread and not one for each look.
pub struct Node {
    /// Who it is.
    pub member: Member,
    admin: Option<Finder>,
    monitor: Finder,
    /// Its data directory, where pgvigil runs beside it.
    pub data_dir: Option<PathBuf>,
}

/// There is no admin DSN, so nothing may be changed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum NoAdmin {
    /// The config has none.
    #[error("node {0} has no admin_dsn: nothing can be changed there")]
    NotConfigured(String),
    /// It leads to no session.
    #[error("no admin session on node {node}: {failure}")]
    Failed {
        /// The node.
        node: String,
        /// Why.
        failure: Failure,
    },
}

impl Node {
    /// A node that is reached by `admin`, where the config has it, and watched by `monitor`.
    pub fn new(member: Member, admin: Option<Source>, monitor: Source, data_dir: Option<PathBuf>) -> Self {
        Self { member, admin: admin.map(Finder::new), monitor: Finder::new(monitor), data_dir }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.member.name
    }

    /// Whether the config has an admin DSN for it.
    pub const fn has_admin(&self) -> bool {
        self.admin.is_some()
    }

    /// Where other servers reach it; `None` if that is not known.
    pub fn address(&self) -> Option<(String, u16)> {
        let (host, port) = self.member.address.as_deref()?.rsplit_once(':')?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Some((host.to_owned(), port.parse().ok()?))
    }

    /// A new session to read by: the admin's, or the monitoring one. Not later than `end`.
    pub(super) async fn open(&self, end: Instant) -> Result<AdminSession, Failure> {
        open(self.admin.as_ref().unwrap_or(&self.monitor), end).await
    }

    /// A new session to act by. Not later than `end`.
    pub(super) async fn open_admin(&self, end: Instant) -> Result<AdminSession, NoAdmin> {
        open(self.admin()?, end).await.map_err(|failure| self.failed(failure))
    }

    /// A new session for statements in a person's words, which the server bounds by `bound`. Not later than `end`.
    pub(super) async fn open_for_person(&self, end: Instant, bound: Duration) -> Result<AdminSession, NoAdmin> {
        let (target, tls) = self.admin()?.find(left(end)).await.map_err(|failure| self.failed(failure))?;
        let session = AdminSession::connect_for_person(&target, &tls, left(end), bound).await;
        session.map_err(|failure| self.failed(failure))
    }

    fn admin(&self) -> Result<&Finder, NoAdmin> {
        self.admin.as_ref().ok_or_else(|| NoAdmin::NotConfigured(self.name().to_owned()))
    }

    fn failed(&self, failure: Failure) -> NoAdmin {
        NoAdmin::Failed { node: self.name().to_owned(), failure }
    }
}

async fn open(finder: &Finder, end: Instant) -> Result<AdminSession, Failure> {
    let (target, tls) = finder.find(left(end)).await?;
    let left = left(end);
    AdminSession::connect(&target, &tls, left, left).await
}

/// What is left until `end`.
pub(super) fn left(end: Instant) -> Duration {
    end.saturating_duration_since(Instant::now())
}
