//! As whom the standbys of a cluster log in, for the doctor to try.

use std::path::{Path, PathBuf};

use super::problem::Problem;
use super::raw::RawReplication;

/// As whom standbys log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replication {
    /// The user.
    pub user: String,
    /// The file with nothing but the password, read at each login; `None`: libpq's password file counts.
    pub password_file: Option<PathBuf>,
}

/// Judges the section of the cluster `cluster`. Relative paths count from `dir`.
pub(super) fn replication(raw: &RawReplication, cluster: &str, dir: &Path) -> Result<Replication, Problem> {
    if raw.user.value.is_empty() || raw.user.value.contains(char::is_control) {
        let what = format!("user of replication of cluster {cluster} is empty: name the user of primary_conninfo");
        return Err(Problem::new(&raw.user, what));
    }
    let password_file = match &raw.password_file {
        Some(file) if file.value.is_empty() => {
            let what = format!("password_file of replication of cluster {cluster} is empty: name a file, or remove it");
            return Err(Problem::new(file, what));
        }
        file => file.as_ref().map(|file| dir.join(&file.value)),
    };
    Ok(Replication { user: raw.user.value.clone(), password_file })
}
