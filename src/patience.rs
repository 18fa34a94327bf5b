//! Work on files that may hang for ever, as on a network file system whose server is gone: never more than one thread for a directory
//! or for the files of one node, and nobody waits for it but its own loop.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, timeout, timeout_at};

/// Does `work` on `worker` in a thread of its own, however long it takes. If that is longer than `deadline`, `late` is called, and what
/// comes in the end is thrown away: `Ok((worker, None))`. `Err`: it panicked, and the worker is lost.
pub async fn patiently<W, T>(
    mut worker: W,
    deadline: Duration,
    work: impl FnOnce(&mut W) -> T + Send + 'static,
    late: impl FnOnce(),
) -> Result<(W, Option<T>), Panicked>
where
    W: Send + 'static,
    T: Send + 'static,
{
    let mut thread = spawn_blocking(move || {
        let result = work(&mut worker);
        (worker, result)
    });
    if let Ok(done) = timeout(deadline, &mut thread).await {
        let (worker, result) = done.map_err(|_| Panicked)?;
        return Ok((worker, Some(result)));
    }
    late();
    let (worker, _) = thread.await.map_err(|_| Panicked)?;
    Ok((worker, None))
}

/// The work panicked, which is a bug; the log has its message.
#[derive(Debug, PartialEq, Eq)]
pub struct Panicked;

/// Work of which one piece is done at a time: while it hangs, no other is begun.
#[derive(Debug)]
pub struct OneAtATime<T>(Mutex<Option<JoinHandle<T>>>);

impl<T> Default for OneAtATime<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Send + 'static> OneAtATime<T> {
    /// Does `work` in a thread of its own; while an earlier piece hangs, waits for that one instead, and takes what it gives. `None`:
    /// nothing came within `deadline`.
    pub async fn within(
        &self,
        deadline: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<Result<T, Panicked>> {
        let end = Instant::now() + deadline;
        let mut thread = timeout_at(end, self.0.lock()).await.ok()?;
        let handle = thread.get_or_insert_with(|| spawn_blocking(work));
        let done = timeout_at(end, handle).await.ok()?;
        *thread = None;
        Some(done.map_err(|_| Panicked))
    }

    /// Whether a piece was begun that did not end in time.
    pub fn hangs(&self) -> bool {
        self.0.try_lock().is_ok_and(|thread| thread.is_some())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    const SOON: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn what_hangs_is_told_at_once_and_waited_for() {
        let (go, gone) = channel::<()>();
        let mut told = false;
        let hang = move |worker: &mut u8| {
            *worker += 1;
            gone.recv()
        };
        let waited = patiently(7, SOON, hang, || {
            told = true;
            go.send(()).unwrap();
        });
        // Nobody is told, and nothing ends, without the deadline.
        let waited = timeout(Duration::from_secs(20), waited).await;
        assert_eq!(waited, Ok(Ok((8, None))));
        assert!(told);
    }

    #[tokio::test]
    async fn what_answers_in_time_answers() {
        let waited = patiently("worker", Duration::from_secs(60), |_| 1, || panic!("not late"));
        assert_eq!(waited.await, Ok(("worker", Some(1))));
        let waited = patiently((), Duration::from_secs(60), |_: &mut ()| -> u8 { panic!("a bug, on purpose") }, || {});
        assert_eq!(waited.await, Err(Panicked));
    }

    #[tokio::test]
    async fn beside_what_hangs_nothing_is_begun_and_what_it_gives_counts() {
        let one = OneAtATime::default();
        let (go, gone) = channel::<()>();
        let hang = move || {
            let _ = gone.recv();
            1
        };
        assert_eq!(one.within(SOON, hang).await, None);
        assert!(one.hangs());
        assert_eq!(one.within(SOON, || panic!("begun beside it")).await, None);
        go.send(()).unwrap();
        let long = Duration::from_secs(20);
        assert_eq!(one.within(long, || 2).await, Some(Ok(1)));
        assert!(!one.hangs());
        assert_eq!(one.within(long, || 3).await, Some(Ok(3)));
        assert_eq!(one.within(long, || panic!("a bug, on purpose")).await, Some(Err(Panicked)));
        assert_eq!(one.within(long, || 4).await, Some(Ok(4)));
    }
}
