//! Runbooks that act. So far what comes in is kept: the [`journal`], and the [`intake`] that writes alerts into it.

pub mod chain;
pub mod intake;
pub mod journal;
pub mod record;
pub mod seen;
