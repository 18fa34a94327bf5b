//! Collectors: one file a view. Each has constant SQL, decodes its records into its part of the [`Snapshot`], and makes samples of it.
//!
//! To add one: `sql/<view>.<lowest major>.sql`, a file here, a field in [`snapshot::Snapshot`], a line in [`COLLECTORS`].

pub mod snapshot;

use crate::metric::family::Family;
use crate::metric::sample::Samples;
use crate::pg::records::{DecodeError, Records};
use crate::pg::version::VersionedSql;
use snapshot::{Exchange, NodeView, Snapshot};

/// How often a collector reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Each `sample_interval`, on the connection of the fast reading.
    Fast,
    /// Each `collect_interval`, on a connection of its own, so that it never stops the lag clock.
    Slow,
}

/// Why a collector's records did not become facts.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CollectError {
    /// The role sees rows whose cells are NULL. Never to be shown as a lag of 0.
    #[error("missing grant: {0}")]
    MissingGrant(&'static str),
    /// The rows do not look as the view is documented.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

/// One view of the server.
pub trait Collector: Sync {
    /// The name, as in `collector_success{collector}`.
    fn name(&self) -> &'static str;
    /// Fast or slow.
    fn pace(&self) -> Pace;
    /// The statement: constant, right on a primary and on a standby, every column cast to text.
    fn sql(&self) -> &'static VersionedSql;
    /// What the role must be granted for this collector, for `deploy/grants.sql` and the word at start; `None` if nothing.
    fn grant(&self) -> Option<&'static str>;
    /// The families that `samples` may add.
    fn families(&self) -> &'static [&'static Family];
    /// Types `records` into this collector's facts. Leaves the snapshot as it was on error.
    fn store(&self, records: &Records, snapshot: &mut Snapshot, exchange: Exchange) -> Result<(), CollectError>;
    /// Adds the samples of this collector's facts, those that are still fresh.
    fn samples(&self, view: &NodeView<'_>, samples: &mut Samples);
}

/// Every collector there is.
pub const COLLECTORS: &[&dyn Collector] = &[];
