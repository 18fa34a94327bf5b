//! The pages as people see them: in a real Chromium, of real servers.

mod audit;
mod chromium;
mod runbooks;

type Outcome = Result<(), pgvigil::lab::LabError>;
