//! What the steps of a runbook are done with. This version has the runner of hooks, and nothing that calls it yet.

pub mod hook;
