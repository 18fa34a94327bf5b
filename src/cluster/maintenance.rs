//! Maintenance: people work on a cluster, and rules that heed it stay quiet. It has an end, so that nobody can forget it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::cluster::Cluster;
use crate::clock::{Moment, Wall};
use crate::config::duration;
use crate::metric::family::{Family, Kind, Observers, Unit};
use crate::metric::sample::Samples;

const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// By so much a clock that was set back a little may make the longest one longer.
const SLACK: Duration = Duration::from_secs(60);
/// Characters of a reason.
const LONGEST_REASON: usize = 200;

static MAINTENANCE: Family = Family {
    name: "pgvigil_maintenance",
    help: "1 while the cluster is in maintenance, else 0; it ends by itself.",
    kind: Kind::Gauge,
    unit: Unit::None,
    labels: &["cluster"],
    observers: Observers::Max,
};
static END: Family = Family {
    name: "pgvigil_maintenance_end_timestamp_seconds",
    help: "When the maintenance of the cluster ends, since the Unix epoch; absent without one.",
    kind: Kind::Gauge,
    unit: Unit::Seconds,
    labels: &["cluster"],
    observers: Observers::Max,
};

/// All of them.
pub static FAMILIES: &[&Family] = &[&MAINTENANCE, &END];

/// One maintenance of one cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Maintenance {
    /// When it was started.
    pub since: Wall,
    /// When it ends by itself.
    pub until: Wall,
    /// Who started it, as `access` names them.
    pub by: String,
    /// Why; whoever may look sees it.
    pub reason: Option<String>,
}

impl Maintenance {
    /// One that starts now.
    pub fn new(now: Moment, lasts: Duration, by: &str, reason: Option<String>) -> Self {
        Self { since: now.wall, until: now.plus(lasts).wall, by: by.to_owned(), reason }
    }

    /// Whether it is not over. One that ends later than any may is: a clock was set back, and nothing is quiet for ever.
    pub fn holds(&self, now: Wall) -> bool {
        let left = self.until.seconds_since(now);
        left > 0.0 && left <= (LONGEST + SLACK).as_secs_f64()
    }
}

/// For how long it is to last. The error ends the sentence "for …".
pub fn lasts(text: &str) -> Result<Duration, String> {
    duration::within(text, SHORTEST, LONGEST)
}

/// A reason that can be shown. The error ends the sentence "reason …".
pub fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    match text.chars().count() {
        0 => Err("is empty: write one, or leave it out".to_owned()),
        long if long > LONGEST_REASON => Err(format!("is too long: the most is {LONGEST_REASON} characters")),
        _ if text.chars().any(char::is_control) => Err("has control characters: write one plain line".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

pub(super) fn maintenance_samples(cluster: &Cluster, now: Wall, samples: &mut Samples) {
    let (name, maintenance) = (cluster.layout().name.as_str(), cluster.maintenance(now));
    samples.flag(&MAINTENANCE, &[name], maintenance.is_some());
    samples.known(&END, &[name], maintenance.map(|maintenance| maintenance.until.as_seconds()));
}
