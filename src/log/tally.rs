//! How many lines were logged, and how many of them nobody got.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::metric::own::LogEvents;

/// The counts since the start.
#[derive(Debug, Default)]
pub(super) struct Tally {
    error: AtomicU64,
    warn: AtomicU64,
    info: AtomicU64,
    dropped: AtomicU64,
    /// Those of `dropped` that the log itself has not told of.
    untold: AtomicU64,
}

impl Tally {
    pub(super) fn read(&self) -> LogEvents {
        LogEvents {
            error: self.error.load(Relaxed),
            warn: self.warn.load(Relaxed),
            info: self.info.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
        }
    }

    pub(super) fn drop_one(&self) {
        self.dropped.fetch_add(1, Relaxed);
        self.untold.fetch_add(1, Relaxed);
    }

    /// How many lines were dropped since this was last asked.
    pub(super) fn take_untold(&self) -> u64 {
        self.untold.swap(0, Relaxed)
    }

    fn count(&self, level: Level) {
        let class = match level {
            Level::ERROR => &self.error,
            Level::WARN => &self.warn,
            Level::INFO => &self.info,
            // Who asks for these looks at them.
            _ => return,
        };
        class.fetch_add(1, Relaxed);
    }
}

/// Counts what passes the filter.
pub(super) struct Counting(pub(super) Arc<Tally>);

impl<S: Subscriber> Layer<S> for Counting {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.0.count(*event.metadata().level());
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::registry;

    use super::*;

    #[test]
    fn each_class_is_counted_by_itself() {
        let tally = Arc::new(Tally::default());
        tracing::subscriber::with_default(registry().with(Counting(tally.clone())), || {
            tracing::error!("1");
            tracing::warn!("1");
            tracing::warn!("2");
            for _ in 0..3 {
                tracing::info!("i");
                tracing::debug!("not counted");
            }
        });
        let LogEvents { error, warn, info, dropped } = tally.read();
        assert_eq!((error, warn, info, dropped), (1, 2, 3, 0));
        tally.drop_one();
        assert_eq!((tally.take_untold(), tally.take_untold(), tally.read().dropped), (1, 0, 1));
    }
}
