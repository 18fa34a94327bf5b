//! Guard `loss_within_limit`.

use super::{ALWAYS, Answer, FAILOVER, Guard, Scene, Stage};
use crate::runbook::book::Class;

/// The promotion loses no more WAL than allowed.
#[derive(Debug)]
pub struct LossWithinLimit;

impl Guard for LossWithinLimit {
    fn name(&self) -> &'static str {
        "loss_within_limit"
    }

    fn asks(&self) -> &'static str {
        "the WAL that the promotion may lose, with what the primary may have written unseen, is at most max_loss_bytes"
    }

    fn classes(&self) -> &'static [Class] {
        FAILOVER
    }

    fn stages(&self) -> &'static [Stage] {
        ALWAYS
    }

    fn yields_to_approval(&self) -> bool {
        true
    }

    fn judge(&self, scene: &Scene<'_>) -> (Answer, String) {
        let limit = scene.limits().max_loss_bytes;
        let assessment = &scene.evidence.assessment;
        let candidate = scene.candidate_look().map(|look| look.node.as_str());
        if candidate.is_none() || assessment.failover_candidate.as_deref() != candidate {
            return (Answer::Unknown, "what a promotion of the candidate would lose is not known".to_owned());
        }
        let Some(loss) = assessment.failover_loss else {
            return (Answer::Unknown, "the history does not tell what would be lost".to_owned());
        };
        let seconds = loss.estimated_seconds.map_or_else(|| "unknown".to_owned(), |seconds| format!("{seconds:.1} s"));
        let value = format!(
            "at most {} bytes, {seconds} of writing; {} bytes are seen to be missing (max_loss_bytes {limit})",
            loss.estimated_bytes, loss.seen_bytes
        );
        (if loss.estimated_bytes.max(missing(scene)) <= limit { Answer::Pass } else { Answer::Block }, value)
    }
}

/// Bytes that the fresh probe shows to be missing.
fn missing(scene: &Scene<'_>) -> u64 {
    let primary = scene.evidence.primary.as_ref().zip(scene.candidate_server());
    primary.map_or(0, |(primary, server)| primary.flushed.bytes_since(server.position))
}
