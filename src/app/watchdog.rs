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
                whose => tracing::error!(left_out, "these loops that watch stand still: {whose}; restart pgvigil"),
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

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;
    use crate::observe::fleet::Fleet;
    use crate::observe::keeper::Keeper;

    #[tokio::test]
    async fn one_loop_that_stands_still_ends_the_talk_until_it_goes_round_again() {
        let path = std::env::temp_dir().join(format!("pgvigil-watchdog-{}", std::process::id()));
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let env = |name: &str| match name {
            "NOTIFY_SOCKET" => Some(path.display().to_string()),
            "WATCHDOG_USEC" => Some("200000".to_owned()),
            _ => None,
        };
        // Whether a word came within half a second, which is longer than systemd would wait.
        let is_heard = async || {
            let mut bytes = [0; 100];
            while socket.recv(&mut bytes).is_ok() {}
            sleep(Duration::from_millis(500)).await;
            std::iter::from_fn(|| socket.recv(&mut bytes).ok().map(|length| bytes[..length].to_vec()))
                .any(|word| word == b"WATCHDOG=1")
        };
        let pulses = Arc::new(Pulses::default());
        let (goes, stands) =
            (pulses.add("c/a".into(), Duration::from_secs(60)), pulses.add("c/b".into(), Duration::ZERO));
        let fleet = Fleet::new(Arc::new(Keeper::new("/nowhere".into(), true)), 2);
        let systemd = Arc::new(Systemd::of(&env, std::process::id()));
        let watching = tokio::spawn(watch(systemd, pulses.clone(), fleet.hubs()));
        assert!(is_heard().await);
        let began = Instant::now();
        while is_heard().await {
            assert!(began.elapsed() < Duration::from_secs(20), "systemd is still told that we are alive");
        }
        assert!(!is_heard().await);
        stands.beat(Duration::from_secs(60));
        assert!(is_heard().await);
        watching.abort();
        drop((goes, stands));
        std::fs::remove_file(&path).unwrap();
    }
}
