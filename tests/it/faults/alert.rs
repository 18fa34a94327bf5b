//! An alert as rows name it: `PostgresStandbyDown warning node=b`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Labels that every alert of a row has alike.
const SHARED: &[&str] = &["alertname", "severity", "cluster", "job", "alertstate", "__name__"];

/// What tells one alert of a cluster from another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alert {
    pub name: String,
    pub severity: String,
    /// The labels beside these, and beside the cluster.
    pub labels: BTreeMap<String, String>,
    pub cluster: String,
}

pub type Alerts = BTreeSet<String>;

impl Alert {
    pub fn of(labels: BTreeMap<String, String>) -> Self {
        let get = |name: &str| labels.get(name).cloned().unwrap_or_default();
        let (name, severity, cluster) = (get("alertname"), get("severity"), get("cluster"));
        let labels = labels.into_iter().filter(|(name, _)| !SHARED.contains(&name.as_str())).collect();
        Self { name, severity, labels, cluster }
    }
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.severity)?;
        self.labels.iter().try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}

/// The name of an alert that is written so.
pub fn name(alert: &str) -> &str {
    alert.split(' ').next().unwrap_or_default()
}
