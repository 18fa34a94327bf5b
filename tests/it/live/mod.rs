//! Tests against real servers on this machine.

mod archiving;
mod bootstrap;
mod lab;
mod lag;
mod record;
mod state;
mod truth;
mod watch;
