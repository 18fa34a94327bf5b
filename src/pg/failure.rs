//! Why a server could not be read: the one table from SQLSTATE and errno to a node's state. `docs/node-states.md` shows it to people.
//!
//! What is decided here hangs on fields that no locale changes (SQLSTATE, severity, the C function that raised the error) wherever
//! the server sends such a difference. It does not for 57P03, which is five states in one: see [`words`].

mod cause;
mod rules;
mod words;

use std::fmt;
use std::io::ErrorKind;

use serde::{Serialize, Serializer};

pub use cause::Cause;
pub use rules::{ANSWERS, AnswerRule, IO_ERRORS, IoRule};

/// The state of a node, `node_state{state}`: always exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NodeState {
    /// A fresh reading exists.
    Up,
    /// It runs and will take connections later: starting, in crash recovery, a standby before consistency.
    Starting,
    /// It is being shut down on purpose.
    Stopping,
    /// It answers, and refuses us for a reason other than who we are.
    Rejecting,
    /// It answers, and does not accept our role or password.
    AuthFailed,
    /// It did not answer within the deadline: frozen, overloaded, or packets are dropped.
    Timeout,
    /// No PostgreSQL server could be reached there.
    Unreachable,
    /// Not asked yet, or we were blind ourselves. Neither up nor down.
    Unknown,
}

impl NodeState {
    /// The value of label `state` for each state.
    pub const ALL: &'static [&'static str] = &[
        Self::Up.as_str(),
        Self::Starting.as_str(),
        Self::Stopping.as_str(),
        Self::Rejecting.as_str(),
        Self::AuthFailed.as_str(),
        Self::Timeout.as_str(),
        Self::Unreachable.as_str(),
        Self::Unknown.as_str(),
    ];

    /// The state of this name.
    pub fn named(name: &str) -> Option<Self> {
        let all = [
            Self::Up,
            Self::Starting,
            Self::Stopping,
            Self::Rejecting,
            Self::AuthFailed,
            Self::Timeout,
            Self::Unreachable,
            Self::Unknown,
        ];
        all.into_iter().find(|state| state.as_str() == name)
    }

    /// The value of label `state`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Starting => "starting",
            Self::Stopping => "stopping",
            Self::Rejecting => "rejecting",
            Self::AuthFailed => "auth_failed",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for NodeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for NodeState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Why a server could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The node's state as long as this is the last word.
    pub state: NodeState,
    /// What kept us from reading it.
    pub cause: Cause,
    /// The server's SQLSTATE, if the server answered.
    pub sqlstate: Option<String>,
    /// What happened and what to do next, in one sentence that is safe to show.
    pub message: String,
    /// Somebody stops this server on purpose: it said so, or it said so just before it went away.
    pub intended_stop: bool,
}

impl Failure {
    /// A failure with its plain meaning; `detail` (who said what) is shown behind it, cut to one line of at most 300 characters.
    pub fn new(cause: Cause, detail: &str) -> Self {
        let detail = one_line(detail);
        let message =
            if detail.is_empty() { cause.meaning().to_owned() } else { format!("{} ({detail})", cause.meaning()) };
        Self { state: cause.state(), cause, sqlstate: None, message, intended_stop: cause.is_intended_stop() }
    }

    /// This failure as the next word after `previous` (`None` if the server could be read in between). A server that goes silent
    /// while it is being stopped was stopped, not lost; one that refuses in words unknown to us was still stopping; and a session
    /// that is cut after a parting word ended by that word.
    #[must_use]
    pub fn after(mut self, previous: Option<&Self>) -> Self {
        if let Some(previous) = previous
            && matches!(self.cause, Cause::Closed | Cause::Reset)
            && previous.cause.ends_a_session()
        {
            return previous.clone();
        }
        let stopped = previous.is_some_and(|previous| previous.intended_stop);
        if stopped && self.cause.may_follow_a_stop() {
            self.intended_stop = true;
            if self.cause == Cause::Unavailable {
                self.state = NodeState::Stopping;
            }
        }
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// The fields of an ErrorResponse, or of the notice that a server sends before it cuts a session, which decide what it means.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// Field V, never localised: ERROR leaves the session usable, FATAL and PANIC do not; WARNING comes before a cut.
    pub severity: &'a str,
    /// Field C.
    pub sqlstate: &'a str,
    /// Field M, in the language of the server's `lc_messages`.
    pub message: &'a str,
    /// Field D.
    pub detail: Option<&'a str>,
    /// Field R: the C function that raised it. Poolers send none.
    pub routine: Option<&'a str>,
}

/// What a server's refusal means. `previous` is the failure just before it, `None` if the server could be read in between.
pub fn classify_server_error(answer: &Answer<'_>, previous: Option<&Failure>) -> Failure {
    let rule = ANSWERS.iter().find(|rule| rule.matches(answer));
    let cause = match rule.map_or(Cause::Other, |rule| rule.cause) {
        Cause::Unavailable => words::cause_of(answer.message).unwrap_or(Cause::Unavailable),
        cause => cause,
    };
    let said = match answer.detail {
        Some(detail) if answer.severity != "WARNING" => format!("{} {detail}", answer.message),
        _ => answer.message.to_owned(),
    };
    let mut failure = Failure::new(cause, &format!("SQLSTATE {}: {said}", answer.sqlstate));
    failure.sqlstate = Some(answer.sqlstate.chars().take(5).collect());
    failure.after(previous)
}

/// What a failed system call means, by its errno, or by its kind where it carries none (a deadline, an end of file).
pub fn classify_io(kind: ErrorKind, raw_os_error: Option<i32>, previous: Option<&Failure>) -> Failure {
    let rule = match raw_os_error {
        Some(errno) => IO_ERRORS.iter().find(|rule| rule.errno.is_some_and(|known| known.raw_os_error() == errno)),
        None => IO_ERRORS.iter().find(|rule| rule.kind == kind && kind != ErrorKind::Other),
    };
    let detail = match rule {
        Some(rule) if raw_os_error.is_some() => rule.name.to_owned(),
        _ => raw_os_error.map_or_else(|| kind.to_string(), |errno| format!("errno {errno}")),
    };
    let cause = rule.map_or(Cause::Unreachable, |rule| rule.cause);
    let said_already = matches!(cause, Cause::Timeout | Cause::Closed) && raw_os_error.is_none();
    Failure::new(cause, if said_already { "" } else { &detail }).after(previous)
}

/// One line without control characters, of at most 300 characters.
fn one_line(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut line: String = plain.take(300).collect();
    line.truncate(line.trim_end().len());
    line
}

#[cfg(test)]
mod tests;
