//! From a connection string to a server that can be dialled: libpq's options, environment and password file on `tokio_postgres`.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use tokio_postgres::config::ChannelBinding;

pub use super::conninfo::DsnError;
use super::conninfo::{Conninfo, Value};
use super::passfile::{self, Login, Lookup};
use super::tls::{Connector, SslMode, Tls, TlsError};
use super::trail::Trail;

/// How every session of ours calls itself, whatever the connection string says.
pub const APPLICATION_NAME: &str = "pgvigil";

/// Where servers put their socket unless told otherwise: Debian's place, then PostgreSQL's own.
const SOCKET_DIRS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// One server, ready to be dialled.
#[derive(Clone)]
pub struct Target {
    /// For `connect`. Holds the password; its `Debug` does not show it.
    pub config: tokio_postgres::Config,
    /// Where it is, for people: `host:port`, or the socket's directory and the port.
    pub address: String,
    /// How TLS is spoken to it.
    pub tls: Tls,
    /// What was passed over and may surprise: a password file that others may read.
    pub notes: Vec<String>,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("address", &self.address).field("tls", &self.tls).finish_non_exhaustive()
    }
}

impl Target {
    /// Reads a connection string in either of libpq's forms, with libpq's environment (`env` looks variables up), password file and
    /// defaults for what it leaves open. An empty string is a valid one. The files that are read leave a `trail`.
    pub fn parse(dsn: &str, env: &dyn Fn(&str) -> Option<String>, trail: &Trail) -> Result<Self, DsnError> {
        let mut conninfo = Conninfo::parse(dsn)?;
        conninfo.fill_from(env)?;
        let home = env("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
        let mut config = tokio_postgres::Config::new();
        config.application_name(APPLICATION_NAME);

        let port = conninfo.get("port").map_or(Ok(5432), port)?;
        config.port(port);
        let place = Place::of(&conninfo, port)?;
        match &place {
            Place::Socket(dir) => drop(config.host_path(dir)),
            Place::Network { host, hostaddr } => {
                // A handshake needs some name, even where nobody compares it.
                config.host(host.clone().or_else(|| hostaddr.map(|address| address.to_string())).unwrap_or_default());
                if let Some(address) = hostaddr {
                    config.hostaddr(*address);
                }
            }
        }
        let user = match conninfo.text("user") {
            Some(user) => user.to_owned(),
            None => whoami::username().map_err(|_| DsnError::NoUser)?,
        };
        let dbname = conninfo.text("dbname").unwrap_or(&user).to_owned();
        config.user(&user).dbname(&dbname);
        if let Some(options) = conninfo.text("options") {
            config.options(options);
        }

        let mut notes = Vec::new();
        if let Some(password) = conninfo.text("password") {
            config.password(password);
        } else if let Some(path) =
            conninfo.text("passfile").map(PathBuf::from).or_else(|| Some(home.as_ref()?.join(".pgpass")))
        {
            let login = Login { host: place.passfile_host(), port: &port.to_string(), dbname: &dbname, user: &user };
            trail.about_to_read(&path);
            match passfile::look_up(&path, login) {
                Lookup::Found(password) => drop(config.password(password)),
                Lookup::Ignored(why) => notes.push(why),
                Lookup::Nothing => {}
            }
        }
        set_timings(&conninfo, &mut config)?;
        if let Some(binding) = conninfo.get("channel_binding") {
            config.channel_binding(match binding.text.as_str() {
                "disable" => ChannelBinding::Disable,
                "prefer" => ChannelBinding::Prefer,
                "require" => ChannelBinding::Require,
                _ => return Err(value(binding, "disable, prefer or require")),
            });
        }

        let tls = tls(&conninfo, &place, home.as_ref(), trail)?;
        config.ssl_mode(match tls.mode {
            SslMode::Disable => tokio_postgres::config::SslMode::Disable,
            SslMode::Prefer => tokio_postgres::config::SslMode::Prefer,
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => tokio_postgres::config::SslMode::Require,
        });
        Ok(Self { config, address: place.address(port), tls, notes })
    }

    /// What a session needs for TLS. Reads the TLS files, so that renewed ones count at the next login.
    pub fn connector(&self, trail: &Trail) -> Result<Connector, TlsError> {
        self.tls.connector(trail)
    }

    /// What to try after `error` where libpq would try again in plain text: only under `sslmode=prefer`, after a TLS handshake that
    /// failed or a pg_hba.conf that does not let TLS in.
    pub fn plaintext_after(&self, error: &tokio_postgres::Error) -> Option<tokio_postgres::Config> {
        let retry = super::connect_error::is_tls(error)
            || error.code() == Some(&tokio_postgres::error::SqlState::INVALID_AUTHORIZATION_SPECIFICATION);
        (retry && self.tls.mode == SslMode::Prefer).then(|| {
            let mut config = self.config.clone();
            config.ssl_mode(tokio_postgres::config::SslMode::Disable);
            config
        })
    }
}

/// Where a server is.
enum Place {
    /// The directory of its unix socket.
    Socket(PathBuf),
    /// The address to dial, if given apart from the name, and the name.
    Network { host: Option<String>, hostaddr: Option<IpAddr> },
}

impl Place {
    fn of(conninfo: &Conninfo, port: u16) -> Result<Self, DsnError> {
        let one = |name: &str| match conninfo.get(name) {
            Some(many) if many.text.contains(',') => {
                let why = "it names several servers, and pgvigil watches each by itself: give each its own node";
                Err(DsnError::Refused { name: many.source.to_owned(), why })
            }
            other => Ok(other),
        };
        let hostaddr = one("hostaddr")?.map(|hostaddr| parse(hostaddr, "an IP address")).transpose()?;
        match one("host")? {
            Some(dir) if hostaddr.is_none() && dir.text.starts_with('/') => Ok(Self::Socket(dir.text.clone().into())),
            Some(host) if host.text.contains(|c: char| c.is_whitespace() || "@/=?#'".contains(c)) => {
                Err(value(host, "a host name, an IP address or the absolute directory of a socket"))
            }
            Some(host) => Ok(Self::Network { host: Some(host.text.clone()), hostaddr }),
            None if hostaddr.is_some() => Ok(Self::Network { host: None, hostaddr }),
            None => {
                let socket = |dir: &&str| PathBuf::from(dir).join(format!(".s.PGSQL.{port}")).exists();
                let dir = SOCKET_DIRS.iter().find(|dir| socket(dir)).unwrap_or(&SOCKET_DIRS[0]);
                Ok(Self::Socket(dir.into()))
            }
        }
    }

    fn address(&self, port: u16) -> String {
        match self {
            Self::Socket(dir) => format!("{}:{port}", dir.display()),
            Self::Network { host: Some(host), .. } if host.contains(':') => format!("[{host}]:{port}"),
            Self::Network { host: Some(host), .. } => format!("{host}:{port}"),
            Self::Network { hostaddr: Some(address @ IpAddr::V6(_)), .. } => format!("[{address}]:{port}"),
            Self::Network { hostaddr: Some(address), .. } => format!("{address}:{port}"),
            Self::Network { host: None, hostaddr: None } => format!("localhost:{port}"),
        }
    }

    fn passfile_host(&self) -> &str {
        match self {
            Self::Socket(dir) if SOCKET_DIRS.iter().any(|default| dir.as_os_str() == *default) => "localhost",
            Self::Socket(dir) => dir.to_str().unwrap_or_default(),
            Self::Network { host, .. } => host.as_deref().unwrap_or_default(),
        }
    }
}

fn tls(conninfo: &Conninfo, place: &Place, home: Option<&PathBuf>, trail: &Trail) -> Result<Tls, DsnError> {
    let mode = match conninfo.get("sslmode") {
        None => SslMode::Prefer,
        Some(mode) => match mode.text.as_str() {
            "disable" => SslMode::Disable,
            "prefer" => SslMode::Prefer,
            "require" => SslMode::Require,
            "verify-ca" => SslMode::VerifyCa,
            "verify-full" => SslMode::VerifyFull,
            "allow" => {
                let why = "allow sends plain text first; write prefer, which takes TLS where the server has it";
                return Err(DsnError::Refused { name: format!("{}=allow", mode.source), why });
            }
            _ => return Err(value(mode, "disable, prefer, require, verify-ca or verify-full")),
        },
    };
    if matches!(place, Place::Socket(_)) || mode == SslMode::Disable {
        return Ok(Tls { mode: SslMode::Disable, root: None, identity: None });
    }
    let default = |name: &str| {
        let path = home?.join(".postgresql").join(name);
        trail.about_to_read(&path);
        path.exists().then_some(path)
    };
    let root = match conninfo.get("sslrootcert") {
        Some(root) if root.text == "system" => {
            let why = "name a file of certificates, such as /etc/ssl/certs/ca-certificates.crt";
            return Err(DsnError::Refused { name: format!("{}=system", root.source), why });
        }
        Some(root) => Some(PathBuf::from(&root.text)),
        None => default("root.crt"),
    };
    if matches!(mode, SslMode::VerifyCa | SslMode::VerifyFull) && root.is_none() {
        return Err(DsnError::Value {
            name: "sslrootcert".to_owned(),
            expected: "set, and sslmode verifies against it: name the file of the certificate authority",
        });
    }
    if mode == SslMode::VerifyFull && matches!(place, Place::Network { host: None, .. }) {
        return Err(DsnError::Value { name: "host".to_owned(), expected: "set, and sslmode=verify-full compares it" });
    }
    let cert = conninfo.text("sslcert").map(PathBuf::from).or_else(|| default("postgresql.crt"));
    let key = conninfo.text("sslkey").map(PathBuf::from).or_else(|| default("postgresql.key"));
    let identity = match (cert, key) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (Some(_), None) => {
            return Err(DsnError::Value { name: "sslkey".to_owned(), expected: "set, and sslcert needs it" });
        }
        (None, _) => None,
    };
    Ok(Tls { mode, root, identity })
}

/// Keepalives are on and quick unless told otherwise: a dead peer is noticed within half a minute, not two hours.
fn set_timings(conninfo: &Conninfo, config: &mut tokio_postgres::Config) -> Result<(), DsnError> {
    let seconds = |name: &str, default: u64| match conninfo.get(name) {
        Some(text) => parse(text, "a whole number of seconds"),
        None => Ok(default),
    };
    config.keepalives(match conninfo.get("keepalives") {
        Some(text) => parse::<i64>(text, "0 or 1")? != 0,
        None => true,
    });
    config.keepalives_idle(Duration::from_secs(seconds("keepalives_idle", 10)?.max(1)));
    config.keepalives_interval(Duration::from_secs(seconds("keepalives_interval", 5)?.max(1)));
    config.keepalives_retries(match conninfo.get("keepalives_count") {
        Some(text) => parse::<u32>(text, "a whole number")?.max(1),
        None => 3,
    });
    if let Some(text) = conninfo.get("tcp_user_timeout") {
        config.tcp_user_timeout(Duration::from_millis(parse(text, "a whole number of milliseconds")?));
    }
    if let Some(text) = conninfo.get("connect_timeout") {
        let seconds: i64 = parse(text, "a whole number of seconds")?;
        if let Ok(seconds @ 1..) = u64::try_from(seconds) {
            config.connect_timeout(Duration::from_secs(seconds));
        }
    }
    Ok(())
}

fn port(text: &Value) -> Result<u16, DsnError> {
    if text.text.contains(',') {
        let why = "it names several servers, and pgvigil watches each by itself: give each its own node";
        return Err(DsnError::Refused { name: text.source.to_owned(), why });
    }
    match parse(text, "a port from 1 to 65535")? {
        0 => Err(value(text, "a port from 1 to 65535")),
        port => Ok(port),
    }
}

fn parse<T: FromStr>(text: &Value, expected: &'static str) -> Result<T, DsnError> {
    text.text.trim().parse().map_err(|_| value(text, expected))
}

fn value(text: &Value, expected: &'static str) -> DsnError {
    DsnError::Value { name: text.source.to_owned(), expected }
}

#[cfg(test)]
mod tests;
