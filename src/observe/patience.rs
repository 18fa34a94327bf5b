//! Work on files that may hang for ever, as on a network file system whose server is gone: never more than one thread for a directory,
//! and nobody waits for it but its own loop.

use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// Does `work` on `worker` in a thread of its own, however long it takes. If that is longer than `deadline`, `late` is called, and what
/// comes in the end is thrown away: `Ok((worker, None))`. `Err`: it panicked, and the worker is lost.
pub(super) async fn patiently<W, T>(
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
pub(super) struct Panicked;

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
}
