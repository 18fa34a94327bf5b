//! The config file as it is written: every key there is, each with the place where it stands. Nothing is judged here but the shape.

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::problem::Origin;
use super::secret::Secret;

/// The keys with one value, which the environment may set too, and their defaults, empty for none. Those of a section are written with a dot.
pub const SCALARS: [(&str, &str); 12] = [
    ("listen", "127.0.0.1:10187"),
    ("state_dir", "/var/lib/pgvigil"),
    ("sample_interval", "1s"),
    ("collect_interval", "10s"),
    ("login_interval", "15s"),
    ("timeouts.connect", "2s"),
    ("timeouts.query", "2s"),
    ("max_connects", "128"),
    ("archive_hung_after", "60s"),
    ("web_config", ""),
    ("alertmanager.bearer_token_file", ""),
    ("exposition.native_histograms", "off"),
];

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawConfig {
    /// IP address and port of the page.
    pub listen: Option<Spanned<String>>,
    /// The directory of lag history, maintenance and the journal.
    pub state_dir: Option<Spanned<String>>,
    /// Between two readings of positions, walsenders, walreceiver and slots.
    pub sample_interval: Option<Spanned<String>>,
    /// Between two readings of everything else.
    pub collect_interval: Option<Spanned<String>>,
    /// Between two logins that only prove that one can log in.
    pub login_interval: Option<Spanned<String>>,
    /// Deadlines.
    pub timeouts: RawTimeouts,
    /// How many connects may be under way at a time.
    pub max_connects: Option<Spanned<String>>,
    /// How long a segment may wait while nothing is archived before archiving is called hung.
    pub archive_hung_after: Option<Spanned<String>>,
    /// What is watched.
    pub clusters: Vec<RawCluster>,
    /// The file that secures the page, in the format of Prometheus's exporter-toolkit.
    pub web_config: Option<Spanned<String>>,
    /// Who may do what.
    pub access: Vec<RawHolder>,
    /// The webhook's credential.
    pub alertmanager: RawAlertmanager,
    /// How metrics are shown.
    pub exposition: RawExposition,
    /// Other pgvigils that watch the same.
    pub observers: Vec<RawObserver>,
    /// Directories of runbooks that take the place of the built-in ones.
    pub runbook_dirs: Vec<Spanned<String>>,
}

/// Another pgvigil that watches the same.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawObserver {
    /// Label `observer`: another pgvigil that watches the same.
    pub name: Spanned<String>,
    /// Where it answers.
    pub url: Spanned<Secret>,
    /// The file of our token there.
    #[serde(default)]
    pub token_file: Option<Spanned<String>>,
    /// The certificates to trust instead of the system's, PEM; only with https.
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
    /// How logs and journals call them.
    pub name: Spanned<String>,
    /// What they may do.
    pub role: Spanned<String>,
    /// The file with nothing but their bearer token. This, `user` or `client_san`.
    #[serde(default)]
    pub token_file: Option<Spanned<String>>,
    /// Which user of the web config's `basic_auth_users` they are.
    #[serde(default)]
    pub user: Option<Spanned<String>>,
    /// A subject alternative name in their verified client certificate.
    #[serde(default)]
    pub client_san: Option<Spanned<String>>,
}

/// The webhook's credential.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawAlertmanager {
    /// The file with nothing but the bearer token of Alertmanager's webhook.
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
    /// Label `cluster`: the servers with one system identifier.
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
    /// As whom its standbys log in for replication, for the doctor to try.
    #[serde(default)]
    pub replication: Option<RawReplication>,
    /// Who makes its backups.
    #[serde(default)]
    pub backup: Option<Spanned<RawBackup>>,
    /// What the clients that write use.
    #[serde(default)]
    pub clients: Vec<RawClients>,
    /// How often the write probe goes.
    #[serde(default)]
    pub write_probe: Option<Spanned<String>>,
    /// What runbooks may do.
    #[serde(default)]
    pub runbooks: Option<Spanned<RawRunbooks>>,
}

/// What the clients that write use.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawClients {
    /// What it is called.
    pub name: Spanned<String>,
    /// Their connection string, which may name several servers. This, `dsn_file` or `haproxy_stats`.
    #[serde(default)]
    pub dsn: Option<Spanned<Secret>>,
    /// The file with nothing but their connection string.
    #[serde(default)]
    pub dsn_file: Option<Spanned<String>>,
    /// Where HAProxy shows its statistics as CSV, or its socket.
    #[serde(default)]
    pub haproxy_stats: Option<Spanned<Secret>>,
    /// The backend of HAProxy that they are led to.
    #[serde(default)]
    pub haproxy_backend: Option<Spanned<String>>,
}

/// Who makes its backups.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawBackup {
    /// pgBackRest. This or `barman`.
    #[serde(default)]
    pub pgbackrest: Option<RawPgbackrest>,
    /// Barman.
    #[serde(default)]
    pub barman: Option<RawBarman>,
    /// How old the newest backup may be.
    #[serde(default)]
    pub max_age: Option<Spanned<String>>,
}

/// pgBackRest.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawPgbackrest {
    /// The cluster's stanza.
    pub stanza: Spanned<String>,
    /// How it is run, before its own words.
    #[serde(default)]
    pub argv: Option<Spanned<Vec<Spanned<String>>>>,
}

/// Barman.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawBarman {
    /// The cluster's server in Barman's config.
    pub server: Spanned<String>,
    /// How it is run, before its own words.
    #[serde(default)]
    pub argv: Option<Spanned<Vec<Spanned<String>>>>,
}

/// As whom its standbys log in for replication.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawReplication {
    /// The user of their `primary_conninfo`.
    pub user: Spanned<String>,
    /// The file of its password; without it the password file of libpq counts, for the database `replication`.
    #[serde(default)]
    pub password_file: Option<Spanned<String>>,
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
    /// The certificates to trust instead of the system's, PEM; only with https.
    #[serde(default)]
    pub ca_file: Option<Spanned<String>>,
}

/// repmgr.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawRepmgr {
    /// Its config on the nodes, for the commands that a person is told.
    pub conf: Option<Spanned<String>>,
}

/// pg_auto_failover.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawPgAutoFailover {
    /// The formation, for the commands that a person is told.
    pub formation: Option<Spanned<String>>,
}

/// What runbooks may do.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawRunbooks {
    /// What runbooks may do at most, whatever their files say.
    pub mode: Option<Spanned<String>>,
    /// Your word that alerts reach this pgvigil alone; instead of a lock.
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
    /// The certificates to trust instead of the system's, PEM; only with https.
    #[serde(default)]
    pub ca_file: Option<Spanned<String>>,
}

/// One server.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawNode {
    /// Label `node`.
    pub name: Spanned<String>,
    /// How to reach it: a connection string. This or `dsn_file`.
    #[serde(default)]
    pub dsn: Option<Spanned<Secret>>,
    /// The file with nothing but its connection string, read again at each login.
    #[serde(default)]
    pub dsn_file: Option<Spanned<String>>,
    /// Whether the connection string leads through PgBouncer in transaction mode.
    #[serde(default)]
    pub pooled: Option<bool>,
    /// How its walreceiver calls itself: `application_name` in its `primary_conninfo`.
    #[serde(default)]
    pub application_name: Option<Spanned<String>>,
    /// The slot that it streams from: its `primary_slot_name`.
    #[serde(default)]
    pub slot: Option<Spanned<String>>,
    /// How other servers reach it, `host:port`, if not by the address of its connection string.
    #[serde(default)]
    pub address: Option<Spanned<String>>,
    /// Whether it is expected as a standby while it is not the primary.
    #[serde(default)]
    pub expected: Option<bool>,
    /// How runbooks reach it: a connection string. Without it they stay dry-run. This or `admin_dsn_file`.
    #[serde(default)]
    pub admin_dsn: Option<Spanned<Secret>>,
    /// The file with nothing but that connection string, read again at each login.
    #[serde(default)]
    pub admin_dsn_file: Option<Spanned<String>>,
    /// Its data directory, where pgvigil runs beside it.
    #[serde(default)]
    pub data_dir: Option<Spanned<String>>,
    /// Its log, a file or a directory, where pgvigil may read it.
    #[serde(default)]
    pub log: Option<Spanned<String>>,
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
            "max_connects" => self.max_connects.as_ref(),
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
}
