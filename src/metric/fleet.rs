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

/// Of the places that there are for connects.
pub(super) static CONNECTS_WAITING: Family =
    gauge("pgvigil_connects_waiting", "Connects to nodes that wait for one of the max_connects places.");
/// Likewise.
pub(super) static CONNECTS_OPEN: Family =
    gauge("pgvigil_connects_open", "Connects to nodes that are under way, of max_connects that may be.");

const fn gauge(name: &'static str, help: &'static str) -> Family {
    Family { name, help, kind: Kind::Gauge, unit: Unit::None, labels: &[], observers: Observers::Own }
}

/// What is known of all loops together.
#[derive(Clone, Debug)]
pub struct Load {
    /// How late the fast readings were, in seconds.
    pub late: Histogram,
    /// How many connects wait for a place.
    pub connects_waiting: usize,
    /// How many have one.
    pub connects_open: usize,
}

impl Default for Load {
    fn default() -> Self {
        Self { late: Histogram::new(LATENESS), connects_waiting: 0, connects_open: 0 }
    }
}

pub(super) fn load_samples(load: &Load, samples: &mut Samples) {
    samples.histogram(&READING_LATE, &[], &load.late);
    samples.number(&CONNECTS_WAITING, &[], load.connects_waiting as f64);
    samples.number(&CONNECTS_OPEN, &[], load.connects_open as f64);
}
