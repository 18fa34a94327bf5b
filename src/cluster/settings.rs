//! A standby's settings beside its primary's: which are too low to go on replaying, and which a failover would want equal.

use std::collections::BTreeMap;

use serde::Serialize;

use super::assess::{Evidence, NodeAssessment, Verdict};
use super::families as family;
use crate::collector::recovery::{Recovery, ReplayPause};
use crate::collector::setting_list::{KNOWN, Known, Rule, not_lower};
use crate::collector::settings::{Collector as SettingsCollector, Setting, Settings, UNKNOWN, Value};
use crate::metric::sample::Samples;

/// What the settings of a node that is not the primary amount to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// For each setting that must not be lower than the primary's whether it is; empty while one side is not known.
    pub too_low: BTreeMap<&'static str, bool>,
    /// For each setting that should be as the primary's whether it differs; those are left out that one side lacks.
    pub drift: BTreeMap<&'static str, bool>,
    /// Whether replay is paused and one of the settings is too low: a resume would shut the standby down.
    pub replay_blocked: Verdict,
}

impl Evidence<'_> {
    /// Node number `index` beside the primary, which is fresh or `None`.
    pub(super) fn comparison(&self, index: usize, primary: Option<usize>) -> Comparison {
        let recovery = self.facts[index].snapshot.recovery.as_ref();
        let own = self.settings(index).filter(|_| recovery.is_some_and(|fact| fact.value.in_recovery));
        let both = own.zip(primary.and_then(|primary| self.settings(primary)));
        let each = |rules: &[Rule], verdict: fn(&Known, Setting, Setting) -> Option<bool>| {
            let known = KNOWN.iter().filter(|known| rules.contains(&known.rule));
            known
                .filter_map(|known| {
                    let (own, primarys) = both?;
                    let verdict = verdict(known, *own.known.get(known.name)?, *primarys.known.get(known.name)?)?;
                    Some((known.name, verdict))
                })
                .collect()
        };
        let too_low = each(&[Rule::NotLower], |_, own, primarys| is_lower(own, primarys));
        let drift = each(&[Rule::NotLower, Rule::Equal], differs);
        let replay_blocked = self.replay_blocked(index, &too_low);
        Comparison { too_low, drift, replay_blocked }
    }

    fn settings(&self, index: usize) -> Option<&Settings> {
        // A node of another system, or the same server by another name, is no standby of this primary.
        let counts = !self.is_foreign(index) && self.twin_of(index).is_none();
        let settings = &self.facts[index].snapshot.settings;
        self.slow_fact(index, &SettingsCollector, settings).filter(|_| counts)
    }

    fn replay_blocked(&self, index: usize, too_low: &BTreeMap<&str, bool>) -> Verdict {
        let recovery = self.facts[index].snapshot.recovery.as_ref().filter(|_| self.is_fresh(index));
        let Some(Recovery { in_recovery, pause, started_at, .. }) = recovery.map(|fact| &fact.value) else {
            return Verdict::Unknown;
        };
        let remembered = self.memory.nodes.get(&self.layout.members[index].name);
        let seen_before = remembered.and_then(|remembered| remembered.blocked_start) == Some(*started_at);
        match pause {
            _ if !in_recovery => Verdict::No,
            Some(ReplayPause::Running | ReplayPause::Requested) => Verdict::No,
            Some(ReplayPause::Paused) if seen_before || too_low.values().any(|low| *low) => Verdict::Yes,
            Some(ReplayPause::Paused) if too_low.len() == not_lower().count() => Verdict::No,
            Some(ReplayPause::Paused) | None => Verdict::Unknown,
        }
    }
}

fn is_lower(own: Setting, primarys: Setting) -> Option<bool> {
    match (own.value, primarys.value) {
        (Value::Number(own), Value::Number(primarys)) => Some(own < primarys),
        _ => None,
    }
}

fn differs(known: &Known, own: Setting, primarys: Setting) -> Option<bool> {
    // Once promoted, a standby that archives what it receives does as any primary that archives.
    let on_a_primary = |setting: Setting| match (known.name, setting.value) {
        ("archive_mode", Value::Word("always")) => Value::Word("on"),
        (_, value) => value,
    };
    let (own, primarys) = (on_a_primary(own), on_a_primary(primarys));
    let told = [own, primarys].iter().all(|value| *value != Value::Word(UNKNOWN));
    told.then_some(own != primarys)
}

/// Adds what the settings of one node amount to.
pub(super) fn setting_samples(cluster: &str, node: &NodeAssessment, samples: &mut Samples) {
    let Some(comparison) = &node.settings else { return };
    for (family, verdicts) in
        [(&family::STANDBY_SETTING_TOO_LOW, &comparison.too_low), (&family::SETTING_DRIFT, &comparison.drift)]
    {
        for (name, verdict) in verdicts {
            samples.flag(family, &[cluster, &node.name, name], *verdict);
        }
    }
    let labels = [cluster, node.name.as_str()];
    let blocked = comparison.replay_blocked.as_str();
    samples.states(&family::REPLAY_BLOCKED_BY_SETTINGS, &labels, &Verdict::ALL, blocked);
}
