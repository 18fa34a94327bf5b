//! What decides on failover in a cluster: nobody, or a cluster manager, beside which pgvigil promotes nothing itself.

use std::path::{Path, PathBuf};

use serde_saphyr::Spanned;

use super::problem::Problem;
use super::raw::{RawManager, RawPgAutoFailover, RawRepmgr};
use super::service::{self, Service};

/// What decides on failover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manager {
    /// Nothing does, and somebody wrote that down.
    None,
    /// Patroni, by its REST API. Any member's answers for all.
    Patroni(Service),
    /// repmgr.
    Repmgr(Repmgr),
    /// pg_auto_failover.
    PgAutoFailover(PgAutoFailover),
}

/// repmgr.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repmgr {
    /// Its config on the nodes, as it stands in the commands that a person is told.
    pub conf: PathBuf,
}

/// pg_auto_failover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PgAutoFailover {
    /// The formation, as it stands in the commands that a person is told.
    pub formation: String,
}

/// Where Debian and the documentation have repmgr's config.
const REPMGR_CONF: &str = "/etc/repmgr.conf";
/// The formation that is there without another word.
const FORMATION: &str = "default";

impl Manager {
    /// Its word in the config.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Patroni(_) => "patroni",
            Self::Repmgr(_) => "repmgr",
            Self::PgAutoFailover(_) => "pg_auto_failover",
        }
    }

    /// Where it answers over HTTP, if it does.
    pub fn service(&self) -> Option<&Service> {
        match self {
            Self::Patroni(service) => Some(service),
            Self::None | Self::Repmgr(_) | Self::PgAutoFailover(_) => None,
        }
    }
}

/// Judges the key of the cluster `name`. Relative paths count from `dir`, but for those that are another machine's.
pub(super) fn manager(raw: &Spanned<RawManager>, name: &str, dir: &Path) -> Result<Manager, Problem> {
    match &raw.value {
        RawManager::None => Ok(Manager::None),
        RawManager::Patroni(patroni) => service::Raw {
            of: &format!("patroni of cluster {name}"),
            urls: ("urls", &patroni.urls),
            username: patroni.username.as_ref(),
            password_file: patroni.password_file.as_ref(),
            ca_file: patroni.ca_file.as_ref(),
        }
        .judge(dir)
        .map(Manager::Patroni),
        RawManager::Repmgr(RawRepmgr { conf }) => match conf {
            None => Ok(Manager::Repmgr(Repmgr { conf: REPMGR_CONF.into() })),
            Some(given) if is_word(&given.value) && given.value.starts_with('/') => {
                Ok(Manager::Repmgr(Repmgr { conf: given.value.clone().into() }))
            }
            Some(given) => {
                let what =
                    format!("conf of repmgr of cluster {name} is no whole path of a file, such as {REPMGR_CONF}");
                Err(Problem::new(given, what))
            }
        },
        RawManager::PgAutoFailover(RawPgAutoFailover { formation }) => match formation {
            None => Ok(Manager::PgAutoFailover(PgAutoFailover { formation: FORMATION.to_owned() })),
            Some(given) if is_word(&given.value) => {
                Ok(Manager::PgAutoFailover(PgAutoFailover { formation: given.value.clone() }))
            }
            Some(given) => {
                let what = format!(
                    "formation of pg_auto_failover of cluster {name} is no name: use 1 to 255 of A-Z, a-z, 0-9, dot, dash, slash and underscore"
                );
                Err(Problem::new(given, what))
            }
        },
    }
}

/// Whether it can stand in a command as it is.
fn is_word(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-/".contains(&b);
    (1..=255).contains(&text.len()) && text.bytes().all(plain) && !text.starts_with('-')
}
