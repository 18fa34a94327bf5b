//! What a run would do: from a runbook, what woke it and a look at the cluster. Pure.

use ring::digest::{Context, SHA256};

use super::book::{Book, Class, Mode};
use super::evidence::Evidence;
use super::guard::{Answer, Cause, GUARDS, Seen, Terms};
use super::run::{Episode, Plan};

/// Why nothing can be planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPlan {
    /// No primary was ever seen, so that nothing can have failed.
    #[error("no primary of the cluster was ever seen: there is nothing to plan")]
    NoPrimary,
    /// The primary was seen, and not which system it is.
    #[error("the system identifier of the cluster was never seen: there is nothing to plan")]
    NoSystem,
}

/// What would be done, before any guard was judged.
pub fn plan(
    book: &Book,
    config: &str,
    terms: &Terms,
    cause: &Cause,
    evidence: &Evidence,
    candidate: Option<usize>,
) -> Result<Plan, NoPlan> {
    let primary = evidence.primary.as_ref().ok_or(NoPlan::NoPrimary)?;
    let system_identifier = primary.system_identifier.ok_or(NoPlan::NoSystem)?;
    let node = evidence.nodes.get(primary.node).ok_or(NoPlan::NoPrimary)?;
    let episode = Episode {
        cluster: evidence.cluster.clone(),
        system_identifier,
        timeline: primary.timeline,
        primary: node.node.clone(),
    };
    let candidate = candidate.filter(|_| book.class == Class::Failover);
    let candidate = candidate.and_then(|number| evidence.nodes.get(number)).map(|look| look.node.clone());
    let loss_bytes = candidate.as_deref().filter(|_| !book.planned).and_then(|name| evidence.loss_to(name));
    let mut plan = Plan {
        plan: String::new(),
        episode,
        runbook: book.name.clone(),
        book: hash(&[book.text.as_bytes()]),
        config: config.to_owned(),
        class: book.class,
        planned: book.planned,
        mode: mode(book, terms),
        triggers: book.triggers.clone(),
        cause: cause.clone(),
        limits: book.limits,
        steps: book.steps.clone(),
        candidate,
        loss_bytes,
        guards: Vec::new(),
    };
    plan.plan = identity(&plan);
    Ok(plan)
}

/// The least of what the runbook and the config allow. Without the means to act nothing is done.
fn mode(book: &Book, terms: &Terms) -> Mode {
    book.mode.min(terms.ceiling_of(book.delegates()))
}

/// What an approval is of: what would be done to whom, and by which words. Positions move on, and are judged by the guards again.
fn identity(plan: &Plan) -> String {
    let candidate = plan.candidate.as_deref().unwrap_or("-");
    let steps = serde_json::to_vec(&plan.steps).unwrap_or_default();
    let parts = [plan.episode.to_string(), candidate.to_owned(), plan.book.clone(), plan.config.clone()];
    let mut parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
    parts.push(&steps);
    // Short enough to be typed, and long enough that no two plans of a cluster share it.
    hash(&parts).chars().take(16).collect()
}

/// SHA-256 of the parts, in hex.
pub fn hash(parts: &[&[u8]]) -> String {
    let mut digest = Context::new(&SHA256);
    for part in parts {
        digest.update(&(part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether all guards let it pass, or only such do not as a person may overrule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// All do.
    Clear,
    /// A person may overrule those that do not.
    Doubtful,
    /// At least one does not, and nobody may overrule it.
    Blocked,
}

/// The judgement of what every guard saw. A guard that is not known overrules everybody.
pub fn judgement(seen: &[Seen]) -> Judgement {
    let not_passed = || seen.iter().filter(|seen| seen.answer != Answer::Pass);
    let yields = |seen: &Seen| GUARDS.iter().any(|guard| guard.name() == seen.guard && guard.yields_to_approval());
    match (not_passed().next().is_none(), not_passed().all(yields)) {
        (true, _) => Judgement::Clear,
        (false, true) => Judgement::Doubtful,
        (false, false) => Judgement::Blocked,
    }
}

/// Whether each guard that does not pass now did not in `before` either.
pub fn were_doubted(before: &[Seen], now: &[Seen]) -> bool {
    let passed = |name: &str| before.iter().any(|seen| seen.guard == name && seen.answer == Answer::Pass);
    now.iter().all(|seen| seen.answer == Answer::Pass || !passed(&seen.guard))
}
