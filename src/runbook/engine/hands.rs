//! What the loop of a cluster sees and does out there: looks, the lock, and the steps.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cluster::assess::Verdict;
use crate::observe::Hub;
use crate::runbook::book::{Hook, Step, Target};
use crate::runbook::evidence::Evidence;
use crate::runbook::guard::{LockState, Terms};
use crate::runbook::intake::Intent;
use crate::runbook::lock::{Acquired, Decided, Held, Holder, Lock};
use crate::runbook::manager::patroni::client::Patroni;
use crate::runbook::run::{Event, Probe, Run, StepResult};
use crate::runbook::step::hook::{Kind, Place};
use crate::runbook::step::node::Node;
use crate::runbook::step::stream::Upstream;
use crate::runbook::step::{look, promote, repoint, statement, synchronous, verify};

/// A probe of a node may take so long at most; nodes are probed together.
const LOOK_WITHIN: Duration = Duration::from_secs(2);
/// A probe of a hook may take so long.
const PROBE_WITHIN: Duration = Duration::from_secs(10);
/// Under this key a delegated run keeps which node became the primary.
pub(super) const CHOSEN: &str = "chosen";
/// What was begun may end so long after its own deadline.
const GRACE: Duration = Duration::from_secs(10);
/// A commit that waits for standbys is tried for so long after they were repointed.
const COMMIT_WITHIN: Duration = Duration::from_secs(5);

/// What the engine has for one cluster.
pub struct Means {
    /// Its name.
    pub cluster: String,
    /// What the config allows.
    pub terms: Terms,
    /// The hash of what the config says of it: a run keeps the config that it was planned with.
    pub config: String,
    /// A hash of how its nodes are reached, secrets included: another password is no other config, and needs other connections.
    pub reach: String,
    /// Its nodes, in the order of the config.
    pub nodes: Vec<Node>,
    /// The lock.
    pub lock: Lock,
    /// The cluster's Patroni, if the config names one.
    pub patroni: Option<Patroni>,
    /// Where hooks work.
    pub hooks_dir: PathBuf,
    /// Who we are to the lock: no other pgvigil's name, and the same after a restart.
    pub instance: String,
}

impl Means {
    /// Whether nothing changed.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.cluster == other.cluster && self.config == other.config && self.reach == other.reach
    }

    pub(super) fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name() == name)
    }

    /// What a hook is told of a node.
    pub(super) fn place(&self, name: &str) -> Option<Place> {
        let node = self.node(name)?;
        let (host, port) = node.address()?;
        Some(Place { node: name.to_owned(), host, port, data_dir: node.data_dir.clone() })
    }
}

/// The hands of one cluster's loop.
pub(super) struct Hands {
    pub(super) means: Arc<Means>,
    hub: Arc<Hub>,
    held: Option<Held>,
}

impl Hands {
    pub(super) fn new(means: Arc<Means>, hub: Arc<Hub>) -> Self {
        Self { means, hub, held: None }
    }

    /// Probes every node anew. A node has as long for it as observation gives it for a connection and a query: a frozen primary is
    /// waited for in every look.
    pub(super) async fn look(&self) -> Evidence {
        let within = {
            let cluster = self.hub.cluster();
            let timing = &cluster.layout().timing;
            (timing.connect_timeout + timing.query_timeout).min(LOOK_WITHIN)
        };
        look::look(&self.means.nodes, &self.hub, within).await
    }

    /// Whether the right to act was got and not given back.
    pub(super) fn holds(&self) -> bool {
        self.held.is_some()
    }

    /// The fencing token.
    pub(super) fn token(&self) -> Option<u64> {
        self.held.as_ref().map(Held::token)
    }

    /// Gets the right to act, for this run.
    pub(super) async fn lock(&mut self, run: &Run) -> LockState {
        if self.held.is_none() {
            let holder = Holder { run: run.id.clone(), instance: self.means.instance.clone() };
            match self.means.lock.acquire(run.plan.episode.system_identifier, &holder).await {
                Ok(Acquired::Held(held)) => self.held = Some(held),
                Ok(Acquired::Elsewhere(holder)) => {
                    return LockState::Elsewhere(format!("run {} of {}", holder.run, holder.instance));
                }
                Err(error) => return LockState::Unknown(error.to_string()),
            }
        }
        self.still_ours().await
    }

    /// Whether the lock is ours at this moment.
    pub(super) async fn still_ours(&mut self) -> LockState {
        let Some(held) = &self.held else { return LockState::NotYet };
        match held.check().await {
            Ok(()) => LockState::Held(held.token()),
            Err(error) => {
                self.held = None;
                LockState::Unknown(error.to_string())
            }
        }
    }

    /// The lock as the guards are to see it.
    pub(super) async fn state(&self) -> LockState {
        match &self.held {
            None => LockState::NotYet,
            Some(held) => match held.check().await {
                Ok(()) => LockState::Held(held.token()),
                Err(error) => LockState::Unknown(error.to_string()),
            },
        }
    }

    /// Gives the right to act back.
    pub(super) async fn let_go(&mut self) {
        if let Some(held) = self.held.take()
            && let Err(error) = held.release().await
        {
            tracing::warn!(cluster = %self.means.cluster, "the lock was not given back, and ends by itself: {error}");
        }
    }

    /// Writes down beside the lock whom this run promotes, or finds that another wrote down somebody else.
    pub(super) async fn same_candidate(&self, run: &Run) -> Result<bool, String> {
        let Some(held) = &self.held else { return Err("the lock is not held".to_owned()) };
        let decision = json!({ "candidate": run.plan.candidate, "plan": run.plan.plan });
        match held.decide(&run.plan.episode.to_string(), &decision).await {
            Ok(Decided::Ours) => Ok(true),
            Ok(Decided::Found(found)) => Ok(found.get("candidate") == decision.get("candidate")),
            Err(error) => Err(error.to_string()),
        }
    }

    /// By when the step that was begun has ended, from its beginning on.
    pub(super) fn deadline(&self, run: &Run) -> Duration {
        let own = match run.current() {
            Some(Step::Fence(hook) | Step::Run { hook, .. }) => hook.timeout,
            Some(
                Step::Promote { timeout }
                | Step::Delegate { timeout }
                | Step::Repoint { timeout }
                | Step::Sql { timeout, .. },
            ) => *timeout,
            Some(Step::Wait(rest)) => *rest,
            Some(Step::Verify { standbys_streaming_within, .. }) => standbys_streaming_within.unwrap_or_default(),
            None => Duration::ZERO,
        };
        own + GRACE
    }

    /// Does the step that was written down.
    pub(super) async fn act(&self, intent: Intent, run: &Run) -> Event {
        let began = Instant::now();
        let (result, detail, data) = match run.current() {
            None => (StepResult::Failed, "there is no such step".to_owned(), None),
            Some(step) => self.do_step(step, run).await,
        };
        let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Event::Did { step: intent.step(), attempt: intent.attempt(), result, detail, millis, data }
    }

    async fn do_step(&self, step: &Step, run: &Run) -> (StepResult, String, Option<Value>) {
        let (result, detail) = match step {
            Step::Fence(hook) | Step::Run { hook, .. } => {
                return self.run_hook(&hook.argv, hook.timeout, run, Kind::Action).await;
            }
            Step::Promote { timeout } => self.promote(run, *timeout).await,
            Step::Delegate { timeout } => return self.delegate(run, *timeout).await,
            Step::Repoint { timeout } => self.repoint(run, *timeout).await,
            Step::Sql { on, statement, timeout, .. } => self.sql(run, *on, statement, *timeout).await,
            Step::Wait(rest) => {
                tokio::time::sleep(*rest).await;
                (StepResult::Done, format!("waited {} s", rest.as_secs_f64()))
            }
            Step::Verify { one_writable, standbys_streaming_within } => {
                match self.verify(run, *one_writable, *standbys_streaming_within).await {
                    (Verdict::Yes, detail) => (StepResult::Done, detail),
                    (Verdict::No, detail) => (StepResult::Failed, detail),
                    (Verdict::Unknown, detail) => (StepResult::Unknown, detail),
                }
            }
        };
        (result, detail, None)
    }

    async fn promote(&self, run: &Run, timeout: Duration) -> (StepResult, String) {
        let Some(candidate) = self.candidate(run) else { return no_candidate() };
        match promote::promote(candidate, run.plan.episode.timeline, &run.id, timeout).await {
            Ok(promoted) => (StepResult::Done, promoted.to_string()),
            Err(error) => (StepResult::Unknown, error.to_string()),
        }
    }

    async fn repoint(&self, run: &Run, timeout: Duration) -> (StepResult, String) {
        let Some(candidate) = self.candidate(run) else { return no_candidate() };
        let to = match self.upstream(run).await {
            Ok(to) => to,
            Err(why) => return (StepResult::Failed, why),
        };
        let outcomes = repoint::repoint(&self.followers(run), candidate, &to, timeout).await;
        let all_stream = outcomes.iter().all(|one| matches!(one.outcome, repoint::Outcome::Streams { .. }));
        let mut said: Vec<String> = outcomes.iter().map(ToString::to_string).collect();
        let synchronous = synchronous::try_commit(candidate, &run.id, COMMIT_WITHIN).await;
        said.push(synchronous.to_string());
        let is_degraded = matches!(synchronous, synchronous::Synchronous::Degraded(_));
        let result = if all_stream && !is_degraded { StepResult::Done } else { StepResult::Failed };
        (result, said.join("; "))
    }

    async fn sql(&self, run: &Run, on: Target, sql: &str, timeout: Duration) -> (StepResult, String) {
        let nodes: Vec<&Node> = match on {
            Target::Primary => self.means.node(&run.plan.episode.primary).into_iter().collect(),
            Target::Candidate => self.candidate(run).into_iter().collect(),
            Target::Standbys => self.followers(run),
        };
        let answers = statement::run(&nodes, sql, timeout).await;
        let unsure = answers.iter().any(|(_, answer)| answer.as_ref().is_err_and(|error| !error.is_harmless()));
        let failed = answers.is_empty() || answers.iter().any(|(_, answer)| answer.is_err());
        let said = answers.iter().map(|(node, answer)| match answer {
            Ok(table) => format!("{node}: {} rows", table.total),
            Err(error) => format!("{node}: {error}"),
        });
        let said: Vec<String> = said.collect();
        let result = match (unsure, failed) {
            (true, _) => StepResult::Unknown,
            (false, true) => StepResult::Failed,
            (false, false) => StepResult::Done,
        };
        (result, said.join("; "))
    }

    async fn verify(&self, run: &Run, one_writable: bool, within: Option<Duration>) -> (Verdict, String) {
        let Some(candidate) = self.candidate(run) else { return (Verdict::No, "the plan has no candidate".to_owned()) };
        let timeline = match self.upstream(run).await {
            Ok(to) => to.timeline,
            Err(why) => return (Verdict::Unknown, why),
        };
        let old = run.plan.episode.primary.as_str();
        let wanted = verify::Wanted {
            primary: candidate.name(),
            timeline,
            without: if run.fenced { [old].into() } else { [].into() },
            gone: Some(old).filter(|_| !run.plan.planned),
            one_writable,
            streaming_within: within,
        };
        verify::verify(&self.means.nodes, &wanted).await
    }

    /// Asks whether the step is done.
    pub(super) async fn probe(&self, run: &Run) -> (Probe, String, Option<Value>) {
        if let Some(
            Step::Fence(Hook { probe: Some(argv), .. }) | Step::Run { hook: Hook { probe: Some(argv), .. }, .. },
        ) = run.current()
        {
            let (result, detail, data) = self.run_hook(argv, PROBE_WITHIN, run, Kind::Probe).await;
            let answer = match result {
                StepResult::Done | StepResult::AlreadyDone => Probe::Yes,
                StepResult::No => Probe::No,
                _ => Probe::Unknown,
            };
            return (answer, detail, data);
        }
        if let Some(Step::Delegate { .. }) = run.current() {
            return self.was_delegated(run).await;
        }
        let (answer, detail) = self.ask(run).await;
        (answer, detail, None)
    }

    /// Asks servers whether the step is done.
    async fn ask(&self, run: &Run) -> (Probe, String) {
        match run.current() {
            Some(Step::Fence(_) | Step::Run { .. }) => (Probe::Unknown, "it has no probe".to_owned()),
            Some(Step::Promote { .. }) => match self.candidate(run) {
                Some(candidate) => {
                    three(promote::probe_promoted(candidate, run.plan.episode.timeline, LOOK_WITHIN).await)
                }
                None => (Probe::Unknown, "the plan has no candidate".to_owned()),
            },
            Some(Step::Delegate { .. }) => (Probe::Unknown, "the cluster manager is asked".to_owned()),
            Some(Step::Repoint { .. }) => match self.candidate(run) {
                Some(candidate) => self.all_follow(run, candidate).await,
                None => (Probe::Unknown, "the plan has no candidate".to_owned()),
            },
            Some(Step::Verify { one_writable, .. }) => three(self.verify(run, *one_writable, None).await),
            Some(Step::Sql { .. } | Step::Wait(_)) | None => (Probe::Unknown, "it cannot be asked".to_owned()),
        }
    }

    async fn all_follow(&self, run: &Run, candidate: &Node) -> (Probe, String) {
        let to = match self.upstream(run).await {
            Ok(to) => to,
            Err(why) => return (Probe::Unknown, why),
        };
        let others = self.followers(run);
        let each = others.iter().map(async |node| repoint::follows(node, candidate, &to, LOOK_WITHIN).await);
        let answers = futures_util::future::join_all(each).await;
        let worst =
            answers.iter().map(|(verdict, _)| *verdict).fold(Verdict::Yes, |worst, verdict| match (worst, verdict) {
                (Verdict::No, _) | (_, Verdict::No) => Verdict::No,
                (Verdict::Unknown, _) | (_, Verdict::Unknown) => Verdict::Unknown,
                _ => Verdict::Yes,
            });
        let said: Vec<String> = answers.into_iter().map(|(_, said)| said).collect();
        three((worst, said.join("; ")))
    }

    /// The new primary as standbys are to follow it.
    async fn upstream(&self, run: &Run) -> Result<Upstream, String> {
        let node = self.candidate(run).ok_or("the plan has no candidate")?;
        let (host, port) = node.address().ok_or_else(|| {
            format!("nobody knows at which address other servers reach {}: set its address", node.name())
        })?;
        let evidence = self.look().await;
        let look = evidence.nodes.iter().find(|look| look.node == node.name());
        match look.map(|look| &look.probe) {
            Some(Ok(server)) if !server.in_recovery && server.timeline > run.plan.episode.timeline => {
                Ok(Upstream { host, port, timeline: server.timeline, fork: None })
            }
            Some(Ok(server)) => Err(format!("{} is no primary of a new timeline ({})", node.name(), server.timeline)),
            Some(Err(failure)) => Err(format!("{} does not answer: {failure}", node.name())),
            None => Err("the candidate is no node of the config any more".to_owned()),
        }
    }

    fn candidate(&self, run: &Run) -> Option<&Node> {
        self.means.node(new_primary(run)?)
    }

    /// The nodes that are neither the old primary nor the candidate.
    pub(super) fn followers(&self, run: &Run) -> Vec<&Node> {
        let (primary, candidate) = (run.plan.episode.primary.as_str(), new_primary(run));
        self.means.nodes.iter().filter(|node| node.name() != primary && Some(node.name()) != candidate).collect()
    }

    /// What came about, for people.
    pub(super) fn report(&self, run: &Run) -> String {
        let candidate = new_primary(run).unwrap_or("nobody");
        let mut said = match run.promoted {
            true if run.plan.delegates() => format!("{candidate} is the primary: Patroni promoted it"),
            true if run.plan.planned => {
                format!(
                    "{candidate} is the primary; {} was stopped in order, and no WAL is lost",
                    run.plan.episode.primary
                )
            }
            true => {
                format!("{candidate} is the primary; {} is fenced and has to be rejoined", run.plan.episode.primary)
            }
            false => "all steps are done".to_owned(),
        };
        if let Some(bytes) = run.loss_bytes.filter(|_| !run.plan.planned) {
            said += &format!("; at most {bytes} bytes of WAL are lost");
        }
        for left_out in &run.left_out {
            said += &format!("; left out: {left_out}");
        }
        said
    }
}

/// Who is the primary once the promotion came about: a cluster manager may have chosen another.
fn new_primary(run: &Run) -> Option<&str> {
    let chosen = run.data.get(CHOSEN).and_then(Value::as_str).filter(|_| run.plan.delegates());
    chosen.or(run.plan.candidate.as_deref())
}

fn no_candidate() -> (StepResult, String) {
    (StepResult::Failed, "the plan has no candidate".to_owned())
}

fn three((verdict, said): (Verdict, String)) -> (Probe, String) {
    let answer = match verdict {
        Verdict::Yes => Probe::Yes,
        Verdict::No => Probe::No,
        Verdict::Unknown => Probe::Unknown,
    };
    (answer, said)
}
