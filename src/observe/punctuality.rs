//! How late the fast readings of all nodes are: whether this process keeps up.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::metric::fleet::Load;
use crate::metric::histogram::Histogram;

/// What all loops together were late.
#[derive(Debug)]
pub struct Punctuality(Mutex<Histogram>);

impl Default for Punctuality {
    fn default() -> Self {
        Self(Mutex::new(Load::default().late))
    }
}

impl Punctuality {
    /// Counts a reading that is sent so much later than it was due.
    pub(super) fn sent(&self, late: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).observe(late.as_secs_f64());
    }

    /// All that were counted.
    pub fn counted(&self) -> Histogram {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
