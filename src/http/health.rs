//! `/-/healthy` and `/-/ready`, as in Prometheus. Neither depends on a database: a pgvigil that is taken out of service because
//! a database is down could not say so any more.

pub(super) async fn healthy() -> &'static str {
    "pgvigil is healthy.\n"
}

pub(super) async fn ready() -> &'static str {
    "pgvigil is ready.\n"
}
