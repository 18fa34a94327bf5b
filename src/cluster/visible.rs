//! When a standby showed a row that the write probe had written.

use std::time::Duration;

use serde::Serialize;

use crate::collector::snapshot::NodeView;
use crate::metric::family::{Family, Kind, Observers, Unit};
use crate::metric::sample::Samples;

/// What the newest write probe found on a standby.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Visible {
    /// From the write, its commit among it, until the row showed, in seconds; or why that is not known.
    pub seconds: Result<f64, Unseen>,
    /// For so long it counts.
    #[serde(skip)]
    pub counts_for: Duration,
}

/// Why a row was not seen.
#[derive(Clone, Debug, PartialEq, Serialize, thiserror::Error)]
pub enum Unseen {
    /// Nothing was written: it is not certain that one node alone writes.
    #[error("nothing was written: it is not certain that one node alone is the primary")]
    NoOnePrimary,
    /// It did not show within this time.
    #[error("the row did not show within {0:?}")]
    Late(Duration),
    /// A login or a statement failed.
    #[error("{0}")]
    Error(String),
}

static VISIBLE: Family = Family {
    name: "pgvigil_visible_seconds",
    help: "From the newest write of the write probe, its commit among it, until the standby showed the row; absent while that is not \
           known. Only with write_probe.",
    kind: Kind::Gauge,
    unit: Unit::Seconds,
    labels: &["cluster", "node"],
    observers: Observers::Max,
};

static VISIBLE_KNOWN: Family = Family {
    name: "pgvigil_visible_known",
    help: "1 if the standby showed the newest row of the write probe in time, 0 if it did not, or none could be written. Only with \
           write_probe.",
    kind: Kind::Gauge,
    unit: Unit::None,
    labels: &["cluster", "node"],
    observers: Observers::Min,
};

/// All of them.
pub static FAMILIES: &[&Family] = &[&VISIBLE, &VISIBLE_KNOWN];

/// Adds what the newest probe found on the node.
pub fn samples(view: &NodeView<'_>, samples: &mut Samples) {
    let Some(fact) = &view.snapshot.visible else { return };
    if view.now.mono.since(fact.seen.mono) > fact.value.counts_for || fact.seen.mono < view.not_before.mono {
        return;
    }
    samples.known(&VISIBLE, &view.labels(), fact.value.seconds.clone().ok());
    samples.flag(&VISIBLE_KNOWN, &view.labels(), fact.value.seconds.is_ok());
}
