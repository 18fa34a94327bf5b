//! Metrics: what they are (`family`, `sample`, `histogram`, `native`), all there are (`catalog`), and how they are written (`exposition`).

pub mod catalog;
pub mod exposition;
pub mod family;
pub mod fleet;
pub mod histogram;
pub mod native;
pub mod own;
pub mod runbooks;
pub mod sample;
pub mod webhook;
