//! Guard `sync_kept`.

use super::{ALWAYS, Answer, FAILOVER, Guard, Scene, Stage};
use crate::cluster::promotable::Reason;
use crate::runbook::book::Class;
use crate::runbook::candidate;

/// No commit that was acknowledged as synchronous is lost.
#[derive(Debug)]
pub struct SyncKept;

impl Guard for SyncKept {
    fn name(&self) -> &'static str {
        "sync_kept"
    }

    fn asks(&self) -> &'static str {
        "where commits waited for synchronous standbys, the candidate is one that has them all"
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
        let found = scene.candidate.and_then(|number| candidate::promotable(scene.evidence, number));
        let Some(promotable) = found else {
            return (Answer::Unknown, "it is not known whom commits waited for".to_owned());
        };
        // Where observation stopped at a reason before, it did not come to this question.
        let asked = !promotable.reasons.iter().any(|reason| UNASKED.contains(reason));
        let has = |reason: Reason| promotable.reasons.contains(&reason);
        if has(Reason::NotSynchronous) {
            return (Answer::Block, Reason::NotSynchronous.meaning().to_owned());
        }
        match asked && !has(Reason::SynchronyUnknown) {
            true => {
                (Answer::Pass, "commits waited for nobody, or the candidate has all that they waited for".to_owned())
            }
            false => (Answer::Unknown, Reason::SynchronyUnknown.meaning().to_owned()),
        }
    }
}

/// Reasons for which observation looks no further.
const UNASKED: [Reason; 6] = [
    Reason::NotAcceptingReads,
    Reason::NotObserved,
    Reason::SameServer,
    Reason::ForeignSystem,
    Reason::SystemUnknown,
    Reason::NotInRecovery,
];
