//! Tests against real servers on this machine.

mod api;
mod archiving;
mod bootstrap;
mod client;
mod conflicts;
mod copier;
mod demo;
mod disk;
mod door;
mod failures;
mod lab;
mod lag;
mod logical_slots;
mod pages;
mod record;
mod reload;
mod replay;
mod senders;
mod settings;
mod slots;
mod source;
mod state;
mod sync;
mod truth;
mod wal;
mod watch;
