//! Real PostgreSQL servers for the live tests and the demo: started, faulted and stopped on this machine alone.
//!
//! A [`Lab`] is a temporary directory with servers, proxies and archives in it. Everything listens on 127.0.0.1 or on
//! sockets inside the directory, every process carries a marker, and dropping the lab ends them all, after a panic too.
//! What a killed run could not clean is reaped by the next one.
//!
//! ```ignore
//! let lab = Lab::new()?;
//! let a = lab.primary("a", ServerOptions::default()).await?;
//! let b = lab.standby_of(&a, "b", StandbyOptions::default()).await?;
//! a.freeze()?;
//! ```

mod archive;
mod backup;
mod binaries;
mod error;
mod fault;
mod port;
mod proc;
mod reap;
mod root;
mod scaled;
mod server;
mod spawn;
mod sql;
mod standby;
mod template;
mod wait;
mod wire;
mod writer;

pub use archive::Archive;
pub use binaries::{Binaries, alertmanager, chromedriver, chromium, etcd, haproxy, patroni, pgbouncer, prometheus};
pub use error::LabError;
pub use fault::Backend;
pub use proc::ProcessId;
pub use reap::{reap_leftovers, running};
pub use root::Lab;
pub use scaled::{Scale, ScaleError};
pub use server::{Server, ServerOptions, StopMode};
pub use spawn::{Spawn, Spawned};
pub use sql::{Role, Row};
pub use standby::StandbyOptions;
pub use wait::wait_until;
pub use wire::{Wire, WireMode};
pub use writer::Writer;
