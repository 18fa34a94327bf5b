//! Intervals and deadlines of a cluster's loops, which another config may change while they run: they keep their connections, and go
//! on at the new pace at once.

use std::future::pending;

use tokio::sync::watch;

use crate::cluster::layout::Timing;

/// The timing as one loop follows it.
#[derive(Clone)]
pub(super) struct Timings(watch::Receiver<Timing>);

impl Timings {
    pub(super) fn of(timing: &watch::Sender<Timing>) -> Self {
        Self(timing.subscribe())
    }

    /// What counts now.
    pub(super) fn now(&self) -> Timing {
        *self.0.borrow()
    }

    /// Returns when something else counts than when this loop last looked here.
    pub(super) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            // Nobody changes it any more: the loop is about to end.
            pending().await
        }
    }
}
