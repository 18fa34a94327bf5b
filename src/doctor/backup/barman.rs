//! `barman -f json list-backups`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{Backup, State, plain};
use crate::clock::Wall;

#[derive(Deserialize)]
struct Listed {
    backup_id: String,
    status: String,
    /// Seconds since the epoch, as text; those that did not end have none.
    end_time_timestamp: Option<String>,
}

/// Where Barman puts what it has to complain of.
const ERROR: &str = "_ERROR";

pub(super) fn read(said: &str, server: &str) -> Result<Vec<Backup>, String> {
    let cannot = |error: serde_json::Error| format!("its JSON cannot be read: {error}");
    let mut all: BTreeMap<String, Value> = serde_json::from_str(said).map_err(cannot)?;
    let Some(found) = all.remove(server) else {
        let errors = all.remove(ERROR).and_then(|errors| Some(errors.get(0)?.as_str()?.to_owned()));
        return Err(match errors {
            Some(error) => format!("it says: {}", plain(&error)),
            None => format!("it knows no server {server}"),
        });
    };
    let listed: Vec<Listed> = serde_json::from_value(found).map_err(cannot)?;
    Ok(listed.iter().map(judged).collect())
}

fn judged(listed: &Listed) -> Backup {
    let Listed { backup_id, status, end_time_timestamp } = listed;
    let state = match status.as_str() {
        "DONE" => State::Whole,
        "EMPTY" | "STARTED" | "SYNCING" => State::UnderWay,
        "WAITING_FOR_WALS" => State::LacksWal("it waits for WAL".to_owned()),
        "FAILED" => State::Failed("barman show-backup says why".to_owned()),
        other => State::Failed(format!("its status is {}", plain(other))),
    };
    let ended = end_time_timestamp.as_ref().and_then(|seconds| seconds.parse::<f64>().ok()).map(Wall::from_seconds);
    Backup { label: plain(backup_id), ended, state, system_identifier: None }
}
