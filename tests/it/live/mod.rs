//! Tests against real servers on this machine.

mod lab;
