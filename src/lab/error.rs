//! What can go wrong in the lab, each with what to do next.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// An error of the lab.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A program that the lab needs is not installed.
    #[error("{what} not found (looked in {looked}): install it with `{install}`, or set {variable}")]
    Missing {
        /// The program.
        what: &'static str,
        /// Where it was looked for.
        looked: String,
        /// The command that installs it.
        install: &'static str,
        /// The environment variable that points to it.
        variable: &'static str,
    },
    /// The file system refused.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A program ran and failed.
    #[error("{program} failed ({status}): {output}")]
    Command {
        /// The program.
        program: String,
        /// Its exit status.
        status: String,
        /// The end of what it printed.
        output: String,
    },
    /// A process ended before it was ready.
    #[error("{name} ended while it was starting ({status}); the end of its log:\n{log}")]
    Ended {
        /// The process.
        name: String,
        /// Its exit status.
        status: String,
        /// The end of its log.
        log: String,
    },
    /// A server could not be reached.
    #[error("cannot connect to server {server}: {why}")]
    Connect {
        /// The server.
        server: String,
        /// The reason.
        why: String,
    },
    /// A statement failed.
    #[error("server {server} refused {sql:?}: {why}")]
    Sql {
        /// The server.
        server: String,
        /// The statement.
        sql: String,
        /// The reason, with its SQLSTATE where the server gave one.
        why: String,
    },
    /// A condition was not met in time.
    #[error("waited {:.1} s for {what}; last seen: {last}", within.as_secs_f64())]
    Timeout {
        /// What was awaited.
        what: String,
        /// For how long.
        within: Duration,
        /// The last seen value.
        last: String,
    },
    /// The process that a fault is meant for does not run.
    #[error("{server} has no running {what}")]
    NoProcess {
        /// The server.
        server: String,
        /// The process.
        what: String,
    },
    /// The kernel refused a signal.
    #[error("cannot signal process {pid}: {source}")]
    Signal {
        /// The process.
        pid: i32,
        /// Why it failed.
        source: std::io::Error,
    },
    /// No free port was found.
    #[error("no free TCP port on 127.0.0.1 between {low} and {high}: end some of the servers that listen there")]
    NoPort {
        /// The first port tried.
        low: u16,
        /// The last port tried.
        high: u16,
    },
    /// A base backup holds something that the lab cannot copy.
    #[error("cannot copy server {server}: {why}")]
    Backup {
        /// The source server.
        server: String,
        /// The reason.
        why: String,
    },
}

impl LabError {
    /// Attaches what was tried, and on which path, to an I/O error.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }
}

/// Lets a probe of [`super::wait_until`] use `?`: the error is then the last seen value.
impl From<LabError> for String {
    fn from(error: LabError) -> Self {
        error.to_string()
    }
}
