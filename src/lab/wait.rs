//! Waiting for a condition, never for a fixed time.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::LabError;

const PAUSE: Duration = Duration::from_millis(20);

/// Asks `probe` until it answers `Ok`, at most for `within`.
///
/// A probe's `Err` is not a failure but the value seen last; it is what the time-out's message ends with. The probe
/// itself is cut off at the deadline too.
pub async fn wait_until<T, F: Future<Output = Result<T, String>>>(
    what: impl Into<String>,
    within: Duration,
    mut probe: impl FnMut() -> F,
) -> Result<T, LabError> {
    let deadline = Instant::now() + within;
    let mut last = "nothing".to_owned();
    loop {
        let left = deadline.saturating_duration_since(Instant::now()).max(PAUSE);
        match timeout(left, probe()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(seen)) => last = seen,
            Err(_) => last = format!("{last} (and the last look had no answer)"),
        }
        if Instant::now() + PAUSE >= deadline {
            return Err(LabError::Timeout { what: what.into(), within, last });
        }
        sleep(PAUSE).await;
    }
}
