//! How soon a page says that a node has gone, and that it is back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pgvigil::lab::wait_until;
use tokio::time::sleep;

use super::Effort;
use super::client::{Client, value};
use super::figures::Spread;
use super::report::{Bar, Report};
use super::scene::{Pace, SOON, Scene, node_up};

/// A scraper that asks about each 10 ms and notes when a series changed.
struct Watcher {
    changes: Arc<Mutex<Vec<(Instant, f64)>>>,
    stop: Arc<AtomicBool>,
}

impl Watcher {
    fn of(port: u16, series: String) -> Self {
        let (changes, stop) = (Arc::<Mutex<Vec<(Instant, f64)>>>::default(), Arc::<AtomicBool>::default());
        let (noted, stopped) = (changes.clone(), stop.clone());
        std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let Ok(mut client) = Client::connect(port, SOON) else { continue };
                while let (false, Ok(answer)) = (stopped.load(Ordering::Relaxed), client.scrape()) {
                    if let Some(seen) = value(answer.body, &series) {
                        let mut changes = noted.lock().unwrap_or_else(PoisonError::into_inner);
                        if changes.last().is_none_or(|(_, last)| *last != seen) {
                            changes.push((Instant::now(), seen));
                        }
                    }
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
        });
        Self { changes, stop }
    }

    /// Seconds from `since` to the first page after it that says `wanted`, if there is one so far. Zero if pages said so already.
    fn told(&self, wanted: f64, since: Instant) -> Option<f64> {
        let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        if changes.iter().rev().find(|(at, _)| *at <= since).is_some_and(|(_, value)| *value == wanted) {
            return Some(0.0);
        }
        let change = changes.iter().find(|(at, value)| *at >= since && *value == wanted)?;
        Some(change.0.duration_since(since).as_secs_f64())
    }

    async fn until(&self, what: &str, wanted: f64, since: Instant) -> anyhow::Result<f64> {
        let look = async || self.told(wanted, since).ok_or_else(|| "not yet".to_owned());
        Ok(wait_until(what, SOON, look).await?)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Kills and freezes the primary again and again.
pub async fn seen(scene: &Scene, effort: Effort, report: &mut Report) -> anyhow::Result<()> {
    report.section("How soon node_up (pg_up) is right, s");
    let pgvigil = scene.pgvigil(Pace::Default { login: "15s" }).await?;
    let ours = Watcher::of(pgvigil.port, node_up("a"));
    let theirs = Watcher::of(scene.peer.port, "pg_up".to_owned());
    let mut figures: [[Vec<f64>; 2]; 4] = Default::default();
    let [killed, started, frozen, thawed] = &mut figures;
    for round in 0..effort.events() {
        // Each time at another moment of the interval.
        let phase = Duration::from_millis(u64::from(round) * 370 % 1_000);
        sleep(phase).await;
        let at = Instant::now();
        scene.a.kill();
        killed[0].push(ours.until("node_up 0 after a kill", 0.0, at).await?);
        killed[1].push(theirs.until("pg_up 0 after a kill", 0.0, at).await?);
        scene.a.start().await?;
        let at = Instant::now();
        started[0].push(ours.until("node_up 1 after a start", 1.0, at).await?);
        started[1].push(theirs.until("pg_up 1 after a start", 1.0, at).await?);
        scene.settle(&pgvigil).await?;
        sleep(phase).await;
        let at = Instant::now();
        scene.a.freeze()?;
        frozen[0].push(ours.until("node_up 0 after a freeze", 0.0, at).await?);
        frozen[1].extend(theirs.told(0.0, at));
        let at = Instant::now();
        scene.a.thaw()?;
        thawed[0].push(ours.until("node_up 1 after a thaw", 1.0, at).await?);
        scene.settle(&pgvigil).await?;
    }
    let rows = [
        ("killed, to 0", 0.3, killed),
        ("started and ready, to 1", 1.0, started),
        ("frozen, to 0", 3.5, frozen),
        ("thawed, to 1", 1.0, thawed),
    ];
    for (name, bar, [ours, theirs]) in rows {
        let ours = Spread::of(ours);
        let name = format!("{name}, n = {}: median", ours.count);
        report.figures(&name, ours, Some(Spread::of(theirs)).filter(|theirs| theirs.count > 0), &Bar::Most(bar));
        report.figures(&name.replace("median", "greatest"), Spread::of(&[ours.greatest]), None, &Bar::Most(bar));
    }
    report.note("The peer gives no page while the server is frozen, so pg_up is absent then. Its pages come one after another, each asked for 10 ms after the last.");
    drop((ours, theirs));
    pgvigil.stop().await
}
