//! Guard `clock`.

use super::{ACTING, ALWAYS, Answer, Guard, Scene, Stage};
use crate::runbook::book::Class;

/// Our own clock and loops can be trusted.
#[derive(Debug)]
pub struct Clock;

impl Guard for Clock {
    fn name(&self) -> &'static str {
        "clock"
    }

    fn asks(&self) -> &'static str {
        "our own loops are not late: a process that was suspended or starved sees outages that are its own"
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
        let evidence = scene.evidence;
        if evidence.blind {
            let why = "our own loops were late, and no full round of readings was made since";
            return (Answer::Unknown, why.to_owned());
        }
        match evidence.began.mono <= evidence.ended.mono && evidence.ended.mono <= scene.now.mono {
            true => (Answer::Pass, "our own loops are in time".to_owned()),
            false => (Answer::Unknown, "the look lies in the future: it is of another boot of this machine".to_owned()),
        }
    }
}
