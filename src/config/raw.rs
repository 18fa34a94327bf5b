//! The config file as it is written: every key there is, each with the place where it stands. Nothing is judged here but the shape.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_saphyr::Spanned;

use super::secret::Secret;

/// The keys with one value, which the environment may set too, and their defaults, empty for none. Those of a section are written with a dot.
pub const SCALARS: [(&str, &str); 10] = [
    ("listen", "127.0.0.1:10187"),
    ("state_dir", "/var/lib/pgvigil"),
    ("sample_interval", "1s"),
    ("collect_interval", "10s"),
    ("login_interval", "15s"),
    ("timeouts.connect", "2s"),
    ("timeouts.query", "2s"),
    ("archive_hung_after", "60s"),
    ("web_config", ""),
    ("alertmanager.bearer_token_file", ""),
];

/// The keys of features that this version does not have.
pub const LATER: [&str; 5] = ["manager", "runbooks", "admin_dsn", "admin_dsn_file", "log"];

/// The key of a feature that this version does not have: known, and refused by name.
pub type Later = Option<Spanned<IgnoredAny>>;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawConfig {
    /// Where the page is served.
    pub listen: Option<Spanned<String>>,
    /// Where lag history is kept.
    pub state_dir: Option<Spanned<String>>,
    /// Between two fast readings.
    pub sample_interval: Option<Spanned<String>>,
    /// Between two readings of everything else.
    pub collect_interval: Option<Spanned<String>>,
    /// Between two logins that only prove that one can log in.
    pub login_interval: Option<Spanned<String>>,
    /// Deadlines.
    pub timeouts: RawTimeouts,
    /// How long a segment may wait while nothing is archived.
    pub archive_hung_after: Option<Spanned<String>>,
    /// What is watched.
    pub clusters: Vec<RawCluster>,
    /// The file that says how the door is secured.
    pub web_config: Option<Spanned<String>>,
    /// Who may do what.
    pub access: Vec<RawHolder>,
    /// The webhook's credential.
    pub alertmanager: RawAlertmanager,
    /// Other pgvigils that watch the same.
    pub observers: Vec<RawObserver>,
    /// Where runbooks are that take the place of ours.
    pub runbook_dirs: Vec<Spanned<String>>,
}

/// Another pgvigil that watches the same.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawObserver {
    /// Label `observer`.
    pub name: Spanned<String>,
    /// Where it answers.
    pub url: Spanned<Secret>,
    /// The file of our token there.
    #[serde(default)]
    pub token_file: Option<Spanned<String>>,
    /// The certificates to trust.
    #[serde(default)]
    pub ca_file: Option<Spanned<String>>,
}

/// Deadlines.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawTimeouts {
    /// For name resolution, connection, TLS and login together.
    pub connect: Option<Spanned<String>>,
    /// For one reading.
    pub query: Option<Spanned<String>>,
}

/// One who may do something.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawHolder {
    /// How they are called in logs.
    pub name: Spanned<String>,
    /// What they may do.
    pub role: Spanned<String>,
    /// The file that holds their bearer token.
    #[serde(default)]
    pub token_file: Option<Spanned<String>>,
    /// Which of web_config's users they are.
    #[serde(default)]
    pub user: Option<Spanned<String>>,
    /// A name in their client certificate.
    #[serde(default)]
    pub client_san: Option<Spanned<String>>,
}

/// The webhook's credential.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawAlertmanager {
    /// The file that holds its bearer token.
    pub bearer_token_file: Option<Spanned<String>>,
}

/// One cluster: the servers with one system identifier.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawCluster {
    /// Label `cluster`.
    pub name: Spanned<String>,
    /// Its servers.
    #[serde(default)]
    pub nodes: Vec<RawNode>,
    /// What decides on failover.
    #[serde(default)]
    pub manager: Later,
    /// The directory of its WAL archive, where pgvigil can look into it.
    #[serde(default)]
    pub archive_dir: Option<Spanned<String>>,
    /// What runbooks may do.
    #[serde(default)]
    pub runbooks: Later,
}

/// One server.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawNode {
    /// Label `node`.
    pub name: Spanned<String>,
    /// How to reach it.
    #[serde(default)]
    pub dsn: Option<Spanned<Secret>>,
    /// The file that says how to reach it.
    #[serde(default)]
    pub dsn_file: Option<Spanned<String>>,
    /// How its walreceiver calls itself.
    #[serde(default)]
    pub application_name: Option<Spanned<String>>,
    /// The slot that it streams from.
    #[serde(default)]
    pub slot: Option<Spanned<String>>,
    /// How other servers reach it.
    #[serde(default)]
    pub address: Option<Spanned<String>>,
    /// Whether it is expected as a standby while it is not the primary.
    #[serde(default)]
    pub expected: Option<bool>,
    /// How runbooks reach it.
    #[serde(default)]
    pub admin_dsn: Later,
    /// The file that says how runbooks reach it.
    #[serde(default)]
    pub admin_dsn_file: Later,
    /// Its data directory, where pgvigil runs beside it.
    #[serde(default)]
    pub data_dir: Option<Spanned<String>>,
    /// Its log, where pgvigil runs beside it.
    #[serde(default)]
    pub log: Later,
}

impl RawConfig {
    /// The value of one of [`SCALARS`], if the file sets it.
    pub fn scalar(&self, key: &str) -> Option<&Spanned<String>> {
        match key {
            "listen" => self.listen.as_ref(),
            "state_dir" => self.state_dir.as_ref(),
            "sample_interval" => self.sample_interval.as_ref(),
            "collect_interval" => self.collect_interval.as_ref(),
            "login_interval" => self.login_interval.as_ref(),
            "timeouts.connect" => self.timeouts.connect.as_ref(),
            "timeouts.query" => self.timeouts.query.as_ref(),
            "archive_hung_after" => self.archive_hung_after.as_ref(),
            "web_config" => self.web_config.as_ref(),
            "alertmanager.bearer_token_file" => self.alertmanager.bearer_token_file.as_ref(),
            _ => None,
        }
    }
}

impl RawCluster {
    /// The keys of later versions.
    pub fn later(&self) -> [(&'static str, &Later); 2] {
        [("manager", &self.manager), ("runbooks", &self.runbooks)]
    }
}

impl RawNode {
    /// The keys of later versions.
    pub fn later(&self) -> [(&'static str, &Later); 3] {
        [("admin_dsn", &self.admin_dsn), ("admin_dsn_file", &self.admin_dsn_file), ("log", &self.log)]
    }
}
