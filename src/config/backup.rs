//! Who makes the backups of a cluster, and how old the newest may be.

use std::time::Duration;

use serde_saphyr::Spanned;

use super::duration;
use super::problem::Problem;
use super::raw::RawBackup;
use super::settings::is_name;
use crate::doctor::backup::Tool;

/// Who makes the backups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// The program.
    pub tool: Tool,
    /// Its stanza, or its server.
    pub name: String,
    /// How it is run, before its own words: a program by its whole path.
    pub argv: Vec<String>,
    /// How old the newest may be.
    pub max_age: Duration,
}

/// The least and the most that `max_age` may be.
pub const MAX_AGE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(366 * 86_400));
const DEFAULT_MAX_AGE: Duration = Duration::from_secs(36 * 3600);
/// Where Debian has them.
const PGBACKREST: &str = "/usr/bin/pgbackrest";
const BARMAN: &str = "/usr/bin/barman";

/// Judges the section of the cluster `cluster`.
pub(super) fn backup(raw: &Spanned<RawBackup>, cluster: &str) -> Result<Backup, Problem> {
    let (tool, key, name, argv, default) = match (&raw.value.pgbackrest, &raw.value.barman) {
        (Some(of), None) => (Tool::Pgbackrest, "stanza", &of.stanza, &of.argv, PGBACKREST),
        (None, Some(of)) => (Tool::Barman, "server", &of.server, &of.argv, BARMAN),
        _ => {
            let what = format!("backup of cluster {cluster} names one of pgbackrest and barman: write which");
            return Err(Problem::new(raw, what));
        }
    };
    if !is_name(&name.value) {
        let what =
            format!("{key} of backup of cluster {cluster} is no name: use A-Z, a-z, 0-9, dot, dash and underscore");
        return Err(Problem::new(name, what));
    }
    let argv = match argv {
        None => vec![default.to_owned()],
        Some(given) => match given.value.first() {
            Some(program) if program.value.starts_with('/') => {
                given.value.iter().map(|word| word.value.clone()).collect()
            }
            _ => {
                let what = format!(
                    "argv of backup of cluster {cluster} does not begin with the whole path of a program, such as {default}"
                );
                return Err(Problem::new(given, what));
            }
        },
    };
    let max_age = match &raw.value.max_age {
        None => DEFAULT_MAX_AGE,
        Some(given) => duration::within(&given.value, MAX_AGE.0, MAX_AGE.1)
            .map_err(|why| Problem::new(given, format!("max_age of backup of cluster {cluster} {why}")))?,
    };
    Ok(Backup { tool, name: name.value.clone(), argv, max_age })
}
