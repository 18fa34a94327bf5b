//! Cluster managers, beside which pgvigil promotes nothing itself: what one is seen by ([`detect`]), what [`patroni`] answers and is asked,
//! and what a person is told where [`repmgr`] or [`pg_auto_failover`] decides. Pure, but for `patroni::client`.

pub mod detect;
pub mod patroni;
pub mod pg_auto_failover;
pub mod repmgr;

use std::time::Duration;

/// What a person is told where pgvigil does nothing itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// For how long the manager may be at it by its own defaults, before anybody else does something.
    pub wait: Duration,
    /// What to run then, in this order, each as it would be typed. Nothing of it is run by pgvigil.
    pub commands: Vec<String>,
    /// What has to be known before.
    pub caution: &'static str,
}
