//! What is known of one node, folded from the reports of its loops. Pure: the same reports give the same facts.

use std::collections::BTreeMap;
use std::time::Duration;

use super::reconnects::ReceiverStarts;
use super::visible::Visible;
use crate::archive_watch::hostside::Hostside;
use crate::clock::Moment;
use crate::collector::snapshot::{Exchange, Fact, Outcome, Snapshot};
use crate::collector::walsenders::Walsender;
use crate::collector::{Collector, Pace};
use crate::doctor::chart::Told;
use crate::metric::histogram::{self, Histogram};
use crate::pg::failure::{Failure, NodeState};
use crate::pg::records::Records;
use crate::pg::version::ServerVersion;
use crate::server_log::said::ServerLog;

/// What a node's loop has to say.
pub enum Report {
    /// A connection for readings of this pace was made.
    Connected {
        /// The server's version.
        version: ServerVersion,
    },
    /// Statements were sent together, and each was answered or refused.
    Read {
        /// Fast or slow.
        pace: Pace,
        /// When.
        exchange: Exchange,
        /// Each collector's records, or a sentence that says why there are none.
        answers: Vec<(&'static dyn Collector, Result<Records, String>)>,
    },
    /// After the reading that was complete at `since`, a slow collector is not read again before `rest` has passed.
    Resting {
        /// The collector's name.
        collector: &'static str,
        /// Zero if it is read at each interval.
        rest: Duration,
        /// When its last reading was complete.
        since: Moment,
    },
    /// There is no fast reading, and why.
    Failed(Failure),
    /// There is no slow reading, and why; the node itself may be up.
    SlowFailed(Failure),
    /// What a new login got.
    Login(Result<(), Failure>),
    /// What its own files say; `None`: they are not seen.
    Hostside(Option<Hostside>),
    /// What its own log said, or why that is not known.
    ServerLog(Result<ServerLog, String>),
    /// What a write probe found here; `None`: it began here.
    Visible(Option<Visible>),
    /// What the doctor alone asks.
    Told(Box<Told>),
}

/// Everything known of one node.
#[derive(Clone, Debug, Default)]
pub struct NodeFacts {
    /// The collectors' facts.
    pub snapshot: Snapshot,
    /// When the last fast reading was complete.
    pub read: Option<Moment>,
    /// When the last fast reading came back, whether or not it could be understood.
    answered: Option<Moment>,
    /// Why there is no newer fast reading; `None` after a good one.
    pub failure: Option<Failing>,
    /// Why there is no newer slow reading; `None` after a good one.
    pub slow_failure: Option<Fact<Failure>>,
    /// What the newest login got.
    pub login: Option<Fact<Result<(), Failure>>>,
    /// What it told the doctor.
    pub told: Option<Fact<Told>>,
    /// When each walsender of this node last had news, by pid.
    replies: BTreeMap<i32, Reply>,
    /// The node's walreceiver over its restarts.
    pub receiver: ReceiverStarts,
    /// Durations of readings: those of several collectors together by their pace, others by their collector's name.
    pub durations: BTreeMap<&'static str, Histogram>,
}

/// A failure that lasts.
#[derive(Clone, Debug)]
pub struct Failing {
    /// The newest one.
    pub value: Failure,
    /// When it was seen.
    pub seen: Moment,
    /// Since when the node has been in this state.
    pub since: Moment,
    /// When the node was found not to be up: the first failure since it was last read.
    pub lost: Moment,
}

/// A walsender's last news.
#[derive(Clone, Copy, Debug)]
struct Reply {
    reply_time: Option<crate::clock::Wall>,
    /// When this reply time was first seen; `None` if it was old already then.
    changed: Option<Moment>,
}

impl NodeFacts {
    /// Takes in a report. `reply_window`: up to which age a reply counts as news when it is seen for the first time.
    pub fn fold(&mut self, report: Report, now: Moment, reply_window: Duration) {
        match report {
            Report::Connected { version } => self.snapshot.version = Some(version),
            Report::Read { pace, exchange, answers } => self.read(pace, exchange, answers, reply_window),
            Report::Resting { collector, rest, since } => {
                self.snapshot.rests.insert(collector, Fact { value: rest, seen: since });
            }
            Report::Failed(failure) => self.fail(failure, now),
            Report::SlowFailed(failure) => self.slow_failure = Some(Fact { value: failure, seen: now }),
            Report::Login(result) => self.login = Some(Fact { value: result, seen: now }),
            Report::Told(told) => self.told = Some(Fact { value: *told, seen: now }),
            Report::ServerLog(said) => self.snapshot.server_log = Some(Fact { value: said, seen: now }),
            Report::Visible(found) => self.snapshot.visible = found.map(|value| Fact { value, seen: now }),
            Report::Hostside(found) => self.snapshot.hostside = found.map(|value| Fact { value, seen: now }),
        }
    }

    /// When anything was last heard about this node, good, bad, or of no use.
    pub fn heard(&self) -> Option<Moment> {
        let failed = self.failure.as_ref().map(|failure| failure.seen);
        [self.answered, failed].into_iter().flatten().max_by_key(|moment| moment.mono)
    }

    /// Whether there is a reading that still counts, and nothing went wrong since.
    pub fn is_fresh(&self, now: Moment, window: Duration, not_before: Moment) -> bool {
        self.failure.is_none()
            && self.read.is_some_and(|read| now.mono.since(read.mono) <= window && read.mono >= not_before.mono)
    }

    /// The verdict on the node.
    pub fn state(&self, now: Moment, window: Duration, not_before: Moment) -> NodeState {
        if self.is_fresh(now, window, not_before) {
            return NodeState::Up;
        }
        match &self.failure {
            Some(failure) if failure.seen.mono >= not_before.mono => failure.value.state,
            _ => NodeState::Unknown,
        }
    }

    /// When this walsender last had news; `None` if never while we looked.
    pub fn replied(&self, walsender: &Walsender) -> Option<Moment> {
        self.replies.get(&walsender.pid).and_then(|reply| reply.changed)
    }

    fn fail(&mut self, value: Failure, seen: Moment) {
        let before = self.failure.take();
        let value = value.after(before.as_ref().map(|before| &before.value));
        let lost = before.as_ref().map_or(seen, |before| before.lost);
        let since = before.filter(|before| before.value.state == value.state).map_or(seen, |before| before.since);
        self.failure = Some(Failing { value, seen, since, lost });
    }

    fn read(
        &mut self,
        pace: Pace,
        exchange: Exchange,
        answers: Vec<(&'static dyn Collector, Result<Records, String>)>,
        reply_window: Duration,
    ) {
        let duration = exchange.received.mono.since(exchange.sent.mono);
        // Of statements that were sent together only the whole has a duration.
        let reading = match answers.as_slice() {
            [(alone, _)] => alone.name(),
            _ => pace.as_str(),
        };
        let durations = self.durations.entry(reading);
        durations.or_insert_with(|| Histogram::new(histogram::SECONDS)).observe(duration.as_secs_f64());
        if pace == Pace::Fast {
            self.answered = Some(exchange.received);
        }
        for (collector, answer) in answers {
            let stored = answer.and_then(|records| {
                collector.store(&records, &mut self.snapshot, exchange).map_err(|error| error.to_string())
            });
            if pace == Pace::Fast && collector.name() == "recovery" && stored.is_ok() {
                self.read = Some(exchange.received);
                self.failure = None;
            }
            let before = self.snapshot.outcomes.get(collector.name()).and_then(|before| before.value.last_good);
            let last_good = if stored.is_ok() { Some(exchange.received) } else { before };
            let outcome = Outcome { error: stored.err(), duration, last_good };
            self.snapshot.outcomes.insert(collector.name(), Fact { value: outcome, seen: exchange.received });
        }
        match pace {
            Pace::Fast => {
                self.note_replies(exchange.received, reply_window);
                self.note_receiver(exchange.received);
            }
            Pace::Slow => self.slow_failure = None,
        }
    }

    fn note_receiver(&mut self, seen: Moment) {
        let snapshot = &self.snapshot;
        let recovery = snapshot.recovery.as_ref().filter(|fact| fact.seen == seen && fact.value.in_recovery);
        let receiver = snapshot.wal_receiver.as_ref().filter(|fact| fact.seen == seen);
        if let (Some(_), Some(receiver)) = (recovery, receiver) {
            self.receiver.note(receiver.value.as_ref().and_then(|receiver| receiver.pid), seen);
        }
    }

    /// A reply is news when its time changed. The first one seen of a walsender is news if the standby's clock says that it is young.
    fn note_replies(&mut self, seen: Moment, window: Duration) {
        let Some(walsenders) = self.snapshot.walsenders.as_ref().filter(|fact| fact.seen == seen) else { return };
        let server_time = self.snapshot.recovery.as_ref().map(|recovery| recovery.value.server_time);
        let before = std::mem::take(&mut self.replies);
        for walsender in &walsenders.value {
            let changed = match before.get(&walsender.pid) {
                Some(reply) if reply.reply_time == walsender.reply_time => reply.changed,
                Some(_) => Some(seen),
                None => {
                    let age = server_time.zip(walsender.reply_time).map(|(now, reply)| now.seconds_since(reply).abs());
                    age.is_some_and(|age| age <= window.as_secs_f64()).then_some(seen)
                }
            };
            self.replies.insert(walsender.pid, Reply { reply_time: walsender.reply_time, changed });
        }
    }
}
