//! Asks the cluster manager for what pgvigil does not do there itself.

use std::time::Duration;

use serde_json::{Value, json};

use super::hands::{CHOSEN, Hands};
use crate::runbook::manager::patroni::client::{Change, Patroni};
use crate::runbook::manager::patroni::{Managed, Outcome, View};
use crate::runbook::run::{Plan, Probe, Run, StepResult};

impl Hands {
    /// What the manager says now; `None` if the plan does not ask it, or the config names none.
    pub(super) async fn managed(&self, plan: &Plan) -> Option<Managed> {
        let patroni = self.means.patroni.as_ref().filter(|_| plan.delegates())?;
        let (view, timing) = futures_util::future::join(patroni.cluster(), patroni.timing()).await;
        let member = |node: &str| view.as_ref().ok().and_then(|view| self.member(view, node));
        Some(Managed {
            leader: member(&plan.episode.primary),
            candidate: plan.candidate.as_deref().and_then(member),
            wait: timing.ok().map(|timing| timing.wait()),
            view: view.map_err(|error| error.to_string()),
        })
    }

    /// Asks once.
    pub(super) async fn delegate(&self, run: &Run, patience: Duration) -> (StepResult, String, Option<Value>) {
        // Nothing was asked for.
        let refused = |why: String| (StepResult::No, why, None);
        let Some(patroni) = &self.means.patroni else { return refused("the config names no Patroni".to_owned()) };
        let Some(Managed { leader, candidate, .. }) = self.managed(&run.plan).await else {
            return refused("the config names no Patroni".to_owned());
        };
        let Some(candidate) = candidate else {
            return refused("no member of Patroni is the candidate".to_owned());
        };
        let change = match (run.plan.planned, &leader) {
            (true, Some(leader)) => Change::Switchover { leader, candidate: &candidate },
            (true, None) => return refused("no member of Patroni is the primary".to_owned()),
            // The old primary is no member any more as soon as its Patroni is gone for longer than `ttl`.
            (false, _) => Change::Failover { candidate: &candidate },
        };
        match patroni.change(change, patience).await {
            Ok(Outcome::Done { timeline }) => {
                (StepResult::Done, format!("{candidate} leads on timeline {timeline}"), self.chosen(patroni).await)
            }
            Ok(Outcome::Instead { leader }) => {
                (StepResult::Done, format!("{leader} leads, instead of {candidate}"), self.chosen(patroni).await)
            }
            Ok(Outcome::Refused(why)) => refused(why),
            Ok(Outcome::Unclear(why)) => (StepResult::Unknown, why, None),
            // From before anything was asked for.
            Err(error) => refused(error.to_string()),
        }
    }

    /// Whether what was asked for came about. There is no sure no: what was asked for may still be on its way.
    pub(super) async fn was_delegated(&self, run: &Run) -> (Probe, String, Option<Value>) {
        let Some(patroni) = &self.means.patroni else {
            return (Probe::Unknown, "the config names no Patroni".to_owned(), None);
        };
        let view = match patroni.cluster().await {
            Ok(view) => view,
            Err(error) => return (Probe::Unknown, error.to_string(), None),
        };
        let Some(leader) = view.running_leader() else {
            return (Probe::Unknown, "nobody leads and runs by Patroni's word".to_owned(), None);
        };
        let said = match leader.timeline {
            Some(timeline) => format!("{} leads on timeline {timeline}", leader.name),
            None => format!("{} leads", leader.name),
        };
        match leader.timeline.is_some_and(|timeline| timeline > u64::from(run.plan.episode.timeline.0)) {
            true => (Probe::Yes, said, self.as_data(&view)),
            false => (Probe::Unknown, said, None),
        }
    }

    async fn chosen(&self, patroni: &Patroni) -> Option<Value> {
        self.as_data(&patroni.cluster().await.ok()?)
    }

    /// Which node leads, for later steps.
    fn as_data(&self, view: &View) -> Option<Value> {
        let leader = view.running_leader()?;
        let is_leader = |name: &&str| self.member(view, name).is_some_and(|member| member == leader.name);
        self.means.nodes.iter().map(|node| node.name()).find(is_leader).map(|node| json!({ CHOSEN: node }))
    }

    /// What Patroni calls this node.
    fn member(&self, view: &View, node: &str) -> Option<String> {
        let address = self.means.node(node).and_then(|node| node.member.address.as_deref());
        view.member_of(node, address).map(|member| member.name.clone())
    }
}
