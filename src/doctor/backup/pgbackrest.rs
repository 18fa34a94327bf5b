//! `pgbackrest info --output=json`. What it does not say is passed over; what it says otherwise than its documentation is an error.

use serde::Deserialize;

use super::{Backup, State, plain};
use crate::clock::Wall;

#[derive(Deserialize)]
struct Stanza {
    name: String,
    status: Status,
    #[serde(default)]
    backup: Vec<Made>,
    #[serde(default)]
    archive: Vec<Archive>,
    #[serde(default)]
    db: Vec<System>,
}

#[derive(Deserialize)]
struct Status {
    code: i64,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct Made {
    label: String,
    timestamp: Timestamp,
    database: Database,
    /// Whether pages with bad checksums were copied; older ones do not say.
    error: Option<bool>,
    archive: Option<Needs>,
}

#[derive(Deserialize)]
struct Timestamp {
    stop: u32,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
struct Database {
    id: u64,
    #[serde(rename = "repo-key", default)]
    repository: u64,
}

/// The WAL that a backup needs.
#[derive(Deserialize)]
struct Needs {
    stop: Option<String>,
}

/// The WAL that there is.
#[derive(Deserialize)]
struct Archive {
    database: Database,
    min: Option<String>,
    max: Option<String>,
}

#[derive(Deserialize)]
struct System {
    id: u64,
    #[serde(rename = "repo-key", default)]
    repository: u64,
    #[serde(rename = "system-id")]
    identifier: Option<u64>,
}

/// Neither of these is more than that there is no backup.
const FINE: i64 = 0;
const NO_BACKUPS: i64 = 2;

pub(super) fn read(said: &str, stanza: &str) -> Result<Vec<Backup>, String> {
    let all: Vec<Stanza> = serde_json::from_str(said).map_err(|error| format!("its JSON cannot be read: {error}"))?;
    let Some(found) = all.into_iter().find(|found| found.name == stanza) else {
        return Err(format!("it knows no stanza {stanza}"));
    };
    let Stanza { status, backup, archive, db, .. } = found;
    if ![FINE, NO_BACKUPS].contains(&status.code) && backup.is_empty() {
        return Err(format!("it says: {} (code {})", plain(&status.message), status.code));
    }
    let judged = |made: Made| {
        let system =
            db.iter().find(|system| (system.id, system.repository) == (made.database.id, made.database.repository));
        Backup {
            ended: Some(Wall::from_seconds(made.timestamp.stop.into())),
            state: state(&made, &archive),
            system_identifier: system.and_then(|system| system.identifier).map(|identifier| identifier.to_string()),
            label: plain(&made.label),
        }
    };
    Ok(backup.into_iter().map(judged).collect())
}

fn state(made: &Made, archives: &[Archive]) -> State {
    if made.error == Some(true) {
        return State::Failed("pages with bad checksums are in it".to_owned());
    }
    let Some(stop) = made.archive.as_ref().and_then(|needs| needs.stop.as_deref()) else { return State::Whole };
    let own: Vec<_> = archives.iter().filter(|archive| archive.database == made.database).collect();
    let covers = |archive: &&Archive| {
        let (min, max) = (archive.min.as_deref(), archive.max.as_deref());
        min.zip(max).is_some_and(|(min, max)| (min..=max).contains(&stop))
    };
    match own.is_empty() || own.iter().any(covers) {
        true => State::Whole,
        false => State::LacksWal(format!("WAL up to {} is not in the archive", plain(stop))),
    }
}
