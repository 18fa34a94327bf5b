//! Tests against real servers on this machine.

mod archiving;
mod bootstrap;
mod demo;
mod lab;
mod lag;
mod record;
mod state;
mod sync;
mod truth;
mod watch;
