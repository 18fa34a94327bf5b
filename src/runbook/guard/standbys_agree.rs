//! Guard `standbys_agree`.

use super::{Answer, BEFORE_ACTING, FAILOVER, Guard, NEVER, Scene, Stage};
use crate::runbook::book::Class;
use crate::runbook::verdict::{self, Agreement};

/// Every standby can be asked and is fed no more.
#[derive(Debug)]
pub struct StandbysAgree;

impl Guard for StandbysAgree {
    fn name(&self) -> &'static str {
        "standbys_agree"
    }

    fn asks(&self) -> &'static str {
        "every standby that the primary may feed answers, and none of them is fed"
    }

    fn classes(&self) -> &'static [Class] {
        FAILOVER
    }

    fn stages(&self) -> &'static [Stage] {
        BEFORE_ACTING
    }

    fn planned_stages(&self) -> &'static [Stage] {
        NEVER
    }

    fn yields_to_approval(&self) -> bool {
        false
    }

    fn judge(&self, scene: &Scene<'_>) -> (Answer, String) {
        match verdict::standbys(scene.evidence, scene.limits()) {
            (Agreement::Agree, value) => (Answer::Pass, value),
            (Agreement::Disagree, value) => (Answer::Block, value),
            (Agreement::Unknown, value) => (Answer::Unknown, value),
        }
    }
}
