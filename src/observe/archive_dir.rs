//! A cluster's archive: looked into again and again, slowly.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio::time::sleep;

use super::Hub;
use super::beside::rest;
use super::voice::Voice;
use crate::archive_watch::archive::Archive;
use crate::archive_watch::archive_dir::{ArchiveDir, ArchiveDirState, Found};
use crate::clock::{Moment, Mono};
use crate::patience::patiently;

/// Longer looks count for nothing.
const DEADLINE: Duration = Duration::from_secs(60);
/// The longest rest; what was found counts for longer.
const LONGEST_REST: Duration = Duration::from_secs(120);

pub(super) async fn watch(hub: Arc<Hub>, path: PathBuf) {
    let cluster = hub.cluster().layout().name.clone();
    let report = |state, found| hub.cluster().report_archive(ArchiveDir { state, found }, Moment::now());
    let mut words = Words { cluster, path: path.display().to_string(), voice: Voice::default() };
    let mut archive = Archive::new(path.clone());
    report(ArchiveDirState::Unknown, None);
    loop {
        let started = Instant::now();
        let (size, timing) = {
            let cluster = hub.cluster();
            (cluster.segment_size(), cluster.layout().timing)
        };
        let settled_after = timing.archive_hung_after;
        let looked = patiently(
            archive,
            DEADLINE,
            move |archive| archive.look(size, settled_after),
            || {
                report(ArchiveDirState::Unknown, None);
                words.hangs();
            },
        );
        match looked.await {
            Ok((same, looked)) => {
                archive = same;
                match looked {
                    Some(Ok(ArchiveDir { state, found })) => {
                        words.found(state, found.as_ref());
                        report(state, found);
                    }
                    Some(Err(error)) => {
                        report(ArchiveDirState::Unreadable, None);
                        words.say(ArchiveDirState::Unreadable.as_str(), &error.to_string());
                    }
                    None => {}
                }
            }
            Err(_) => {
                report(ArchiveDirState::Unknown, None);
                archive = Archive::new(path.clone());
            }
        }
        sleep(rest(started.elapsed(), timing.collect_interval, LONGEST_REST)).await;
    }
}

/// What is said of the archive.
struct Words {
    cluster: String,
    path: String,
    voice: Voice,
}

impl Words {
    fn found(&mut self, state: ArchiveDirState, found: Option<&Found>) {
        let Some(found) = found else { return };
        let said = match state {
            ArchiveDirState::Ok => "it is whole".to_owned(),
            ArchiveDirState::Empty => "it holds no WAL segment".to_owned(),
            ArchiveDirState::Gap => match (found.first_missing, found.missing) {
                (Some(first), Some(missing)) => format!(
                    "segments are missing ({missing}), the first is {first}: standbys and restores that begin before it cannot pass; copy \
                     them from another node's pg_wal, or make a new base backup"
                ),
                _ => "the .history of a timeline is missing: copy it from another node's pg_wal".to_owned(),
            },
            ArchiveDirState::Damaged => format!(
                "files do not serve ({}), the first is {}: copy them again from a node's pg_wal, or make a new base backup",
                found.bad.iter().sum::<u64>(),
                found.first_bad.as_deref().unwrap_or_default()
            ),
            ArchiveDirState::Unreadable | ArchiveDirState::Unknown => return,
        };
        self.say(state.as_str(), &said);
    }

    fn say(&mut self, state: &'static str, said: &str) {
        let Some(left_out) = self.voice.changes("archive_dir", state, Mono::now()) else { return };
        let (cluster, path, left_out) = (&self.cluster, &self.path, (left_out > 0).then_some(left_out));
        match state {
            "ok" | "empty" => tracing::info!(cluster, state, left_out, "archive_dir {path}: {said}"),
            _ => tracing::warn!(cluster, state, left_out, "archive_dir {path}: {said}"),
        }
    }

    fn hangs(&mut self) {
        self.say("unknown", &format!("no answer within {} s: is its file system well?", DEADLINE.as_secs()));
    }
}
