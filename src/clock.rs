//! The two clocks, as plain values. Reading them is for drivers; pure code takes `now` as an argument.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// Time since this machine booted, in nanoseconds, suspend included (`CLOCK_BOOTTIME`): never set back, the same for every process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mono(u64);

impl Mono {
    /// The clock's present reading.
    pub fn now() -> Self {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        Self(seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0)))
    }

    /// The moment that lies `nanos` nanoseconds after boot.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// How long ago `earlier` was; zero if it is not earlier.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This moment plus `duration`.
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }

    /// This moment less `duration`; boot at the earliest.
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(duration)))
    }
}

/// Wall time in microseconds since the Unix epoch: for people and for comparing with server timestamps, never for measuring.
/// Serialized as seconds since the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "f64", from = "f64")]
pub struct Wall(i64);

/// The last second of the year 9999, since the Unix epoch: no date is later.
const LAST_DATE: u64 = 253_402_300_799;

impl From<Wall> for f64 {
    fn from(wall: Wall) -> Self {
        wall.as_seconds()
    }
}

impl From<f64> for Wall {
    fn from(seconds: f64) -> Self {
        Self::from_seconds(seconds)
    }
}

impl Wall {
    /// The clock's present reading.
    pub fn now() -> Self {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        Self(time.tv_sec.saturating_mul(1_000_000).saturating_add(time.tv_nsec / 1_000))
    }

    /// The moment that lies `seconds` after the Unix epoch.
    pub fn from_seconds(seconds: f64) -> Self {
        Self((seconds * 1e6).round() as i64)
    }

    /// Seconds since the Unix epoch.
    pub fn as_seconds(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// Seconds from `earlier` to this moment; negative if `earlier` is later.
    pub fn seconds_since(self, earlier: Self) -> f64 {
        self.0.saturating_sub(earlier.0) as f64 / 1e6
    }
}

/// In UTC, to the second, as HTTP writes dates.
impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = u64::try_from(self.0 / 1_000_000).unwrap_or(0).min(LAST_DATE);
        httpdate::HttpDate::from(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).fmt(f)
    }
}

/// One moment on both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// For ages and intervals.
    pub mono: Mono,
    /// For people.
    pub wall: Wall,
}

impl Moment {
    /// Reads both clocks.
    pub fn now() -> Self {
        Self { mono: Mono::now(), wall: Wall::now() }
    }

    /// This moment shifted by `duration` into the future, on both clocks.
    pub fn plus(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self { mono: self.mono.plus(duration), wall: Wall(self.wall.0.saturating_add(micros)) }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
