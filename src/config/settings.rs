//! The config as the rest of the house sees it: valid by type.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_saphyr::Spanned;

use super::access::{self, Holder};
use super::backup::{self, Backup};
use super::clients::{self, Clients};
use super::duration;
use super::environment::Merged;
use super::manager::{self, Manager};
use super::observers::{self, Observer};
use super::problem::{Origin, Problem};
use super::raw::{RawCluster, RawConfig, RawNode};
use super::replication::{self, Replication};
use super::runbooks::{self, Permit};
use super::secret::Secret;
use super::write_probe;
use crate::cluster::upstream::Upstream;
use crate::runbook::book::Mode;

/// Everything that can be configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where the page is served.
    pub listen: SocketAddr,
    /// Where lag history is kept.
    pub state_dir: StateDir,
    /// Between two fast readings of a node.
    pub sample_interval: Duration,
    /// Between two readings of everything else.
    pub collect_interval: Duration,
    /// Between two logins that only prove that one can log in.
    pub login_interval: Duration,
    /// Deadlines.
    pub timeouts: Timeouts,
    /// How many connects may be under way at a time, to all nodes together.
    pub max_connects: usize,
    /// How long a WAL segment may wait while nothing is archived before archiving is called hung.
    pub archive_hung_after: Duration,
    /// The file that says how the door is secured, if there is one.
    pub web_config: Option<PathBuf>,
    /// Who may do what; names and credentials are unique.
    pub access: Vec<Holder>,
    /// Whether a Prometheus that asks for native histograms gets them.
    pub native_histograms: NativeHistograms,
    /// Other pgvigils that watch the same.
    pub observers: Vec<Observer>,
    /// Directories of runbooks that take the place of ours; each once, the later one counts.
    pub runbook_dirs: Vec<PathBuf>,
    /// What is watched; at least one.
    pub clusters: Vec<Cluster>,
}

/// Whether a Prometheus that asks for native histograms gets them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NativeHistograms {
    /// Those who prefer protobuf get it, and with it native histograms beside the classic ones.
    Auto,
    /// Text alone.
    Off,
}

/// Where lag history is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateDir {
    /// The directory.
    pub path: PathBuf,
    /// Whether somebody wrote it down. If not, a directory that cannot be used is no error: history is not kept, and that is said.
    pub explicit: bool,
}

/// Deadlines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For name resolution, connection, TLS and login together.
    pub connect: Duration,
    /// For one reading.
    pub query: Duration,
}

/// The servers with one system identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Label `cluster`; unique, and good in a URL as it is.
    pub name: String,
    /// At least one.
    pub nodes: Vec<Node>,
    /// The directory of its WAL archive, where pgvigil can look into it.
    pub archive_dir: Option<PathBuf>,
    /// What decides on failover there, if it was written.
    pub manager: Option<Manager>,
    /// As whom its standbys log in for replication, if it was written.
    pub replication: Option<Replication>,
    /// Who makes its backups, if it was written.
    pub backup: Option<Backup>,
    /// What its clients that write use.
    pub clients: Vec<Clients>,
    /// How often the write probe goes; `None`: never.
    pub write_probe: Option<Duration>,
    /// What runbooks may do there.
    pub runbooks: Permit,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Label `node`; unique in its cluster, and good in a URL as it is.
    pub name: String,
    /// How to reach it.
    pub dsn: Dsn,
    /// Whether its dsn leads through a pooler that gives each transaction another session of the server.
    pub pooled: bool,
    /// How runbooks reach it, to look and to act. Without it they stay dry runs.
    pub admin_dsn: Option<Dsn>,
    /// How its walreceiver calls itself; the node's name unless set. Unique in its cluster.
    pub application_name: String,
    /// The slot that it streams from; the node's name unless set. Unique in its cluster.
    pub slot: String,
    /// How other servers reach it, `host:port`, if it was set. Otherwise where its dsn leads.
    pub address: Option<String>,
    /// Whether it is expected as a standby while it is not the primary.
    pub expected: bool,
    /// Its data directory, where pgvigil runs beside it. No other node of its cluster has it.
    pub data_dir: Option<PathBuf>,
    /// Its log, a file or a directory, where pgvigil may read it. No other node of its cluster has it.
    pub log: Option<PathBuf>,
}

impl Cluster {
    /// What runbooks may do at most: nothing while there is a node that they cannot reach by an `admin_dsn`.
    pub fn ceiling(&self) -> Mode {
        match self.nodes.iter().all(|node| node.admin_dsn.is_some()) {
            true => self.runbooks.mode,
            false => Mode::DryRun,
        }
    }

    /// Whether pgvigil may promote a node itself, as far as the config knows. A manager that is seen there forbids it all the same.
    pub fn promotes(&self) -> bool {
        matches!(self.manager, None | Some(Manager::None))
    }
}

/// Where a node's connection string is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dsn {
    /// In the config.
    Inline(Secret),
    /// In a file of its own, read again at each login.
    File(PathBuf),
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The keys that are durations, with the least and the most that is allowed.
pub const BOUNDS: [(&str, Duration, Duration); 6] = [
    ("sample_interval", ms(100), ms(60_000)),
    ("collect_interval", ms(1_000), ms(3_600_000)),
    ("login_interval", ms(1_000), ms(3_600_000)),
    ("timeouts.connect", ms(50), ms(60_000)),
    ("timeouts.query", ms(50), ms(60_000)),
    ("archive_hung_after", ms(1_000), ms(86_400_000)),
];

/// Half of them are for servers that do not answer soon. The most is far beyond what helps.
const MAX_CONNECTS: RangeInclusive<usize> = 2..=10_000;

/// More directories of runbooks are not read.
const MOST_RUNBOOK_DIRS: usize = 16;

/// Judges a file, or no file at all: then libpq's environment names the one node, which is called `lone_node`. Relative paths of the
/// file count from `dir`.
pub(super) fn settle(
    raw: &RawConfig,
    merged: &Merged<'_>,
    dir: Option<&Path>,
    lone_node: &str,
) -> Result<Settings, Problem> {
    let dir = dir.unwrap_or(Path::new(""));
    unique(raw.clusters.iter().map(|cluster| &cluster.name), "clusters")?;
    let mut clusters = raw.clusters.iter().map(|raw| cluster(raw, dir)).collect::<Result<Vec<_>, _>>()?;
    if clusters.is_empty() {
        clusters.push(Cluster {
            name: "default".to_owned(),
            nodes: vec![lone(lone_node)],
            archive_dir: None,
            manager: None,
            replication: None,
            backup: None,
            clients: Vec::new(),
            write_probe: None,
            runbooks: Permit::default(),
        });
    }
    Ok(Settings {
        listen: listen(merged)?,
        state_dir: state_dir(merged, dir)?,
        sample_interval: duration_of(merged, "sample_interval")?,
        collect_interval: duration_of(merged, "collect_interval")?,
        login_interval: duration_of(merged, "login_interval")?,
        timeouts: Timeouts {
            connect: duration_of(merged, "timeouts.connect")?,
            query: duration_of(merged, "timeouts.query")?,
        },
        max_connects: max_connects(merged)?,
        archive_hung_after: duration_of(merged, "archive_hung_after")?,
        web_config: web_config(merged, dir)?,
        native_histograms: native_histograms(merged)?,
        access: access::settle(raw, merged, dir)?,
        observers: observers::observers(&raw.observers, dir)?,
        runbook_dirs: runbook_dirs(&raw.runbook_dirs, dir)?,
        clusters,
    })
}

fn duration_of(merged: &Merged<'_>, key: &str) -> Result<Duration, Problem> {
    let (text, origin) = merged.get(key);
    let bounds = BOUNDS.iter().find(|(known, ..)| *known == key);
    let (least, most) = bounds.map_or((Duration::ZERO, Duration::MAX), |(_, least, most)| (*least, *most));
    duration::within(&text, least, most).map_err(|why| Problem::new(origin, format!("{key} {why}")))
}

fn max_connects(merged: &Merged<'_>) -> Result<usize, Problem> {
    let (text, origin) = merged.get("max_connects");
    let most = text.parse().ok().filter(|most| MAX_CONNECTS.contains(most));
    let (least, greatest) = (MAX_CONNECTS.start(), MAX_CONNECTS.end());
    most.ok_or_else(|| Problem::new(origin, format!("max_connects is not a number from {least} to {greatest}")))
}

fn listen(merged: &Merged<'_>) -> Result<SocketAddr, Problem> {
    let (text, origin) = merged.get("listen");
    text.parse().map_err(|_| {
        let what = "listen is not an IP address with a port, such as 127.0.0.1:10187, or [::]:10187 for every address";
        Problem::new(origin, what)
    })
}

fn state_dir(merged: &Merged<'_>, dir: &Path) -> Result<StateDir, Problem> {
    let (text, origin) = merged.get("state_dir");
    if text.is_empty() {
        return Err(Problem::new(origin, "state_dir is empty: name a directory, or remove it"));
    }
    let explicit = origin != Origin::Nowhere;
    let path = if matches!(origin, Origin::File(..)) { dir.join(text) } else { text.into() };
    Ok(StateDir { path, explicit })
}

fn web_config(merged: &Merged<'_>, dir: &Path) -> Result<Option<PathBuf>, Problem> {
    match merged.get("web_config") {
        (text, Origin::Nowhere) if text.is_empty() => Ok(None),
        (text, origin) if text.is_empty() => {
            Err(Problem::new(origin, "web_config is empty: name a file, or remove it"))
        }
        (text, Origin::File(..)) => Ok(Some(dir.join(text))),
        (text, _) => Ok(Some(text.into())),
    }
}

fn native_histograms(merged: &Merged<'_>) -> Result<NativeHistograms, Problem> {
    let (text, origin) = merged.get("exposition.native_histograms");
    match text.as_str() {
        "auto" => Ok(NativeHistograms::Auto),
        "off" => Ok(NativeHistograms::Off),
        _ => Err(Problem::new(origin, "exposition.native_histograms is auto or off")),
    }
}

fn runbook_dirs(raw: &[Spanned<String>], dir: &Path) -> Result<Vec<PathBuf>, Problem> {
    let mut dirs = Vec::new();
    for given in raw {
        if given.value.is_empty() {
            return Err(Problem::new(given, "a directory of runbook_dirs is empty: name one, or remove it"));
        }
        let path = dir.join(&given.value);
        if dirs.contains(&path) {
            return Err(Problem::new(given, "runbook_dirs names this directory twice: keep one"));
        }
        if dirs.len() == MOST_RUNBOOK_DIRS {
            return Err(Problem::new(given, format!("runbook_dirs names more than {MOST_RUNBOOK_DIRS} directories")));
        }
        dirs.push(path);
    }
    Ok(dirs)
}

fn lone(name: &str) -> Node {
    Node {
        name: name.to_owned(),
        dsn: Dsn::Inline(Secret::new("")),
        pooled: false,
        admin_dsn: None,
        application_name: name.to_owned(),
        slot: name.to_owned(),
        address: None,
        expected: true,
        data_dir: None,
        log: None,
    }
}

fn cluster(raw: &RawCluster, dir: &Path) -> Result<Cluster, Problem> {
    let name = name(&raw.name)?;
    if raw.nodes.is_empty() {
        return Err(Problem::new(&raw.name, format!("cluster {name} has no nodes: give it at least one")));
    }
    unique(raw.nodes.iter().map(|node| &node.name), &format!("nodes of cluster {name}"))?;
    let nodes: Vec<Node> = raw.nodes.iter().map(|raw| node(raw, dir)).collect::<Result<_, _>>()?;
    for (index, node) in nodes.iter().enumerate() {
        let earlier = &nodes[..index];
        let twin = |same: fn(&Node) -> &str| earlier.iter().find(|earlier| same(earlier) == same(node));
        let (key, value, twin) = match (twin(|node| &node.application_name), twin(|node| &node.slot)) {
            (Some(twin), _) => ("application_name", &node.application_name, twin),
            (_, Some(twin)) => ("slot", &node.slot, twin),
            _ => continue,
        };
        let what = format!(
            "nodes {} and {} have the same {key} {value}: their walsenders could not be told apart",
            twin.name, node.name
        );
        return Err(Problem::new(&raw.nodes[index].name, what));
    }
    for (index, node) in nodes.iter().enumerate() {
        let same = |earlier: &&Node| earlier.data_dir.is_some() && earlier.data_dir == node.data_dir;
        if let Some(twin) = nodes[..index].iter().find(same) {
            let what = format!("nodes {} and {} have the same data_dir: each server has its own", twin.name, node.name);
            return Err(Problem::new(&raw.nodes[index].name, what));
        }
    }
    for (index, node) in nodes.iter().enumerate() {
        let same = |earlier: &&Node| earlier.log.is_some() && earlier.log == node.log;
        if let Some(twin) = nodes[..index].iter().find(same) {
            let what = format!("nodes {} and {} have the same log: name each one's own file", twin.name, node.name);
            return Err(Problem::new(&raw.nodes[index].name, what));
        }
    }
    let archive_dir = directory(raw.archive_dir.as_ref(), dir, &format!("archive_dir of cluster {name}"))?;
    let manager = raw.manager.as_ref().map(|raw| manager::manager(raw, &name, dir)).transpose()?;
    let runbooks = raw.runbooks.as_ref().map(|raw| runbooks::permit(raw, manager.as_ref(), &name, dir)).transpose()?;
    let write_probe =
        raw.write_probe.as_ref().map(|given| write_probe::write_probe(given, &nodes, &name)).transpose()?;
    let replication = raw.replication.as_ref().map(|raw| replication::replication(raw, &name, dir)).transpose()?;
    let clients = clients::clients(&raw.clients, &name, dir)?;
    let backup = raw.backup.as_ref().map(|raw| backup::backup(raw, &name)).transpose()?;
    Ok(Cluster {
        name,
        nodes,
        archive_dir,
        manager,
        replication,
        backup,
        clients,
        write_probe,
        runbooks: runbooks.unwrap_or_default(),
    })
}

/// A directory that need not exist: whether it can be read shows while pgvigil runs, and may change.
fn directory(given: Option<&Spanned<String>>, dir: &Path, what: &str) -> Result<Option<PathBuf>, Problem> {
    match given {
        None => Ok(None),
        Some(given) if given.value.is_empty() => {
            Err(Problem::new(given, format!("{what} is empty: name a directory, or remove it")))
        }
        Some(given) => Ok(Some(dir.join(&given.value))),
    }
}

fn node(raw: &RawNode, dir: &Path) -> Result<Node, Problem> {
    let name = name(&raw.name)?;
    if Upstream::WORDS.contains(&name.as_str()) {
        let what = format!("a node cannot be called {name}, which pgvigil says of a standby's upstream: rename it");
        return Err(Problem::new(&raw.name, what));
    }
    let Some(dsn) = dsn_of(&name, "dsn", raw.dsn.as_ref(), raw.dsn_file.as_ref(), dir)? else {
        let what = format!("node {name} has no dsn: say how to reach it in dsn or dsn_file");
        return Err(Problem::new(&raw.name, what));
    };
    let admin_dsn = dsn_of(&name, "admin_dsn", raw.admin_dsn.as_ref(), raw.admin_dsn_file.as_ref(), dir)?;
    let application_name = match &raw.application_name {
        None => name.clone(),
        Some(given) if (1..=63).contains(&given.value.len()) && given.value.bytes().all(|b| (32..127).contains(&b)) => {
            given.value.clone()
        }
        Some(given) => {
            let what = format!(
                "application_name of node {name} is not 1 to 63 printable ASCII characters, which is all that servers keep"
            );
            return Err(Problem::new(given, what));
        }
    };
    let slot = match &raw.slot {
        None => name.clone(),
        Some(given) if is_slot(&given.value) => given.value.clone(),
        Some(given) => {
            let what = format!("slot of node {name} is not a slot's name: 1 to 63 of a-z, 0-9 and _");
            return Err(Problem::new(given, what));
        }
    };
    let address = match &raw.address {
        None => None,
        Some(given) if is_address(&given.value) => Some(given.value.clone()),
        Some(given) => {
            let what = format!(
                "address of node {name} is not a host with a port, such as 10.0.0.2:5432 or [2001:db8::2]:5432"
            );
            return Err(Problem::new(given, what));
        }
    };
    let data_dir = directory(raw.data_dir.as_ref(), dir, &format!("data_dir of node {name}"))?;
    let log = match &raw.log {
        Some(given) if given.value.is_empty() => {
            return Err(Problem::new(
                given,
                format!("log of node {name} is empty: name a file or a directory, or remove it"),
            ));
        }
        given => given.as_ref().map(|given| dir.join(&given.value)),
    };
    let (pooled, expected) = (raw.pooled.unwrap_or(false), raw.expected.unwrap_or(true));
    Ok(Node { name, dsn, pooled, admin_dsn, application_name, slot, address, expected, data_dir, log })
}

/// What `key` or `key` with `_file` says of where the connection string is.
pub(super) fn dsn_of(
    node: &str,
    key: &str,
    inline: Option<&Spanned<Secret>>,
    file: Option<&Spanned<String>>,
    dir: &Path,
) -> Result<Option<Dsn>, Problem> {
    match (inline, file) {
        (None, None) => Ok(None),
        (Some(dsn), None) => Ok(Some(Dsn::Inline(dsn.value.clone()))),
        (None, Some(file)) if file.value.is_empty() => {
            Err(Problem::new(file, format!("{key}_file of node {node} is empty: name a file")))
        }
        (None, Some(file)) => Ok(Some(Dsn::File(dir.join(&file.value)))),
        (Some(_), Some(file)) => {
            Err(Problem::new(file, format!("node {node} has both {key} and {key}_file: keep one")))
        }
    }
}

/// A name stands in labels and in URLs.
pub(super) fn is_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    (1..=63).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with(['.', '-'])
}

/// A name of the file that stands in labels, URLs or logs.
pub(super) fn name(given: &Spanned<String>) -> Result<String, Problem> {
    if is_name(&given.value) {
        return Ok(given.value.clone());
    }
    let what = "this name cannot stand in labels and URLs: use 1 to 63 of A-Z, a-z, 0-9, dot, dash and underscore, beginning with a letter, a digit or an underscore";
    Err(Problem::new(given, what))
}

fn is_slot(name: &str) -> bool {
    (1..=63).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn is_address(address: &str) -> bool {
    let Some((host, port)) = address.rsplit_once(':') else { return false };
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host_is_fine = match bracketed {
        Some(host) => host.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c.is_control() || ":@/,[]".contains(c))
        }
    };
    host_is_fine && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// No two are called the same.
pub(super) fn unique<'a>(names: impl Iterator<Item = &'a Spanned<String>>, what: &str) -> Result<(), Problem> {
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        if !seen.insert(&name.value) {
            return Err(Problem::new(name, format!("two {what} are called {}: rename one", name.value)));
        }
    }
    Ok(())
}
