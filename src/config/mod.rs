//! The config: a YAML file typed first for line and column, then overlaid by `PGVIGIL_…` variables, then judged. `docs/configuration.md`
//! describes every key.

mod access;
mod acting;
pub mod backup;
pub mod clients;
pub mod duration;
mod environment;
pub mod manager;
mod observers;
pub(crate) mod problem;
pub mod raw;
pub mod reload;
mod replication;
pub mod runbooks;
mod secret;
pub mod service;
pub mod settings;
pub mod web;
mod write_probe;
pub(crate) mod yaml;

use std::collections::BTreeMap;
use std::fmt;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

pub use access::{Holder, Proof, Role};
pub use backup::Backup;
pub use environment::{Environment, PREFIX};
pub use manager::Manager;
pub use observers::Observer;
pub use problem::{ConfigError, Origin};
pub use replication::Replication;
pub use runbooks::{EtcdLock, Lock, Permit};
pub use secret::Secret;
pub use service::{Login, Service};
pub use settings::{Cluster, Dsn, NativeHistograms, Node, Settings};
pub use web::Web;

use crate::doctor::clients::Wanted;
use crate::peer::Address;
use crate::pg::dsn::{DsnError, Target};
use crate::pg::failure::{Cause, Failure};
use crate::pg::trail::Trail;
use environment::Merged;
use problem::Problem;
use raw::RawConfig;

/// Where the file is looked for if none is named.
pub const DEFAULT_PATHS: [&str; 2] = ["pgvigil.yml", "/etc/pgvigil/pgvigil.yml"];

/// A connection string is a line.
const MAX_DSN_BYTES: u64 = 64 << 10;

/// Tokens, certificates and keys are small.
const MAX_SMALL_BYTES: u64 = 256 << 10;

/// Reads the file at `path`, or the first of [`DEFAULT_PATHS`] that exists, or, without any, what libpq's environment names: one
/// cluster `default` with one node. Every connection string is tried for its form; no server is asked.
pub fn load(path: Option<&Path>, env: &Environment) -> Result<Settings, ConfigError> {
    check(path, env).map(|report| report.settings)
}

/// The same as [`load`], with what a person wants to know about it.
pub fn check(path: Option<&Path>, env: &Environment) -> Result<Report, ConfigError> {
    let found = match path {
        Some(path) => Some(path.to_owned()),
        None => DEFAULT_PATHS.iter().map(PathBuf::from).find(|path| path.try_exists().unwrap_or(true)),
    };
    let text = found.as_deref().map(|path| read(path, "config file", yaml::MAX_BYTES)).transpose();
    let text = text.map_err(|problem| problem.in_file(None))?;
    judge(found, text.as_deref(), env)
}

/// Everything but reading the file.
fn judge(path: Option<PathBuf>, text: Option<&str>, env: &Environment) -> Result<Report, ConfigError> {
    let in_file = |problem: Problem| problem.in_file(path.as_deref());
    let raw: RawConfig = text.map(yaml::parse).transpose().map_err(in_file)?.unwrap_or_default();
    let merged = Merged::of(&raw, env).map_err(in_file)?;
    let dir = path.as_deref().and_then(Path::parent);
    let settings = settings::settle(&raw, &merged, dir, &lone_node(env)).map_err(in_file)?;
    if path.is_some() && raw.clusters.is_empty() {
        let what = "no cluster is named: add clusters with at least one node each, or run without a config file \
                    to watch the server that PGHOST names";
        return Err(in_file(Problem::new(Origin::Nowhere, what)));
    }

    let trail = Trail::default();
    let mut notes = Vec::new();
    let mut nodes = Vec::new();
    for (c, cluster) in settings.clusters.iter().enumerate() {
        let raw = raw.clusters.get(c);
        let mut places = BTreeMap::new();
        for (n, node) in cluster.nodes.iter().enumerate() {
            let raw = raw.and_then(|cluster| cluster.nodes.get(n));
            let mut line = format!("{}/{}", cluster.name, node.name);
            for (key, dsn) in [("dsn", Some(&node.dsn)), ("admin_dsn", node.admin_dsn.as_ref())] {
                let Some(dsn) = dsn else { continue };
                let wrong = |why: String| {
                    let origin = raw.and_then(|raw| raw.place_of(key)).unwrap_or(Origin::Nowhere);
                    in_file(Problem::new(origin, format!("node {} of cluster {}: {why}", node.name, cluster.name)))
                };
                let target = dial(key, dsn, env, &trail).map_err(|why| wrong(why.to_string()))?;
                target.connector(&trail).map_err(|why| wrong(why.to_string()))?;
                // Another database may be another server behind a pooler; the same one is the same server.
                let place = (key, target.address.clone(), target.config.get_dbname().unwrap_or_default().to_owned());
                if let Some(twin) = places.insert(place, &node.name) {
                    return Err(wrong(format!(
                        "its {key} leads to {}, and so does that of node {twin}: each node is a server of its own",
                        target.address
                    )));
                }
                if let Dsn::File(file) = dsn {
                    notes.extend(is_open(file));
                }
                let of_target = target.notes.iter();
                notes.extend(of_target.map(|note| format!("node {} of cluster {}: {note}", node.name, cluster.name)));
                line += &match (key, &node.address) {
                    ("dsn", Some(address)) => format!(" at {address}, sslmode {}", target.tls.mode),
                    ("dsn", None) => format!(" at {}, sslmode {}", target.address, target.tls.mode),
                    _ => format!(", for runbooks at {}, sslmode {}", target.address, target.tls.mode),
                };
            }
            line += if node.pooled { ", through a pooler" } else { "" };
            line += &node.data_dir.as_ref().map_or(String::new(), |dir| format!(", its files in {}", dir.display()));
            nodes.push(line);
        }
        nodes.extend(
            cluster.archive_dir.as_ref().map(|dir| format!("{} archives into {}", cluster.name, dir.display())),
        );
        nodes.extend(acting::line(cluster));
        for (clients, place) in cluster.clients.iter().zip(raw.iter().flat_map(|raw| &raw.clients)) {
            let clients::Way::Dsn(dsn) = &clients.way else { continue };
            let wrong = |why: String| {
                let what = format!("clients {} of cluster {}: {why}", clients.name, cluster.name);
                in_file(Problem::new(&place.name, what))
            };
            let (_, targets) = client_targets(dsn, env, &trail).map_err(|why| wrong(why.to_string()))?;
            let tls = targets.iter().try_for_each(|target| target.connector(&trail).map(drop));
            tls.map_err(|why| wrong(why.to_string()))?;
            notes.extend(if let Dsn::File(file) = dsn { is_open(file) } else { None });
        }
        if let Some(Replication { password_file: Some(file), .. }) = &cluster.replication {
            let wrong = |why: String| {
                let origin = raw.and_then(|raw| Some(Origin::from(&raw.replication.as_ref()?.user)));
                let what = format!("replication of cluster {}: {why}", cluster.name);
                in_file(Problem::new(origin.unwrap_or(Origin::Nowhere), what))
            };
            password(file).map_err(wrong)?;
            notes.extend(is_open(file));
        }
        notes.extend(acting::notes(cluster));
        for service in acting::services(cluster) {
            let wrong = |why: String| {
                let origin = raw.map_or(Origin::Nowhere, |raw| Origin::from(&raw.name));
                in_file(Problem::new(origin, format!("{} of cluster {}: {why}", service.0, cluster.name)))
            };
            check_files(service.1).map_err(wrong)?;
            notes.extend(service.1.login.as_ref().and_then(|login| is_open(&login.password_file)));
        }
    }
    notes.dedup();
    let mut observers = Vec::new();
    for (observer, raw) in settings.observers.iter().zip(&raw.observers) {
        let address = address(observer);
        let wrong = |why: String| in_file(Problem::new(&raw.name, format!("observer {}: {why}", observer.name)));
        address.check().map_err(|why| wrong(why.to_string()))?;
        notes.extend(address.token_file.as_deref().and_then(is_open));
        if observer.shows_its_token() {
            let name = &observer.name;
            notes.push(format!("observer {name}: our token goes there without TLS, for all to read: use https"));
        }
        observers.push(format!("{} at {}", observer.name, observer.url));
    }
    Ok(Report { path, settings, nodes, observers, runbooks: Vec::new(), notes })
}

/// A note if everybody may read the file, which holds a secret.
fn is_open(file: &Path) -> Option<String> {
    let open = std::fs::metadata(file).is_ok_and(|file| file.permissions().mode() & 0o007 != 0);
    open.then(|| format!("{} can be read by everybody: chmod it to 0640 or less", file.display()))
}

/// What is known of a good config.
#[derive(Debug)]
pub struct Report {
    /// The file; `None` if libpq's environment alone names the server.
    pub path: Option<PathBuf>,
    /// The config.
    pub settings: Settings,
    /// One line a node: cluster, node, address, TLS, data directory; and one for each archive.
    pub nodes: Vec<String>,
    /// One line for each other pgvigil: name and address.
    pub observers: Vec<String>,
    /// What there is to say of the runbooks, a line each.
    pub runbooks: Vec<String>,
    /// What is allowed and yet not well.
    pub notes: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => writeln!(f, "{} is good:", path.display())?,
            None => writeln!(f, "no config file; libpq's environment names the server:")?,
        }
        self.nodes.iter().try_for_each(|node| writeln!(f, "  {node}"))?;
        self.observers.iter().try_for_each(|observer| writeln!(f, "  observer {observer}"))?;
        self.runbooks.iter().try_for_each(|line| writeln!(f, "  {line}"))?;
        self.notes.iter().try_for_each(|note| writeln!(f, "note: {note}"))
    }
}

/// Why a node's connection string cannot be used. Safe to show.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The string itself.
    #[error("{key}: {why}")]
    Dsn {
        /// Where it stands: `dsn` or `admin_dsn`.
        key: &'static str,
        /// What is wrong with it.
        why: DsnError,
    },
    /// The file that holds it.
    #[error("{0}")]
    File(String),
}

impl From<TargetError> for Failure {
    fn from(error: TargetError) -> Self {
        Self::new(Cause::Config, &error.to_string())
    }
}

/// How to dial a node. Reads its `dsn_file`, so that a rotated password counts at the next login. The files that are read leave a
/// `trail`.
pub fn target(node: &Node, env: &Environment, trail: &Trail) -> Result<Target, TargetError> {
    Ok(Target { pooled: node.pooled, ..dial("dsn", &node.dsn, env, trail)? })
}

/// The same for runbooks, by the node's `admin_dsn`; `None` if it has none.
pub fn admin_target(node: &Node, env: &Environment, trail: &Trail) -> Option<Result<Target, TargetError>> {
    Some(dial("admin_dsn", node.admin_dsn.as_ref()?, env, trail))
}

/// The same as a standby's walreceiver, at the address of the node's `dsn`.
pub fn replication_target(
    node: &Node,
    replication: &Replication,
    env: &Environment,
    trail: &Trail,
) -> Result<Target, TargetError> {
    let given = replication.password_file.as_deref().map(|file| {
        trail.about_to_read(file);
        password(file).map_err(TargetError::File)
    });
    let given = given.transpose()?;
    let (user, given) = (&replication.user, given.as_ref().map(Secret::reveal));
    read_dsn("dsn", &node.dsn, trail, |text| Target::for_replication(text, user, given, &|name| env.get(name), trail))
}

/// The servers that the connection string of clients names, and which of them it wants.
pub fn client_targets(dsn: &Dsn, env: &Environment, trail: &Trail) -> Result<(Wanted, Vec<Target>), TargetError> {
    read_dsn("dsn", dsn, trail, |text| Target::of_clients(text, &|name| env.get(name), trail))
}

fn dial(key: &'static str, dsn: &Dsn, env: &Environment, trail: &Trail) -> Result<Target, TargetError> {
    read_dsn(key, dsn, trail, |text| Target::parse(text, &|name| env.get(name), trail))
}

/// Makes something of a connection string, wherever it is.
fn read_dsn<T>(
    key: &'static str,
    dsn: &Dsn,
    trail: &Trail,
    parse: impl Fn(&str) -> Result<T, DsnError>,
) -> Result<T, TargetError> {
    let parse = |text: &str| parse(text).map_err(|why| TargetError::Dsn { key, why });
    match dsn {
        Dsn::Inline(dsn) => parse(dsn.reveal()),
        Dsn::File(path) => {
            trail.about_to_read(path);
            let text = read(path, &format!("{key}_file"), MAX_DSN_BYTES);
            let text = text.map_err(|problem| TargetError::File(problem.what))?;
            match text.trim() {
                "" => Err(TargetError::File(format!(
                    "{key}_file {} is empty: write the connection string into it",
                    path.display()
                ))),
                dsn => parse(dsn),
            }
        }
    }
}

/// The password that a file holds: all of it but the line's end.
pub fn password(file: &Path) -> Result<Secret, String> {
    let text = read_small(file, "password file")?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(format!("password file {} is empty: write the password into it", file.display())),
        password => Ok(Secret::new(password)),
    }
}

/// Reads and judges the file of `web_config`. Its certificates are for whoever uses them.
pub fn web_config(path: &Path) -> Result<Web, ConfigError> {
    let text = read(path, "web_config", yaml::MAX_BYTES).map_err(|problem| problem.in_file(None))?;
    web::parse(&text, path.parent().unwrap_or(Path::new(""))).map_err(|problem| problem.in_file(Some(path)))
}

/// The whole text of a small file that is called `what`; an error is one sentence.
pub fn read_small(path: &Path, what: &str) -> Result<String, String> {
    read(path, what, MAX_SMALL_BYTES).map_err(|problem| problem.what)
}

/// How to ask an observer.
pub fn address(observer: &Observer) -> Address {
    let Observer { url, token_file, ca_file, .. } = observer.clone();
    Address { url, token_file, ca_file }
}

/// Whether our own files for a service are as they should be; asks nobody.
fn check_files(service: &Service) -> Result<(), String> {
    if let Some(login) = &service.login {
        password(&login.password_file)?;
    }
    let address = |url: &url::Url| Address { url: url.clone(), token_file: None, ca_file: service.ca_file.clone() };
    service.urls.iter().take(1).try_for_each(|url| address(url).check().map_err(|error| error.to_string()))
}

/// The whole text of a file that is not too large.
fn read(path: &Path, what: &str, most: u64) -> Result<String, Problem> {
    let bad = |why: &str| Problem::new(Origin::Nowhere, format!("{what} {} {why}", path.display()));
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).and_then(|file| file.take(most + 1).read_to_end(&mut bytes));
    match file {
        Ok(_) if bytes.len() as u64 > most => {
            Err(bad(&format!("is larger than {} KiB: is it the right file?", most >> 10)))
        }
        Ok(_) => String::from_utf8(bytes).map_err(|_| bad("is not UTF-8 text")),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(bad("does not exist")),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            Err(bad("may not be read by this user: change its owner or mode"))
        }
        Err(error) => Err(bad(&format!("cannot be read: {error}"))),
    }
}

/// What the node that libpq's environment names is called: its host as far as it is a name, or `local`.
fn lone_node(env: &Environment) -> String {
    let host = env.get("PGHOST").filter(|host| !host.starts_with('/')).or_else(|| env.get("PGHOSTADDR"));
    let name = host.unwrap_or_default().replace(':', "-");
    let name = name.trim_start_matches(['.', '-']);
    if settings::is_name(name) { name.to_owned() } else { "local".to_owned() }
}

#[cfg(test)]
mod tests;
