//! A node's readings. Each pace has one kept connection; when the server falls silent, the connection is kept, because a server that
//! thaws answers on it at once, and a new one is tried beside it.

use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until, timeout};

use super::{Watch, words};
use crate::clock::Moment;
use crate::cluster::facts::Report;
use crate::collector::snapshot::Exchange;
use crate::collector::{COLLECTORS, Collector, Pace, control, settings};
use crate::pg::failure::{Cause, Failure, NodeState};
use crate::pg::session::{Answers, Session};

/// Login and config errors are not tried again faster than this in the end.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A node that refuses is tried again at least this often, so that its return is seen within a second.
const LONGEST_RETRY: Duration = Duration::from_millis(500);

/// Whose WAL it is, and what may feed the node.
const FIRST: [&dyn Collector; 2] = [&control::Collector, &settings::Collector];

/// The fast reading: positions, walsenders, receiver, slots' positions.
pub(super) async fn fast(watch: Watch) {
    sleep(jitter(&watch.name, watch.timing.sample_interval)).await;
    Reader { pace: Pace::Fast, interval: watch.timing.sample_interval, watch }.run().await;
}

/// The slow reading: everything else, while the fast one stands.
pub(super) async fn slow(watch: Watch) {
    let mut up = watch.up.subscribe();
    loop {
        if up.wait_for(|up| *up).await.is_err() {
            return;
        }
        let reader = Reader { pace: Pace::Slow, interval: watch.timing.collect_interval, watch: watch.clone() };
        reader.run().await;
    }
}

/// Where in its interval a node's loop starts: spread by name, the same at each start.
fn jitter(name: &str, interval: Duration) -> Duration {
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    interval.mul_f64(f64::from(hash) / f64::from(u32::MAX) / 2.0)
}

struct Reader {
    watch: Watch,
    pace: Pace,
    interval: Duration,
}

/// How a session stopped being read.
enum Stop {
    /// It ended.
    Ended(Failure),
    /// It fell silent, and a new one was made beside it.
    Replaced(Box<Session>),
}

impl Reader {
    /// Reads for ever; a slow reader returns when its session ended, to wait until the fast reading stands again.
    async fn run(self) {
        let mut session = self.dial().await;
        loop {
            match self.read_until_stopped(session).await {
                Stop::Replaced(new) => session = *new,
                Stop::Ended(failure) => {
                    self.fail(failure);
                    if self.pace == Pace::Slow {
                        return sleep(self.watch.timing.sample_interval).await;
                    }
                    session = self.dial().await;
                }
            }
        }
    }

    /// Reads at each tick until the session ends or falls silent.
    async fn read_until_stopped(&self, mut session: Session) -> Stop {
        let mut ticks = interval_at(Instant::now(), self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            self.beat(self.interval + self.watch.timing.query_timeout);
            tokio::select! {
                failure = session.ended() => return Stop::Ended(failure),
                _ = ticks.tick() => {}
            }
            let sent = Moment::now();
            let cancel = session.cancel(self.watch.timing.connect_timeout);
            let mut reading = pin!(session.read());
            let answers = match timeout(self.watch.timing.query_timeout, &mut reading).await {
                Ok(answers) => answers,
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
                        late = &mut reading => match late {
                            // What a late answer tells was true at some moment since it was asked: read again.
                            Ok(_) => { ticks.reset_immediately(); continue }
                            Err(failure) => return Stop::Ended(failure),
                        },
                        new = new_session => return Stop::Replaced(Box::new(new)),
                    }
                }
            };
            match answers {
                Ok(answers) => self.publish(Exchange { sent, received: Moment::now() }, answers),
                Err(failure) => return Stop::Ended(failure),
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
                    let backs_off = failure.state == NodeState::AuthFailed || is_config_error(failure.cause);
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

    /// How long a connect may take, with those of the other loops that may come before it, and the pause before it.
    fn longest_dial(&self) -> Duration {
        let timing = &self.watch.timing;
        4 * (timing.connect_timeout + timing.query_timeout) + LONGEST_RETRY
    }

    async fn dial_once(&self) -> Result<Session, Failure> {
        let Watch { timing, connecting, source, .. } = &self.watch;
        let _one_at_a_time = connecting.acquire().await;
        let target = source()?;
        let mut session = Session::connect(&target, timing.connect_timeout, timing.query_timeout).await?;
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
        for collector in FIRST {
            let sent = Moment::now();
            let answer = match timeout(self.watch.timing.query_timeout, session.read_once(collector)).await {
                Ok(answer) => answer?,
                Err(_) => return Err(Failure::new(Cause::Timeout, "no answer to the first query")),
            };
            let exchange = Exchange { sent, received: Moment::now() };
            let report = Report::Read { pace: Pace::Slow, exchange, answers: vec![(collector, answer)] };
            self.watch.hub.report(&self.watch.name, report);
        }
        Ok(())
    }

    fn retry_pause(&self) -> Duration {
        match self.pace {
            Pace::Fast => self.interval.min(LONGEST_RETRY),
            Pace::Slow => self.interval,
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
