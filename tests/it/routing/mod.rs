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
    /// Panics if it took longer than is documented.
    pub fn within(what: &'static str, took: Duration, bound: Duration) -> Self {
        println!("{what}: {took:.2?}, at most {bound:.2?}");
        assert!(took <= bound, "{what}: {took:?}, and {bound:?} is documented");
        Self { what, took, bound }
    }
}

pub type Outcome = Result<Vec<Measured>, pgvigil::lab::LabError>;
