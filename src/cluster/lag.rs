//! A standby's lag: its position held against the history of the primary.

use serde::Serialize;
use serde::ser::SerializeStruct;

use super::history::{History, Standing};
use super::position::{Position, Remembered};
use crate::clock::Moment;
use crate::cluster::layout::Timing;
use crate::metric::histogram::{self, Histogram};
use crate::pg::lsn::{Lsn, Timeline};

/// The stages of a standby, as in the label `stage`.
pub const STAGES: [&str; 2] = ["received", "replayed"];

/// How far one stage of a standby is behind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StageLag {
    /// The age in seconds of the first position beyond the standby's, or why it is not known.
    pub seconds: Result<f64, Unknown>,
    /// Bytes from the standby's position to the primary's newest.
    pub bytes: Option<u64>,
}

impl Serialize for StageLag {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("StageLag", 3)?;
        fields.serialize_field("seconds", &self.seconds.ok())?;
        fields.serialize_field("bytes", &self.bytes)?;
        fields.serialize_field("unknown", &self.seconds.err())?;
        fields.end()
    }
}

/// Why a lag is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unknown {
    /// No full round of readings yet, or our own loop was late.
    NotObserved,
    /// The standby's position is not known.
    Position,
    /// The standby has all that is known of the primary, but the primary itself is not seen.
    PrimaryUnseen,
    /// The history does not reach back to the standby's position, or has a gap there.
    History,
    /// The standby has WAL that the primary's timeline does not have.
    Diverged,
    /// The node belongs to another cluster: its system identifier differs.
    ForeignSystem,
    /// Two primaries write on the same timeline.
    AmbiguousPrimary,
    /// The node is the same server as another one: a mistake in the configuration.
    SameServer,
}

impl Unknown {
    /// The reason in words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotObserved => "not observed yet",
            Self::Position => "its position is not known",
            Self::PrimaryUnseen => "the primary is not seen",
            Self::History => "the history does not reach back so far",
            Self::Diverged => "diverged from the primary's timeline",
            Self::ForeignSystem => "another system identifier",
            Self::AmbiguousPrimary => "two primaries on one timeline",
            Self::SameServer => "the same server as another node: correct the dsn of one",
        }
    }
}

/// The lag of both stages.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StandbyLag {
    /// Received and flushed.
    pub received: StageLag,
    /// Replayed, so visible to queries.
    pub replayed: StageLag,
}

impl StandbyLag {
    /// Neither stage is known.
    pub const fn unknown(why: Unknown) -> Self {
        let stage = StageLag { seconds: Err(why), bytes: None };
        Self { received: stage, replayed: stage }
    }

    /// Both stages with their names.
    pub const fn stages(&self) -> [(&'static str, StageLag); 2] {
        [(STAGES[0], self.received), (STAGES[1], self.replayed)]
    }
}

/// What a lag is measured with.
#[derive(Clone, Copy, Debug)]
pub struct Yardstick<'a> {
    /// The primary's positions.
    pub history: &'a History,
    /// Whether the primary itself is seen, so that its newest position is the present one.
    pub primary_fresh: bool,
    /// The observer's intervals.
    pub timing: Timing,
    /// The present.
    pub now: Moment,
    /// What a lag is the lag at.
    pub at: At,
}

/// What a lag is the lag at. Both agree within one sample interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// At the present: a standby that was behind when it was read is taken to stand still since. For pages.
    Now,
    /// At the moment of the reading, as long as it is not overdue: no bias from how our loops stand to each other. For histograms.
    Reading,
}

impl Yardstick<'_> {
    /// The lag at a position that still counts. What the primary wrote after the standby was read is no lag yet, so that two loops
    /// out of step show none where there is none; a reading that is overdue by more than an interval is held to the present.
    pub fn measure(&self, position: &Position, remembered: &Remembered) -> StandbyLag {
        let overdue = Moment { mono: self.now.mono.minus(self.timing.sample_interval), ..self.now };
        let as_of = if position.valid_at.mono > overdue.mono { position.valid_at } else { overdue };
        let received = self.stage(position, position.received, as_of, remembered);
        let replayed = position.replayed.map(|lsn| self.stage(position, lsn, as_of, remembered));
        let replayed = replayed.unwrap_or(StageLag { seconds: Err(Unknown::Position), bytes: None });
        StandbyLag { received, replayed }
    }

    /// The lag of a standby that nothing feeds any more: what it has received cannot move, what it has replayed is not known.
    pub fn measure_unfed(&self, position: &Position, remembered: &Remembered) -> StandbyLag {
        let received = self.stage(position, position.received, self.now, remembered);
        StandbyLag { received, replayed: StageLag { seconds: Err(Unknown::Position), bytes: None } }
    }

    /// Where a position stands, with the doubt about its timeline resolved as far as it can be.
    pub fn standing(&self, position: &Position, lsn: Lsn, remembered: &Remembered) -> Standing {
        let standing = self.history.standing(position.timeline, lsn, self.now.mono, self.timing.gap_tolerance());
        let wrote_beyond = |(timeline, written): (Timeline, Lsn)| {
            self.history.fork_of(timeline).is_some_and(|fork| written > fork && lsn > fork)
        };
        match standing {
            Standing::Diverged
                if remembered.is_certain(position, self.history) || remembered.written.is_some_and(wrote_beyond) =>
            {
                standing
            }
            Standing::Diverged => Standing::Unknown,
            _ => standing,
        }
    }

    fn stage(&self, position: &Position, lsn: Lsn, as_of: Moment, remembered: &Remembered) -> StageLag {
        let seconds = match self.standing(position, lsn, remembered) {
            Standing::CaughtUp if self.primary_fresh => Ok(0.0),
            Standing::CaughtUp => Err(Unknown::PrimaryUnseen),
            Standing::BehindSince(since) if since > as_of.mono => Ok(0.0),
            Standing::BehindSince(since) if self.at == At::Now => Ok(self.now.mono.since(since).as_secs_f64()),
            Standing::BehindSince(since) => Ok(as_of.mono.since(since).as_secs_f64()),
            Standing::Diverged => Err(Unknown::Diverged),
            Standing::Unknown => Err(Unknown::History),
        };
        let newest = self.history.newest().filter(|_| self.primary_fresh && seconds.is_ok());
        StageLag { seconds, bytes: newest.map(|(_, newest)| newest.bytes_since(lsn)) }
    }
}

/// The histograms of one stage, and how many of our ticks knew the lag.
#[derive(Clone, Debug)]
pub struct SampledLag {
    /// Seconds, of each tick that knew them.
    pub seconds: Histogram,
    /// Bytes, of each tick that knew them.
    pub bytes: Histogram,
    /// Ticks that knew the seconds.
    pub known: u64,
    /// Ticks that did not: blindness costs budget.
    pub unknown: u64,
}

impl Default for SampledLag {
    fn default() -> Self {
        Self {
            seconds: Histogram::new(histogram::SECONDS),
            bytes: Histogram::new(histogram::BYTES),
            known: 0,
            unknown: 0,
        }
    }
}

impl SampledLag {
    /// Counts one tick.
    pub fn tick(&mut self, lag: &StageLag) {
        match lag.seconds {
            Ok(seconds) => {
                self.known += 1;
                self.seconds.observe(seconds);
            }
            Err(_) => self.unknown += 1,
        }
        if let Some(bytes) = lag.bytes {
            self.bytes.observe(bytes as f64);
        }
    }
}
