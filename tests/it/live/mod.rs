//! Tests against real servers on this machine.

mod archiving;
mod bootstrap;
mod lab;
mod record;
