//! Guard `candidate_valid`.

use super::{ALWAYS, Answer, FAILOVER, Guard, Scene, Stage};
use crate::cluster::assess::Verdict;
use crate::config::duration;
use crate::runbook::book::Class;
use crate::runbook::candidate;
use crate::runbook::evidence::Server;

/// The candidate can be promoted.
#[derive(Debug)]
pub struct CandidateValid;

impl Guard for CandidateValid {
    fn name(&self) -> &'static str {
        "candidate_valid"
    }

    fn asks(&self) -> &'static str {
        "the candidate answers, is a standby of this system on the timeline that failed, nothing stands in its way, no standby has received \
         more, and there is an admin DSN for it"
    }

    fn classes(&self) -> &'static [Class] {
        FAILOVER
    }

    fn stages(&self) -> &'static [Stage] {
        ALWAYS
    }

    fn yields_to_approval(&self) -> bool {
        false
    }

    fn judge(&self, scene: &Scene<'_>) -> (Answer, String) {
        let Some((number, look)) = scene.candidate.zip(scene.candidate_look()) else {
            return (Answer::Block, "no standby can take over".to_owned());
        };
        let node = &look.node;
        let server = match &look.probe {
            Ok(server) => server,
            Err(failure) => return (Answer::Unknown, format!("{node}: {failure}")),
        };
        if let Some(fault) = fault(scene, number, server) {
            return (Answer::Block, format!("{node}: {fault}"));
        }
        let Some(promotable) = candidate::promotable(scene.evidence, number) else {
            return (Answer::Unknown, format!("{node}: there is no observation of it as a standby"));
        };
        let reasons: Vec<_> = promotable.reasons.iter().map(|reason| reason.as_str()).collect();
        let reasons = reasons.join(", ");
        let verdict = if is_moving(scene) { candidate::verdict_while_moving(promotable) } else { promotable.verdict };
        match verdict {
            Verdict::Yes => (Answer::Pass, format!("{node} at {} on timeline {}", server.position, server.timeline)),
            Verdict::No => (Answer::Block, format!("{node} cannot take over: {reasons}")),
            Verdict::Unknown => (Answer::Unknown, format!("whether {node} can take over is not known: {reasons}")),
        }
    }
}

/// Whether the primary lives and feeds all standbys on, so that who has received more says nothing.
fn is_moving(scene: &Scene<'_>) -> bool {
    scene.plan.planned && scene.stage != Stage::Promote
}

/// What the fresh probe finds against it.
fn fault(scene: &Scene<'_>, number: usize, server: &Server) -> Option<String> {
    let (evidence, episode) = (scene.evidence, &scene.plan.episode);
    if evidence.primary.as_ref().is_some_and(|primary| primary.node == number) {
        return Some("it is the primary that failed".to_owned());
    }
    if !server.in_recovery {
        return Some("it is not in recovery".to_owned());
    }
    if server.system_identifier != episode.system_identifier {
        return Some(format!("it is another system: {}", server.system_identifier));
    }
    if server.timeline != episode.timeline {
        return Some(format!("it is on timeline {}, and {} failed", server.timeline, episode.timeline));
    }
    if server.replay_paused {
        return Some("its replay is paused".to_owned());
    }
    if !server.apply_delay.is_zero() {
        return Some(format!("it replays {} late (recovery_min_apply_delay)", duration::show(server.apply_delay)));
    }
    if !evidence.nodes.get(number).is_some_and(|look| look.has_admin) {
        return Some("there is no admin_dsn for it".to_owned());
    }
    if is_moving(scene) {
        return None;
    }
    let ahead = evidence.servers().find(|(_, other)| {
        other.in_recovery
            && other.system_identifier == server.system_identifier
            && other.timeline == server.timeline
            && other.position > server.position
    });
    let (ahead, other) = ahead?;
    let name = evidence.nodes.get(ahead).map_or("?", |look| look.node.as_str());
    Some(format!("{name} has received more: {} against {}", other.position, server.position))
}
