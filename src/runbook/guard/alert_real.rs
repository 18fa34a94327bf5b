//! Guard `alert_real`.

use super::{ACTING, Answer, BEFORE_ACTING, Guard, NEVER, Scene, Stage};
use crate::runbook::book::Class;
use std::time::Duration;

use crate::config::duration;
use crate::runbook::book::Trigger;
use crate::runbook::guard::{Cause, age};

/// How old the newest word of an alert may be.
const NEWS: Duration = Duration::from_secs(60);

/// What woke the run still holds.
#[derive(Debug)]
pub struct AlertReal;

impl Guard for AlertReal {
    fn name(&self) -> &'static str {
        "alert_real"
    }

    fn asks(&self) -> &'static str {
        "the alert fires, Alertmanager left none out and handed it in within the last 60 s; else what we see ourselves must agree"
    }

    fn classes(&self) -> &'static [Class] {
        ACTING
    }

    fn stages(&self) -> &'static [Stage] {
        BEFORE_ACTING
    }

    fn planned_stages(&self) -> &'static [Stage] {
        NEVER
    }

    fn yields_to_approval(&self) -> bool {
        true
    }

    fn judge(&self, scene: &Scene<'_>) -> (Answer, String) {
        let (name, firing, truncated, received) = match &scene.plan.cause {
            Cause::Person { by } => return (Answer::Pass, format!("{by} asks for it")),
            Cause::Observation if scene.plan.triggers.contains(&Trigger::Observation) => {
                return (Answer::Pass, "our own observation asks for it".to_owned());
            }
            Cause::Observation => {
                return (Answer::Block, "the runbook's trigger does not name observation".to_owned());
            }
            Cause::Alert { name, firing, truncated, received, .. } => (name, *firing, *truncated, *received),
        };
        let age = age(scene.now, received);
        let value = match (firing, truncated) {
            (false, _) => format!("{name} is resolved"),
            (true, 0) if age <= NEWS => {
                return (Answer::Pass, format!("{name} fires, by word of {} ago", duration::show(age)));
            }
            (true, 0) => {
                format!("{name} was last heard of {} ago (limit {})", duration::show(age), duration::show(NEWS))
            }
            (true, truncated) => format!("Alertmanager left out {truncated} alerts of the group of {name}"),
        };
        let (verdict, _) = scene.verdict();
        match verdict.has_failed() {
            true => (Answer::Pass, format!("{value}, but we see ourselves that the primary is {}", verdict.as_str())),
            false => (Answer::Block, format!("{value}, and for us the primary is {}", verdict.as_str())),
        }
    }
}
