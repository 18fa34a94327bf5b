//! About how well our own loops keep up with the nodes.

use super::family::{Family, Kind, Observers, Unit};
use super::histogram::Histogram;
use super::sample::Samples;

/// Upper bounds of the buckets, in seconds: from a loop that is on time to one that has lost its clock.
const LATENESS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Of every fast reading of every node.
pub(super) static READING_LATE: Family = Family {
    name: "pgvigil_reading_late_seconds",
    help: "How much later than it was due a fast reading of any node was sent: what this process or a slow answer before it cost.",
    kind: Kind::Histogram,
    unit: Unit::Seconds,
    labels: &[],
    observers: Observers::Own,
};

/// What is known of all loops together.
#[derive(Clone, Debug)]
pub struct Load {
    /// How late the fast readings were, in seconds.
    pub late: Histogram,
}

impl Default for Load {
    fn default() -> Self {
        Self { late: Histogram::new(LATENESS) }
    }
}

pub(super) fn load_samples(load: &Load, samples: &mut Samples) {
    samples.histogram(&READING_LATE, &[], &load.late);
}
