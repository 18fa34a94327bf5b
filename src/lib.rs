//! pgvigil: true replication lag, WAL archive state and guarded failover for PostgreSQL.

pub mod demo;
pub mod lab;
