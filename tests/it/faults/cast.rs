//! A cluster of a row: its servers, the wires between them, and the pgvigil that watches them.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use pgvigil::lab::{Archive, Lab, LabError, Role, Server, ServerOptions, StandbyOptions, Wire, Writer, wait_until};

use crate::live::watch::Vigil;

const STREAMS_WITHIN: Duration = Duration::from_secs(30);
const WELL_WITHIN: Duration = Duration::from_secs(30);

/// The servers' own waits, which no factor divides: short, so that fractions of them pass in seconds.
const SETTINGS: &[(&str, &str)] =
    &[("wal_sender_timeout", "12s"), ("wal_receiver_timeout", "12s"), ("wal_receiver_status_interval", "2s")];

/// The directory of the archive.
const ARCHIVE: &str = "wal";

/// A name and what it is set to.
pub type Settings = &'static [(&'static str, &'static str)];

/// What the primary does with its WAL.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Archiving {
    /// `archive_mode` is off.
    Off,
    /// Copies it to a directory.
    On,
    /// The same, and pgvigil looks into the directory.
    Watched,
}

/// Which servers there are.
#[derive(Clone)]
pub struct Topology {
    /// Standbys, each with its upstream; each has a slot of its name.
    pub standbys: &'static [(&'static str, &'static str)],
    /// Whether they have slots.
    pub slots: bool,
    /// Standbys that stream through a wire.
    pub links: &'static [&'static str],
    /// Nodes that pgvigil, the first where there are two, reaches through a wire.
    pub views: &'static [&'static str],
    /// How many pgvigil watch.
    pub observers: usize,
    /// Settings of every server.
    pub settings: Settings,
    /// Settings of the primary alone.
    pub primary: Settings,
    /// Settings of the standbys alone.
    pub standby: Settings,
    /// What the primary does with its WAL; [`Cast::archive`] where it is archived in earnest.
    pub archive: Archiving,
    /// Whether pgvigil runs beside the servers.
    pub beside: bool,
    /// Whole lines of pgvigil's configuration.
    pub config: &'static str,
    /// Commits a second; 0: an idle primary.
    pub commits: u32,
}

impl Topology {
    /// A primary `a` and a standby `b`, which one pgvigil watches.
    pub const DEFAULT: Self = Self {
        standbys: &[("b", "a")],
        slots: true,
        links: &[],
        views: &[],
        observers: 1,
        settings: &[],
        primary: &[],
        standby: &[],
        archive: Archiving::Off,
        beside: false,
        config: "",
        commits: 10,
    };
}

impl Default for Topology {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Everything that a row plays with.
pub struct Cast {
    pub name: &'static str,
    /// The primary at first.
    pub a: Server,
    standbys: BTreeMap<&'static str, Server>,
    links: BTreeMap<&'static str, Wire>,
    views: BTreeMap<&'static str, Wire>,
    vigils: Vec<Vigil>,
    kept: Mutex<Vec<Box<dyn Any + Send>>>,
    _writer: Option<Writer>,
    pub lab: Lab,
}

impl Cast {
    /// Starts all of it, and waits until pgvigil finds it well.
    pub async fn start(name: &'static str, topology: &Topology) -> Result<Self, LabError> {
        let lab = Lab::new()?;
        let options = |own: Settings| {
            let all = SETTINGS.iter().chain(topology.settings).chain(own);
            all.fold(ServerOptions::default(), |options, (name, value)| options.set(name, value))
        };
        let mut of_primary = options(topology.primary);
        if topology.archive != Archiving::Off {
            of_primary = of_primary.archive(&Archive::Into(lab.server_dir(ARCHIVE)?));
        }
        let a = lab.primary("a", of_primary).await?;
        let (mut standbys, mut links) = (BTreeMap::<_, Server>::new(), BTreeMap::new());
        for &(standby, upstream) in topology.standbys {
            let upstream = standbys.get(upstream).unwrap_or(&a).clone();
            if topology.links.contains(&standby) {
                links.insert(standby, Wire::to(upstream.port()).await?);
            }
            let made = StandbyOptions {
                slot: topology.slots.then(|| standby.to_owned()),
                through_port: links.get(standby).map(Wire::port),
                server: options(topology.standby),
                ..StandbyOptions::default()
            };
            let server = lab.standby_of(&upstream, standby, made).await?;
            upstream.wait_streaming(standby, STREAMS_WITHIN).await?;
            standbys.insert(standby, server);
        }
        let mut views = BTreeMap::new();
        for &node in topology.views {
            let server = standbys.get(node).unwrap_or(&a);
            views.insert(node, Wire::to(server.port()).await?);
        }
        let writer = match topology.commits {
            0 => None,
            rate => Some(Writer::start(&a, rate).await?),
        };
        let (vigils, kept) = (Vec::new(), Mutex::default());
        let mut cast = Self { name, a, standbys, links, views, vigils, kept, _writer: writer, lab };
        for number in 0..topology.observers {
            let (port, config) = (cast.lab.free_port()?, cast.lab.path().join(format!("pgvigil-{number}.yml")));
            std::fs::write(&config, cast.config(topology, number, port)?).expect("a file in the lab");
            cast.vigils.push(Vigil::start_at(&cast.lab, config, port).await?);
        }
        cast.until_well().await?;
        Ok(cast)
    }

    fn config(&self, topology: &Topology, number: usize, port: u16) -> Result<String, LabError> {
        let state = self.lab.own_dir(&format!("state-{number}"))?;
        let archive_dir = match topology.archive {
            Archiving::Watched => format!("  archive_dir: {}\n", self.archive().display()),
            _ => String::new(),
        };
        let mut text = format!(
            "listen: 127.0.0.1:{port}\nstate_dir: {}\nsample_interval: 500ms\ncollect_interval: 1s\n\
             login_interval: 1s\narchive_hung_after: 3s\n{}clusters:\n- name: {}\n{archive_dir}  nodes:\n",
            state.display(),
            topology.config,
            self.name,
        );
        for server in self.servers() {
            let view = self.views.get(server.name()).filter(|_| number == 0);
            let dsn = Server::dsn_through(view.map_or(server.port(), Wire::port), Role::Monitor);
            let address = format!("127.0.0.1:{}", server.port());
            let data_dir =
                if topology.beside { format!(", data_dir: {}", server.data_dir().display()) } else { String::new() };
            let _ = writeln!(text, "  - {{name: {}, dsn: \"{dsn}\", address: \"{address}\"{data_dir}}}", server.name());
        }
        Ok(text)
    }

    async fn until_well(&self) -> Result<(), LabError> {
        for vigil in &self.vigils {
            wait_until(format!("all of {} to be well", self.name), WELL_WITHIN, async || {
                let page = vigil.get("/metrics", "").await?;
                let shows = |series: String| if page.contains(&series) { Ok(()) } else { Err(format!("no {series}")) };
                let cluster = format!("cluster=\"{}\"", self.name);
                for server in self.servers() {
                    shows(format!("pgvigil_node_up{{{cluster},node=\"{}\"}} 1\n", server.name()))?;
                }
                for name in self.standbys.keys() {
                    shows(format!("pgvigil_standby_connected{{{cluster},standby=\"{name}\"}} 1\n"))?;
                    let stage = "stage=\"replayed\"";
                    shows(format!("pgvigil_standby_lag_known{{{cluster},node=\"{name}\",{stage}}} 1\n"))?;
                }
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    fn servers(&self) -> impl Iterator<Item = &Server> {
        std::iter::once(&self.a).chain(self.standbys.values())
    }

    /// The directory of the archive.
    pub fn archive(&self) -> PathBuf {
        self.lab.path().join(ARCHIVE)
    }

    /// Writes so many megabytes of WAL on the primary.
    pub async fn write(&self, megabytes: u32) -> Result<(), LabError> {
        let one = "pg_logical_emit_message(false, 'lab', repeat('x', 1048000))";
        self.a.sql(&format!("SELECT count({one}) FROM generate_series(1, {megabytes})")).await
    }

    /// The standby of this name.
    pub fn standby(&self, name: &str) -> &Server {
        &self.standbys[name]
    }

    /// The standby `b`.
    pub fn b(&self) -> &Server {
        self.standby("b")
    }

    /// The wire from this standby to its upstream.
    pub fn link(&self, standby: &str) -> &Wire {
        &self.links[standby]
    }

    /// The wire from pgvigil to this node.
    pub fn view(&self, node: &str) -> &Wire {
        &self.views[node]
    }

    /// The pgvigil that watches; the first where there are two.
    pub fn vigil(&self) -> &Vigil {
        &self.vigils[0]
    }

    /// Where the pgvigil are to be scraped.
    pub fn ports(&self) -> Vec<u16> {
        self.vigils.iter().map(Vigil::port).collect()
    }

    /// Keeps something until [`Self::release`], such as an open connection.
    pub fn keep(&self, thing: impl Any + Send) {
        self.kept.lock().unwrap().push(Box::new(thing));
    }

    /// Drops what was kept.
    pub fn release(&self) {
        self.kept.lock().unwrap().clear();
    }
}
