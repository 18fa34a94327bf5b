//! The login probe: kept connections go on working when nobody can log in, so now and then somebody must try. Once in a while it asks
//! what the doctor's checks need, before it goes.

use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};

use super::{Watch, told, words};
use crate::cluster::facts::Report;

/// How often the doctor's questions are asked, at most.
const ASK_EACH: Duration = Duration::from_secs(60);

/// Logs in and out again at each `login_interval`, while the fast reading stands. While it does not, its connects are the probe.
pub(super) async fn probe(mut watch: Watch) {
    let mut up = watch.up.subscribe();
    let mut ticks = new_ticks(&watch);
    // Whether the probe before failed while the fast reading stood.
    let mut again = false;
    let mut asked: Option<Instant> = None;
    loop {
        again &= !up.has_changed().unwrap_or(true);
        if up.wait_for(|up| *up).await.is_err() {
            return;
        }
        tokio::select! {
            _ = ticks.tick() => {}
            () = watch.timing.changed() => {
                ticks = new_ticks(&watch);
                continue;
            }
        }
        let result = {
            let _one_at_a_time = watch.connecting.acquire().await;
            watch.log_in().await
        };
        words::login(&watch, result.as_ref().err(), again);
        again = result.is_err();
        let (result, session) = match result {
            Ok(session) => (Ok(()), Some(session)),
            Err(failure) => (Err(failure), None),
        };
        watch.hub.report(&watch.name, Report::Login(result));
        if let Some(mut session) = session
            && asked.is_none_or(|asked| asked.elapsed() >= ASK_EACH)
        {
            // An answer that does not come is one of the other readings' to tell.
            if let Ok(Ok(told)) = timeout(watch.timing.now().query_timeout, told::ask(&mut session)).await {
                watch.hub.report(&watch.name, Report::Told(Box::new(told)));
                asked = Some(Instant::now());
            }
        }
    }
}

fn new_ticks(watch: &Watch) -> Interval {
    let each = watch.timing.now().login_interval;
    let first = each / 2 + watch.part_of(each / 2);
    let mut ticks = interval_at(Instant::now() + first, each);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
