//! Guard `position_settled`.

use super::{AFTER_FENCE, Answer, FAILOVER, Guard, Scene, Stage};
use crate::runbook::book::Class;
use std::time::Duration;

use crate::config::duration;

/// How far two looks at a standby that may still receive lie apart.
const APART: Duration = Duration::from_secs(1);

/// What the candidate received does not grow.
#[derive(Debug)]
pub struct PositionSettled;

impl Guard for PositionSettled {
    fn name(&self) -> &'static str {
        "position_settled"
    }

    fn asks(&self) -> &'static str {
        "the candidate has received nothing since the look before: two looks at least 1 s apart, or no walreceiver in either"
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
        let unknown = |why: &str| (Answer::Unknown, why.to_owned());
        let Some((number, server)) = scene.candidate.zip(scene.candidate_server()) else {
            return unknown("there is no candidate that answers");
        };
        let before = scene.before.and_then(|before| before.nodes.get(number));
        let Some((then, earlier)) = before.and_then(|look| Some((look.at, look.probe.as_ref().ok()?))) else {
            return unknown("there was no look at it before this one");
        };
        if earlier.timeline != server.timeline || earlier.position != server.position {
            let value = format!("it moved from {} to {} since the look before", earlier.position, server.position);
            return (Answer::Block, value);
        }
        if earlier.receiver.is_none() && server.receiver.is_none() {
            return (Answer::Pass, format!("{}, and nothing feeds it", server.position));
        }
        let Some(at) = scene.candidate_look().map(|look| look.at) else { return unknown("it was not looked at") };
        let apart = at.mono.since(then.mono);
        let value = format!(
            "{} in two looks, {} apart (limit {})",
            server.position,
            duration::show(apart),
            duration::show(APART)
        );
        (if apart >= APART { Answer::Pass } else { Answer::Unknown }, value)
    }
}
