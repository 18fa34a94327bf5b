//! PostgreSQL's vocabulary, and the one adapter that speaks to servers.

pub mod connect_error;
pub mod conninfo;
pub mod dsn;
pub mod failure;
mod lookup;
pub mod lsn;
mod passfile;
pub mod records;
pub mod session;
pub mod tls;
pub mod trail;
pub mod version;
pub mod wal_file;
