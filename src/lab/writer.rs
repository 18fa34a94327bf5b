//! A steady write load.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::{LabError, Server};

/// Rows of the written table; they are overwritten in turn, so that the load does not grow the database.
const ROWS: u64 = 1_000;
const RETRY: Duration = Duration::from_millis(200);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// A task that commits one small transaction after another, at a given rate, and reconnects while the server is away.
pub struct Writer {
    commits: Arc<AtomicU64>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Writer {
    /// Starts writing to the table `lab_writes`, which is made, `rate` times a second (at most 1,000).
    pub async fn start(server: &Server, rate: u32) -> Result<Self, LabError> {
        server
            .sql(
                "CREATE TABLE IF NOT EXISTS lab_writes \
                 (id bigint PRIMARY KEY, written timestamptz NOT NULL, filler text NOT NULL)",
            )
            .await?;
        let commits = Arc::new(AtomicU64::new(0));
        let (stop, mut stopped) = watch::channel(false);
        let (server, counter) = (server.clone(), Arc::clone(&commits));
        let period = Duration::from_secs(1) / rate.clamp(1, 1_000);
        let task = tokio::spawn(async move {
            tokio::select! {
                _ = stopped.changed() => {}
                () = write(&server, &counter, period) => {}
            }
        });
        Ok(Self { commits, stop, task })
    }

    /// How many transactions were acknowledged so far.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Stops writing and returns how many transactions were acknowledged. One that is under way may still commit.
    pub async fn stop(mut self) -> u64 {
        let _ = self.stop.send(true);
        let _ = (&mut self.task).await;
        self.commits()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn write(server: &Server, commits: &AtomicU64, period: Duration) {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut number = 0;
    loop {
        let Ok(client) = server.connect().await else {
            sleep(RETRY).await;
            continue;
        };
        loop {
            ticks.tick().await;
            number += 1;
            let upsert = format!(
                "INSERT INTO lab_writes VALUES ({}, clock_timestamp(), repeat('x', 200)) \
                 ON CONFLICT (id) DO UPDATE SET written = excluded.written",
                number % ROWS
            );
            match timeout(ANSWER_WITHIN, client.batch_execute(&upsert)).await {
                Ok(Ok(())) => commits.fetch_add(1, Ordering::Relaxed),
                _ => break,
            };
        }
        sleep(RETRY).await;
    }
}
