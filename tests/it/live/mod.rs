//! Tests against real servers on this machine.

mod archiving;
mod bootstrap;
mod client;
mod demo;
mod disk;
mod door;
mod failures;
mod lab;
mod lag;
mod old;
mod pages;
mod promotable;
mod record;
mod replay;
mod slots;
mod state;
mod sync;
mod timelines;
mod truth;
mod watch;
