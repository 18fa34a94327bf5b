//! Tests against real servers on this machine.

mod archiving;
mod bootstrap;
mod demo;
mod lab;
mod lag;
mod record;
mod replay;
mod slots;
mod state;
mod truth;
mod watch;
