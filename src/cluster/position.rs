//! Where a standby stands: by its own word, or by what its walsender last heard from it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::facts::NodeFacts;
use crate::clock::{Moment, Wall};
use crate::collector::settings::Settings;
use crate::collector::snapshot::Snapshot;
use crate::collector::walsenders::Walsender;
use crate::pg::lsn::{Lsn, Timeline};

/// What `wal_receiver_status_interval` is where nothing else is known.
const DEFAULT_STATUS_INTERVAL: f64 = 10.0;
/// With no periodic reply a standby still answers when its upstream asks, each 30 s by default.
const WITHOUT_STATUS_INTERVAL: f64 = 30.0;

/// How far a standby had received and replayed at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// The timeline that it follows.
    pub timeline: Timeline,
    /// Whether the timeline was read from its live stream. If not it is the lowest that it can be: control data lag behind.
    pub timeline_certain: bool,
    /// Received and flushed up to here.
    pub received: Lsn,
    /// Replayed up to here, if told.
    pub replayed: Option<Lsn>,
    /// When it was so.
    pub valid_at: Moment,
}

/// What is remembered of a node beyond its newest reading, also by a pgvigil that starts again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Remembered {
    /// The newest position by its own word.
    pub own: Option<Position>,
    /// The newest position by its walsender.
    pub told: Option<Position>,
    /// The name of the node whose walsender told it last.
    pub upstream: Option<String>,
    /// The newest timeline that it was certainly on.
    pub timeline: Option<Timeline>,
    /// How far it wrote WAL itself as a primary.
    pub written: Option<(Timeline, Lsn)>,
    /// Whether a `restore_command` may feed it.
    pub restore_command_set: Option<bool>,
    /// Its `wal_receiver_status_interval`, in seconds.
    pub status_interval: Option<f64>,
    /// When the server started that was seen paused with a setting too low: until it is not paused any more it is so.
    pub blocked_start: Option<Wall>,
}

impl Remembered {
    /// The newest known position, however old.
    pub fn latest(&self) -> Option<Position> {
        [self.own, self.told].into_iter().flatten().max_by_key(|position| position.valid_at.mono)
    }

    /// The newest position that still counts.
    pub fn fresh(&self, now: Moment, own_window: Duration, not_before: Moment) -> Option<Position> {
        let within = |position: &Position, window: Duration| {
            now.mono.since(position.valid_at.mono) <= window && position.valid_at.mono >= not_before.mono
        };
        let own = self.own.filter(|own| within(own, own_window));
        let told = self.told.filter(|told| within(told, self.reply_window()));
        [own, told].into_iter().flatten().max_by_key(|position| (position.valid_at.mono, position.received))
    }

    /// For how long a standby's last reply counts: two of its reply intervals.
    pub fn reply_window(&self) -> Duration {
        let interval = match self.status_interval {
            Some(0.0) => WITHOUT_STATUS_INTERVAL,
            Some(interval) => interval,
            None => DEFAULT_STATUS_INTERVAL,
        };
        Duration::from_secs_f64(2.0 * interval)
    }

    /// Takes in the node's settings.
    pub fn note_settings(&mut self, settings: &Settings) {
        self.restore_command_set = Some(settings.restore_command_set);
        self.status_interval = Some(settings.wal_receiver_status_interval);
    }

    /// Takes in a reading of the node itself.
    pub fn note_own(&mut self, facts: &NodeFacts) {
        let snapshot = &facts.snapshot;
        let Some(recovery) = snapshot.recovery.as_ref().filter(|recovery| Some(recovery.seen) == facts.read) else {
            return;
        };
        if let (false, Some(timeline)) = (recovery.value.in_recovery, recovery.value.timeline) {
            self.timeline = Some(timeline);
            self.written = recovery.value.flush_lsn.map(|lsn| (timeline, lsn));
            (self.own, self.told, self.upstream) = (None, None, None);
            return;
        }
        let streaming = streaming_timeline(snapshot);
        self.timeline = streaming.or_else(|| lowest_timeline(snapshot).max(self.timeline));
        // A restarted standby receives from its segment's start again: what it replayed it has also received.
        let received = recovery.value.receive_lsn.max(recovery.value.replay_lsn);
        self.own = self.timeline.zip(received).map(|(timeline, received)| Position {
            timeline,
            timeline_certain: streaming.is_some(),
            received,
            replayed: recovery.value.replay_lsn,
            valid_at: recovery.seen,
        });
    }

    /// Takes in news of this standby from the node `upstream`, whose WAL is on `timeline`.
    pub fn note_told(&mut self, walsender: &Walsender, upstream: &str, timeline: Timeline, at: Moment) {
        self.upstream = Some(upstream.to_owned());
        if let Some(received) = walsender.flush_lsn {
            let replayed = walsender.replay_lsn;
            self.told = Some(Position { timeline, timeline_certain: true, received, replayed, valid_at: at });
        }
    }
}

/// The timeline of the node's live stream.
fn streaming_timeline(snapshot: &Snapshot) -> Option<Timeline> {
    snapshot.wal_receiver.as_ref()?.value.as_ref()?.received_tli.filter(|timeline| timeline.0 > 0)
}

/// A timeline that the node's control data prove; it may have followed others since.
fn lowest_timeline(snapshot: &Snapshot) -> Option<Timeline> {
    let control = &snapshot.control.as_ref()?.value;
    Some(control.checkpoint_timeline.max(control.min_recovery_end_timeline.unwrap_or(Timeline(0))))
}
