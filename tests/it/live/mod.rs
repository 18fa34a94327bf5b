//! Tests against real servers on this machine.

mod archiving;
mod lab;
mod record;
