//! How often files beside a server are looked at.

use std::time::Duration;

/// How long to rest after a look that took `took`, so that looking takes no more than a twentieth of the time.
pub(super) fn rest(took: Duration, least: Duration, most: Duration) -> Duration {
    (20 * took).clamp(least, most.max(least))
}
