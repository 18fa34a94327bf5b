//! Whether a node that we do not reach is proven to live: after we had lost it, a standby that it feeds got a message from it.
//!
//! Every uncertainty counts against the proof. A message is taken to be as old as it can be by the standby's clock and, where we have
//! read the node itself, by the node's clock too: what was sent before the loss and lay in a buffer since proves nothing.

use std::time::Duration;

use super::assess::Evidence;
use super::facts::NodeFacts;
use super::upstream::Upstream;
use crate::clock::{Mono, Wall};
use crate::collector::settings;

/// Of its `wal_receiver_timeout`: a walreceiver that heard nothing for longer is no witness. It asks for a word after half of it.
const HEARD_WITHIN: f64 = 0.75;
/// What counts for a standby that has no timeout, in seconds: PostgreSQL's default. No proof is good for ever.
const DEFAULT_TIMEOUT: f64 = 60.0;

impl Evidence<'_> {
    /// Whether node number `index` is not up for us, and lives.
    pub(super) fn witnessed(&self, index: usize) -> bool {
        let Some(lost) = self.lost(index) else { return false };
        (0..self.facts.len()).filter(|standby| *standby != index).any(|standby| self.is_witness(standby, index, lost))
    }

    /// When node number `index` was found not to be up; `None` while it is, and while we do not know.
    fn lost(&self, index: usize) -> Option<Mono> {
        let failing = self.facts[index].failure.as_ref()?;
        let counts = !self.blind && failing.seen.mono >= self.not_before.mono;
        // An outage that began before our own clock stood still may have ended, and this be another one.
        counts.then(|| failing.lost.mono.max(self.not_before.mono))
    }

    /// Whether the walreceiver of node number `standby` proves that node number `index` lived after `lost`.
    fn is_witness(&self, standby: usize, index: usize, lost: Mono) -> bool {
        let feeder = Upstream::Node(self.layout.members[index].name.clone());
        if !self.streams(standby) || self.upstream(standby) != feeder {
            return false;
        }
        let settings = self.slow_fact(standby, &settings::Collector, &self.facts[standby].snapshot.settings);
        let (Some(settings), Some(heard)) = (settings, heard(&self.facts[standby])) else { return false };
        let timeout = match settings.wal_receiver_timeout {
            none if none <= 0.0 => DEFAULT_TIMEOUT,
            timeout => timeout,
        };
        heard.came > lost
            && self.now.mono.since(heard.came).as_secs_f64() < HEARD_WITHIN * timeout
            && Clocks::of(&self.facts[index]).is_none_or(|clocks| clocks.earliest(heard.sent) > Some(lost))
    }
}

/// The newest message that a walreceiver got.
struct Heard {
    /// When it came, at the earliest.
    came: Mono,
    /// When it was sent, on the sender's clock.
    sent: Wall,
}

/// By the standby's newest reading; `None` if it heard nothing yet, or its clock was set back since.
fn heard(standby: &NodeFacts) -> Option<Heard> {
    let receiver = standby.snapshot.wal_receiver.as_ref().filter(|fact| Some(fact.seen) == standby.read)?;
    let receiver = receiver.value.as_ref()?;
    let (sent, came) = receiver.last_msg_send_time.zip(receiver.last_msg_receipt_time)?;
    // A walreceiver that starts writes its own time into both, before anybody said anything.
    if sent == came {
        return None;
    }
    let clocks = Clocks::of(standby)?;
    let came = clocks.earliest(came).filter(|came| *came <= clocks.answered)?;
    Some(Heard { came, sent })
}

/// A server's clock beside ours, at its newest reading.
struct Clocks {
    /// What its clock showed …
    server: Wall,
    /// … after this …
    asked: Mono,
    /// … and before this.
    answered: Mono,
}

impl Clocks {
    fn of(facts: &NodeFacts) -> Option<Self> {
        let fact = facts.snapshot.recovery.as_ref().filter(|fact| Some(fact.seen) == facts.read)?;
        let server = fact.value.server_time;
        // The offset is that from the middle of the exchange.
        let half = fact.value.clock_offset_seconds - server.seconds_since(fact.seen.wall);
        let trip = Duration::try_from_secs_f64(2.0 * half.max(0.0)).ok()?;
        Some(Self { server, asked: fact.seen.mono.minus(trip), answered: fact.seen.mono })
    }

    /// The earliest moment at which the server's clock can have shown `time`; `None` if that is out of all bounds.
    fn earliest(&self, time: Wall) -> Option<Mono> {
        let after = time.seconds_since(self.server);
        let distance = Duration::try_from_secs_f64(after.abs()).ok()?;
        Some(if after < 0.0 { self.asked.minus(distance) } else { self.asked.plus(distance) })
    }
}
