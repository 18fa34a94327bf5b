//! pgvigil: true replication lag and WAL archive state for PostgreSQL.
//!
//! The layers, lowest first; imports run downwards only and a test keeps it so. `ARCHITECTURE.md` draws the map.
//!
//! | layer | modules |
//! |---|---|
//! | vocabulary | [`pg`]`::{lsn, records, version, failure, trail}`, [`metric`]`::{family, sample, histogram}`, [`clock`], [`nearest`] |
//! | pure | [`alertmanager`], [`archive_watch`] but what touches files, [`collector`], [`cluster`], [`doctor`], [`metric`]`::{catalog, own, webhook}`, [`pg`]`::conninfo`, [`config`]`::{raw, settings}`, [`runbook`]`::{book, chain, markdown, record, seen}`, [`assets`], [`page`], [`server_log`] but what touches files |
//! | adapters | [`pg`]`::{dsn, tls, connect_error, session}`, [`metric`]`::exposition`, [`config`]`::{load, reload}`, [`runbook`]`::{journal, shelf, step}`, [`assets`]`::export`, [`peer`], [`patience`], [`log`], [`systemd`], [`archive_watch`]`::{data_dir, archive}`, [`server_log`]`::follow` |
//! | drivers | [`observe`], [`http`], [`lab`], [`runbook`]`::intake` |
//! | wiring | [`app`], [`demo`], [`examine`], [`history`], [`status`], [`maintenance`], [`healthcheck`], [`cli`], `main` |

pub mod alertmanager;
pub mod app;
pub mod archive_watch;
pub mod assets;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod collector;
pub mod config;
pub mod demo;
pub mod doctor;
pub mod examine;
pub mod healthcheck;
pub mod history;
pub mod http;
pub mod lab;
pub mod log;
pub mod maintenance;
pub mod metric;
pub mod nearest;
pub mod observe;
pub mod page;
pub mod patience;
pub mod peer;
pub mod pg;
pub mod runbook;
pub mod runs;
pub mod server_log;
pub mod status;
pub mod systemd;
