//! All integration tests, in one binary. Tests under `live::` start real servers; the others need none.

// All of this is test code; clippy takes only the functions marked #[test] for that.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod alertmanager;
mod architecture;
mod assets;
mod browser;
mod chaos;
mod cli;
mod config;
mod config_reference;
mod contract;
mod coverage;
mod damaged;
mod dashboards;
mod decode;
mod deploy;
mod deploy_hooks;
mod detection;
mod engine;
mod engine_table;
mod failover;
mod fault_replay;
mod faults;
mod fixture;
mod fleet;
mod fuzzed;
mod golden;
mod golden_cluster;
mod hook_runner;
mod listening;
mod live;
mod logs;
mod migration;
mod newer_libpq;
mod patroni;
mod pki;
mod prove;
mod routing;
mod rules;
mod runbook_pages;
mod runbooks;
mod scaled;
mod scenarios;
mod series;
mod server_log;
mod soak;
mod speed;
mod web_config;
