//! Guard `alone`.

use super::{Answer, BEFORE_ACTING, FAILOVER, Guard, Scene, Stage};
use crate::runbook::book::Class;

/// This is the only cluster that fails.
#[derive(Debug)]
pub struct Alone;

impl Guard for Alone {
    fn name(&self) -> &'static str {
        "alone"
    }

    fn asks(&self) -> &'static str {
        "no other cluster has lost its primary too: where several do at once it is the network, or ourselves"
    }

    fn classes(&self) -> &'static [Class] {
        FAILOVER
    }

    fn stages(&self) -> &'static [Stage] {
        BEFORE_ACTING
    }

    fn yields_to_approval(&self) -> bool {
        true
    }

    fn judge(&self, scene: &Scene<'_>) -> (Answer, String) {
        match scene.failing {
            0 => (Answer::Pass, "no other cluster has lost its primary".to_owned()),
            failing => (Answer::Block, format!("{failing} other clusters have lost their primary too")),
        }
    }
}
