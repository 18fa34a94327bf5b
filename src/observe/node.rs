//! A node's readings. Each pace has one kept connection; when the server falls silent, the connection is kept, because a server that
//! thaws answers on it at once, and a new one is tried beside it.

use std::mem::take;
use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep, sleep_until, timeout};

use super::pacing::Pacing;
use super::{Watch, words};
use crate::clock::Moment;
use crate::cluster::facts::Report;
use crate::cluster::layout::Timing;
use crate::collector::snapshot::Exchange;
use crate::collector::{COLLECTORS, Collector, Pace, control, settings};
use crate::pg::failure::{Cause, Failure, NodeState};
use crate::pg::session::{Answers, Costs, Session};

/// Login and config errors are not tried again faster than this in the end.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A node that refuses is tried again at least this often, so that its return is seen within a second.
const LONGEST_RETRY: Duration = Duration::from_millis(500);

/// How often a loop that waits for its turn says so.
const TURN: Duration = Duration::from_secs(1);

/// So many deadlines of a query are waited for a dear reading: a server that lists a directory heeds its own deadline only at the end.
const DEAR_PATIENCE: u32 = 5;

/// Whose WAL it is, and what may feed the node.
const FIRST: [&dyn Collector; 2] = [&control::Collector, &settings::Collector];

/// The fast reading: positions, walsenders, receiver, slots' positions.
pub(super) async fn fast(watch: Watch) {
    sleep(watch.part_of(watch.timing.now().sample_interval / 2)).await;
    Reader::new(Pace::Fast, watch).run().await;
}

/// The slow reading: everything else, while the fast one stands.
pub(super) async fn slow(watch: Watch) {
    let mut up = watch.up.subscribe();
    let mut reader = Reader::new(Pace::Slow, watch);
    loop {
        if up.wait_for(|up| *up).await.is_err() {
            return;
        }
        reader.run().await;
    }
}

struct Reader {
    watch: Watch,
    pace: Pace,
    pacing: Pacing,
}

/// How a session stopped being read.
enum Stop {
    /// It ended.
    Ended(Failure),
    /// It fell silent, and a new one was made beside it.
    Replaced(Box<Session>),
}

/// How one exchange went.
enum Exchanged {
    /// Answered in time.
    InTime,
    /// Answered, but late.
    Late,
    /// The session is of no more use.
    Stop(Stop),
}

impl Reader {
    fn new(pace: Pace, watch: Watch) -> Self {
        Self { pacing: Pacing::new(interval_of(pace, &watch.timing.now())), watch, pace }
    }

    fn interval(&self) -> Duration {
        interval_of(self.pace, &self.watch.timing.now())
    }

    /// Reads for ever; a slow reader returns when its session ended, to wait until the fast reading stands again.
    async fn run(&mut self) {
        let mut session = self.dial().await;
        loop {
            match self.read_until_stopped(session).await {
                Stop::Replaced(new) => session = *new,
                Stop::Ended(failure) => {
                    self.fail(failure);
                    if self.pace == Pace::Slow {
                        return sleep(self.watch.timing.now().sample_interval).await;
                    }
                    session = self.dial().await;
                }
            }
        }
    }

    /// Reads at each tick until the session ends or falls silent.
    async fn read_until_stopped(&mut self, mut session: Session) -> Stop {
        self.pacing.wake();
        let mut ticks = self.new_ticks();
        let mut is_first = true;
        loop {
            self.beat(self.interval() + self.watch.timing.now().query_timeout);
            tokio::select! {
                failure = session.ended() => return Stop::Ended(failure),
                due = ticks.tick() => {
                    self.count_late(due);
                    // The fast one began at its own moment.
                    if take(&mut is_first) && self.pace == Pace::Slow {
                        ticks.reset_after(self.watch.part_of(self.interval()));
                    }
                }
                () = self.watch.timing.changed() => {
                    self.pacing.read_each(self.interval());
                    session.bound_by(self.watch.timing.now().query_timeout);
                    (ticks, is_first) = (self.new_ticks(), true);
                    continue;
                }
            }
            for names in self.due() {
                match self.exchange(&mut session, &names).await {
                    Exchanged::InTime => {}
                    // What a late answer tells was true at some moment since it was asked: read again.
                    Exchanged::Late => {
                        ticks.reset_immediately();
                        break;
                    }
                    Exchanged::Stop(stop) => return stop,
                }
            }
        }
    }

    /// Counts how much later than `due` the fast reading comes.
    fn count_late(&self, due: Instant) {
        if self.pace == Pace::Fast {
            self.watch.punctuality.sent(due.elapsed());
        }
    }

    /// The first is at once.
    fn new_ticks(&self) -> Interval {
        let mut ticks = interval_at(Instant::now(), self.interval());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        ticks
    }

    /// The names of the collectors to read now, each list in an exchange of its own.
    fn due(&self) -> Vec<Vec<&'static str>> {
        let names: Vec<_> = collectors(self.pace).iter().map(|collector| collector.name()).collect();
        match self.pace {
            // Never apart: what the positions mean hangs on the others.
            Pace::Fast => vec![names],
            Pace::Slow => {
                let now = Moment::now();
                let not_before = self.watch.hub.cluster().evidence(now).not_before;
                self.pacing.due(&names, now.mono, not_before.mono)
            }
        }
    }

    /// Reads these collectors once, and reports what they say.
    async fn exchange(&mut self, session: &mut Session, names: &[&'static str]) -> Exchanged {
        let sent = Moment::now();
        let cancel = session.cancel(self.watch.timing.now().connect_timeout);
        let pace = self.pace;
        let mut reading = pin!(async {
            match pace {
                Pace::Fast => session.read().await.map(|answers| (answers, Costs::new())),
                Pace::Slow => session.read_these(names).await,
            }
        });
        let answered = match timeout(self.patience(names), &mut reading).await {
            Ok(answered) => answered,
            Err(_) => {
                self.fail(Failure::new(Cause::Timeout, "no answer to a query"));
                self.beat(self.longest_dial());
                let new_session = async {
                    {
                        // A connection too, for as long as it lasts.
                        let _one_at_a_time = self.watch.connecting.acquire().await;
                        cancel.await;
                    }
                    sleep(self.retry_pause()).await;
                    self.dial().await
                };
                tokio::select! {
                    late = &mut reading => return match late {
                        Ok((answers, costs)) if self.is_alone(names) => {
                            self.take(sent, names, answers, &costs);
                            Exchanged::InTime
                        }
                        Ok((_, costs)) => {
                            self.charge(sent, &costs);
                            Exchanged::Late
                        }
                        Err(failure) => Exchanged::Stop(Stop::Ended(failure)),
                    },
                    new = new_session => return Exchanged::Stop(Stop::Replaced(Box::new(new))),
                }
            }
        };
        match answered {
            Ok((answers, costs)) => {
                self.take(sent, names, answers, &costs);
                Exchanged::InTime
            }
            Err(failure) => Exchanged::Stop(Stop::Ended(failure)),
        }
    }

    /// A dear reading is stopped by the server itself, if late: it takes no other along, and to ask again at once would make it worse.
    fn patience(&self, names: &[&'static str]) -> Duration {
        let deadline = self.watch.timing.now().query_timeout;
        if self.is_alone(names) { DEAR_PATIENCE * deadline } else { deadline }
    }

    fn is_alone(&self, names: &[&'static str]) -> bool {
        self.pace == Pace::Slow && names.len() == 1
    }

    fn take(&mut self, sent: Moment, names: &[&'static str], answers: Answers, costs: &Costs) {
        let exchange = Exchange { sent, received: Moment::now() };
        self.charge(sent, costs);
        self.publish(exchange, answers);
        self.tell_rests(exchange, names);
    }

    fn charge(&mut self, sent: Moment, costs: &Costs) {
        for (name, took) in costs {
            self.pacing.took(name, *took, sent.mono);
        }
    }

    /// Who rests, and who does no more.
    fn tell_rests(&self, exchange: Exchange, names: &[&'static str]) {
        for collector in names {
            let rest = self.pacing.rest(collector);
            let known = self.watch.hub.cluster();
            let told = self.watch.facts(&known).is_some_and(|facts| facts.snapshot.rests.contains_key(collector));
            drop(known);
            if told || rest > Duration::ZERO {
                let report = Report::Resting { collector, rest, since: exchange.received };
                self.watch.hub.report(&self.watch.name, report);
            }
        }
    }

    /// Connects, however long it takes. Refused, timed out or starting: tried again soon; login and config errors back off.
    async fn dial(&self) -> Session {
        let mut pause = self.retry_pause();
        loop {
            let started = Instant::now();
            self.beat(self.longest_dial());
            match self.dial_once().await {
                Ok(session) => return session,
                Err(failure) => {
                    let is_for_people = failure.state == NodeState::AuthFailed || is_config_error(failure.cause);
                    let backs_off = is_for_people && !self.watch.finder.hangs();
                    pause = if backs_off { (2 * pause).min(LONGEST_PAUSE) } else { self.retry_pause() };
                    self.fail(failure);
                }
            }
            self.beat(pause);
            sleep_until(started + pause).await;
        }
    }

    /// Tells that the fast loop goes round, and within what time it will say so again.
    fn beat(&self, next: Duration) {
        if self.pace == Pace::Fast {
            self.watch.pulse.beat(next);
        }
    }

    /// Waits for what has a deadline once its turn has come, which may take long while many nodes connect: the loop goes round meanwhile.
    async fn turn<T>(&self, waiting: impl Future<Output = T>) -> T {
        let mut waiting = pin!(waiting);
        loop {
            self.beat(self.longest_dial());
            if let Ok(turn) = timeout(TURN, &mut waiting).await {
                return turn;
            }
        }
    }

    /// How long a connect may take, with those of the other loops that may come before it, and the pause before it: three and a cancel,
    /// each of the three with a look at the files.
    fn longest_dial(&self) -> Duration {
        let timing = self.watch.timing.now();
        7 * timing.connect_timeout + 4 * timing.query_timeout + LONGEST_RETRY
    }

    async fn dial_once(&self) -> Result<Session, Failure> {
        let _one_at_a_time = self.turn(self.watch.connecting.acquire()).await;
        let mut session = self.turn(self.watch.log_in()).await?;
        self.beat(self.longest_dial());
        let timing = self.watch.timing.now();
        let report = Report::Connected { version: session.version() };
        let collectors = collectors(self.pace);
        let preparing = session.prepare(&collectors);
        match timeout(timing.query_timeout, preparing).await {
            Ok(prepared) => prepared?,
            Err(_) => return Err(Failure::new(Cause::Timeout, "no answer to a prepare")),
        }
        self.watch.hub.report(&self.watch.name, report);
        if self.pace == Pace::Fast {
            self.read_first(&mut session).await?;
        }
        Ok(session)
    }

    /// Reads what the meaning of the first positions hangs on, before them.
    async fn read_first(&self, session: &mut Session) -> Result<(), Failure> {
        let sent = Moment::now();
        let mut answers = Answers::with_capacity(FIRST.len());
        for collector in FIRST {
            match timeout(self.watch.timing.now().query_timeout, session.read_once(collector)).await {
                Ok(answer) => answers.push((collector, answer?)),
                Err(_) => return Err(Failure::new(Cause::Timeout, "no answer to the first query")),
            }
        }
        let exchange = Exchange { sent, received: Moment::now() };
        self.watch.hub.report(&self.watch.name, Report::Read { pace: Pace::Slow, exchange, answers });
        Ok(())
    }

    fn retry_pause(&self) -> Duration {
        match self.pace {
            Pace::Fast => self.interval().min(LONGEST_RETRY),
            Pace::Slow => self.interval(),
        }
    }

    fn publish(&self, exchange: Exchange, answers: Answers) {
        let watch = &self.watch;
        watch.hub.report(&watch.name, Report::Read { pace: self.pace, exchange, answers });
        words::answered(watch, self.pace, exchange);
        if self.pace == Pace::Fast {
            watch.up.send_if_modified(|up| !std::mem::replace(up, true));
        }
    }

    fn fail(&self, failure: Failure) {
        let watch = &self.watch;
        match self.pace {
            Pace::Fast => {
                watch.up.send_replace(false);
                watch.hub.report(&watch.name, Report::Failed(failure));
                words::failed(watch);
            }
            Pace::Slow => {
                words::slow_failed(watch, &failure);
                watch.hub.report(&watch.name, Report::SlowFailed(failure));
            }
        }
    }
}

const fn interval_of(pace: Pace, timing: &Timing) -> Duration {
    match pace {
        Pace::Fast => timing.sample_interval,
        Pace::Slow => timing.collect_interval,
    }
}

/// What no second try mends, only a person.
const fn is_config_error(cause: Cause) -> bool {
    matches!(
        cause,
        Cause::Config | Cause::NoDatabase | Cause::DatabaseClosed | Cause::BadOptions | Cause::Unsupported | Cause::Tls
    )
}

fn collectors(pace: Pace) -> Vec<&'static dyn Collector> {
    COLLECTORS.iter().copied().filter(|collector| collector.pace() == pace).collect()
}
