//! What the clients that write use, and whom it leads to. Pure: who answered goes in, or HAProxy's own table.

pub mod haproxy;

use std::time::Duration;

use crate::clock::Wall;
use crate::pg::records::{DecodeError, Records};
use crate::pg::version::VersionedSql;

/// Who answers, and whether it takes writes. Every column is text.
pub static WHO: VersionedSql = VersionedSql(&[(10, include_str!("sql/who.10.sql"))]);

/// Which session a connection string asks for: `target_session_attrs`, as far as those may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Whichever answers.
    Any,
    /// One that takes writes.
    ReadWrite,
    /// One that is no standby.
    Primary,
}

/// Where clients are led, and how that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Clients {
    /// What the config calls them.
    pub name: String,
    /// For so long it counts.
    pub counts_for: Duration,
    /// Who gets their sessions, or why that is not known.
    pub led: Result<Led, String>,
}

/// Who gets the sessions of clients.
#[derive(Clone, Debug, PartialEq)]
pub enum Led {
    /// The servers that a connection string names, in its order.
    Servers(Wanted, Vec<Server>),
    /// Those of a backend of HAProxy that get sessions.
    Backend(String, Vec<haproxy::Server>),
}

/// A server that a connection string names.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// As it is named there.
    pub address: String,
    /// Who answered.
    pub answered: Answered,
}

/// Who answered at an address.
#[derive(Clone, Debug, PartialEq)]
pub enum Answered {
    /// A server.
    Who(Who),
    /// It refused us: libpq tries no other.
    Refused(String),
    /// Nobody, or one that takes no connections now: libpq tries the next.
    Nobody(String),
}

/// A server that answered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Who {
    /// `pg_postmaster_start_time()`: no two servers have the same.
    pub started_at: Wall,
    /// `pg_is_in_recovery()`.
    pub in_recovery: bool,
    /// `default_transaction_read_only`.
    pub read_only: bool,
}

/// Types the row of [`WHO`].
pub fn who(records: &Records) -> Result<Who, DecodeError> {
    let row = records.single()?;
    Ok(Who {
        started_at: row.need_number::<f64>("started_at").map(Wall::from_seconds)?,
        in_recovery: row.need_boolean("in_recovery")?,
        read_only: row.need_boolean("read_only")?,
    })
}

impl Wanted {
    /// Its word; `None`: those are for clients that read, or there is none such.
    pub fn named(word: &str) -> Option<Self> {
        match word {
            "any" => Some(Self::Any),
            "read-write" => Some(Self::ReadWrite),
            "primary" => Some(Self::Primary),
            _ => None,
        }
    }

    /// Whether libpq takes this server.
    pub fn takes(self, who: Who) -> bool {
        match self {
            Self::Any => true,
            Self::ReadWrite => !who.in_recovery && !who.read_only,
            Self::Primary => !who.in_recovery,
        }
    }
}
