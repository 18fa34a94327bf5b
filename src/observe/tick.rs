//! The cluster's own clock: every tick samples every standby's lag, known or not.

use std::mem::take;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

use super::pulse::Pulse;
use super::timings::Timings;
use super::voice::Voice;
use super::{Hub, part_of, words};
use crate::clock::Moment;

pub(super) async fn tick(hub: Arc<Hub>, mut timing: Timings, pulse: Arc<Pulse>) {
    let mut voice = Voice::default();
    let mut every = timing.now().sample_interval;
    let mut ticks = new_ticks(every);
    let mut is_first = true;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = timing.changed() => {
                every = timing.now().sample_interval;
                (ticks, is_first) = (new_ticks(every), true);
                continue;
            }
        }
        if take(&mut is_first) {
            // Not with all other clusters.
            ticks.reset_after(part_of(every, [hub.name()]));
        }
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

/// The first is at once.
fn new_ticks(every: Duration) -> Interval {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks
}
