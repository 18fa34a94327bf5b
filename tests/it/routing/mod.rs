//! Clients through a real HAProxy with `deploy/haproxy.cfg`, a pgvigil beside each server: what becomes of writes and reads when
//! servers, or a pgvigil, fail. `live::routing` plays each scenario once, `make prove-routing` twenty times.

pub mod clients;
mod prove_routing;
pub mod scenarios;
pub mod stage;

use std::time::Duration;

/// What was measured, in seconds, and the most that is documented.
pub struct Measured {
    pub what: &'static str,
    pub took: Duration,
    pub bound: Duration,
}

impl Measured {
    pub fn new(what: &'static str, took: Duration, bound: Duration) -> Self {
        println!("{what}: {took:.2?}, at most {bound:.2?}");
        Self { what, took, bound }
    }

    /// Panics if it took longer than so many times what is documented.
    pub fn hold(&self, times: u32) {
        assert!(self.took <= self.bound * times, "{}: {:?}, and {:?} is documented", self.what, self.took, self.bound);
    }
}

pub type Outcome = Result<Vec<Measured>, pgvigil::lab::LabError>;
