//! What kept us from reading a server: one row a cause.

use std::fmt;

use serde::{Serialize, Serializer};

use super::NodeState;

/// What kept us from reading a server, `node_connect_failure{reason}`. [`Cause::meaning`] says what happened and what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the row of each says what it means")]
pub enum Cause {
    Refused,
    Reset,
    Closed,
    Dns,
    NoRoute,
    NoSocket,
    Denied,
    NotPostgres,
    Unreachable,
    PostmasterGone,
    Timeout,
    Backlog,
    LoginTimeout,
    StatementTimeout,
    LockTimeout,
    Local,
    Config,
    Tls,
    Starting,
    Recovering,
    NotConsistent,
    BackendCrash,
    Stopping,
    AdminStop,
    ImmediateStop,
    Unavailable,
    HotStandbyOff,
    ServerFull,
    RoleLimit,
    DatabaseLimit,
    NoDatabase,
    DatabaseClosed,
    BadOptions,
    Unsupported,
    SessionEnded,
    Pooler,
    ServerTrouble,
    Query,
    Other,
    Password,
    Hba,
    Role,
    NoConnect,
    Auth,
}

/// One cause.
struct Row {
    cause: Cause,
    label: &'static str,
    state: NodeState,
    meaning: &'static str,
}

const fn row(cause: Cause, label: &'static str, state: NodeState, meaning: &'static str) -> Row {
    Row { cause, label, state, meaning }
}

/// In the order of the enum: its label, the state of a node that shows it, and what happened with what to do next.
#[rustfmt::skip]
static ROWS: [Row; 44] = [
    row(Cause::Refused, "refused", NodeState::Unreachable, "nothing listens at this address and port: is the server running, are host and port right?"),
    row(Cause::Reset, "reset", NodeState::Unreachable, "the connection was reset: the server process died, or something between us cut it"),
    row(Cause::Closed, "closed", NodeState::Unreachable, "the connection was closed without a word: the server process died, or something between us cut it"),
    row(Cause::Dns, "dns", NodeState::Unreachable, "the host name could not be resolved: check the name and the resolver of this machine"),
    row(Cause::NoRoute, "no_route", NodeState::Unreachable, "there is no route to the host: it is off, or the network between us is down"),
    row(Cause::NoSocket, "no_socket", NodeState::Unreachable, "there is no such unix socket: is the server running, and is host its unix_socket_directories?"),
    row(Cause::Denied, "denied", NodeState::Unreachable, "this machine does not let us connect: a local firewall rule, or the permissions of the unix socket"),
    row(Cause::NotPostgres, "not_postgres", NodeState::Unreachable, "what answers there does not speak PostgreSQL's protocol: check host and port"),
    row(Cause::Unreachable, "unreachable", NodeState::Unreachable, "the network failed in a way that is not in our table"),
    row(Cause::PostmasterGone, "postmaster_gone", NodeState::Unreachable, "the postmaster died without a shutdown: killed, or out of memory; orphaned backends may still commit"),
    row(Cause::Timeout, "timeout", NodeState::Timeout, "no answer within the deadline: the server is frozen or overloaded, or packets are dropped"),
    row(Cause::Backlog, "backlog", NodeState::Timeout, "the socket's queue is full: the server is frozen, or too busy to accept connections"),
    row(Cause::LoginTimeout, "login_timeout", NodeState::Timeout, "the login took longer than the server's authentication_timeout"),
    row(Cause::StatementTimeout, "statement_timeout", NodeState::Timeout, "the server cancelled our statement: statement_timeout, or somebody's pg_cancel_backend"),
    row(Cause::LockTimeout, "lock_timeout", NodeState::Timeout, "our statement waited for a lock longer than lock_timeout"),
    row(Cause::Local, "local", NodeState::Unknown, "this machine lacks what a connection needs (descriptors, ports or memory): it says nothing about the server"),
    row(Cause::Config, "config", NodeState::Unknown, "how to reach the node cannot be read: correct its dsn, its dsn_file or the files that they name"),
    row(Cause::Tls, "tls", NodeState::Rejecting, "no TLS session could be made: compare sslmode and sslrootcert with the server's ssl settings and certificate"),
    row(Cause::Starting, "starting", NodeState::Starting, "the server is starting, or a standby has not reached consistency"),
    row(Cause::Recovering, "recovering", NodeState::Starting, "the server recovers from the crash of one of its processes"),
    row(Cause::NotConsistent, "not_consistent", NodeState::Starting, "recovery has not reached a consistent state yet"),
    row(Cause::BackendCrash, "backend_crash", NodeState::Starting, "a server process crashed and all sessions were ended; a server before 14 says the same at an immediate shutdown"),
    row(Cause::Stopping, "stopping", NodeState::Stopping, "the server is shutting down"),
    row(Cause::AdminStop, "admin_stop", NodeState::Stopping, "an administrator ended our session: a fast shutdown, or pg_terminate_backend; the next attempt tells which"),
    row(Cause::ImmediateStop, "immediate_stop", NodeState::Stopping, "the server was stopped in immediate mode; it will recover at its next start"),
    row(Cause::Unavailable, "unavailable", NodeState::Rejecting, "the server takes no connections now; its message was not recognised, so starting and stopping are not told apart"),
    row(Cause::HotStandbyOff, "hot_standby_off", NodeState::Rejecting, "the standby runs with hot_standby = off and takes no connections"),
    row(Cause::ServerFull, "server_full", NodeState::Rejecting, "all connection slots are taken: the server is up, but full; raise max_connections, or from 16 on grant pg_use_reserved_connections"),
    row(Cause::RoleLimit, "role_limit", NodeState::Rejecting, "our role's CONNECTION LIMIT is reached: pgvigil needs 3"),
    row(Cause::DatabaseLimit, "database_limit", NodeState::Rejecting, "the database's CONNECTION LIMIT is reached: raise it, or name another dbname"),
    row(Cause::NoDatabase, "no_database", NodeState::Rejecting, "there is no such database: correct dbname"),
    row(Cause::DatabaseClosed, "database_closed", NodeState::Rejecting, "the database does not allow connections: name another dbname, such as postgres"),
    row(Cause::BadOptions, "bad_options", NodeState::Rejecting, "the server does not accept a parameter of our connection: check options in the dsn"),
    row(Cause::Unsupported, "unsupported", NodeState::Rejecting, "the server does not support what we ask of it: it is too old"),
    row(Cause::SessionEnded, "session_ended", NodeState::Rejecting, "the server ended our session by a rule of its own (a timeout, or a recovery conflict)"),
    row(Cause::Pooler, "pooler", NodeState::Rejecting, "a pooler answered in the server's place: let pgvigil connect to the server itself"),
    row(Cause::ServerTrouble, "server_trouble", NodeState::Rejecting, "the server reports trouble of its own (disk, memory or damaged data): read its log"),
    row(Cause::Query, "query", NodeState::Rejecting, "the server refused a statement; the session goes on"),
    row(Cause::Other, "other", NodeState::Rejecting, "the server refused us with an error that is not in our table"),
    row(Cause::Password, "password", NodeState::AuthFailed, "the password is wrong or missing: set it in the dsn, the passfile or PGPASSWORD"),
    row(Cause::Hba, "hba", NodeState::AuthFailed, "pg_hba.conf has no line that lets this role in from this machine: add one and reload"),
    row(Cause::Role, "role", NodeState::AuthFailed, "the role does not exist or may not log in: create it with LOGIN"),
    row(Cause::NoConnect, "no_connect", NodeState::AuthFailed, "the role has no CONNECT privilege on the database: grant it"),
    row(Cause::Auth, "auth", NodeState::AuthFailed, "the login failed"),
];

impl Cause {
    /// Every cause.
    pub fn all() -> impl Iterator<Item = Self> {
        ROWS.iter().map(|row| row.cause)
    }

    /// The value of label `reason`.
    pub fn as_str(self) -> &'static str {
        self.row().label
    }

    /// The state of a node that shows this.
    pub fn state(self) -> NodeState {
        self.row().state
    }

    /// What happened, and what to do next.
    pub fn meaning(self) -> &'static str {
        self.row().meaning
    }

    fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }

    /// Whether this is what a server shows that somebody stops on purpose.
    pub(super) fn is_intended_stop(self) -> bool {
        matches!(self, Self::Stopping | Self::AdminStop | Self::ImmediateStop)
    }

    /// Whether a server says this as its parting word in a session.
    pub(super) const fn ends_a_session(self) -> bool {
        matches!(
            self,
            Self::AdminStop | Self::ImmediateStop | Self::BackendCrash | Self::PostmasterGone | Self::SessionEnded
        )
    }

    /// Whether this fits a server that has just been stopped, so that a stop seen before still stands.
    pub(super) fn may_follow_a_stop(self) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_the_order_of_the_enum() {
        for (index, row) in ROWS.iter().enumerate() {
            assert_eq!(row.cause as usize, index, "{}", row.label);
        }
    }
}
