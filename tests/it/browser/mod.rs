//! The pages as people see them: in a real Chromium, of real servers.

mod approval;
mod audit;
mod chromium;
mod cluster;
mod cut_off;
mod faults;
mod runbooks;
mod view;

type Outcome = Result<(), pgvigil::lab::LabError>;
