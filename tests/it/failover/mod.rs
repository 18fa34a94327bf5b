//! Failovers and what must not become one, on real servers, with a client that writes through all of it.

mod client;
mod kill;
mod stage;
mod switchover;

type Outcome = Result<(), pgvigil::lab::LabError>;
