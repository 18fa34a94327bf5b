//! A node's own log: followed each `collect_interval`, and sooner when the kernel hints that another file began.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep, sleep_until};

use super::Hub;
use super::beside::rest;
use super::timings::Timings;
use super::voice::Voice;
use crate::clock::Mono;
use crate::cluster::facts::Report;
use crate::patience::patiently;
use crate::server_log::follow::{Follower, Seen};
use crate::server_log::said::ServerLog;

/// Longer looks count for nothing.
const DEADLINE: Duration = Duration::from_secs(10);
/// Two looks are at least so far apart, however much is written.
const LEAST_REST: Duration = Duration::from_millis(200);
/// What cannot be looked at is tried again after so many intervals.
const SLOWLY: u32 = 3;
/// Of a log that does not answer.
const HANGS: &str = "it did not answer in time: is its file system well?";

pub(super) async fn watch(hub: Arc<Hub>, name: String, path: PathBuf, mut timing: Timings) {
    let cluster = hub.cluster().layout().name.clone();
    let hint = Arc::new(Notify::new());
    let open = || {
        let hint = hint.clone();
        Follower::new(path.clone(), move || hint.notify_one())
    };
    let mut words = Words { cluster, name: name.clone(), path: path.display().to_string(), voice: Voice::default() };
    let report = |said: Result<ServerLog, String>| hub.report(&name, Report::ServerLog(said));
    let mut follower = open();
    loop {
        let started = Instant::now();
        let looked = patiently(follower, DEADLINE, Follower::look, || {
            report(Err(HANGS.to_owned()));
            words.say("hangs", HANGS);
        });
        let interval = timing.now().collect_interval;
        let mut again = interval;
        match looked.await {
            Ok((same, seen)) => {
                follower = same;
                match seen {
                    Some(Ok(seen)) => {
                        again = if seen.more { Duration::ZERO } else { interval };
                        words.seen(&seen);
                        report(Ok(seen.said));
                    }
                    Some(Err(error)) => {
                        report(Err(error.to_string()));
                        words.say("cannot", &format!("cannot be read: {error}"));
                        again = SLOWLY * interval;
                    }
                    None => {}
                }
            }
            Err(_) => {
                report(Err("reading it failed by a bug of pgvigil".to_owned()));
                follower = open();
            }
        }
        sleep(rest(started.elapsed(), LEAST_REST, interval)).await;
        tokio::select! {
            () = sleep_until(started + again) => {}
            // A directory that is not there yet gives none.
            () = hint.notified() => {}
            () = timing.changed() => {}
        }
    }
}

/// One look, for those who do not stay.
pub(super) async fn once(path: PathBuf) -> Result<ServerLog, String> {
    let (late, is_late) = oneshot::channel();
    let looking = patiently(Follower::new(path, || {}), DEADLINE, Follower::look, move || {
        let _ = late.send(());
    });
    // The thread is left behind: nobody waits for it at our end.
    let mut looking = tokio::spawn(looking);
    tokio::select! {
        looked = &mut looking => match looked {
            Ok(Ok((_, Some(seen)))) => seen.map(|seen| seen.said).map_err(|error| error.to_string()),
            _ => Err(HANGS.to_owned()),
        },
        Ok(()) = is_late => Err(HANGS.to_owned()),
    }
}

/// What is said of the log.
struct Words {
    cluster: String,
    name: String,
    path: String,
    voice: Voice,
}

impl Words {
    fn seen(&mut self, seen: &Seen) {
        if seen.left_out > 0 {
            let (cluster, node, bytes) = (&self.cluster, &self.name, seen.left_out);
            if self.voice.happens("left_out", Mono::now()).is_some() {
                tracing::warn!(
                    cluster,
                    node,
                    bytes,
                    "log {}: more was written than can be read: the newest is read, the rest left out",
                    self.path
                );
            }
        }
        match seen.said.is_understood {
            Some(false) => self.say("language", "is not in English (lc_messages): what it says is not known"),
            _ => self.say("read", &format!("is read from {}, as {}", seen.file.display(), seen.said.format)),
        }
    }

    fn say(&mut self, state: &'static str, said: &str) {
        let Some(left_out) = self.voice.changes("log", state, Mono::now()) else { return };
        let (cluster, node, path, left_out) =
            (&self.cluster, &self.name, &self.path, (left_out > 0).then_some(left_out));
        match state {
            "read" => tracing::info!(cluster, node, left_out, "log {path} {said}"),
            _ => tracing::warn!(cluster, node, left_out, "log {path} {said}"),
        }
    }
}
