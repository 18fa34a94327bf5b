//! Tests against real servers on this machine.

mod api;
mod archiving;
mod bootstrap;
pub mod client;
mod demo;
mod disk;
mod door;
pub mod failures;
mod hostile;
mod lab;
mod lag;
mod logs;
mod pages;
mod record;
mod reload;
mod replay;
mod secrets;
mod settings;
mod slots;
mod state;
mod sync;
pub mod systemd;
mod tls;
mod truth;
pub mod watch;
