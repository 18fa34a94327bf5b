//! The cluster's own clock: every tick samples every standby's lag, known or not.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::pulse::Pulse;
use super::voice::Voice;
use super::{Hub, words};
use crate::clock::Moment;

pub(super) async fn tick(hub: Arc<Hub>, every: Duration, pulse: Arc<Pulse>) {
    let mut voice = Voice::default();
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        pulse.beat(every);
        let now = Moment::now();
        let (late, over) = {
            let mut cluster = hub.cluster();
            (cluster.tick(now), cluster.expire_maintenance(now.wall))
        };
        if let Some(over) = over {
            words::maintenance_over(&hub, &over);
        }
        if let (Some(left_out), true) = (voice.changes("clock", if late { "late" } else { "" }, now.mono), late) {
            words::late(&hub, left_out);
        }
    }
}
