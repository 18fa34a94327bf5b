//! Guard `block_after_run`.

use super::{ACTING, Answer, Guard, PLANNING, Scene, Stage};
use crate::runbook::book::Class;
use std::time::Duration;

use crate::config::duration;
use crate::runbook::guard::{Past, lapse};

/// How far back runs are counted.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// How many may act within that.
const MOST: usize = 2;

/// Runs do not chase each other.
#[derive(Debug)]
pub struct BlockAfterRun;

impl Guard for BlockAfterRun {
    fn name(&self) -> &'static str {
        "block_after_run"
    }

    fn asks(&self) -> &'static str {
        "every run that did something in this cluster was acknowledged, none ended within block_after_run, fewer than 2 within 24 h, and none of \
         these promoted the node that fails now"
    }

    fn classes(&self) -> &'static [Class] {
        ACTING
    }

    fn stages(&self) -> &'static [Stage] {
        PLANNING
    }

    fn yields_to_approval(&self) -> bool {
        true
    }

    fn judge(&self, scene: &Scene<'_>) -> (Answer, String) {
        let (now, limit) = (scene.now, scene.limits().block_after_run);
        let ours: Vec<&Past> = scene.past.iter().filter(|past| past.cluster == scene.plan.episode.cluster).collect();
        if let Some(open) = ours.iter().find(|past| !past.acknowledged) {
            return (Answer::Block, format!("run {} was not acknowledged: pgvigil runbook ack {0}", open.run));
        }
        let recent: Vec<&&Past> = ours.iter().filter(|past| past.acted && lapse(now, past.ended) < DAY).collect();
        if let Some(last) = recent.iter().find(|past| lapse(now, past.ended) < limit) {
            let ended = duration::show(lapse(now, last.ended));
            return (
                Answer::Block,
                format!("run {} ended {ended} ago (block_after_run {})", last.run, duration::show(limit)),
            );
        }
        let promoted = |past: &&&&Past| past.promoted.as_deref() == Some(scene.plan.episode.primary.as_str());
        if let Some(past) = recent.iter().find(promoted) {
            return (
                Answer::Block,
                format!("run {} promoted {} within the last 24 h", past.run, scene.plan.episode.primary),
            );
        }
        let value = format!("{} runs acted within 24 h (limit {MOST})", recent.len());
        (if recent.len() < MOST { Answer::Pass } else { Answer::Block }, value)
    }
}
