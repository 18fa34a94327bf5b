//! Guard `replay_backlog`.

use super::{ALWAYS, Answer, FAILOVER, Guard, Scene, Stage};
use crate::config::duration;
use crate::runbook::book::Class;
use crate::runbook::book::Step;

/// What a standby replays in a millisecond, in bytes.
const RATE: u64 = 100_000;

/// The candidate is ready soon.
#[derive(Debug)]
pub struct ReplayBacklog;

impl Guard for ReplayBacklog {
    fn name(&self) -> &'static str {
        "replay_backlog"
    }

    fn asks(&self) -> &'static str {
        "the candidate can replay what it has received in half the time that promote has, at 100 MB a second"
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
        let server = scene.candidate_server();
        let Some((server, replayed)) = server.and_then(|server| Some((server, server.replayed?))) else {
            return (Answer::Unknown, "how much the candidate has replayed is not known".to_owned());
        };
        let timeout = scene.plan.steps.iter().find_map(|step| match step {
            Step::Promote { timeout } => Some(*timeout),
            _ => None,
        });
        let Some(timeout) = timeout else { return (Answer::Pass, "the runbook promotes nobody".to_owned()) };
        let (bytes, half) = (server.position.bytes_since(replayed), timeout / 2);
        let limit = RATE.saturating_mul(u64::try_from(half.as_millis()).unwrap_or(u64::MAX));
        let value = format!("{bytes} bytes to replay (limit {limit}, in {})", duration::show(half));
        (if bytes <= limit { Answer::Pass } else { Answer::Block }, value)
    }
}
