//! Guard `primary_gone`.

use super::{AFTER_FENCE, ALWAYS, Answer, FAILOVER, Guard, Scene, Stage};
use crate::runbook::book::Class;
use crate::runbook::verdict::PrimaryVerdict;

/// The verdict on the primary is that it is gone, or hangs.
#[derive(Debug)]
pub struct PrimaryGone;

impl Guard for PrimaryGone {
    fn name(&self) -> &'static str {
        "primary_gone"
    }

    fn asks(&self) -> &'static str {
        "the primary takes no new sessions and feeds no standby (gone), or is silent to us and to every standby for longer than it could \
         be if it lived (hung); that we cannot reach it is not enough"
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
        false
    }

    fn judge(&self, scene: &Scene<'_>) -> (Answer, String) {
        let (verdict, why) = scene.verdict();
        let answer = match verdict {
            PrimaryVerdict::Gone | PrimaryVerdict::Hung => Answer::Pass,
            // We stopped it ourselves, and by proof.
            PrimaryVerdict::Stopping if scene.plan.planned => Answer::Pass,
            PrimaryVerdict::Unknown => Answer::Unknown,
            PrimaryVerdict::Alive
            | PrimaryVerdict::Elsewhere { .. }
            | PrimaryVerdict::Stopping
            | PrimaryVerdict::Refuses
            | PrimaryVerdict::Cut => Answer::Block,
        };
        (answer, format!("{}: {why}", verdict.as_str()))
    }
}
