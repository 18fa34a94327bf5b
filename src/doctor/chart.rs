//! What the doctor alone asks of a server, beside what the collectors read. No secret is in it: the statements take none out.

use serde::Serialize;

use super::hba::Rule;
use super::login::Login;
use crate::pg::records::{DecodeError, Record, Records};
use crate::pg::version::VersionedSql;
use crate::runbook::manager::detect::{self, Detected};

/// One row about the server; for everybody, and more of it for `pg_monitor`.
pub static CHART: VersionedSql =
    VersionedSql(&[(10, include_str!("sql/chart.10.sql")), (15, include_str!("sql/chart.15.sql"))]);

/// The roles that may replicate.
pub static ROLES: VersionedSql = VersionedSql(&[(10, include_str!("sql/roles.10.sql"))]);

/// Traces of cluster managers.
pub static MANAGER: VersionedSql = VersionedSql(&[(10, detect::SQL)]);

/// What one server told. A part is `None` if it was refused or not asked.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// The row of [`CHART`].
    pub chart: Option<Chart>,
    /// The rows of [`ROLES`].
    pub roles: Option<Vec<Role>>,
    /// `pg_hba.conf`.
    pub hba: Option<Vec<Rule>>,
    /// What came of a login for replication; `None`: none was tried.
    pub login: Option<Login>,
    /// Whether a cluster manager left traces; the inner is `None` if none was seen.
    pub manager: Option<Option<Detected>>,
}

/// How a server is set up.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Chart {
    /// `listen_addresses`.
    pub listen_addresses: String,
    /// `port`.
    pub port: u16,
    /// Whether the role may read `pg_hba_file_rules`: who asks without that leaves an error in the server's log.
    #[serde(skip)]
    pub hba_granted: bool,
    /// `superuser_reserved_connections`.
    pub superuser_reserved: u32,
    /// `reserved_connections` (16+).
    pub reserved: u32,
    /// Client connections, ours among them.
    pub connections: u32,
    /// `primary_slot_name`; `None` before 12 and where it is empty.
    pub primary_slot_name: Option<String>,
    /// `primary_conninfo` without its password; `None`: the role does not see it (or the server is older than 12).
    pub conninfo: Option<Conninfo>,
    /// Names of the `recovery_target…` settings that name an end of recovery.
    pub recovery_targets: Vec<String>,
    /// Whether `promote_trigger_file` (12 to 15) is set; `None` where there is none.
    pub trigger_file: Option<bool>,
    /// `shared_preload_libraries`; `None`: the role does not see it.
    pub preload: Option<String>,
    /// Where `pg_hba.conf` is; `None`: the role does not see it.
    pub hba_file: Option<String>,
    /// Databases whose collations were made by another version of the library (15+).
    pub collation_mismatches: Option<Vec<String>>,
    /// Age in seconds of the oldest prepared transaction; `None` if there is none.
    pub oldest_prepared: Option<f64>,
    /// Walsenders that stream without TLS beyond this machine.
    pub plain_streams: u32,
}

/// What `primary_conninfo` says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Conninfo {
    /// Whether there is any.
    pub is_set: bool,
    /// Whether it is a URI, of which no part was taken.
    pub is_uri: bool,
    /// `host`.
    pub host: Option<String>,
    /// `hostaddr`, which wins over `host`.
    pub hostaddr: Option<String>,
    /// `port`.
    pub port: Option<String>,
    /// `user`.
    pub user: Option<String>,
    /// `application_name`.
    pub application_name: Option<String>,
    /// `sslmode`.
    pub sslmode: Option<String>,
    /// Whether a password, a password file or a certificate is named.
    pub has_credential: bool,
}

/// A role of `pg_roles`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Role {
    /// `rolname`.
    pub name: String,
    /// `rolcanlogin`.
    pub can_login: bool,
    /// `rolreplication`.
    pub replication: bool,
    /// `rolsuper`.
    pub superuser: bool,
    /// Whether `rolvaliduntil` has passed: then no password is good.
    pub expired: bool,
}

/// Types the row of [`CHART`].
pub fn chart(records: &Records) -> Result<Chart, DecodeError> {
    let row = records.single()?;
    let word = |column: &str| Ok(row.text(column)?.filter(|text| !text.is_empty()).map(str::to_owned));
    Ok(Chart {
        listen_addresses: row.need_text("listen_addresses")?.to_owned(),
        port: row.need_number("port")?,
        hba_granted: row.need_boolean("hba_granted")?,
        superuser_reserved: row.need_number("superuser_reserved")?,
        reserved: row.number("reserved")?.unwrap_or(0),
        connections: row.need_number("connections")?,
        primary_slot_name: word("primary_slot_name")?,
        conninfo: conninfo(&row)?,
        recovery_targets: word("recovery_targets")?
            .map(|names: String| names.split(',').map(str::to_owned).collect())
            .unwrap_or_default(),
        trigger_file: row.boolean("trigger_file")?,
        preload: row.text("preload")?.map(str::to_owned),
        hba_file: word("hba_file")?,
        collation_mismatches: row.text("collation_mismatches")?.map(|names| names.lines().map(str::to_owned).collect()),
        oldest_prepared: row.number("oldest_prepared")?,
        plain_streams: row.need_number("plain_streams")?,
    })
}

fn conninfo(row: &Record<'_>) -> Result<Option<Conninfo>, DecodeError> {
    if !row.need_boolean("conninfo_seen")? {
        return Ok(None);
    }
    let is_uri = row.boolean("conninfo_is_uri")?.unwrap_or(false);
    let word = |column: &str| {
        let text = row.text(column)?.filter(|text| !text.is_empty() && !is_uri);
        Ok::<_, DecodeError>(text.map(str::to_owned))
    };
    Ok(Some(Conninfo {
        is_set: row.boolean("conninfo_set")?.unwrap_or(false),
        is_uri,
        host: word("host")?,
        hostaddr: word("hostaddr")?,
        port: word("upstream_port")?,
        user: word("login")?,
        application_name: word("application_name")?,
        sslmode: word("sslmode")?,
        has_credential: row.boolean("has_credential")?.unwrap_or(false),
    }))
}

/// Types the rows of [`ROLES`].
pub fn roles(records: &Records) -> Result<Vec<Role>, DecodeError> {
    let role = |row: Record<'_>| {
        Ok(Role {
            name: row.need_text("name")?.to_owned(),
            can_login: row.need_boolean("can_login")?,
            replication: row.need_boolean("replication")?,
            superuser: row.need_boolean("superuser")?,
            expired: row.boolean("expired")?.unwrap_or(false),
        })
    };
    records.iter().map(role).collect()
}
