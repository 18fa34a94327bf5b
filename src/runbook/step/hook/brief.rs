//! What a hook is told: all of it as JSON on standard input, and what is plain in its environment too.

use std::path::PathBuf;

use serde::{Serialize, Serializer};
use serde_json::Value;

/// What a hook is told.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Brief {
    /// The run that it is part of.
    #[serde(rename = "run_id")]
    pub run: String,
    /// The failure that the run is about.
    pub episode: String,
    /// The runbook.
    pub runbook: String,
    /// The step's number in it, from 1.
    pub step: usize,
    /// The step's name.
    pub name: String,
    /// What the hook is for.
    pub kind: Kind,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// The mode of the run.
    pub mode: &'static str,
    /// Whether nothing may be changed.
    pub dry_run: bool,
    /// The lock's fencing token: who was told a higher one before refuses this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fencing_token: Option<u64>,
    /// The same for each attempt at the same thing.
    pub idempotency_key: String,
    /// The cluster.
    pub cluster: ClusterBrief,
    /// The primary that failed, or that is to hand over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_primary: Option<Place>,
    /// The standby that takes over, or took over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidate: Option<Place>,
    /// The other standbys.
    pub standbys: Vec<Place>,
    /// What earlier hooks handed on.
    pub data: Value,
}

/// What a hook is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// To do something.
    Action,
    /// To say whether it is done.
    Probe,
    /// To take it back.
    Compensate,
}

/// The cluster, as a hook is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClusterBrief {
    /// Its name in the config.
    pub name: String,
    /// The identifier that all its servers share. As text in JSON, where many readers of numbers would round it.
    #[serde(serialize_with = "as_text", skip_serializing_if = "Option::is_none")]
    pub system_identifier: Option<u64>,
    /// Its timeline when the failure was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeline: Option<u32>,
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Its name in the config.
    pub node: String,
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Its data directory, if the config says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
}

/// All that is on standard input.
#[derive(Serialize)]
struct Told<'a> {
    schema: &'static str,
    #[serde(flatten)]
    brief: &'a Brief,
    deadline: i64,
}

#[expect(clippy::ref_option, reason = "serde hands it so")]
fn as_text<S: Serializer>(number: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&number.unwrap_or_default())
}

impl Kind {
    /// As a hook is told.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Action => "action",
            Self::Probe => "probe",
            Self::Compensate => "compensate",
        }
    }
}

impl Brief {
    /// As it is on standard input: a line of JSON. `deadline`: in seconds since 1970.
    pub(super) fn json(&self, deadline: i64) -> serde_json::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(&Told { schema: "hook/v1", brief: self, deadline })?;
        line.push(b'\n');
        Ok(line)
    }

    /// The variables: those that are known, and that no shell can take for anything but a word.
    pub(super) fn environment(&self, deadline: i64) -> Vec<(&'static str, String)> {
        let mut all = vec![
            ("PGV_RUN_ID", self.run.clone()),
            ("PGV_EPISODE", self.episode.clone()),
            ("PGV_RUNBOOK", self.runbook.clone()),
            ("PGV_STEP", self.step.to_string()),
            ("PGV_NAME", self.name.clone()),
            ("PGV_KIND", self.kind.as_str().to_owned()),
            ("PGV_ATTEMPT", self.attempt.to_string()),
            ("PGV_MODE", self.mode.to_owned()),
            ("PGV_DRY_RUN", self.dry_run.to_string()),
            ("PGV_DEADLINE", deadline.to_string()),
            ("PGV_IDEMPOTENCY_KEY", self.idempotency_key.clone()),
            ("PGV_CLUSTER", self.cluster.name.clone()),
        ];
        let mut known = |name, value: Option<String>| all.extend(value.map(|value| (name, value)));
        known("PGV_FENCING_TOKEN", self.fencing_token.map(|token| token.to_string()));
        known("PGV_SYSTEM_IDENTIFIER", self.cluster.system_identifier.map(|identifier| identifier.to_string()));
        known("PGV_TIMELINE", self.cluster.timeline.map(|timeline| timeline.to_string()));
        const OLD_PRIMARY: [&str; 4] =
            ["PGV_OLD_PRIMARY_NODE", "PGV_OLD_PRIMARY_HOST", "PGV_OLD_PRIMARY_PORT", "PGV_OLD_PRIMARY_DATA_DIR"];
        const CANDIDATE: [&str; 4] =
            ["PGV_CANDIDATE_NODE", "PGV_CANDIDATE_HOST", "PGV_CANDIDATE_PORT", "PGV_CANDIDATE_DATA_DIR"];
        for ([node, host, port, data_dir], place) in [(OLD_PRIMARY, &self.old_primary), (CANDIDATE, &self.candidate)] {
            let Some(place) = place else { continue };
            known(node, Some(place.node.clone()));
            known(host, Some(place.host.clone()));
            known(port, Some(place.port.to_string()));
            known(data_dir, place.data_dir.as_ref().and_then(|path| path.to_str()).map(str::to_owned));
        }
        all.retain(|(_, value)| is_plain(value));
        // Half a list would be taken for the whole.
        let standbys: Vec<_> = self.standbys.iter().map(|place| place.node.as_str()).collect();
        if !standbys.is_empty() && standbys.iter().all(|node| is_plain(node)) {
            all.push(("PGV_STANDBYS", standbys.join(",")));
        }
        all
    }
}

/// Whether it is one word to any shell, and no option to any program.
fn is_plain(value: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:/-".contains(&byte);
    !value.is_empty() && !value.starts_with('-') && value.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brief() -> Brief {
        let place = |node: &str| Place { node: node.into(), host: "10.0.0.1".into(), port: 5432, data_dir: None };
        Brief {
            run: "r1".into(),
            episode: "e".into(),
            runbook: "PostgresPrimaryDown".into(),
            step: 1,
            name: "fence".into(),
            kind: Kind::Action,
            attempt: 1,
            mode: "automatic",
            dry_run: false,
            fencing_token: None,
            idempotency_key: "r1/1".into(),
            cluster: ClusterBrief { name: "orders".into(), system_identifier: None, timeline: None },
            old_primary: Some(place("a")),
            candidate: None,
            standbys: vec![place("b"), place("c")],
            data: Value::Null,
        }
    }

    fn variable(brief: &Brief, name: &str) -> Option<String> {
        brief.environment(7).into_iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    #[test]
    fn what_is_not_known_is_absent() {
        let names: Vec<_> = brief().environment(7).into_iter().map(|(name, _)| name).collect();
        for absent in ["FENCING_TOKEN", "SYSTEM_IDENTIFIER", "TIMELINE", "CANDIDATE_HOST", "OLD_PRIMARY_DATA_DIR"] {
            assert!(!names.contains(&format!("PGV_{absent}").as_str()), "{names:?}");
        }
        let told: Value = serde_json::from_slice(&brief().json(7).unwrap()).unwrap();
        assert_eq!(told["cluster"], serde_json::json!({"name": "orders"}));
        assert!(told.get("candidate").is_none() && told.get("fencing_token").is_none(), "{told}");
    }

    #[test]
    fn a_large_number_is_text_and_keeps_each_digit() {
        let mut brief = brief();
        brief.cluster.system_identifier = Some(u64::MAX);
        let told: Value = serde_json::from_slice(&brief.json(7).unwrap()).unwrap();
        assert_eq!(told["cluster"]["system_identifier"], "18446744073709551615");
        assert_eq!(variable(&brief, "PGV_SYSTEM_IDENTIFIER").as_deref(), Some("18446744073709551615"));
    }

    #[test]
    fn only_plain_words_become_variables() {
        let mut brief = brief();
        assert_eq!(variable(&brief, "PGV_OLD_PRIMARY_HOST").as_deref(), Some("10.0.0.1"));
        assert_eq!(variable(&brief, "PGV_STANDBYS").as_deref(), Some("b,c"));
        for host in ["", "a b", "$(id)", "a;b", "a\nb", "ä", "-oProxyCommand", "a=b", "`id`", "a*"] {
            if let Some(place) = &mut brief.old_primary {
                place.host = host.into();
            }
            assert_eq!(variable(&brief, "PGV_OLD_PRIMARY_HOST"), None, "{host:?}");
            let told: Value = serde_json::from_slice(&brief.json(7).unwrap()).unwrap();
            assert_eq!(told["old_primary"]["host"], host);
        }
        brief.standbys[1].node = "c c".into();
        assert_eq!(variable(&brief, "PGV_STANDBYS"), None);
    }
}
