//! Failovers and what must not become one, on real servers, with a client that writes through all of it.

mod alarms;
mod client;
mod crash;
mod freeze;
mod kill;
mod lock;
mod loss;
mod manual;
mod observed;
mod partition;
pub mod stage;
mod switchover;
mod writable;

type Outcome = Result<(), pgvigil::lab::LabError>;
