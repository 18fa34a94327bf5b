//! Tests against real servers on this machine.

mod bootstrap;
mod lab;
mod record;
