//! The table itself: what a server's answer and a system call's errno mean. The first row that matches counts.

use std::io::ErrorKind;

use rustix::io::Errno;

use super::{Answer, Cause};

/// One row for answers of a server.
#[derive(Debug)]
pub struct AnswerRule {
    /// The SQLSTATE; `53*` is its whole class, `*` every one.
    pub sqlstate: &'static str,
    /// The C function that raised it; `*` any, `-` none: PostgreSQL always names it, poolers never do.
    pub routine: &'static str,
    /// ERROR; FATAL, which covers PANIC; or `*`.
    pub severity: &'static str,
    /// What it means.
    pub cause: Cause,
}

impl AnswerRule {
    pub(super) fn matches(&self, answer: &Answer<'_>) -> bool {
        let sqlstate = match self.sqlstate.strip_suffix('*') {
            Some(class) => answer.sqlstate.starts_with(class),
            None => answer.sqlstate == self.sqlstate,
        };
        let routine = match self.routine {
            "*" => true,
            "-" => answer.routine.is_none(),
            routine => answer.routine == Some(routine),
        };
        let severity = match self.severity {
            "*" => true,
            "FATAL" => matches!(answer.severity, "FATAL" | "PANIC"),
            severity => answer.severity == severity,
        };
        sqlstate && routine && severity
    }
}

const fn row(sqlstate: &'static str, routine: &'static str, severity: &'static str, cause: Cause) -> AnswerRule {
    AnswerRule { sqlstate, routine, severity, cause }
}

/// What answers of a server mean. Seen on servers 13 to 18, but for the rows of poolers and the last resorts.
pub const ANSWERS: &[AnswerRule] = &[
    row("57P01", "ProcessInterrupts", "*", Cause::AdminStop),
    row("57P01", "quickdie", "*", Cause::ImmediateStop),
    row("57P01", "secure_read", "*", Cause::PostmasterGone),
    row("57P01", "secure_write", "*", Cause::PostmasterGone),
    row("57P01", "-", "*", Cause::Pooler),
    row("57P01", "*", "*", Cause::SessionEnded),
    row("57P02", "*", "*", Cause::BackendCrash),
    row("57P03", "*", "*", Cause::Unavailable),
    row("57P04", "*", "*", Cause::NoDatabase),
    row("57P05", "*", "*", Cause::SessionEnded),
    row("25P03", "*", "*", Cause::SessionEnded),
    row("25P04", "*", "*", Cause::SessionEnded),
    row("40001", "*", "FATAL", Cause::SessionEnded),
    row("57014", "*", "FATAL", Cause::LoginTimeout),
    row("57014", "*", "ERROR", Cause::StatementTimeout),
    row("55P03", "*", "*", Cause::LockTimeout),
    row("53300", "InitializeSessionUserId", "*", Cause::RoleLimit),
    row("53300", "CheckMyDatabase", "*", Cause::DatabaseLimit),
    row("53300", "-", "*", Cause::Pooler),
    row("53300", "*", "*", Cause::ServerFull),
    row("28P01", "*", "*", Cause::Password),
    row("28000", "ClientAuthentication", "*", Cause::Hba),
    row("28000", "InitializeSessionUserId", "*", Cause::Role),
    row("28*", "*", "*", Cause::Auth),
    row("3D000", "*", "*", Cause::NoDatabase),
    row("42501", "CheckMyDatabase", "FATAL", Cause::NoConnect),
    row("42501", "*", "FATAL", Cause::Auth),
    row("55000", "CheckMyDatabase", "FATAL", Cause::DatabaseClosed),
    row("42704", "*", "FATAL", Cause::BadOptions),
    row("22023", "*", "FATAL", Cause::BadOptions),
    row("42601", "*", "FATAL", Cause::BadOptions),
    row("08*", "-", "*", Cause::Pooler),
    row("08P01", "*", "FATAL", Cause::Unsupported),
    row("0A000", "*", "FATAL", Cause::Unsupported),
    row("53*", "*", "*", Cause::ServerTrouble),
    row("58*", "*", "*", Cause::ServerTrouble),
    row("XX*", "*", "*", Cause::ServerTrouble),
    row("*", "*", "ERROR", Cause::Query),
    row("*", "-", "*", Cause::Pooler),
    row("*", "*", "*", Cause::Other),
];

/// One row for failed system calls.
#[derive(Debug)]
pub struct IoRule {
    /// The errno's name, or the kind's where a failure carries no errno.
    pub name: &'static str,
    /// The errno.
    pub errno: Option<Errno>,
    /// The kind, for failures without errno.
    pub kind: ErrorKind,
    /// What it means.
    pub cause: Cause,
}

const fn errno(name: &'static str, errno: Errno, kind: ErrorKind, cause: Cause) -> IoRule {
    IoRule { name, errno: Some(errno), kind, cause }
}

const fn kind(name: &'static str, kind: ErrorKind, cause: Cause) -> IoRule {
    IoRule { name, errno: None, kind, cause }
}

/// What failed system calls mean.
pub const IO_ERRORS: &[IoRule] = &[
    errno("ECONNREFUSED", Errno::CONNREFUSED, ErrorKind::ConnectionRefused, Cause::Refused),
    errno("ECONNRESET", Errno::CONNRESET, ErrorKind::ConnectionReset, Cause::Reset),
    errno("ECONNABORTED", Errno::CONNABORTED, ErrorKind::ConnectionAborted, Cause::Reset),
    errno("EPIPE", Errno::PIPE, ErrorKind::BrokenPipe, Cause::Reset),
    errno("ENOTCONN", Errno::NOTCONN, ErrorKind::NotConnected, Cause::Reset),
    errno("ETIMEDOUT", Errno::TIMEDOUT, ErrorKind::TimedOut, Cause::Timeout),
    errno("EHOSTUNREACH", Errno::HOSTUNREACH, ErrorKind::HostUnreachable, Cause::NoRoute),
    errno("ENETUNREACH", Errno::NETUNREACH, ErrorKind::NetworkUnreachable, Cause::NoRoute),
    errno("ENETDOWN", Errno::NETDOWN, ErrorKind::NetworkDown, Cause::NoRoute),
    errno("EHOSTDOWN", Errno::HOSTDOWN, ErrorKind::HostUnreachable, Cause::NoRoute),
    errno("ENOENT", Errno::NOENT, ErrorKind::NotFound, Cause::NoSocket),
    errno("ENOTDIR", Errno::NOTDIR, ErrorKind::NotADirectory, Cause::NoSocket),
    errno("EACCES", Errno::ACCESS, ErrorKind::PermissionDenied, Cause::Denied),
    errno("EPERM", Errno::PERM, ErrorKind::PermissionDenied, Cause::Denied),
    errno("EAGAIN", Errno::AGAIN, ErrorKind::WouldBlock, Cause::Backlog),
    errno("EADDRNOTAVAIL", Errno::ADDRNOTAVAIL, ErrorKind::AddrNotAvailable, Cause::Local),
    errno("EMFILE", Errno::MFILE, ErrorKind::Other, Cause::Local),
    errno("ENFILE", Errno::NFILE, ErrorKind::Other, Cause::Local),
    errno("ENOBUFS", Errno::NOBUFS, ErrorKind::Other, Cause::Local),
    errno("ENOMEM", Errno::NOMEM, ErrorKind::OutOfMemory, Cause::Local),
    kind("end of file", ErrorKind::UnexpectedEof, Cause::Closed),
    kind("deadline", ErrorKind::TimedOut, Cause::Timeout),
];
