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
/// What a primary that wrote next to nothing may have written last: one commit with the page images of its table and indexes.
const ONE_COMMIT: u64 = 64 << 10;

/// The loss in one bound.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Loss {
    /// WAL that was seen on the primary, or reported by it, and that the candidate does not have.
    pub seen_bytes: u64,
    /// The time in which that WAL was written, in seconds; `None` where the history has a gap.
    pub seen_seconds: Option<f64>,
    /// `seen_bytes` and what the primary may have written since it was last heard of, at its highest rate of the seconds before; once
    /// it is not seen, one commit more.
    pub estimated_bytes: u64,
    /// `seen_seconds` and the time since the primary was last seen.
    pub estimated_seconds: Option<f64>,
    /// What the estimate is made of.
    #[serde(skip)]
    pub unseen: Unseen,
}

/// The time in which the primary may have written what nobody saw.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Unseen {
    /// Since when: it was read, or a standby got all that it had. `None`: not known.
    pub since: Option<Mono>,
    /// Until when at most.
    pub until: Option<Mono>,
    /// Its highest rate in the seconds before, in bytes a second.
    pub rate: f64,
    /// What is added whatever the time.
    pub margin: u64,
}

impl Unseen {
    fn bytes(&self) -> u64 {
        let time = self.since.zip(self.until).map_or(0.0, |(since, until)| until.since(since).as_secs_f64());
        self.margin.saturating_add((self.rate * time).ceil() as u64)
    }
}

impl Loss {
    /// The loss if it is known that the primary wrote nothing after `ended`.
    pub fn ended_by(self, ended: Mono) -> Self {
        let unseen = Unseen { until: self.unseen.until.map(|until| until.min(ended)), ..self.unseen };
        let less = self.unseen.bytes().saturating_sub(unseen.bytes());
        Self { estimated_bytes: self.estimated_bytes.saturating_sub(less), unseen, ..self }
    }

    /// The same where somebody who saw more found at the moment `at` that it was `bytes` at most: a new process, whose memory is some
    /// seconds older than the end of the one before it, need not count from its own last sight.
    pub fn told(self, bytes: u64, at: Mono) -> Self {
        if self.unseen.since.is_none_or(|since| since >= at) {
            return self;
        }
        let since = Unseen { since: Some(at), ..self.unseen };
        let told = bytes.saturating_add(since.bytes()).max(self.seen_bytes);
        Self { estimated_bytes: self.estimated_bytes.min(told), ..self }
    }
}

/// The loss if the standby at `best` became the primary. `reported` is the highest position that the primary told its standbys, `heard`
/// when one of them last had all that it was told; `ended` is from when on the primary can have written no more.
/// `None`: the history does not tell.
pub fn loss(
    yardstick: &Yardstick<'_>,
    best: &Position,
    remembered: &Remembered,
    reported: Option<Lsn>,
    heard: Option<Mono>,
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
    // What may still come is counted at once: a limit that allows the fence allows the promotion too.
    let until = ended.unwrap_or(yardstick.now.mono);
    let blind = until.min(yardstick.now.mono).since(last_seen).as_secs_f64();
    let unseen = Unseen {
        since: Some(heard.map_or(last_seen, |heard| heard.max(last_seen))),
        until: Some(until),
        rate: yardstick.history.peak_rate(last_seen),
        margin: if yardstick.primary_fresh { 0 } else { ONE_COMMIT },
    };
    let seen_bytes = highest.bytes_since(best.received);
    Some(Loss {
        seen_bytes,
        seen_seconds,
        estimated_bytes: seen_bytes.saturating_add(unseen.bytes()),
        estimated_seconds: seen_seconds.map(|seconds| seconds + blind),
        unseen,
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
        let heard = self.memory.heard.filter(|(told, _)| *told == timeline).map(|(_, at)| at);
        loss(yardstick, &position, &remembered, reported, heard, self.ended(lost))
    }

    /// When the last of a primary's processes can have ended. Known only where its machine says that nobody listens any more: a
    /// primary that is merely cut off from us goes on writing.
    fn ended(&self, primary: usize) -> Option<Mono> {
        let failure = self.facts[primary].failure.as_ref()?;
        let gone = matches!(failure.value.cause, Cause::Refused | Cause::NoSocket);
        gone.then(|| failure.since.mono.plus(ORPHANS))
    }
}
