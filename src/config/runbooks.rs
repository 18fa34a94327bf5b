//! What runbooks may do in a cluster: a ceiling above what each file says.

use std::path::Path;
use std::time::Duration;

use serde_saphyr::Spanned;

use super::duration;
use super::manager::Manager;
use super::problem::Problem;
use super::raw::{RawEtcd, RawRunbooks};
use super::service::{self, Service};
use crate::runbook::book::Mode;

/// What runbooks may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permit {
    /// No runbook does more than this, whatever its file says.
    pub mode: Mode,
    /// Who keeps two pgvigils from acting at once.
    pub lock: Lock,
}

/// Who keeps two pgvigils from acting at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lock {
    /// Nobody.
    None,
    /// Somebody's word that there is only one which alerts are sent to.
    SingleReceiver,
    /// A lease in etcd.
    Etcd(EtcdLock),
}

/// A lease in etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdLock {
    /// Its endpoints.
    pub service: Service,
    /// What all keys begin with; begins with a slash and does not end with one.
    pub prefix: String,
    /// How long the lease outlives its holder.
    pub ttl: Duration,
}

impl Default for Permit {
    fn default() -> Self {
        Self { mode: Mode::DryRun, lock: Lock::None }
    }
}

/// The least and the most that `ttl` may be.
pub const TTL: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(300));
const DEFAULT_TTL: Duration = Duration::from_secs(30);
const DEFAULT_PREFIX: &str = "/pgvigil";

/// Judges the section of the cluster `name`.
pub(super) fn permit(
    raw: &Spanned<RawRunbooks>,
    manager: Option<&Manager>,
    name: &str,
    dir: &Path,
) -> Result<Permit, Problem> {
    let mode = match &raw.value.mode {
        None => Mode::DryRun,
        Some(given) => {
            let known = Mode::ALL.iter().find(|(word, _)| *word == given.value).map(|(_, mode)| *mode);
            known.ok_or_else(|| {
                let what = format!(
                    "mode of runbooks of cluster {name} is none that there is: use dry-run, manual or automatic"
                );
                Problem::new(given, what)
            })?
        }
    };
    let lock = match (raw.value.single_receiver, &raw.value.lock) {
        (Some(true), Some(lock)) => {
            let what = format!("runbooks of cluster {name} have both single_receiver and lock: keep one");
            return Err(Problem::new(lock, what));
        }
        (Some(true), None) => Lock::SingleReceiver,
        (_, Some(lock)) => Lock::Etcd(etcd(&lock.value.etcd, name, dir)?),
        (_, None) => Lock::None,
    };
    let permit = Permit { mode, lock };
    match (&raw.value.mode, permit.lacks(manager)) {
        (Some(given), Some(lacking)) => {
            let what =
                format!("mode of runbooks of cluster {name} can be automatic only with {lacking}, or use manual");
            Err(Problem::new(given, what))
        }
        _ => Ok(permit),
    }
}

impl Permit {
    /// What automatic runs need and is not there.
    fn lacks(&self, manager: Option<&Manager>) -> Option<&'static str> {
        match (self.mode, manager, &self.lock) {
            (Mode::DryRun | Mode::Manual, ..) => None,
            (Mode::Automatic, None, _) => {
                Some("a written manager: none, which says that no cluster manager decides there: add it")
            }
            (Mode::Automatic, Some(Manager::None), Lock::None) => {
                Some("a lock, or single_receiver: true where alerts reach this pgvigil alone: add one of them")
            }
            (Mode::Automatic, Some(Manager::None), _) => None,
            (Mode::Automatic, Some(_), _) => {
                Some("manager: none, and a cluster manager decides there: leave it to that one")
            }
        }
    }
}

fn etcd(raw: &RawEtcd, name: &str, dir: &Path) -> Result<EtcdLock, Problem> {
    let of = format!("the etcd lock of cluster {name}");
    let service = service::Raw {
        of: &of,
        urls: ("endpoints", &raw.endpoints),
        username: raw.username.as_ref(),
        password_file: raw.password_file.as_ref(),
        ca_file: raw.ca_file.as_ref(),
    };
    let ttl = match &raw.ttl {
        None => DEFAULT_TTL,
        Some(given) => duration::within(&given.value, TTL.0, TTL.1)
            .map_err(|why| Problem::new(given, format!("ttl of {of} {why}")))?,
    };
    // etcd counts in seconds.
    if let (Some(given), true) = (&raw.ttl, ttl.subsec_nanos() != 0) {
        return Err(Problem::new(given, format!("ttl of {of} is no whole number of seconds, in which etcd counts")));
    }
    let prefix = raw.prefix.as_ref().map_or(DEFAULT_PREFIX, |prefix| prefix.value.as_str());
    match &raw.prefix {
        Some(given) if !is_prefix(prefix) => {
            let what = format!(
                "prefix of {of} is not such as {DEFAULT_PREFIX}: begin it with a slash, end it without, and use A-Z, a-z, 0-9, dot, dash, slash and underscore"
            );
            Err(Problem::new(given, what))
        }
        _ => Ok(EtcdLock { service: service.judge(dir)?, prefix: prefix.to_owned(), ttl }),
    }
}

fn is_prefix(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-/".contains(&b);
    (2..=200).contains(&text.len()) && text.starts_with('/') && !text.ends_with('/') && text.bytes().all(plain)
}
