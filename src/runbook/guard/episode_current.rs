//! Guard `episode_current`.

use super::{ALWAYS, Answer, FAILOVER, Guard, Scene, Stage};
use crate::cluster::assess::Verdict;
use crate::runbook::book::Class;
use crate::runbook::evidence::Server;

/// The run is still about the cluster as it is.
#[derive(Debug)]
pub struct EpisodeCurrent;

impl Guard for EpisodeCurrent {
    fn name(&self) -> &'static str {
        "episode_current"
    }

    fn asks(&self) -> &'static str {
        "the cluster is still that of the run: its system identifier, the timeline that failed and no newer one, the same primary, and no node \
         takes writes (of a switchover, before it is stopped, none but the primary)"
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
        let (evidence, episode) = (scene.evidence, &scene.plan.episode);
        let unknown = |why: &str| (Answer::Unknown, why.to_owned());
        let Some((primary, look)) = evidence.primary.as_ref().zip(evidence.primary_look()) else {
            return unknown("no primary of this cluster was ever seen");
        };
        if let Some(changed) = changed(scene) {
            return (Answer::Block, changed);
        }
        if primary.system_identifier.is_none() {
            return unknown("the primary's system identifier was never seen");
        }
        match evidence.assessment.timeline {
            None => unknown("no timeline of this cluster was ever seen"),
            Some(newest) if newest > episode.timeline => {
                (Answer::Block, format!("timeline {newest} has begun; the run is about {}", episode.timeline))
            }
            Some(_) if evidence.assessment.split_brain == Verdict::Yes => {
                (Answer::Block, "more than one node was seen to take writes".to_owned())
            }
            Some(_) => {
                let system = episode.system_identifier;
                (
                    Answer::Pass,
                    format!("{} was the primary of system {system} on timeline {}", look.node, episode.timeline),
                )
            }
        }
    }
}

/// What is not as it was when the run began.
fn changed(scene: &Scene<'_>) -> Option<String> {
    let (evidence, episode) = (scene.evidence, &scene.plan.episode);
    let (primary, look) = evidence.primary.as_ref().zip(evidence.primary_look())?;
    let name = |number: usize| evidence.nodes.get(number).map_or("?", |look| look.node.as_str());
    // What is planned begins with a primary that lives.
    let may_write = |number: usize| scene.plan.planned && scene.stage != Stage::Promote && number == primary.node;
    if let Some((number, server)) = evidence.writers().find(|(number, _)| !may_write(*number)) {
        return Some(format!("{} takes writes on timeline {}", name(number), server.timeline));
    }
    if evidence.cluster != episode.cluster || look.node != episode.primary {
        return Some(format!(
            "the primary is {} of {}; the run is about {}",
            look.node, evidence.cluster, episode.primary
        ));
    }
    if primary.system_identifier.is_some_and(|system| system != episode.system_identifier) {
        return Some(format!("the cluster is another system than {}", episode.system_identifier));
    }
    if primary.timeline != episode.timeline {
        return Some(format!("the primary wrote timeline {}; the run is about {}", primary.timeline, episode.timeline));
    }
    let ours = |server: &Server| server.system_identifier == episode.system_identifier;
    let mut newer = evidence.servers().filter(|(_, server)| ours(server) && server.timeline > episode.timeline);
    let (number, server) = newer.next()?;
    Some(format!("{} is on timeline {}; the run is about {}", name(number), server.timeline, episode.timeline))
}
