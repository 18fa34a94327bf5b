//! The login probe: kept connections go on working when nobody can log in, so now and then somebody must try.

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::{Watch, words};
use crate::cluster::facts::Report;
use crate::pg::session::Session;

/// Logs in and out again at each `login_interval`, while the fast reading stands. While it does not, its connects are the probe.
pub(super) async fn probe(watch: Watch) {
    let mut up = watch.up.subscribe();
    let mut ticks = interval_at(Instant::now() + watch.timing.login_interval, watch.timing.login_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Whether the probe before failed while the fast reading stood.
    let mut again = false;
    loop {
        again &= !up.has_changed().unwrap_or(true);
        if up.wait_for(|up| *up).await.is_err() {
            return;
        }
        ticks.tick().await;
        let result = log_in(&watch).await;
        words::login(&watch, result.as_ref().err(), again);
        again = result.is_err();
        watch.hub.report(&watch.name, Report::Login(result));
    }
}

async fn log_in(watch: &Watch) -> Result<(), crate::pg::failure::Failure> {
    let _one_at_a_time = watch.connecting.acquire().await;
    let (target, tls) = watch.finder.find(watch.timing.connect_timeout).await?;
    Session::connect(&target, &tls, watch.timing.connect_timeout, watch.timing.query_timeout).await.map(drop)
}
