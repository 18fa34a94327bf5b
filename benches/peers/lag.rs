//! Lag against the truth: the age of the first position beyond the standby's, by a look at the primary each 20 ms.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pgvigil::lab::{Server, WireMode, Writer, wait_until};
use pgvigil::pg::lsn::Lsn;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::Effort;
use super::client::value;
use super::figures::short;
use super::report::Report;
use super::scene::{Exporter, Pace, SOON, Scene};

const LOOK_EACH: Duration = Duration::from_millis(20);
/// The default sample interval, in seconds.
const INTERVAL: f64 = 1.0;
/// Just longer: each such scrape gets a page of its own. And much shorter: most get one that is kept.
const SCRAPE_EACH: [Duration; 2] = [Duration::from_millis(1_130), Duration::from_millis(90)];

struct Truth {
    looks: Arc<Mutex<Vec<(Instant, Lsn)>>>,
    task: JoinHandle<()>,
}

impl Truth {
    async fn of(primary: &Server) -> anyhow::Result<Self> {
        let client = primary.connect().await?;
        let looks: Arc<Mutex<Vec<(Instant, Lsn)>>> = Arc::default();
        let seen = looks.clone();
        let task = tokio::spawn(async move {
            let mut ticks = interval(LOOK_EACH);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            loop {
                ticks.tick().await;
                let Ok(row) = client.query_one("SELECT pg_current_wal_flush_lsn()::text", &[]).await else { return };
                let Ok(lsn) = row.get::<_, &str>(0).parse::<Lsn>() else { return };
                let mut looks = seen.lock().unwrap_or_else(PoisonError::into_inner);
                if looks.last().is_none_or(|(_, newest)| lsn > *newest) {
                    looks.push((Instant::now(), lsn));
                }
            }
        });
        Ok(Self { looks, task })
    }

    fn lag_at(&self, lsn: Lsn) -> f64 {
        let looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        looks.iter().find(|(_, seen)| *seen > lsn).map_or(0.0, |(seen, _)| seen.elapsed().as_secs_f64())
    }
}

impl Drop for Truth {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Where a standby stands, by its own word.
async fn position(standby: &Server, stage: &str) -> anyhow::Result<Lsn> {
    let received = if stage == "received" { "pg_last_wal_receive_lsn()" } else { "NULL" };
    let text = standby.value(&format!("SELECT greatest({received}, pg_last_wal_replay_lsn())::text")).await?;
    Ok(text.unwrap_or_default().parse()?)
}

/// How far off the lag was over a while, and the greatest truth: a standby in a state that lasts.
struct Errors {
    /// Least and greatest of told less true, for each of [`SCRAPE_EACH`].
    edges: [[f64; 2]; 2],
    truth: f64,
    unknown: usize,
}

async fn compare(
    truth: &Truth,
    pgvigil: &Exporter,
    standby: &Server,
    stage: &str,
    window: Duration,
) -> anyhow::Result<Errors> {
    let series = format!(r#"pgvigil_standby_lag_seconds{{cluster="bench",node="{}",stage="{stage}"}}"#, standby.name());
    let mut errors = Errors { edges: [[0.0; 2]; 2], truth: 0.0, unknown: 0 };
    for (pause, [least, greatest]) in SCRAPE_EACH.into_iter().zip(&mut errors.edges) {
        let started = Instant::now();
        while started.elapsed() < window {
            sleep(pause).await;
            let before = truth.lag_at(position(standby, stage).await?);
            let page = pgvigil.page()?;
            let after = truth.lag_at(position(standby, stage).await?);
            let (low, high) = (before.min(after), before.max(after));
            match value(&page, &series) {
                Some(lag) => {
                    *least = least.min(lag - low);
                    *greatest = greatest.max(lag - high);
                }
                None => errors.unknown += 1,
            }
            errors.truth = errors.truth.max(high);
        }
    }
    Ok(errors)
}

fn put(name: &str, errors: &Errors, peer: &str, report: &mut Report) {
    let bar = INTERVAL.max(errors.truth / 100.0);
    let [fresh, kept] = errors.edges.map(|[least, greatest]| format!("{} to +{}", short(least), short(greatest)));
    let words = format!("{fresh} (truth up to {}; {} unknown)", short(errors.truth), errors.unknown);
    let met = errors.edges[0].iter().all(|edge| edge.abs() <= bar) && errors.unknown == 0;
    report.words(name, &words, peer, "±1", Some(met));
    report.words(&format!("{name}; scraped 11 times an interval"), &kept, "–", "", None);
}

/// Each state for a while, with the default sample interval.
pub async fn against_truth(scene: &Scene, effort: Effort, report: &mut Report) -> anyhow::Result<()> {
    report.section("Lag told less lag true, s, at a sample interval of 1 s");
    let pgvigil = scene.pgvigil(Pace::Default { login: "15s" }).await?;
    let truth = Truth::of(&scene.a).await?;
    let window = effort.window(Duration::from_secs(15));
    let peer = peer_lags(&scene.peer.page()?);
    sleep(window / 5).await;
    let errors = compare(&truth, &pgvigil, &scene.b, "replayed", window).await?;
    put("idle primary", &errors, &peer, report);
    let writer = Writer::start(&scene.a, 50).await?;
    let errors = compare(&truth, &pgvigil, &scene.b, "replayed", window).await?;
    put("under load", &errors, &peer, report);
    scene.b.pause_replay().await?;
    let errors = compare(&truth, &pgvigil, &scene.b, "replayed", window).await?;
    put("replay paused under load", &errors, &peer, report);
    scene.b.resume_replay().await?;
    scene.wire.set(WireMode::Cut).await?;
    wait_until("no walreceiver on c", SOON, async || {
        let rows = scene.c.query("SELECT 1 FROM pg_stat_wal_receiver").await.map_err(|error| error.to_string())?;
        if rows.is_empty() { Ok(()) } else { Err("still there".to_owned()) }
    })
    .await?;
    let errors = compare(&truth, &pgvigil, &scene.c, "received", window).await?;
    put("standby cut off under load", &errors, &peer, report);
    writer.stop().await;
    scene.wire.set(WireMode::Pass).await?;
    drop(truth);
    scene.settle(&pgvigil).await?;
    pgvigil.stop().await
}

/// Which lags in seconds the peer's default collectors tell.
fn peer_lags(page: &str) -> String {
    let lag = |line: &&str| {
        line.contains("lag") && !line.starts_with('#') && !line.starts_with("pg_settings") && !line.contains("bytes")
    };
    let names: Vec<_> = page.lines().filter(lag).filter_map(|line| line.split(['{', ' ']).next()).collect();
    if names.is_empty() { "tells no lag in seconds".to_owned() } else { names.join(", ") }
}
