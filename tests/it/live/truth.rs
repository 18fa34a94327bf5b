//! The truth that lag is held against: the test's own look at the primary each 20 ms.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pgvigil::lab::{LabError, Server};
use pgvigil::pg::lsn::Lsn;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::watch::{INTERVAL, Vigil};

const LOOK_EACH: Duration = Duration::from_millis(20);
/// What a loaded machine of two cores adds between a reading and its page.
const NOISE: f64 = 0.35;

/// When the primary was first seen at each position that it flushed.
pub struct Truth {
    looks: Arc<Mutex<Vec<(Instant, Lsn)>>>,
    task: JoinHandle<()>,
}

impl Truth {
    /// Looks at `primary` until dropped, or until it is gone.
    pub async fn of(primary: &Server) -> Result<Self, LabError> {
        let client = primary.connect().await?;
        let looks: Arc<Mutex<Vec<(Instant, Lsn)>>> = Arc::default();
        let seen = looks.clone();
        let task = tokio::spawn(async move {
            let mut ticks = interval(LOOK_EACH);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            loop {
                ticks.tick().await;
                let Ok(row) = client.query_one("SELECT pg_current_wal_flush_lsn()::text", &[]).await else { return };
                let lsn: Lsn = row.get::<_, &str>(0).parse().unwrap();
                let mut looks = seen.lock().unwrap();
                if looks.last().is_none_or(|(_, newest)| lsn > *newest) {
                    looks.push((Instant::now(), lsn));
                }
            }
        });
        Ok(Self { looks, task })
    }

    /// The age in seconds of the first position beyond `lsn`; 0 if there is none.
    pub fn lag_at(&self, lsn: Lsn) -> f64 {
        let looks = self.looks.lock().unwrap();
        looks.iter().find(|(_, seen)| *seen > lsn).map_or(0.0, |(seen, _)| seen.elapsed().as_secs_f64())
    }

    /// The position so long before the newest was seen.
    pub fn before_the_end(&self, span: Duration) -> Lsn {
        let looks = self.looks.lock().unwrap();
        let end = looks.last().expect("a look").0;
        looks.iter().rev().find(|(seen, _)| end.duration_since(*seen) >= span).map_or(Lsn(0), |(_, lsn)| *lsn)
    }

    /// Waits until the lag at `lsn` is at least `seconds`.
    pub async fn grown_to(&self, lsn: Lsn, seconds: f64) {
        let grown =
            pgvigil::lab::wait_until(format!("a true lag of {seconds} s"), Duration::from_secs(60), async || {
                let lag = self.lag_at(lsn);
                if lag >= seconds { Ok(()) } else { Err(format!("{lag:.2} s")) }
            });
        grown.await.unwrap();
    }

    /// Asserts that pgvigil's lag of `node` is the lag at `lsn`, now.
    pub async fn check(&self, vigil: &Vigil, node: &str, stage: &str, lsn: Lsn) {
        let before = self.lag_at(lsn);
        let page = vigil.page().await;
        let truth = self.lag_at(lsn);
        let Some(lag) = page.lag(node, stage) else {
            let facts = vigil.get("/api/v1/clusters/lab", "").await;
            panic!("{node} {stage}: no lag, truth is {truth:.2} s\n{}", facts.unwrap_or_else(|error| error))
        };
        let allowed = INTERVAL.as_secs_f64().max(truth / 100.0) + NOISE;
        assert!(
            lag >= before - allowed && lag <= truth + allowed,
            "{node} {stage}: pgvigil says {lag:.2} s, truth is {truth:.2} s (allowed ±{allowed:.2})"
        );
    }

    /// Asserts it while the lag grows to each of `seconds`.
    pub async fn check_growth(&self, vigil: &Vigil, node: &str, stage: &str, lsn: Lsn, seconds: &[f64]) {
        for seconds in seconds {
            self.grown_to(lsn, *seconds).await;
            self.check(vigil, node, stage, lsn).await;
        }
    }
}

impl Drop for Truth {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Received and replayed position of a standby, by its own word.
pub async fn position(standby: &Server) -> Result<(Lsn, Lsn), LabError> {
    let lsn = async |function: &str| -> Result<Lsn, LabError> {
        let text = standby.value(&format!("SELECT {function}()::text")).await?;
        Ok(text.and_then(|text| text.parse().ok()).unwrap_or_default())
    };
    let replayed = lsn("pg_last_wal_replay_lsn").await?;
    Ok((lsn("pg_last_wal_receive_lsn").await?.max(replayed), replayed))
}
