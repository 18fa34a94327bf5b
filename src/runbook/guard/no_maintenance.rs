//! Guard `no_maintenance`.

use super::{ACTING, Answer, BEFORE_ACTING, Guard, NEVER, Scene, Stage};
use crate::runbook::book::Class;

/// Nobody works on the cluster.
#[derive(Debug)]
pub struct NoMaintenance;

impl Guard for NoMaintenance {
    fn name(&self) -> &'static str {
        "no_maintenance"
    }

    fn asks(&self) -> &'static str {
        "nobody said that they work on the cluster (`pgvigil maintenance start`)"
    }

    fn classes(&self) -> &'static [Class] {
        ACTING
    }

    fn stages(&self) -> &'static [Stage] {
        BEFORE_ACTING
    }

    fn planned_stages(&self) -> &'static [Stage] {
        NEVER
    }

    fn yields_to_approval(&self) -> bool {
        true
    }

    fn judge(&self, scene: &Scene<'_>) -> (Answer, String) {
        match scene.evidence.maintenance {
            Some(until) if until.mono > scene.now.mono => (Answer::Block, format!("maintenance until {}", until.wall)),
            _ => (Answer::Pass, "no maintenance".to_owned()),
        }
    }
}
