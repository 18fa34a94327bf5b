//! What the journal holds: one record for each thing that happened. A kind that this version does not know is an error and never passed
//! over, because what a newer version did may forbid what this one would do.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::alertmanager::{Alert, EventKey, Payload, Status};
use crate::clock::Moment;
use crate::runbook::run::RunRecord;

/// One record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Its number: the first is 1, and none is left out.
    pub seq: u64,
    /// The last record that was known to be on disk when this one was written: those between were written together with it.
    pub durable: u64,
    /// When it was written. `mono` counts within the boot that the last [`Entry::Opened`] before it names.
    pub at: Moment,
    /// What happened.
    pub entry: Entry,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Entry {
    /// A process began to write.
    Opened(Opened),
    /// An alert about one of our clusters came in that was not known.
    Received(Heard),
    /// One came in that is not for us.
    Ignored(Ignored),
    /// Something happened to a run.
    Run(RunRecord),
    /// All runs were stopped, or let go on.
    Switched(Switched),
    /// A person asked for a run.
    Asked(Asked),
}

/// A run that a person asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Of this cluster.
    pub cluster: String,
    /// The runbook's name.
    pub runbook: String,
    /// Who.
    pub by: String,
}

/// The switch that keeps every run from doing anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Switched {
    /// Whether runs are stopped.
    pub paused: bool,
    /// Who did it.
    pub by: String,
    /// In his words.
    pub comment: String,
}

/// Who began to write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opened {
    /// pgvigil's version.
    pub version: String,
    /// The machine's boot, if the system tells.
    pub boot_id: Option<String>,
}

/// An alert as it was handed in. Of its labels only `cluster` is believed, and only to choose a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heard {
    /// What makes it the same when it is told again.
    pub key: EventKey,
    /// Whether it fires.
    pub status: Status,
    /// Since when it fires, by the word of whoever told it.
    pub starts_at: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Timestamp>,
    /// All its labels.
    pub labels: BTreeMap<String, String>,
    /// So many alerts of its group were not told.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub truncated: u64,
    /// Alertmanager's receiver.
    pub receiver: String,
    /// Whose credential it came with.
    pub from: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// An alert that is not for us, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ignored {
    /// Why.
    pub reason: Reason,
    /// The alert.
    pub alert: Heard,
}

/// Why an alert is not for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It has no label `cluster`.
    NoCluster,
    /// The config has no cluster of that name.
    UnknownCluster,
    /// It has no label `alertname`.
    NoAlertname,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::NoCluster, Self::UnknownCluster, Self::NoAlertname];

    /// As the journal and the metrics write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoCluster => "no_cluster",
            Self::UnknownCluster => "unknown_cluster",
            Self::NoAlertname => "no_alertname",
        }
    }

    /// For people, with what to do. `cluster`: what the label says.
    pub fn sentence(self, cluster: &str) -> String {
        match self {
            Self::NoCluster => "it has no label cluster, which says whom it is about: give its rule one".to_owned(),
            Self::UnknownCluster => {
                format!("the config has no cluster {cluster:?}: add it, or route its alerts elsewhere")
            }
            Self::NoAlertname => "it has no label alertname: give it one".to_owned(),
        }
    }
}

impl Heard {
    /// The cluster that it says it is about.
    pub fn cluster(&self) -> Option<&str> {
        self.labels.get("cluster").map(String::as_str).filter(|name| !name.is_empty())
    }

    /// Its name.
    pub fn alertname(&self) -> Option<&str> {
        self.labels.get("alertname").map(String::as_str).filter(|name| !name.is_empty())
    }
}

impl Entry {
    /// What is to be written about one alert of `payload`, which came with the credential of `from`, where `clusters` are ours.
    pub fn of(payload: &Payload, alert: &Alert, from: &str, is_ours: impl Fn(&str) -> bool) -> Self {
        let heard = Heard {
            key: EventKey::of(payload, alert),
            status: alert.status,
            starts_at: alert.starts_at,
            ends_at: alert.ends_at,
            labels: alert.labels.clone(),
            truncated: payload.truncated,
            receiver: payload.receiver.clone(),
            from: from.to_owned(),
        };
        let reason = match (heard.cluster(), heard.alertname()) {
            (None, _) => Reason::NoCluster,
            (Some(name), _) if !is_ours(name) => Reason::UnknownCluster,
            (Some(_), None) => Reason::NoAlertname,
            (Some(_), Some(_)) => return Self::Received(heard),
        };
        Self::Ignored(Ignored { reason, alert: heard })
    }

    /// The alert that it is about, if it is about one.
    pub fn alert(&self) -> Option<&Heard> {
        match self {
            Self::Opened(_) | Self::Run(_) | Self::Switched(_) | Self::Asked(_) => None,
            Self::Received(heard) | Self::Ignored(Ignored { alert: heard, .. }) => Some(heard),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(labels: &[(&str, &str)]) -> Entry {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let alert = Alert {
            status: Status::Firing,
            labels: labels.collect(),
            starts_at: Timestamp::UNIX_EPOCH,
            ends_at: None,
            fingerprint: "f".into(),
        };
        let payload =
            Payload { receiver: "r".into(), group_key: "g".into(), truncated: 0, alerts: vec![alert.clone()] };
        Entry::of(&payload, &alert, "alertmanager", |name| name == "orders")
    }

    #[test]
    fn the_cluster_label_says_whether_an_alert_is_for_us() {
        for (labels, reason) in [
            (&[("cluster", "orders"), ("alertname", "A"), ("node", "anything")][..], None),
            (&[("cluster", "Orders"), ("alertname", "A")], Some(Reason::UnknownCluster)),
            (&[("cluster", "billing"), ("alertname", "A")], Some(Reason::UnknownCluster)),
            (&[("cluster", ""), ("alertname", "A")], Some(Reason::NoCluster)),
            (&[("alertname", "A")], Some(Reason::NoCluster)),
            (&[("cluster", "orders")], Some(Reason::NoAlertname)),
            (&[], Some(Reason::NoCluster)),
        ] {
            let found = match entry(labels) {
                Entry::Ignored(Ignored { reason, .. }) => Some(reason),
                _ => None,
            };
            assert_eq!(found, reason, "{labels:?}");
        }
    }

    #[test]
    fn reasons_are_written_as_they_are_called() {
        for reason in Reason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), json!(reason.as_str()));
        }
    }

    #[test]
    fn what_a_newer_version_wrote_is_an_error() {
        let record = Record { seq: 1, durable: 0, at: Moment::default(), entry: entry(&[("cluster", "orders")]) };
        let good = serde_json::to_value(&record).unwrap();
        assert_eq!(serde_json::from_value::<Record>(good.clone()).unwrap(), record);
        let mut kind = good.clone();
        kind["entry"] = json!({"promoted": {}});
        let mut field = good.clone();
        field["entry"]["ignored"]["run"] = json!(7);
        let mut reason = good;
        reason["entry"]["ignored"]["reason"] = json!("full_moon");
        for newer in [kind, field, reason] {
            let error = serde_json::from_value::<Record>(newer.clone()).unwrap_err().to_string();
            assert!(error.contains("unknown"), "{newer}: {error}");
        }
    }
}
