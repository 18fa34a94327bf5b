//! Guard `nothing_lost`.

use super::{AFTER_FENCE, Answer, FAILOVER, Guard, NEVER, Scene, Stage};
use crate::pg::lsn::Lsn;
use crate::runbook::book::Class;

/// The key under which the hook that stopped the primary, or its probe, says where its WAL ends.
const KEY: &str = "shutdown_checkpoint_lsn";

/// The candidate has all that the old primary wrote.
#[derive(Debug)]
pub struct NothingLost;

impl Guard for NothingLost {
    fn name(&self) -> &'static str {
        "nothing_lost"
    }

    fn asks(&self) -> &'static str {
        "the candidate has received and replayed the checkpoint with which the old primary shut down, the last record that it wrote"
    }

    fn classes(&self) -> &'static [Class] {
        FAILOVER
    }

    fn stages(&self) -> &'static [Stage] {
        NEVER
    }

    fn planned_stages(&self) -> &'static [Stage] {
        AFTER_FENCE
    }

    fn yields_to_approval(&self) -> bool {
        false
    }

    fn judge(&self, scene: &Scene<'_>) -> (Answer, String) {
        let said = scene.data.get(KEY).and_then(|lsn| lsn.as_str());
        let Some(checkpoint) = said.and_then(|lsn| lsn.parse::<Lsn>().ok()) else {
            return (Answer::Unknown, format!("the fence did not say where the old primary's WAL ends ({KEY})"));
        };
        let Some((server, replayed)) = scene.candidate_server().and_then(|server| Some((server, server.replayed?)))
        else {
            return (Answer::Unknown, "how much the candidate has replayed is not known".to_owned());
        };
        let value = format!(
            "the old primary shut down with the checkpoint at {checkpoint}; the candidate has received to {} and replayed to {replayed}",
            server.position
        );
        // A position is where the next record begins: beyond the beginning of this one all of it is there.
        (if server.position.min(replayed) > checkpoint { Answer::Pass } else { Answer::Block }, value)
    }
}
