//! PostgreSQL's vocabulary, and the adapters that speak to servers: sessions that read, and those that act.

pub mod admin;
pub mod connect_error;
pub mod conninfo;
pub mod dsn;
pub mod failure;
mod lookup;
pub mod lsn;
mod passfile;
pub mod records;
pub mod repointing;
pub mod session;
pub mod tls;
pub mod trail;
pub mod version;
pub mod wal_file;
