//! Tests against real servers on this machine.

mod api;
mod archiving;
mod bootstrap;
mod client;
mod demo;
mod disk;
mod door;
mod failures;
mod lab;
mod lag;
mod observers;
mod pages;
mod record;
mod reload;
mod replay;
mod settings;
mod slots;
mod state;
mod sync;
mod truth;
mod watch;
