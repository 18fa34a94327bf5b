//! Why a server could not be read: the one table from SQLSTATE and errno to a node's state. `docs/node-states.md` shows it to people.
//!
//! What is decided here hangs on fields that no locale changes (SQLSTATE, severity, the C function that raised the error) wherever
//! the server sends such a difference. It does not for 57P03, which is five states in one: see [`words`].

mod rules;
mod words;

use std::fmt;
use std::io::ErrorKind;

use serde::{Serialize, Serializer};

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

/// One line a cause: its name, its label, the state of a node that shows it, and what happened with what to do next.
macro_rules! causes {
    ($($variant:ident $label:literal $state:ident $meaning:literal)*) => {
        /// What kept us from reading a server, `node_connect_failure{reason}`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Cause { $(#[doc = $meaning] $variant,)* }

        impl Cause {
            /// Every cause.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];
            /// The value of label `reason` for each cause.
            pub const LABELS: &'static [&'static str] = &[$($label),*];

            /// The value of label `reason`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $label,)* }
            }

            /// The state of a node that shows this.
            pub const fn state(self) -> NodeState {
                match self { $(Self::$variant => NodeState::$state,)* }
            }

            /// What happened, and what to do next.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }
        }
    };
}

causes! {
    Refused "refused" Unreachable "nothing listens at this address and port: is the server running, are host and port right?"
    Reset "reset" Unreachable "the connection was reset: the server process died, or something between us cut it"
    Closed "closed" Unreachable "the connection was closed without a word: the server process died, or something between us cut it"
    Dns "dns" Unreachable "the host name could not be resolved: check the name and the resolver of this machine"
    NoRoute "no_route" Unreachable "there is no route to the host: it is off, or the network between us is down"
    NoSocket "no_socket" Unreachable "there is no such unix socket: is the server running, and is host its unix_socket_directories?"
    Denied "denied" Unreachable "this machine does not let us connect: a local firewall rule, or the permissions of the unix socket"
    NotPostgres "not_postgres" Unreachable "what answers there does not speak PostgreSQL's protocol: check host and port"
    Unreachable "unreachable" Unreachable "the network failed in a way that is not in our table"
    PostmasterGone "postmaster_gone" Unreachable "the postmaster died without a shutdown: killed, or out of memory; orphaned backends may still commit"
    Timeout "timeout" Timeout "no answer within the deadline: the server is frozen or overloaded, or packets are dropped"
    Backlog "backlog" Timeout "the socket's queue is full: the server is frozen, or too busy to accept connections"
    LoginTimeout "login_timeout" Timeout "the login took longer than the server's authentication_timeout"
    StatementTimeout "statement_timeout" Timeout "the server cancelled our statement: statement_timeout, or somebody's pg_cancel_backend"
    LockTimeout "lock_timeout" Timeout "our statement waited for a lock longer than lock_timeout"
    Local "local" Unknown "this machine lacks what a connection needs (descriptors, ports or memory): it says nothing about the server"
    Config "config" Unknown "how to reach the node cannot be read: correct its dsn, its dsn_file or the files that they name"
    Tls "tls" Rejecting "no TLS session could be made: compare sslmode and sslrootcert with the server's ssl settings and certificate"
    Starting "starting" Starting "the server is starting, or a standby has not reached consistency"
    Recovering "recovering" Starting "the server recovers from the crash of one of its processes"
    NotConsistent "not_consistent" Starting "recovery has not reached a consistent state yet"
    BackendCrash "backend_crash" Starting "a server process crashed and all sessions were ended; a server before 14 says the same at an immediate shutdown"
    Stopping "stopping" Stopping "the server is shutting down"
    AdminStop "admin_stop" Stopping "an administrator ended our session: a fast shutdown, or pg_terminate_backend; the next attempt tells which"
    ImmediateStop "immediate_stop" Stopping "the server was stopped in immediate mode; it will recover at its next start"
    Unavailable "unavailable" Rejecting "the server takes no connections now; its message was not recognised, so starting and stopping are not told apart"
    HotStandbyOff "hot_standby_off" Rejecting "the standby runs with hot_standby = off and takes no connections"
    ServerFull "server_full" Rejecting "all connection slots are taken: the server is up, but full; raise max_connections, or from 16 on grant pg_use_reserved_connections"
    RoleLimit "role_limit" Rejecting "our role's CONNECTION LIMIT is reached: pgvigil needs 3"
    DatabaseLimit "database_limit" Rejecting "the database's CONNECTION LIMIT is reached: raise it, or name another dbname"
    NoDatabase "no_database" Rejecting "there is no such database: correct dbname"
    DatabaseClosed "database_closed" Rejecting "the database does not allow connections: name another dbname, such as postgres"
    BadOptions "bad_options" Rejecting "the server does not accept a parameter of our connection: check options in the dsn"
    Unsupported "unsupported" Rejecting "the server does not support what we ask of it: is it older than 13?"
    SessionEnded "session_ended" Rejecting "the server ended our session by a rule of its own (a timeout, or a recovery conflict)"
    Pooler "pooler" Rejecting "a pooler answered in the server's place: let pgvigil connect to the server itself"
    ServerTrouble "server_trouble" Rejecting "the server reports trouble of its own (disk, memory or damaged data): read its log"
    Query "query" Rejecting "the server refused a statement; the session goes on"
    Other "other" Rejecting "the server refused us with an error that is not in our table"
    Password "password" AuthFailed "the password is wrong or missing: set it in the dsn, the passfile or PGPASSWORD"
    Hba "hba" AuthFailed "pg_hba.conf has no line that lets this role in from this machine: add one and reload"
    Role "role" AuthFailed "the role does not exist or may not log in: create it with LOGIN"
    NoConnect "no_connect" AuthFailed "the role has no CONNECT privilege on the database: grant it"
    Auth "auth" AuthFailed "the login failed"
}

impl Cause {
    /// Whether this is what a server shows that somebody stops on purpose.
    const fn is_intended_stop(self) -> bool {
        matches!(self, Self::Stopping | Self::AdminStop | Self::ImmediateStop)
    }

    /// Whether a server says this as its parting word in a session.
    const fn ends_a_session(self) -> bool {
        matches!(
            self,
            Self::AdminStop | Self::ImmediateStop | Self::BackendCrash | Self::PostmasterGone | Self::SessionEnded
        )
    }

    /// Whether this fits a server that has just been stopped, so that a stop seen before still stands.
    const fn may_follow_a_stop(self) -> bool {
        let gone = matches!(self.state(), NodeState::Unreachable | NodeState::Timeout | NodeState::Unknown);
        (gone && !matches!(self, Self::PostmasterGone)) || matches!(self, Self::Unavailable)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Cause {
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
