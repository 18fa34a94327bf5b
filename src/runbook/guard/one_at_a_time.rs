//! Guard `one_at_a_time`.

use super::{ACTING, Answer, BEFORE_ACTING, Guard, Scene, Stage};
use crate::runbook::book::Class;

/// No run of another cluster is open.
#[derive(Debug)]
pub struct OneAtATime;

impl Guard for OneAtATime {
    fn name(&self) -> &'static str {
        "one_at_a_time"
    }

    fn asks(&self) -> &'static str {
        "no run of another cluster is open"
    }

    fn classes(&self) -> &'static [Class] {
        ACTING
    }

    fn stages(&self) -> &'static [Stage] {
        BEFORE_ACTING
    }

    fn yields_to_approval(&self) -> bool {
        true
    }

    fn judge(&self, scene: &Scene<'_>) -> (Answer, String) {
        match scene.elsewhere {
            0 => (Answer::Pass, "no other run is open".to_owned()),
            runs => (Answer::Block, format!("{runs} runs of other clusters are open")),
        }
    }
}
