//! Guard `no_manager`.

use super::{ALWAYS, About, Answer, FAILOVER, Guard, Scene, Stage};
use crate::runbook::book::Class;
use crate::runbook::book::Mode;

/// No cluster manager runs this cluster.
#[derive(Debug)]
pub struct NoManager;

impl Guard for NoManager {
    fn name(&self) -> &'static str {
        "no_manager"
    }

    fn asks(&self) -> &'static str {
        "no cluster manager is seen on a server or written in the config; automatic runs need a written `manager: none`"
    }

    fn classes(&self) -> &'static [Class] {
        FAILOVER
    }

    fn stages(&self) -> &'static [Stage] {
        ALWAYS
    }

    fn about(&self) -> About {
        About::Ourselves
    }

    fn yields_to_approval(&self) -> bool {
        false
    }

    fn judge(&self, scene: &Scene<'_>) -> (Answer, String) {
        let found = scene.evidence.servers().find_map(|(number, server)| Some((number, server.manager.as_ref()?)));
        if let Some((number, manager)) = found {
            let node = scene.evidence.nodes.get(number).map_or("?", |look| look.node.as_str());
            let (kind, by) = (manager.kind.as_str(), &manager.by);
            return (Answer::Block, format!("{kind} is seen on {node} by {by}: let it do this"));
        }
        match (scene.terms.manager, scene.mode()) {
            (Some("none"), _) => (Answer::Pass, "manager: none, and no mark of one is seen".to_owned()),
            (Some(manager), _) => (Answer::Block, format!("manager: {manager}: let it do this")),
            (None, Mode::Automatic) => {
                (Answer::Block, "the config does not say manager: none, which automatic runs need".to_owned())
            }
            (None, Mode::DryRun | Mode::Manual) => (Answer::Pass, "no mark of a manager is seen".to_owned()),
        }
    }
}
