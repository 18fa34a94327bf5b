//! A login by the replication protocol, as a standby's walreceiver makes it: what came of it.

use std::net::IpAddr;

use crate::pg::failure::Failure;

/// One try to log in for physical replication. Nothing was streamed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// As whom.
    pub user: String,
    /// From which address of ours, where it came to that: another host may meet another line of `pg_hba.conf`. `None`: by a unix
    /// socket, or there was no answer.
    pub from: Option<IpAddr>,
    /// What came of it.
    pub result: Result<(), Failure>,
}
