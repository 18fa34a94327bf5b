//! Failovers and what must not become one, on real servers, with a client that writes through all of it.

mod alarms;
mod client;
pub mod crash;
mod freeze;
mod kill;
mod leaderless;
mod lock;
pub mod loss;
mod manual;
mod observed;
mod page;
mod partition;
pub mod stage;
mod switchover;
pub mod writable;

type Outcome = Result<(), pgvigil::lab::LabError>;
