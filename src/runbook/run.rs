//! A run: what is known of it from the journal alone. Pure: the same records give the same run.

use serde::{Deserialize, Serialize};

use crate::pg::lsn::Timeline;

/// What a run is about. A promotion begins another timeline, so that whatever comes late about this one is provably stale.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Episode {
    /// The cluster's name in the config.
    pub cluster: String,
    /// Its system identifier.
    pub system_identifier: u64,
    /// The timeline on which the primary failed.
    pub timeline: Timeline,
    /// The primary that failed.
    pub primary: String,
}
