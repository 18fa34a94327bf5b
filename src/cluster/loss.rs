//! What a failover now would lose: WAL of the primary that its best standby does not have.

use std::time::Duration;

use serde::Serialize;

use super::history::Standing;
use super::lag::Yardstick;
use super::position::{Position, Remembered};
use crate::clock::Mono;
use crate::pg::lsn::Lsn;

/// The loss in one bound.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Loss {
    /// WAL that was seen on the primary, or reported by it, and that the best standby does not have.
    pub seen_bytes: u64,
    /// The time in which that WAL was written, in seconds.
    pub seen_seconds: f64,
    /// `seen_bytes` and what the primary may have written since it was last seen, at its recent peak rate.
    pub estimated_bytes: u64,
    /// `seen_seconds` and the time since the primary was last seen.
    pub estimated_seconds: f64,
}

/// The loss if the standby at `best` became the primary. `reported` are the positions that the primary told its standbys;
/// `ended` is when the primary was found dead, from when on it can have written no more that counts.
/// `None`: the history does not tell.
pub fn loss(
    yardstick: &Yardstick<'_>,
    best: &Position,
    remembered: &Remembered,
    reported: Option<Lsn>,
    ended: Option<Mono>,
) -> Option<Loss> {
    let (_, newest) = yardstick.history.newest()?;
    let last_seen = yardstick.history.last_seen()?;
    let highest = reported.map_or(newest, |reported| reported.max(newest));
    let seen_seconds = match yardstick.standing(best, best.received, remembered) {
        Standing::CaughtUp => Duration::ZERO,
        Standing::BehindSince(since) => last_seen.since(since),
        Standing::Diverged | Standing::Unknown => return None,
    };
    let blind = ended.unwrap_or(yardstick.now.mono).since(last_seen).as_secs_f64();
    let peak = yardstick.history.peak_rate(last_seen);
    let seen_bytes = highest.bytes_since(best.received);
    Some(Loss {
        seen_bytes,
        seen_seconds: seen_seconds.as_secs_f64(),
        estimated_bytes: seen_bytes.saturating_add((peak * blind).ceil() as u64),
        estimated_seconds: seen_seconds.as_secs_f64() + blind,
    })
}
