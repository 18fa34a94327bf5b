//! Guard `observers_agree`.

use super::{AFTER_FENCE, ALWAYS, Answer, FAILOVER, Guard, Scene, Stage};
use crate::runbook::book::Class;

/// No other observer sees the primary alive, and one that is configured confirms it.
#[derive(Debug)]
pub struct ObserversAgree;

impl Guard for ObserversAgree {
    fn name(&self) -> &'static str {
        "observers_agree"
    }

    fn asks(&self) -> &'static str {
        "no other observer gets an answer from the primary; where others are configured, at least one says that it gets none"
    }

    fn classes(&self) -> &'static [Class] {
        FAILOVER
    }

    fn stages(&self) -> &'static [Stage] {
        ALWAYS
    }

    fn planned_stages(&self) -> &'static [Stage] {
        AFTER_FENCE
    }

    fn yields_to_approval(&self) -> bool {
        true
    }

    fn judge(&self, scene: &Scene<'_>) -> (Answer, String) {
        let Some(primary) = &scene.evidence.primary else {
            return (Answer::Unknown, "no primary of this cluster was ever seen".to_owned());
        };
        let Some(node) = scene.evidence.assessment.nodes.get(primary.node) else {
            return (Answer::Unknown, "there is no observation of the primary".to_owned());
        };
        let others = &node.others;
        let value = format!(
            "of the other observers {} read it, {} get an answer, {} get none, {} do not know",
            others.up, others.answering, others.down, others.unknown
        );
        match (others.up + others.answering, others.down, others.unknown) {
            (0, 0, 0) => (Answer::Pass, "no other observer is configured: the standbys are the witnesses".to_owned()),
            (0, 0, _) => (Answer::Unknown, value),
            (0, _, _) => (Answer::Pass, value),
            _ => (Answer::Block, value),
        }
    }
}
