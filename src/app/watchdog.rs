//! Tells systemd how many nodes are up, and that we are alive: only while every loop that watches goes round. A loop that hangs is
//! said in the log too, and where systemd's watchdog is set, it starts us anew.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::clock::{Moment, Mono};
use crate::observe::fleet::Hubs;
use crate::observe::pulse::Pulses;
use crate::observe::voice::Voice;
use crate::systemd::Systemd;

/// Without a watchdog, we look at ourselves so often.
const LOOK_EACH: Duration = Duration::from_secs(5);

/// Looks again and again.
pub(super) async fn watch(systemd: Arc<Systemd>, pulses: Arc<Pulses>, hubs: Hubs) {
    let (mut voice, mut said) = (Voice::default(), String::new());
    let each = systemd.watchdog().map_or(LOOK_EACH, |within| (within / 2).min(LOOK_EACH));
    loop {
        let overdue = pulses.overdue(Instant::now());
        if overdue.is_empty() {
            systemd.alive();
        }
        let hanging = overdue.join(", ");
        if let Some(left_out) = voice.changes("loops", &hanging, Mono::now()) {
            let left_out = (left_out > 0).then_some(left_out);
            match hanging.as_str() {
                "" => tracing::info!(left_out, "all loops that watch go round again"),
                whose => tracing::error!(
                    left_out,
                    "these loops that watch stand still: {whose}; see whether the disk of their dsn_file answers, and restart pgvigil"
                ),
            }
        }
        let line = status(&hubs);
        if line != said {
            systemd.status(&line);
            said = line;
        }
        // With one word missed, the next must not be late.
        sleep(if overdue.is_empty() { each } else { each / 4 }).await;
    }
}

fn status(hubs: &Hubs) -> String {
    let now = Moment::now();
    let assessments: Vec<_> = hubs.now().iter().map(|hub| hub.cluster().assess(now)).collect();
    let nodes = || assessments.iter().flat_map(|cluster| &cluster.nodes);
    format!("{} of {} nodes up", nodes().filter(|node| node.up).count(), nodes().count())
}
