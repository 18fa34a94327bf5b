//! The cluster's own clock: every tick samples every standby's lag, known or not.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::Hub;
use crate::clock::Moment;

pub(super) async fn tick(hub: Arc<Hub>, every: Duration) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let mut cluster = hub.cluster();
        if cluster.tick(Moment::now()) {
            let name = &cluster.layout().name;
            tracing::warn!(cluster = %name, "our own clock was late by more than two intervals: all verdicts are unknown until every node was read anew");
        }
    }
}
