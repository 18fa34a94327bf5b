//! What each standby says of the stream that it gets from the primary in question.
//!
//! A living primary that writes is never silent for long, but an idle one is: its walsender speaks when the walreceiver asks, after half of
//! `wal_receiver_timeout`. So silence counts
//! - for `hang_limit` on a stream that was moving: the primary wrote when it was last seen, and the stream's last message is not much
//!   younger than that. One that came later shows that the primary outlived our losing it, and may simply have become idle;
//! - for `hang_limit` where an observer, or a look at the primary's own processes, agrees;
//! - else for three quarters of `wal_receiver_timeout`. `wal_sender_timeout` is no measure: while a standby replies in time, the walsender
//!   has no reason to speak.

use std::fmt;
use std::time::Duration;

use crate::clock::Moment;
use crate::cluster::upstream::Upstream;
use crate::config::duration;
use crate::pg::failure::Cause;
use crate::runbook::book::Limits;
use crate::runbook::evidence::{Evidence, Look, Primary, Receiver, Server};

/// What one standby says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// It had a message so long ago: it is fed.
    Fed(Duration),
    /// It streams and heard nothing for longer than the primary, if it lived, could be silent.
    Silent {
        /// For how long.
        silent: Duration,
        /// The limit that is over, and which it is.
        limit: Limit,
    },
    /// It streams and heard nothing for a time that an idle primary may be silent.
    Quiet {
        /// For how long; `None`: it heard nothing yet.
        silent: Option<Duration>,
        /// What it is held against; `None`: its `wal_receiver_timeout` is off.
        limit: Option<Limit>,
    },
    /// It has no walreceiver.
    Gone {
        /// Whether the primary fed it when it was last read.
        was_fed: Option<bool>,
    },
    /// Its walreceiver is there, and does not stream, or from whom is not known: which may be either.
    Unclear,
    /// It cannot be asked, and might be fed.
    Unheard(String),
    /// It is no witness, for this reason.
    Apart(&'static str),
}

/// A limit of silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    length: Duration,
    from: &'static str,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", duration::show(self.length), self.from)
    }
}

impl Word {
    /// Whether it leaves open if the primary feeds this standby.
    pub(super) fn is_open(&self) -> bool {
        matches!(self, Self::Quiet { .. } | Self::Unclear | Self::Unheard(_))
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fed(silent) => write!(f, "had a message from it {} ago", duration::show(*silent)),
            Self::Silent { silent, limit } => {
                write!(f, "has heard nothing for {} (limit {limit})", duration::show(*silent))
            }
            Self::Quiet { silent: None, .. } => f.write_str("streams and has heard nothing yet"),
            Self::Quiet { silent: Some(silent), limit: None } => {
                let silent = duration::show(*silent);
                write!(
                    f,
                    "has heard nothing for {silent}; its wal_receiver_timeout is off, so an idle stream tells nothing"
                )
            }
            Self::Quiet { silent: Some(silent), limit: Some(limit) } => {
                write!(f, "has heard nothing for {}, which is too short (limit {limit})", duration::show(*silent))
            }
            Self::Gone { was_fed: Some(false) } => f.write_str("has no walreceiver, and had none before"),
            Self::Gone { was_fed: Some(true) } => f.write_str("has no walreceiver any more"),
            Self::Gone { was_fed: None } => f.write_str("has no walreceiver"),
            Self::Unclear => f.write_str("has a walreceiver that does not stream, or not for certain from it"),
            Self::Unheard(why) => write!(f, "cannot be asked ({why})"),
            Self::Apart(why) => write!(f, "is no witness: {why}"),
        }
    }
}

/// Whether the standbys agree that the primary feeds nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// All that are witnesses do, and there is one.
    Agree,
    /// One is fed.
    Disagree,
    /// It cannot be said.
    Unknown,
}

/// The words of all standbys, by name.
pub(super) struct Words<'a>(Vec<(&'a str, Word)>);

impl<'a> Words<'a> {
    /// Asks all. `seconded`: somebody else agrees that the primary is silent.
    pub(super) fn of(evidence: &'a Evidence, primary: &Primary, limits: &Limits, seconded: bool) -> Self {
        let asked = Asked { evidence, primary, limits, seconded };
        Self(evidence.standbys().map(|(number, look)| (look.node.as_str(), asked.word(number, look))).collect())
    }

    /// Whether any is such.
    pub(super) fn any(&self, wanted: fn(&Word) -> bool) -> bool {
        self.0.iter().any(|(_, word)| wanted(word))
    }

    /// Whether they agree, with what each says.
    pub(super) fn agree(&self) -> (Agreement, String) {
        let said: Vec<String> = self.0.iter().map(|(name, word)| format!("{name} {word}")).collect();
        let said = said.join(", ");
        // A walreceiver that was not there before either says nothing.
        let tells = |word: &Word| matches!(word, Word::Silent { .. } | Word::Gone { was_fed: Some(true) });
        let might_tell = |word: &Word| matches!(word, Word::Gone { was_fed: None });
        if self.any(|word| matches!(word, Word::Fed(_))) {
            (Agreement::Disagree, said)
        } else if self.any(Word::is_open) {
            (Agreement::Unknown, said)
        } else if self.any(tells) {
            (Agreement::Agree, said)
        } else if self.any(might_tell) {
            (Agreement::Unknown, format!("whether the primary fed them when it was last read is not known: {said}"))
        } else {
            (Agreement::Unknown, format!("no standby that it fed answers: {said}"))
        }
    }
}

/// The silence after which this primary would be said to hang: the longest that holds for any standby which streams; `None` if none
/// does, or one has no limit.
pub fn hang_limit(evidence: &Evidence, limits: &Limits) -> Option<Duration> {
    let primary = evidence.primary.as_ref()?;
    let asked = Asked { evidence, primary, limits, seconded: false };
    let receivers = evidence.standbys().filter_map(|(_, look)| {
        let receiver = look.probe.as_ref().ok()?.receiver.as_ref().filter(|receiver| receiver.streams)?;
        Some(asked.limit(receiver, look.at).map(|limit| limit.length))
    });
    receivers.collect::<Option<Vec<_>>>()?.into_iter().max()
}

struct Asked<'a> {
    evidence: &'a Evidence,
    primary: &'a Primary,
    limits: &'a Limits,
    seconded: bool,
}

impl Asked<'_> {
    fn word(&self, number: usize, look: &Look) -> Word {
        let was_fed = self.primary.fed.as_ref().map(|fed| fed.contains(&number));
        match &look.probe {
            Ok(server) => self.of_server(number, look.at, server, was_fed),
            Err(failure) => match failure.cause {
                Cause::Refused | Cause::NoSocket => Word::Apart("nothing listens there, so nothing receives there"),
                _ if was_fed == Some(false) && !self.is_fed_by_primary(number, was_fed) => {
                    Word::Apart("it does not answer, and the primary did not feed it before")
                }
                _ => Word::Unheard(failure.message.clone()),
            },
        }
    }

    fn of_server(&self, number: usize, at: Moment, server: &Server, was_fed: Option<bool>) -> Word {
        if self.primary.system_identifier.is_some_and(|system| system != server.system_identifier) {
            return Word::Apart("it is another system");
        }
        if !server.in_recovery {
            return Word::Apart("it takes writes itself");
        }
        let Some(receiver) = &server.receiver else { return Word::Gone { was_fed } };
        if self.is_fed_by_another(number) {
            return Word::Apart("another standby feeds it");
        }
        match (receiver.streams, receiver.silent) {
            // It still connects.
            (false, None) => Word::Gone { was_fed },
            (false, Some(_)) => Word::Unclear,
            (true, None) => Word::Quiet { silent: None, limit: None },
            (true, Some(silent)) => match self.of_stream(receiver, at, silent) {
                // The silence of somebody else is none of the primary's.
                Word::Silent { .. } | Word::Quiet { .. } if !self.is_fed_by_primary(number, was_fed) => Word::Unclear,
                word => word,
            },
        }
    }

    fn of_stream(&self, receiver: &Receiver, at: Moment, silent: Duration) -> Word {
        match self.limit(receiver, at) {
            Some(limit) if silent >= limit.length => Word::Silent { silent, limit },
            _ if silent < self.limits.hang_limit => Word::Fed(silent),
            limit => Word::Quiet { silent: Some(silent), limit },
        }
    }

    /// How long a standby must have heard nothing at `at`.
    fn limit(&self, receiver: &Receiver, at: Moment) -> Option<Limit> {
        let hang_limit = self.limits.hang_limit;
        let last = receiver.silent.map(|silent| at.mono.minus(silent));
        let stopped_with_us = last.is_none_or(|last| last <= self.primary.seen.mono.plus(hang_limit));
        let short = match (self.seconded, self.primary.was_moving && stopped_with_us) {
            (true, _) => Some(Limit { length: hang_limit, from: "hang_limit, as others agree" }),
            (false, true) => Some(Limit { length: hang_limit, from: "hang_limit, as it was writing" }),
            (false, false) => None,
        };
        let own = receiver.timeout.filter(|timeout| !timeout.is_zero());
        let own = own.map(|timeout| Limit { length: timeout * 3 / 4, from: "0.75 of wal_receiver_timeout" });
        [short, own].into_iter().flatten().min_by_key(|limit| limit.length)
    }

    /// Whether its stream is the primary's for certain: by observation, or because the primary fed it when it was last read.
    fn is_fed_by_primary(&self, number: usize, was_fed: Option<bool>) -> bool {
        let upstream = self.evidence.assessment.nodes.get(number).and_then(|node| node.upstream.as_ref());
        let primary = self.evidence.primary_look().map(|look| look.node.as_str());
        match upstream {
            Some(Upstream::Node(name)) => primary == Some(name.as_str()),
            _ => was_fed == Some(true),
        }
    }

    /// Whether what it receives comes from another standby that we see: that stream says nothing of the primary.
    fn is_fed_by_another(&self, number: usize) -> bool {
        let upstream = self.evidence.assessment.nodes.get(number).and_then(|node| node.upstream.as_ref());
        let Some(Upstream::Node(name)) = upstream else { return false };
        let mut standbys = self.evidence.standbys();
        standbys.any(|(other, look)| {
            other != number && look.node == *name && look.probe.as_ref().is_ok_and(|server| server.in_recovery)
        })
    }
}
