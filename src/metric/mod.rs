//! Metrics: what they are (`family`, `sample`, `histogram`).

pub mod family;
pub mod histogram;
pub mod sample;
