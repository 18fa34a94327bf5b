//! Guard `manager_agrees`.

use super::{ALWAYS, About, Answer, FAILOVER, Guard, Scene, Stage};
use crate::runbook::book::{Class, Mode};

/// The cluster manager can be asked, and sees the cluster as we do.
#[derive(Debug)]
pub struct ManagerAgrees;

impl Guard for ManagerAgrees {
    fn name(&self) -> &'static str {
        "manager_agrees"
    }

    fn asks(&self) -> &'static str {
        "where the step is delegate: Patroni answers, is not paused and plans nothing itself; of a switchover the primary leads, of a \
         failover nobody does, for longer than Patroni would take to act itself; the candidate is a member that may lead"
    }

    fn classes(&self) -> &'static [Class] {
        FAILOVER
    }

    fn stages(&self) -> &'static [Stage] {
        ALWAYS
    }

    fn about(&self) -> About {
        About::Manager
    }

    fn yields_to_approval(&self) -> bool {
        false
    }

    fn judge(&self, scene: &Scene<'_>) -> (Answer, String) {
        let Some(managed) = scene.managed else {
            return (Answer::Block, "the config names no Patroni of this cluster (manager)".to_owned());
        };
        let view = match &managed.view {
            Ok(view) => view,
            Err(why) => return (Answer::Unknown, why.clone()),
        };
        let Some(candidate) = managed.candidate.as_deref() else {
            return (Answer::Block, "no member of Patroni is the candidate".to_owned());
        };
        if scene.plan.planned {
            let Some(leader) = managed.leader.as_deref() else {
                return (Answer::Block, format!("no member of Patroni is {}", scene.plan.episode.primary));
            };
            return match view.forbids_switchover(leader, candidate) {
                Some(why) => (Answer::Block, why),
                None => (Answer::Pass, format!("{leader} leads by Patroni's word, and {candidate} may")),
            };
        }
        if let Some(why) = view.forbids_failover(candidate) {
            return (Answer::Block, why);
        }
        if scene.mode() == Mode::Automatic {
            return (
                Answer::Block,
                "Patroni looks neither at lag nor at timelines then: a person has to agree".to_owned(),
            );
        }
        let gone = scene.evidence.primary.as_ref().map(|primary| scene.now.mono.since(primary.seen.mono));
        let value = format!("nobody leads by Patroni's word, and {candidate} may");
        match gone.zip(managed.wait) {
            None => (Answer::Unknown, format!("{value}; for how long the primary is gone is not known")),
            Some((gone, wait)) if gone < wait => (
                Answer::Block,
                format!("{value}; Patroni may act itself for {:.0} s more", (wait - gone).as_secs_f64()),
            ),
            Some((gone, wait)) => (
                Answer::Pass,
                format!(
                    "{value}; the primary was seen {:.0} s ago, and Patroni acts itself within {} s",
                    gone.as_secs_f64(),
                    wait.as_secs()
                ),
            ),
        }
    }
}
