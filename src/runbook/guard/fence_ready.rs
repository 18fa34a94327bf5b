//! Guard `fence_ready`.

use super::{About, Answer, BEFORE_ACTING, EVERY, Guard, Scene, Stage};
use crate::runbook::book::Class;

/// The hooks can be run.
#[derive(Debug)]
pub struct FenceReady;

impl Guard for FenceReady {
    fn name(&self) -> &'static str {
        "fence_ready"
    }

    fn asks(&self) -> &'static str {
        "the files of all hooks and probes are there, can be run, and nobody else can write them"
    }

    fn classes(&self) -> &'static [Class] {
        EVERY
    }

    fn stages(&self) -> &'static [Stage] {
        BEFORE_ACTING
    }

    fn about(&self) -> About {
        About::Ourselves
    }

    fn yields_to_approval(&self) -> bool {
        false
    }

    fn judge(&self, scene: &Scene<'_>) -> (Answer, String) {
        match scene.hooks {
            [] => (Answer::Pass, "nothing is wrong with the hooks".to_owned()),
            faults => (Answer::Block, faults.join("; ")),
        }
    }
}
