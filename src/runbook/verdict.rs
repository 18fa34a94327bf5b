//! What is to be said of the primary whose failure is in question. Pure.
//!
//! "I cannot reach it" is no verdict on a server: it is [`PrimaryVerdict::Cut`] or unknown. The primary is [`PrimaryVerdict::Gone`]
//! where nothing listens at its address *and* no standby that could tell has a walreceiver any more; it is [`PrimaryVerdict::Hung`]
//! where it is silent and every such standby hears nothing either, for longer than a living primary can be silent: see [`stream`].
//! Neither is proof of its death: that is a verified fence alone. Whatever is missing makes it unknown.

mod stream;

use std::time::Duration;

use super::book::Limits;
use super::evidence::{Evidence, Look, Primary, Server};
use crate::clock::Moment;
use crate::cluster::observers::Others;
use crate::config::duration;
use crate::pg::failure::{Cause, Failure, NodeState};
pub use stream::{Agreement, hang_limit};
use stream::{Word, Words};

/// What is to be said of the primary in question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrimaryVerdict {
    /// It answers and takes writes.
    Alive,
    /// Another node took over and takes writes.
    Elsewhere {
        /// Its number.
        node: usize,
    },
    /// Somebody stopped it on purpose, and may start it again.
    Stopping,
    /// It answers, and does not serve us: full, starting, a wrong password, an expired certificate.
    Refuses,
    /// It takes no new sessions and feeds nobody.
    Gone,
    /// It is silent to us and to every standby.
    Hung,
    /// It lives, or what keeps us from it lies between us.
    Cut,
    /// It cannot be said.
    Unknown,
}

impl PrimaryVerdict {
    /// Every word of [`PrimaryVerdict::as_str`].
    pub const ALL: [&'static str; 8] = ["alive", "elsewhere", "stopping", "refuses", "gone", "hung", "cut", "unknown"];

    /// The verdict in a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Elsewhere { .. } => "elsewhere",
            Self::Stopping => "stopping",
            Self::Refuses => "refuses",
            Self::Gone => "gone",
            Self::Hung => "hung",
            Self::Cut => "cut",
            Self::Unknown => "unknown",
        }
    }

    /// Whether a failover may be thought of.
    pub const fn has_failed(self) -> bool {
        matches!(self, Self::Gone | Self::Hung)
    }
}

/// The verdict, and why: a sentence with the values that were seen and the limits that they were held against.
pub fn of(evidence: &Evidence, limits: &Limits, now: Moment) -> (PrimaryVerdict, String) {
    let unknown = |why: &str| (PrimaryVerdict::Unknown, why.to_owned());
    let Some(primary) = &evidence.primary else { return unknown("no primary of this cluster was ever seen") };
    let Some(look) = evidence.primary_look() else {
        return unknown("the primary in question is no node of the config");
    };
    let own = look.probe.as_ref().ok().filter(|own| !own.in_recovery);
    let took_over = |writer: &Server| {
        let ours = primary.system_identifier.is_none_or(|system| system == writer.system_identifier);
        ours && own.map_or(writer.timeline >= primary.timeline, |own| writer.timeline > own.timeline)
    };
    let mut writers = evidence.writers().filter(|(node, _)| *node != primary.node);
    if let Some((node, writer)) = writers.find(|(_, writer)| took_over(writer)) {
        let name = name_of(evidence, node);
        let why =
            format!("{name} takes writes on timeline {}; {} wrote {}", writer.timeline, look.node, primary.timeline);
        return (PrimaryVerdict::Elsewhere { node }, why);
    }
    match &look.probe {
        Ok(server) if primary.system_identifier.is_some_and(|system| system != server.system_identifier) => {
            let why = format!("{} is another system now: its identifier is {}", look.node, server.system_identifier);
            (PrimaryVerdict::Unknown, why)
        }
        Ok(server) if server.in_recovery => {
            (PrimaryVerdict::Refuses, format!("{} answers, and is in recovery: somebody made it a standby", look.node))
        }
        Ok(server) => {
            (PrimaryVerdict::Alive, format!("{} answers and takes writes on timeline {}", look.node, server.timeline))
        }
        Err(failure) => Case { evidence, primary, look, failure, limits, now }.judge(),
    }
}

/// What a failed probe proves by itself.
enum Proof {
    /// A server answered.
    Answered,
    /// The fault is ours, or lies between us.
    Ours,
    /// Nothing listens.
    NothingListens,
    /// Nothing comes back.
    Silence,
    /// Nothing.
    Nothing,
}

impl Proof {
    fn of(failure: &Failure) -> Self {
        match failure.cause {
            Cause::Refused | Cause::NoSocket | Cause::PostmasterGone => Self::NothingListens,
            Cause::Timeout | Cause::Backlog | Cause::NoRoute => Self::Silence,
            Cause::LoginTimeout | Cause::StatementTimeout | Cause::LockTimeout => Self::Answered,
            Cause::Dns | Cause::Denied | Cause::Local | Cause::Config => Self::Ours,
            Cause::Pooler | Cause::NotPostgres | Cause::Reset | Cause::Closed | Cause::Unreachable => Self::Nothing,
            _ => match failure.cause.state() {
                NodeState::Starting | NodeState::Stopping | NodeState::Rejecting | NodeState::AuthFailed => {
                    Self::Answered
                }
                NodeState::Up | NodeState::Timeout | NodeState::Unreachable | NodeState::Unknown => Self::Nothing,
            },
        }
    }
}

/// A primary that could not be read.
struct Case<'a> {
    evidence: &'a Evidence,
    primary: &'a Primary,
    look: &'a Look,
    failure: &'a Failure,
    limits: &'a Limits,
    now: Moment,
}

impl Case<'_> {
    fn judge(&self) -> (PrimaryVerdict, String) {
        let node = &self.look.node;
        let said = format!("{node}: {}", self.failure.message);
        if let Some(since) = self.stopped() {
            let (age, grace) = (self.now.mono.since(since.mono), self.limits.restart_grace);
            if age < grace {
                let why = format!(
                    "{node} was stopped on purpose {} ago and has {} to come back (restart_grace)",
                    duration::show(age),
                    duration::show(grace)
                );
                return (PrimaryVerdict::Stopping, why);
            }
        }
        match Proof::of(self.failure) {
            Proof::Answered => return (PrimaryVerdict::Refuses, format!("it answers, so it runs: {said}")),
            Proof::Ours => return (PrimaryVerdict::Cut, format!("what keeps us from it is not its own: {said}")),
            Proof::NothingListens | Proof::Silence | Proof::Nothing => {}
        }
        if self.evidence.blind {
            return (PrimaryVerdict::Unknown, "our own loops were late, and no full round was made since".to_owned());
        }
        let Some(assessed) = self.evidence.assessment.nodes.get(self.primary.node) else {
            return (PrimaryVerdict::Unknown, format!("there is no observation of {node}"));
        };
        if let Some(observer) = self.seen_alive(&assessed.others) {
            return (PrimaryVerdict::Cut, format!("observer {observer}, and it was seen later than we saw it; {said}"));
        }
        if assessed.witnessed {
            let why = format!("a standby got a message from it after we had lost it; {said}");
            return (PrimaryVerdict::Cut, why);
        }
        let (verdict, why) = self.by_streams(&assessed.others);
        (verdict, format!("{said}; {why}"))
    }

    /// Since when it is stopped on purpose, as far as is known.
    fn stopped(&self) -> Option<Moment> {
        self.primary.stopping.or_else(|| self.failure.intended_stop.then_some(self.look.at))
    }

    /// An observer that has had an answer from it since we saw it last, with what it saw.
    fn seen_alive(&self, others: &Others) -> Option<String> {
        let ended = self.evidence.ended.mono;
        others.opinions.iter().find_map(|opinion| {
            let answers = !matches!(opinion.state, NodeState::Timeout | NodeState::Unreachable | NodeState::Unknown);
            let age = opinion.age_seconds.map(|age| Duration::try_from_secs_f64(age).unwrap_or(Duration::MAX));
            let later = age.is_none_or(|age| ended.minus(age) > self.primary.seen.mono);
            (answers && opinion.silence.is_none() && later)
                .then(|| format!("{} sees it {}", opinion.observer, opinion.state))
        })
    }

    /// By what the standbys hear of it.
    fn by_streams(&self, others: &Others) -> (PrimaryVerdict, String) {
        let seconded = seconded(self.primary, others);
        let words = Words::of(self.evidence, self.primary, self.limits, seconded.is_some());
        let (agreement, mut why) = words.agree();
        if let Some(seconded) = seconded {
            why = format!("{why}, and {seconded}");
        }
        match agreement {
            Agreement::Agree => {}
            Agreement::Disagree => {
                return (PrimaryVerdict::Cut, format!("its standbys hear from it, and only we do not: {why}"));
            }
            Agreement::Unknown => return (PrimaryVerdict::Unknown, why),
        }
        let silent = words.any(|word| matches!(word, Word::Silent { .. }));
        let nowhere = self.primary.processes == Some(0);
        match Proof::of(self.failure) {
            Proof::NothingListens if silent => (PrimaryVerdict::Hung, why),
            Proof::NothingListens => (PrimaryVerdict::Gone, why),
            Proof::Silence if nowhere => (PrimaryVerdict::Gone, why),
            Proof::Silence => (PrimaryVerdict::Hung, why),
            Proof::Answered | Proof::Ours | Proof::Nothing => {
                (PrimaryVerdict::Unknown, format!("the connection was cut, which says nothing of the server: {why}"))
            }
        }
    }
}

/// Who agrees that it is silent, other than the standbys.
fn seconded(primary: &Primary, others: &Others) -> Option<&'static str> {
    match primary.processes {
        Some(0) => Some("no process of its data directory is left"),
        _ if others.down > 0 => Some("another observer gets no answer either"),
        _ => None,
    }
}

/// Whether the standbys agree that the primary feeds nobody, with what each says.
pub fn standbys(evidence: &Evidence, limits: &Limits) -> (Agreement, String) {
    let Some(primary) = &evidence.primary else {
        return (Agreement::Unknown, "no primary of this cluster was ever seen".to_owned());
    };
    let observed = evidence.assessment.nodes.get(primary.node);
    let seconded = observed.and_then(|node| seconded(primary, &node.others)).is_some();
    Words::of(evidence, primary, limits, seconded).agree()
}

/// The same after a verified fence, which agrees that the primary is silent.
pub fn fenced(evidence: &Evidence, limits: &Limits) -> (Agreement, String) {
    match &evidence.primary {
        Some(primary) => Words::of(evidence, primary, limits, true).agree(),
        None => (Agreement::Unknown, "no primary of this cluster was ever seen".to_owned()),
    }
}

fn name_of(evidence: &Evidence, node: usize) -> &str {
    evidence.nodes.get(node).map_or("?", |look| look.node.as_str())
}
