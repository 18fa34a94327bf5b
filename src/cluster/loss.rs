//! Whom a failover now would choose, and what it would lose: WAL of the primary that the chosen standby does not have.

use std::time::Duration;

use serde::Serialize;

use super::assess::{Evidence, NodeAssessment, Verdict};
use super::history::Standing;
use super::lag::Yardstick;
use super::position::{Position, Remembered};
use crate::clock::Mono;
use crate::pg::failure::Cause;
use crate::pg::lsn::Lsn;

/// For how long the backends of a killed postmaster may go on committing: 1.2 s was seen.
const ORPHANS: Duration = Duration::from_secs(2);

/// The loss in one bound.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Loss {
    /// WAL that was seen on the primary, or reported by it, and that the candidate does not have.
    pub seen_bytes: u64,
    /// The time in which that WAL was written, in seconds; `None` where the history has a gap.
    pub seen_seconds: Option<f64>,
    /// `seen_bytes` and what the primary may have written since it was last seen, at its recent peak rate.
    pub estimated_bytes: u64,
    /// `seen_seconds` and the time since the primary was last seen.
    pub estimated_seconds: Option<f64>,
}

/// The loss if the standby at `best` became the primary. `reported` is the highest position that the primary told its standbys;
/// `ended` is from when on the primary can have written no more.
/// `None`: the history does not tell.
pub fn loss(
    yardstick: &Yardstick<'_>,
    best: &Position,
    remembered: &Remembered,
    reported: Option<Lsn>,
    ended: Option<Mono>,
) -> Option<Loss> {
    let (timeline, newest) = yardstick.history.newest()?;
    let last_seen = yardstick.history.last_seen()?;
    let highest = reported.map_or(newest, |reported| reported.max(newest));
    let seen_seconds = match yardstick.standing(best, best.received, remembered) {
        Standing::CaughtUp => Some(0.0),
        Standing::BehindSince(since) => Some(last_seen.since(since).as_secs_f64()),
        Standing::Unknown if best.timeline == timeline => None,
        Standing::Diverged | Standing::Unknown => return None,
    };
    let blind = ended.map_or(yardstick.now.mono, |ended| ended.min(yardstick.now.mono)).since(last_seen).as_secs_f64();
    let peak = yardstick.history.peak_rate(last_seen);
    let seen_bytes = highest.bytes_since(best.received);
    Some(Loss {
        seen_bytes,
        seen_seconds,
        estimated_bytes: seen_bytes.saturating_add((peak * blind).ceil() as u64),
        estimated_seconds: seen_seconds.map(|seconds| seconds + blind),
    })
}

impl Evidence<'_> {
    /// The standby that a failover now would choose, of those that nothing stands in the way of: the one that has received most, and of
    /// equal ones that which has replayed most, then the first of the configuration. While the primary writes, readings of two moments
    /// tell no order among those that keep up: the first is chosen. With two primaries nobody is.
    pub(super) fn candidate(
        &self,
        primary: Option<usize>,
        writers: &[usize],
        nodes: &[NodeAssessment],
    ) -> Option<usize> {
        if writers.len() > 1 {
            return None;
        }
        let primary_fresh = primary.is_some_and(|primary| self.is_fresh(primary));
        let tolerance = self.layout.timing.gap_tolerance().as_secs_f64();
        let place = |index: usize, node: &NodeAssessment| {
            let verdict = node.promotable.as_ref().map(|promotable| promotable.verdict);
            let own = self.fresh_own(index).filter(|_| verdict == Some(Verdict::Yes))?;
            let late = node.lag.and_then(|lag| lag.received.seconds.ok()).is_some_and(|late| late > tolerance);
            let keeps_up = primary_fresh && !late;
            Some((keeps_up, (!keeps_up).then_some((own.received, own.replayed))))
        };
        let placed = nodes.iter().enumerate().filter_map(|(index, node)| Some((place(index, node)?, index)));
        // Of equal ones the last is found: so they come last first.
        placed.rev().max_by_key(|(place, _)| *place).map(|(_, index)| index)
    }

    /// The loss if the standby number `best` took over from the primary number `lost`.
    pub(super) fn failover_loss(&self, lost: usize, best: usize, yardstick: &Yardstick<'_>) -> Option<Loss> {
        let position = self.fresh_own(best)?;
        let remembered = self.memory.node(&self.layout.members[best].name);
        let timeline = yardstick.history.newest()?.0;
        let reported = self.memory.reported.filter(|(told, _)| *told == timeline).map(|(_, lsn)| lsn);
        loss(yardstick, &position, &remembered, reported, self.ended(lost))
    }

    /// When the last of a primary's processes can have ended. Known only where its machine says that nobody listens any more: a
    /// primary that is merely cut off from us goes on writing.
    fn ended(&self, primary: usize) -> Option<Mono> {
        let failure = self.facts[primary].failure.as_ref()?;
        let gone = matches!(failure.value.cause, Cause::Refused | Cause::NoSocket);
        gone.then(|| failure.since.mono.plus(ORPHANS))
    }
}
