//! Guard `no_standby_streaming`.

use super::{AFTER_FENCE, Answer, FAILOVER, Guard, Scene, Stage};
use crate::runbook::book::Class;
use crate::runbook::verdict::{self, Agreement};

/// After the fence nobody hears from the old primary.
#[derive(Debug)]
pub struct NoStandbyStreaming;

impl Guard for NoStandbyStreaming {
    fn name(&self) -> &'static str {
        "no_standby_streaming"
    }

    fn asks(&self) -> &'static str {
        "after the fence no standby hears from the old primary"
    }

    fn classes(&self) -> &'static [Class] {
        FAILOVER
    }

    fn stages(&self) -> &'static [Stage] {
        AFTER_FENCE
    }

    fn yields_to_approval(&self) -> bool {
        false
    }

    fn judge(&self, scene: &Scene<'_>) -> (Answer, String) {
        match verdict::fenced(scene.evidence, scene.limits()) {
            (Agreement::Agree, value) => (Answer::Pass, value),
            (Agreement::Disagree, value) => (Answer::Block, value),
            (Agreement::Unknown, value) => (Answer::Unknown, value),
        }
    }
}
