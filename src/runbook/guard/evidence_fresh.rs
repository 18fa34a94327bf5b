//! Guard `evidence_fresh`.

use super::{ACTING, ALWAYS, Answer, Guard, Scene, Stage};
use crate::config::duration;
use crate::runbook::book::Class;

/// Every probe is recent.
#[derive(Debug)]
pub struct EvidenceFresh;

impl Guard for EvidenceFresh {
    fn name(&self) -> &'static str {
        "evidence_fresh"
    }

    fn asks(&self) -> &'static str {
        "every node was probed within max_evidence_age"
    }

    fn classes(&self) -> &'static [Class] {
        ACTING
    }

    fn stages(&self) -> &'static [Stage] {
        ALWAYS
    }

    fn yields_to_approval(&self) -> bool {
        false
    }

    fn judge(&self, scene: &Scene<'_>) -> (Answer, String) {
        let (evidence, limit) = (scene.evidence, scene.limits().max_evidence_age);
        if evidence.nodes.is_empty() {
            return (Answer::Unknown, "no node was probed".to_owned());
        }
        if let Some(look) = evidence.nodes.iter().find(|look| look.at.mono < evidence.began.mono) {
            return (Answer::Unknown, format!("{} was not probed in this look", look.node));
        }
        let age = scene.now.mono.since(evidence.began.mono);
        let value = format!("the look began {} ago (limit {})", duration::show(age), duration::show(limit));
        (if age <= limit { Answer::Pass } else { Answer::Block }, value)
    }
}
