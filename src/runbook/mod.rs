//! Runbooks: one file each, front matter that says what would be done, and Markdown that a person reads. `docs/runbooks.md` describes
//! the form. This version reads and checks the steps, and runs none of them; what Alertmanager hands in is kept in the [`journal`],
//! which the [`intake`] writes.

pub mod book;
pub mod chain;
pub mod intake;
pub mod journal;
pub mod manager;
pub mod markdown;
pub mod record;
pub mod seen;
pub mod shelf;
