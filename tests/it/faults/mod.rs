//! The live fault matrix: real servers, a real Prometheus and Alertmanager, the shipped rules with shorter durations. Each
//! row makes one fault and asserts the exact set of alerts that reach a webhook. `make test-faults` runs those of
//! `tests/tiers/faults.txt`, `make prove-faults` all.

pub mod alert;
mod archive;
mod bound;
pub mod cast;
pub mod cluster;
mod observer;
mod primary;
pub mod prometheus;
mod quiet;
mod recording;
mod replay;
pub mod row;
mod runbooks;
mod slots;
pub mod stage;
mod standby;
mod sync;
pub mod table;
mod webhook;
