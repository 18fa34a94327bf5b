//! Guard `not_paused`.

use super::{ALWAYS, Answer, EVERY, Guard, Scene, Stage};
use crate::runbook::book::Class;

/// Nobody has stopped all runbooks.
#[derive(Debug)]
pub struct NotPaused;

impl Guard for NotPaused {
    fn name(&self) -> &'static str {
        "not_paused"
    }

    fn asks(&self) -> &'static str {
        "nobody has stopped all runbooks with `pgvigil runbook pause`"
    }

    fn classes(&self) -> &'static [Class] {
        EVERY
    }

    fn stages(&self) -> &'static [Stage] {
        ALWAYS
    }

    fn yields_to_approval(&self) -> bool {
        false
    }

    fn judge(&self, scene: &Scene<'_>) -> (Answer, String) {
        match scene.paused {
            true => (Answer::Block, "runbooks are paused: pgvigil runbook resume lets them go on".to_owned()),
            false => (Answer::Pass, "not paused".to_owned()),
        }
    }
}
