//! Runbooks that act. So far what comes in is kept: the [`journal`].

pub mod chain;
pub mod journal;
pub mod record;
pub mod seen;
