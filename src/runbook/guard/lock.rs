//! Guard `lock`.

use super::{ACTING, ALWAYS, Answer, Guard, Scene, Stage};
use crate::runbook::book::Class;
use crate::runbook::guard::LockState;

/// No other pgvigil acts on this cluster.
#[derive(Debug)]
pub struct Lock;

impl Guard for Lock {
    fn name(&self) -> &'static str {
        "lock"
    }

    fn asks(&self) -> &'static str {
        "the lock on the cluster is ours, or the config says `single_receiver: true`; at the plan it need not be taken yet"
    }

    fn classes(&self) -> &'static [Class] {
        ACTING
    }

    fn stages(&self) -> &'static [Stage] {
        ALWAYS
    }

    fn yields_to_approval(&self) -> bool {
        false
    }

    fn judge(&self, scene: &Scene<'_>) -> (Answer, String) {
        match scene.lock {
            LockState::Held(token) => (Answer::Pass, format!("held, fencing token {token}")),
            LockState::Elsewhere(holder) => (Answer::Block, format!("held by {holder}")),
            LockState::Unknown(why) => (Answer::Unknown, why.clone()),
            LockState::NotYet if scene.terms.has_lock => match scene.stage {
                Stage::Plan => (Answer::Pass, "taken before anything is done".to_owned()),
                Stage::Fence | Stage::Promote => (Answer::Unknown, "the lock was not taken".to_owned()),
            },
            LockState::NotYet if scene.terms.single_receiver => (Answer::Pass, "single_receiver: true".to_owned()),
            LockState::NotYet => {
                (Answer::Block, "there is no lock, and the config does not say single_receiver: true".to_owned())
            }
        }
    }
}
