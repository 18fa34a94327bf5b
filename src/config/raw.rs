//! The config file as it is written: every key there is, each with the place where it stands. Nothing is judged here but the shape.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_saphyr::Spanned;

use super::problem::Origin;
use super::secret::Secret;

/// The keys with one value, which the environment may set too, and their defaults, empty for none. Those of a section are written with a dot.
pub const SCALARS: [(&str, &str); 11] = [
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
    ("exposition.native_histograms", "off"),
];

/// The keys of features that this version does not have.
pub const LATER: [&str; 1] = ["log"];

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
    /// How metrics are shown.
    pub exposition: RawExposition,
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

/// How metrics are shown.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawExposition {
    /// Whether there are native histograms.
    pub native_histograms: Option<Spanned<String>>,
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
    pub manager: Option<Spanned<RawManager>>,
    /// The directory of its WAL archive, where pgvigil can look into it.
    #[serde(default)]
    pub archive_dir: Option<Spanned<String>>,
    /// What runbooks may do.
    #[serde(default)]
    pub runbooks: Option<Spanned<RawRunbooks>>,
}

/// What decides on failover.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RawManager {
    /// Nothing.
    None,
    /// Patroni.
    Patroni(Box<RawPatroni>),
    /// repmgr.
    Repmgr(RawRepmgr),
    /// pg_auto_failover.
    PgAutoFailover(RawPgAutoFailover),
}

/// Patroni.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawPatroni {
    /// Where its members answer.
    pub urls: Spanned<Vec<Spanned<Secret>>>,
    /// Who we are to it.
    #[serde(default)]
    pub username: Option<Spanned<String>>,
    /// The file of our password there.
    #[serde(default)]
    pub password_file: Option<Spanned<String>>,
    /// The certificates to trust.
    #[serde(default)]
    pub ca_file: Option<Spanned<String>>,
}

/// repmgr.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawRepmgr {
    /// Its config on the nodes.
    pub conf: Option<Spanned<String>>,
}

/// pg_auto_failover.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawPgAutoFailover {
    /// The formation.
    pub formation: Option<Spanned<String>>,
}

/// What runbooks may do.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawRunbooks {
    /// The ceiling.
    pub mode: Option<Spanned<String>>,
    /// Whether alerts reach this pgvigil alone.
    pub single_receiver: Option<bool>,
    /// Who keeps two from acting at once.
    pub lock: Option<Spanned<RawLock>>,
}

/// Who keeps two from acting at once.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawLock {
    /// A lease in etcd.
    pub etcd: RawEtcd,
}

/// A lease in etcd.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawEtcd {
    /// Where its members answer.
    pub endpoints: Spanned<Vec<Spanned<Secret>>>,
    /// What all keys begin with.
    #[serde(default)]
    pub prefix: Option<Spanned<String>>,
    /// How long the lease outlives its holder.
    #[serde(default)]
    pub ttl: Option<Spanned<String>>,
    /// Who we are to it.
    #[serde(default)]
    pub username: Option<Spanned<String>>,
    /// The file of our password there.
    #[serde(default)]
    pub password_file: Option<Spanned<String>>,
    /// The certificates to trust.
    #[serde(default)]
    pub ca_file: Option<Spanned<String>>,
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
    /// Whether a pooler is in between.
    #[serde(default)]
    pub pooled: Option<bool>,
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
    pub admin_dsn: Option<Spanned<Secret>>,
    /// The file that says how runbooks reach it.
    #[serde(default)]
    pub admin_dsn_file: Option<Spanned<String>>,
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
            "exposition.native_histograms" => self.exposition.native_histograms.as_ref(),
            _ => None,
        }
    }
}

impl RawNode {
    /// Where `dsn` or `admin_dsn` stands, or the file of it.
    pub(super) fn place_of(&self, key: &str) -> Option<Origin> {
        let (inline, file) = match key {
            "dsn" => (&self.dsn, &self.dsn_file),
            _ => (&self.admin_dsn, &self.admin_dsn_file),
        };
        inline.as_ref().map(Origin::from).or_else(|| file.as_ref().map(Origin::from))
    }

    /// The keys of later versions.
    pub fn later(&self) -> [(&'static str, &Later); 1] {
        [("log", &self.log)]
    }
}
