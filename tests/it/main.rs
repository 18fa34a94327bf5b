//! All integration tests, in one binary. Tests under `live::` start real servers; the others need none.

// All of this is test code; clippy takes only the functions marked #[test] for that.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod alertmanager;
mod architecture;
mod assets;
mod config;
mod contract;
mod coverage;
mod decode;
mod detection;
mod fault_replay;
mod faults;
mod fixture;
mod golden;
mod golden_cluster;
mod live;
mod logs;
mod patroni;
mod pki;
mod prove;
mod rules;
mod runbook_pages;
mod runbooks;
mod scaled;
mod series;
mod soak;
mod web_config;
