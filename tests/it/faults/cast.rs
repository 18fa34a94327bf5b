//! A cluster of a row: its servers, the wires between them, and the pgvigil that watches them.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use pgvigil::lab::{
    Archive, Lab, LabError, Role, Server, ServerOptions, Spawn, StandbyOptions, StopMode, Wire, Writer, wait_until,
};

use crate::live::watch::Vigil;

const STREAMS_WITHIN: Duration = Duration::from_secs(30);
const WELL_WITHIN: Duration = Duration::from_secs(30);

/// The servers' own waits, which no factor divides: short, so that fractions of them pass in seconds.
const SETTINGS: &[(&str, &str)] =
    &[("wal_sender_timeout", "12s"), ("wal_receiver_timeout", "12s"), ("wal_receiver_status_interval", "2s")];

/// The file with the token of whoever works on the cluster.
const TOKEN: &str = "ops";
/// How long a server is gone where a scrape is to see it and nobody to be woken.
pub const OUTAGE: Duration = Duration::from_millis(1_200);
/// The directory of the archive.
const ARCHIVE: &str = "wal";

/// A name and what it is set to.
pub type Settings = &'static [(&'static str, &'static str)];

/// What each server does with its WAL while it is the primary.
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
    /// What becomes of the WAL; [`Cast::archive`] where it is archived in earnest.
    pub archive: Archiving,
    /// Whether pgvigil runs beside the servers.
    pub beside: bool,
    /// Runbooks, each with its front matter; there are none that act without them.
    pub books: Settings,
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
        books: &[],
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
    /// What each pgvigil was configured with.
    pub configs: Vec<String>,
    kept: Mutex<Vec<Box<dyn Any + Send>>>,
    _writer: Option<Writer>,
    pub lab: Lab,
}

impl Drop for Cast {
    /// Says what pgvigil saw when the row failed.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for vigil in &self.vigils {
            let page = page_now(vigil.port()).unwrap_or_else(|error| error.to_string());
            let is_told = |line: &&str| {
                line.contains("state=\"") && line.ends_with(" 1")
                    || ["pgvigil_standby_lag_", "pgvigil_standby_connected", "pgvigil_wal_position_bytes"]
                        .iter()
                        .any(|name| line.starts_with(name) && !line.contains("_sampled_"))
            };
            let states: Vec<_> = page.lines().filter(is_told).collect();
            eprintln!("--- what pgvigil says of {} ---\n{}", self.name, states.join("\n"));
        }
    }
}

/// The page, asked for without a runtime.
fn page_now(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(3)))?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: lab\r\n\r\n")?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    Ok(page)
}

impl Cast {
    /// Starts all of it, and waits until pgvigil finds it well.
    pub async fn start(name: &'static str, topology: &Topology) -> Result<Self, LabError> {
        let lab = Lab::new()?;
        let mut archived = ServerOptions::default();
        if topology.archive != Archiving::Off {
            // All of them: what a standby writes once it is promoted would be missing in the archive.
            archived = archived.archive(&Archive::Into(lab.server_dir(ARCHIVE)?));
        }
        let options = |own: Settings| {
            let all = SETTINGS.iter().chain(topology.settings).chain(own);
            all.fold(archived.clone(), |options, (name, value)| options.set(name, value))
        };
        let a = lab.primary("a", options(topology.primary)).await?;
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
        let kept = Mutex::default();
        let mut cast = Self {
            name,
            a,
            standbys,
            links,
            views,
            vigils: Vec::new(),
            configs: Vec::new(),
            kept,
            _writer: writer,
            lab,
        };
        for number in 0..topology.observers {
            let (port, config) = (cast.lab.free_port()?, cast.lab.path().join(format!("pgvigil-{number}.yml")));
            let text = cast.config(topology, number, port)?;
            std::fs::write(&config, &text).expect("a file in the lab");
            cast.configs.push(text);
            cast.vigils.push(Vigil::start_at(&cast.lab, config, port).await?);
        }
        cast.until_well().await?;
        Ok(cast)
    }

    fn config(&self, topology: &Topology, number: usize, port: u16) -> Result<String, LabError> {
        std::fs::write(self.lab.path().join(TOKEN), "ops-token-0123456789").expect("a file in the lab");
        let state = self.lab.own_dir(&format!("state-{number}"))?;
        let archive_dir = match topology.archive {
            Archiving::Watched => format!("  archive_dir: {}\n", self.archive().display()),
            _ => String::new(),
        };
        let (acting, dirs) = match topology.books {
            [] => ("", String::new()),
            books => {
                let dir = self.lab.own_dir("books")?;
                for (name, front) in books {
                    std::fs::write(dir.join(format!("{name}.md")), format!("---\n{front}---\n# {name}\n\nIn a row.\n"))
                        .expect("a file in the lab");
                }
                let acting = "  manager: none\n  runbooks: {mode: manual, single_receiver: true}\n";
                (acting, format!("runbook_dirs: ['{}']\n", dir.display()))
            }
        };
        let mut text = format!(
            "listen: 127.0.0.1:{port}\nstate_dir: {}\nsample_interval: 1s\ncollect_interval: 1s\n\
             login_interval: 1s\narchive_hung_after: 3s\n\
             access:\n- {{name: ops, role: approver, token_file: {TOKEN}}}\n{dirs}{}clusters:\n- name: {}\n\
             {acting}{archive_dir}  nodes:\n",
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
            // Nothing acts on a node that it has no admin_dsn for.
            let admin = match topology.books {
                [] => String::new(),
                _ => format!(", admin_dsn: \"{}\"", Server::dsn_through(server.port(), Role::Superuser)),
            };
            let name = server.name();
            let _ = writeln!(text, "  - {{name: {name}, dsn: \"{dsn}\", address: \"{address}\"{data_dir}{admin}}}");
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

    /// Makes a node anew as a standby of `upstream`, in the place of what it was.
    pub async fn remake(&self, server: &Server, upstream: &Server) -> Result<(), LabError> {
        let name = server.name();
        server.stop(StopMode::Immediate).await?;
        std::fs::rename(server.data_dir(), self.lab.path().join(format!("{name}-gone"))).expect("a data directory");
        let again = format!("{name}-again");
        let made = self.lab.standby_made(upstream, &again, StandbyOptions::default()).await?;
        std::fs::rename(made.data_dir(), server.data_dir()).expect("a data directory");
        let (user, password) = (Role::Replicator.name(), Role::Replicator.password());
        let to =
            format!("host=127.0.0.1 port={} user={user} password={password} application_name={name}", upstream.port());
        server.configure(&[("primary_conninfo", &to), ("primary_slot_name", "")]);
        server.start().await?;
        upstream.wait_streaming(name, STREAMS_WITHIN).await
    }

    /// Writes so many megabytes of WAL, no faster than the standby `b` takes them.
    pub async fn write_evenly(&self, megabytes: u32) -> Result<(), LabError> {
        for _ in 0..megabytes / 5 {
            self.write(5).await?;
            self.b().wait_caught_up(&self.a, WELL_WITHIN).await?;
        }
        Ok(())
    }

    /// Says that somebody works on the cluster, as a person does.
    pub async fn maintain(&self, state: &str, more: &[&str]) -> Result<(), LabError> {
        self.order(&[&["maintenance", state], more].concat()).await
    }

    /// Lets a person order something of the first pgvigil.
    pub async fn order(&self, words: &[&str]) -> Result<(), LabError> {
        let server = format!("http://127.0.0.1:{}", self.vigil().port());
        let command = Spawn::new(words[0], env!("CARGO_BIN_EXE_pgvigil"));
        let command = words.iter().fold(command, |command, word| command.arg(*word));
        let command = command.arg("--server").arg(server).arg("--token-file").arg(self.lab.path().join(TOKEN));
        let process = self.lab.spawn(command)?;
        let code = process.wait(WELL_WITHIN).await?;
        assert!(code.success(), "{}", process.log());
        Ok(())
    }

    /// Writes so many megabytes of WAL on the primary.
    pub async fn write(&self, megabytes: u32) -> Result<(), LabError> {
        let one = "pg_logical_emit_message(false, 'lab', repeat('x', 1048000))";
        self.a.sql(&format!("SELECT count({one}) FROM generate_series(1, {megabytes})")).await
    }

    /// The server of this name, if there is one.
    pub fn node(&self, name: &str) -> Option<&Server> {
        self.servers().find(|server| server.name() == name)
    }

    /// Starts the first pgvigil again, as it was.
    pub async fn revive(&self) -> Result<(), LabError> {
        let config = self.lab.path().join("pgvigil-0.yml");
        self.keep(Vigil::start_at(&self.lab, config, self.vigil().port()).await?);
        Ok(())
    }

    /// The standby of this name.
    pub fn standby(&self, name: &str) -> &Server {
        &self.standbys[name]
    }

    /// The standby `b`.
    pub fn b(&self) -> &Server {
        self.standby("b")
    }

    /// Kills a node, all of its processes.
    pub fn kill(&self, name: &str) -> Result<(), LabError> {
        self.node(name).into_iter().for_each(Server::kill);
        Ok(())
    }

    /// Stops a server and starts it again a moment later.
    pub async fn restart(&self, server: &Server) -> Result<(), LabError> {
        server.stop(StopMode::Fast).await?;
        tokio::time::sleep(OUTAGE).await;
        server.start().await
    }

    /// Kills pgvigil, the first where there are two.
    pub fn kill_vigil(&self) -> Result<(), LabError> {
        self.vigil().process().kill();
        Ok(())
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
