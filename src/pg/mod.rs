//! PostgreSQL's vocabulary, and the one adapter that speaks to servers.

pub mod failure;
pub mod lsn;
pub mod records;
pub mod version;
