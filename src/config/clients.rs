//! What the clients of a cluster use to find the primary.

use std::path::{Path, PathBuf};

use serde_saphyr::Spanned;

use super::problem::Problem;
use super::raw::RawClients;
use super::secret::Secret;
use super::settings::{Dsn, dsn_of, name, unique};

/// What clients that write use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clients {
    /// What it is called; unique in its cluster.
    pub name: String,
    /// How it is tried.
    pub way: Way,
}

/// How it is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// A connection string, which may name several servers.
    Dsn(Dsn),
    /// HAProxy's statistics, and the backend that clients are led to.
    Haproxy(Stats, String),
}

/// Where HAProxy shows its statistics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stats {
    /// Its page as CSV; there may be a password in it.
    Url(Secret),
    /// Its own socket.
    Socket(PathBuf),
}

/// More are not tried.
const MOST: usize = 16;

/// Judges the section of the cluster `cluster`. Relative paths count from `dir`.
pub(super) fn clients(raw: &[RawClients], cluster: &str, dir: &Path) -> Result<Vec<Clients>, Problem> {
    unique(raw.iter().map(|one| &one.name), &format!("clients of cluster {cluster}"))?;
    if let Some(one) = raw.get(MOST) {
        return Err(Problem::new(&one.name, format!("clients of cluster {cluster} are more than {MOST}")));
    }
    raw.iter().map(|raw| one(raw, cluster, dir)).collect()
}

fn one(raw: &RawClients, cluster: &str, dir: &Path) -> Result<Clients, Problem> {
    let name = name(&raw.name)?;
    let of = format!("clients {name} of cluster {cluster}");
    let dsn = dsn_of(&name, "dsn", raw.dsn.as_ref(), raw.dsn_file.as_ref(), dir)?;
    let way = match (dsn, &raw.haproxy_stats, &raw.haproxy_backend) {
        (Some(dsn), None, None) => Way::Dsn(dsn),
        (None, Some(stats), Some(backend)) if !backend.value.is_empty() => {
            Way::Haproxy(self::stats(stats, &of)?, backend.value.clone())
        }
        _ => {
            let what = format!(
                "{of} is tried by dsn or dsn_file, or by haproxy_stats and haproxy_backend: write one of these"
            );
            return Err(Problem::new(&raw.name, what));
        }
    };
    Ok(Clients { name, way })
}

fn stats(given: &Spanned<Secret>, of: &str) -> Result<Stats, Problem> {
    let text = given.value.reveal();
    match text.strip_prefix("unix:") {
        Some(path) if path.starts_with('/') => Ok(Stats::Socket(path.into())),
        None if url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) => {
            Ok(Stats::Url(given.value.clone()))
        }
        _ => {
            let what = format!(
                "haproxy_stats of {of} is neither the URL of HAProxy's statistics as CSV, such as http://127.0.0.1:8404/stats;csv, nor unix: with the path of its socket"
            );
            Err(Problem::new(given, what))
        }
    }
}
