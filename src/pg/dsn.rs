//! From a connection string to a server that can be dialled: libpq's options, environment and password file on `tokio_postgres`.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use tokio_postgres::config::ChannelBinding;
use tokio_postgres::error::SqlState;

pub use super::conninfo::DsnError;
use super::conninfo::{Conninfo, Value};
use super::passfile::{self, Login, Lookup};
use super::tls::{Connector, Roots, SslMode, Tls, TlsError, Versions};
use super::trail::Trail;
use crate::doctor::clients::Wanted;

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
    /// Whether a pooler is in between that gives each transaction another session of the server.
    pub pooled: bool,
    /// Whether a session is to be one of physical replication, which is logged in by another line of pg_hba.conf.
    pub replicates: bool,
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
        let home = home(env);
        let conninfo = filled(dsn, env, home.as_deref(), trail)?;
        Self::of(&conninfo, home, trail)
    }

    /// The same server as a standby's walreceiver asks it: for physical replication, as `user`, with `password` or what the password
    /// file has for the database `replication`. The password of the string or of the environment is another user's.
    pub fn for_replication(
        dsn: &str,
        user: &str,
        password: Option<&str>,
        env: &dyn Fn(&str) -> Option<String>,
        trail: &Trail,
    ) -> Result<Self, DsnError> {
        let home = home(env);
        let mut conninfo = filled(dsn, env, home.as_deref(), trail)?;
        conninfo.log_in_as(user, "replication", password);
        Ok(Self { replicates: true, ..Self::of(&conninfo, home, trail)? })
    }

    /// The servers that a connection string of clients names, in its order, and which of them it wants. They are asked as through a
    /// pooler: one may be in between.
    pub fn of_clients(
        dsn: &str,
        env: &dyn Fn(&str) -> Option<String>,
        trail: &Trail,
    ) -> Result<(Wanted, Vec<Self>), DsnError> {
        let home = home(env);
        let (mut conninfo, wanted) = Conninfo::parse_of_clients(dsn)?;
        conninfo.fill_from_service(env, home.as_deref(), trail)?;
        conninfo.fill_from(env)?;
        let wanted =
            Wanted::named(wanted.as_deref().filter(|word| !word.is_empty()).unwrap_or("any")).ok_or_else(|| {
                let expected = "any, read-write or primary: the others are for clients that only read";
                DsnError::Value { name: "target_session_attrs".to_owned(), expected }
            })?;
        let one = |conninfo: &Conninfo| Ok(Self { pooled: true, ..Self::of(conninfo, home.clone(), trail)? });
        let targets = conninfo.each()?.iter().map(one).collect::<Result<Vec<_>, _>>()?;
        Ok((wanted, targets))
    }

    fn of(conninfo: &Conninfo, home: Option<PathBuf>, trail: &Trail) -> Result<Self, DsnError> {
        let mut config = tokio_postgres::Config::new();
        config.application_name(APPLICATION_NAME);

        let port = conninfo.get("port").map_or(Ok(5432), port)?;
        config.port(port);
        let place = Place::of(conninfo, port)?;
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
            let host = place.passfile_host();
            let login = Login { host: &host, port: &port.to_string(), dbname: &dbname, user: &user };
            trail.about_to_read(&path);
            match passfile::look_up(&path, login) {
                Lookup::Found(password) => drop(config.password(password)),
                Lookup::Ignored(why) => notes.push(why),
                Lookup::Nothing => {}
            }
        }
        set_timings(conninfo, &mut config)?;
        if let Some(binding) = conninfo.given("channel_binding") {
            config.channel_binding(match binding.text.as_str() {
                "disable" => ChannelBinding::Disable,
                "prefer" => ChannelBinding::Prefer,
                "require" => ChannelBinding::Require,
                _ => return Err(value(binding, "disable, prefer or require")),
            });
        }

        let tls = tls(conninfo, &place, home.as_ref(), trail)?;
        config.ssl_mode(match tls.mode {
            SslMode::Disable | SslMode::Allow => tokio_postgres::config::SslMode::Disable,
            SslMode::Prefer => tokio_postgres::config::SslMode::Prefer,
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => tokio_postgres::config::SslMode::Require,
        });
        Ok(Self { config, address: place.address(port), tls, pooled: false, replicates: false, notes })
    }

    /// What a session needs for TLS. Reads the TLS files, so that renewed ones count at the next login.
    pub fn connector(&self, trail: &Trail) -> Result<Connector, TlsError> {
        self.tls.connector(trail)
    }

    /// What to try after `error` where libpq would try again: plain text under `sslmode=prefer`, after a TLS handshake that failed or
    /// a pg_hba.conf that does not let TLS in; TLS under `sslmode=allow`, after plain text was refused.
    pub fn second_try(&self, error: &tokio_postgres::Error) -> Option<tokio_postgres::Config> {
        let refused = error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION);
        let mode = match self.tls.mode {
            SslMode::Prefer if refused || super::connect_error::is_tls(error) => {
                tokio_postgres::config::SslMode::Disable
            }
            SslMode::Allow if refused || error.code() == Some(&SqlState::INVALID_PASSWORD) => {
                tokio_postgres::config::SslMode::Prefer
            }
            _ => return None,
        };
        let mut config = self.config.clone();
        config.ssl_mode(mode);
        Some(config)
    }
}

fn home(env: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    env("HOME").filter(|home| !home.is_empty()).map(PathBuf::from)
}

/// What the string says, and where it leaves something open its service or the environment.
fn filled(
    dsn: &str,
    env: &dyn Fn(&str) -> Option<String>,
    home: Option<&Path>,
    trail: &Trail,
) -> Result<Conninfo, DsnError> {
    let mut conninfo = Conninfo::parse(dsn)?;
    conninfo.fill_from_service(env, home, trail)?;
    conninfo.fill_from(env)?;
    Ok(conninfo)
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
            // libpq dials the address; the directory has no name to compare.
            Some(dir) if dir.text.starts_with('/') => Ok(Self::Network { host: None, hostaddr }),
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

    fn passfile_host(&self) -> String {
        match self {
            Self::Socket(dir) if SOCKET_DIRS.iter().any(|default| dir.as_os_str() == *default) => {
                "localhost".to_owned()
            }
            Self::Socket(dir) => dir.display().to_string(),
            Self::Network { host: Some(host), .. } => host.clone(),
            Self::Network { host: None, hostaddr } => hostaddr.map(|address| address.to_string()).unwrap_or_default(),
        }
    }
}

fn tls(conninfo: &Conninfo, place: &Place, home: Option<&PathBuf>, trail: &Trail) -> Result<Tls, DsnError> {
    let is_system = conninfo.text("sslrootcert") == Some("system");
    let mode = match conninfo.given("sslmode") {
        None if is_system => SslMode::VerifyFull,
        None => SslMode::Prefer,
        Some(mode) => match mode.text.as_str() {
            "disable" => SslMode::Disable,
            "allow" => SslMode::Allow,
            "prefer" => SslMode::Prefer,
            "require" => SslMode::Require,
            "verify-ca" => SslMode::VerifyCa,
            "verify-full" => SslMode::VerifyFull,
            _ => return Err(value(mode, "disable, allow, prefer, require, verify-ca or verify-full")),
        },
    };
    // As in libpq, whatever way the server is reached by.
    if let Some(root) = conninfo.get("sslrootcert").filter(|_| is_system && mode != SslMode::VerifyFull) {
        let why = "anybody can have a certificate of an authority that the system trusts: write sslmode=verify-full";
        return Err(DsnError::Refused { name: format!("{}=system with sslmode={mode}", root.source), why });
    }
    let versions = versions(conninfo)?;
    if matches!(place, Place::Socket(_)) || mode == SslMode::Disable {
        return Ok(Tls { mode: SslMode::Disable, ..Tls::default() });
    }
    let default = |name: &str| {
        let path = home?.join(".postgresql").join(name);
        trail.about_to_read(&path);
        path.exists().then_some(path)
    };
    let roots = match conninfo.get("sslrootcert") {
        Some(_) if is_system => Roots::System,
        Some(root) => Roots::File(PathBuf::from(&root.text)),
        None => default("root.crt").map_or(Roots::Nobody, Roots::File),
    };
    if matches!(mode, SslMode::VerifyCa | SslMode::VerifyFull) && roots == Roots::Nobody {
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
    let names_host = conninfo.text("sslsni").is_none_or(|sni| sni.starts_with('1'));
    Ok(Tls { mode, roots, identity, versions, names_host })
}

/// libpq takes 1.2 and later unless told otherwise; older than 1.2 there is nothing here.
fn versions(conninfo: &Conninfo) -> Result<Versions, DsnError> {
    let number = |name: &str, default: u8| match conninfo.get(name) {
        None => Ok(default),
        Some(version) => match version.text.to_ascii_lowercase().as_str() {
            "tlsv1" => Ok(0),
            "tlsv1.1" => Ok(1),
            "tlsv1.2" => Ok(2),
            "tlsv1.3" => Ok(3),
            _ => Err(value(version, "TLSv1, TLSv1.1, TLSv1.2 or TLSv1.3")),
        },
    };
    match (number("ssl_min_protocol_version", 2)?, number("ssl_max_protocol_version", 3)?) {
        (least, most) if least > most => Err(DsnError::Value {
            name: "ssl_min_protocol_version".to_owned(),
            expected: "a version up to ssl_max_protocol_version",
        }),
        (_, 0 | 1) => {
            let why = "TLS before 1.2 is not safe, and pgvigil does not speak it";
            Err(DsnError::Refused { name: "ssl_max_protocol_version".to_owned(), why })
        }
        (3, _) => Ok(Versions::Only13),
        (_, 2) => Ok(Versions::Only12),
        _ => Ok(Versions::Both),
    }
}

/// Keepalives are on and quick unless told otherwise: a dead peer is noticed within half a minute, not two hours. As in libpq 0 and
/// less stand for the default, which here is not the system's.
fn set_timings(conninfo: &Conninfo, config: &mut tokio_postgres::Config) -> Result<(), DsnError> {
    let number = |name: &str, default: u32, expected: &'static str| match conninfo.given(name) {
        Some(text) => Ok(u32::try_from(parse::<i32>(text, expected)?).ok().filter(|n| *n > 0).unwrap_or(default)),
        None => Ok(default),
    };
    const SECONDS: &str = "a whole number of seconds";
    config.keepalives(match conninfo.given("keepalives") {
        Some(text) => parse::<i64>(text, "0 or 1")? != 0,
        None => true,
    });
    config.keepalives_idle(Duration::from_secs(number("keepalives_idle", 10, SECONDS)?.into()));
    config.keepalives_interval(Duration::from_secs(number("keepalives_interval", 5, SECONDS)?.into()));
    config.keepalives_retries(number("keepalives_count", 3, "a whole number")?);
    let unacknowledged = number("tcp_user_timeout", 20_000, "a whole number of milliseconds")?;
    config.tcp_user_timeout(Duration::from_millis(unacknowledged.into()));
    match number("connect_timeout", 0, SECONDS)? {
        0 => {}
        seconds => drop(config.connect_timeout(Duration::from_secs(seconds.into()))),
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
