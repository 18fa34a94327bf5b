//! Guard `loss_within_limit`.

use super::{ALWAYS, Answer, BEFORE_ACTING, FAILOVER, Guard, Scene, Stage};
use crate::runbook::book::Class;

/// The promotion loses no more WAL than allowed.
#[derive(Debug)]
pub struct LossWithinLimit;

impl Guard for LossWithinLimit {
    fn name(&self) -> &'static str {
        "loss_within_limit"
    }

    fn asks(&self) -> &'static str {
        "the WAL that the promotion may lose, with what the primary may have written unseen, is at most max_loss_bytes; of a switchover, how far the candidate is behind"
    }

    fn classes(&self) -> &'static [Class] {
        FAILOVER
    }

    fn stages(&self) -> &'static [Stage] {
        ALWAYS
    }

    fn planned_stages(&self) -> &'static [Stage] {
        BEFORE_ACTING
    }

    fn yields_to_approval(&self) -> bool {
        true
    }

    fn judge(&self, scene: &Scene<'_>) -> (Answer, String) {
        let limit = scene.limits().max_loss_bytes;
        if scene.plan.planned {
            let Some(behind) = behind(scene) else {
                return (Answer::Unknown, "how far the candidate is behind the primary is not known".to_owned());
            };
            let value = format!("the candidate is {behind} bytes behind the primary (max_loss_bytes {limit})");
            return (if behind <= limit { Answer::Pass } else { Answer::Block }, value);
        }
        let assessment = &scene.evidence.assessment;
        let bound = scene.candidate_look().and_then(|look| scene.evidence.loss_to(&look.node));
        let Some((bound, loss)) = bound.zip(assessment.failover_loss) else {
            return (Answer::Unknown, "what a promotion of the candidate would lose is not known".to_owned());
        };
        let seconds = loss.estimated_seconds.map_or_else(|| "unknown".to_owned(), |seconds| format!("{seconds:.1} s"));
        let value = format!(
            "at most {bound} bytes, {seconds} of writing; {} bytes are seen to be missing (max_loss_bytes {limit})",
            loss.seen_bytes
        );
        (if bound <= limit { Answer::Pass } else { Answer::Block }, value)
    }
}

/// How far the candidate is behind a primary that lives.
fn behind(scene: &Scene<'_>) -> Option<u64> {
    let primary = scene.evidence.primary_look()?.probe.as_ref().ok().filter(|primary| !primary.in_recovery)?;
    Some(primary.position.bytes_since(scene.candidate_server()?.position))
}
