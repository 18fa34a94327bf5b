//! A cluster to which everything happens, one after the other.

use std::path::PathBuf;
use std::time::Duration;

use pgvigil::lab::{
    Backend, Lab, LabError, Role, Server, ServerOptions, StandbyOptions, Wire, WireMode, Writer, wait_until,
};
use rustix::process::Signal;
use tokio::time::sleep;

use super::crowd;
use crate::live::client::try_get;
use crate::live::watch::Vigil;

/// What happens, in turn.
pub const WRECKS: [&str; 16] = [
    "standby killed and started again",
    "network between pgvigil and the primary cut",
    "standby frozen",
    "config with a node less, and back",
    "primary restarted",
    "network between pgvigil and a standby delayed by 300 ms",
    "primary killed and started again",
    "requests to a standby swallowed",
    "config that is refused",
    "postmaster of the primary frozen alone",
    "stream between primary and standby cut",
    "replies of the primary held back",
    "replay paused",
    "replies of a standby at 20 kB/s",
    "primary frozen",
    "config changed by its file alone",
];

/// Three of this cluster and two of the calm one.
const NODES: usize = 5;
/// All nodes are seen again within this.
const WHOLE_WITHIN: Duration = Duration::from_secs(90);

/// Three servers, with wires that can be cut.
pub struct Wrecked {
    a: Server,
    b: Server,
    c: Server,
    /// From pgvigil to each.
    wires: [Wire; 3],
    /// From `a` to `b`.
    stream: Wire,
    writer: Writer,
    config: PathBuf,
    /// The config as it is, with a node less, with other intervals, and one that is refused.
    texts: [String; 4],
}

impl Wrecked {
    pub async fn start(lab: &Lab) -> Result<Self, LabError> {
        let a = lab.primary("a", ServerOptions::default()).await?;
        let stream = Wire::to(a.port()).await?;
        let b = StandbyOptions { slot: Some("b".to_owned()), through_port: Some(stream.port()), ..Default::default() };
        let b = lab.standby_of(&a, "b", b).await?;
        let c = lab.standby_of(&a, "c", StandbyOptions::default()).await?;
        let wires = [Wire::to(a.port()).await?, Wire::to(b.port()).await?, Wire::to(c.port()).await?];
        let writer = Writer::start(&a, 50).await?;
        Ok(Self { a, b, c, wires, stream, writer, config: lab.path().join("pgvigil.yml"), texts: Default::default() })
    }

    /// Writes the config: this cluster, and one of `calm`.
    pub fn configure(&mut self, lab: &Lab, port: u16, calm: &[&Server]) -> PathBuf {
        lab.own_dir("state").expect("a directory");
        let node = |server: &Server, wire: &Wire| {
            let dsn = |role| Server::dsn_through(wire.port(), role);
            format!(
                "      - {{name: {}, dsn: \"{}\", admin_dsn: \"{}\", address: \"127.0.0.1:{}\"}}\n",
                server.name(),
                dsn(Role::Monitor),
                dsn(Role::Superuser),
                server.port()
            )
        };
        let [a, b, c] =
            [(&self.a, 0), (&self.b, 1), (&self.c, 2)].map(|(server, wire)| node(server, &self.wires[wire]));
        let of =
            |server: &&Server| format!("      - {{name: {}, dsn: \"{}\"}}\n", server.name(), server.dsn(Role::Monitor));
        let calm: String = calm.iter().map(of).collect();
        let text = |nodes: &str, more: &str| {
            format!(
                "listen: 127.0.0.1:{port}\nstate_dir: {}\ncollect_interval: 5s\nlogin_interval: 2s\n{}{more}clusters:\n  - name: orders\n    \
                 nodes:\n{nodes}  - name: calm\n    nodes:\n{calm}",
                lab.path().join("state").display(),
                crowd::access(lab),
            )
        };
        let all = format!("{a}{b}{c}");
        self.texts = [
            text(&all, ""),
            text(&format!("{a}{b}"), ""),
            text(&all, "archive_hung_after: 90s\n"),
            text(&all, "sample_intervall: 1s\n"),
        ];
        std::fs::write(&self.config, &self.texts[0]).expect("a file in the lab");
        self.config.clone()
    }

    fn write(&self, text: usize) {
        let new = self.config.with_extension("new");
        std::fs::write(&new, &self.texts[text]).expect("a file in the lab");
        std::fs::rename(&new, &self.config).expect("a file in the lab");
    }

    /// Waits until pgvigil sees all nodes up, the calm ones too.
    pub async fn until_whole(&self, vigil: &Vigil) -> Result<(), LabError> {
        let waited = wait_until("all nodes to be up", WHOLE_WITHIN, async || {
            let page = try_get(vigil.port(), "/metrics").await?;
            let text = page.text();
            let is_state = |line: &&str| line.starts_with("pgvigil_node_state{") && line.ends_with(" 1");
            let states: Vec<_> = text.lines().filter(is_state).collect();
            let up = states.iter().filter(|line| line.contains("state=\"up\"")).count();
            if up == NODES { Ok(()) } else { Err(format!("{states:?}")) }
        });
        waited.await.inspect_err(|_| println!("pgvigil's log ends with:\n{}", vigil.process().log_tail(40)))
    }

    /// One of [`WRECKS`], and its repair; how long it lasts changes from turn to turn.
    pub async fn play(&self, wreck: &str, vigil: &Vigil, turn: u32) -> Result<(), LabError> {
        let lasts = Duration::from_millis(1500 + 700 * u64::from(turn % 7));
        let Self { a, b, c, wires: [to_a, to_b, to_c], stream, .. } = self;
        let hold = async |wire: &Wire, mode| {
            wire.set(mode).await?;
            sleep(lasts).await;
            wire.set(WireMode::Pass).await
        };
        match wreck {
            "standby killed and started again" => {
                b.kill();
                sleep(lasts).await;
                b.start().await?;
            }
            "network between pgvigil and the primary cut" => hold(to_a, WireMode::Cut).await?,
            "standby frozen" => {
                c.freeze()?;
                sleep(lasts).await;
                c.thaw()?;
            }
            "config with a node less, and back" => {
                self.write(1);
                vigil.process().signal(Signal::HUP)?;
                sleep(lasts).await;
                self.write(0);
                vigil.process().signal(Signal::HUP)?;
            }
            "primary restarted" => a.restart().await?,
            "network between pgvigil and a standby delayed by 300 ms" => {
                hold(to_b, WireMode::Delay(Duration::from_millis(300))).await?;
            }
            "primary killed and started again" => {
                a.kill();
                sleep(lasts).await;
                a.start().await?;
            }
            "requests to a standby swallowed" => hold(to_c, WireMode::BlackHoleRequests).await?,
            "config that is refused" => {
                self.write(3);
                vigil.process().signal(Signal::HUP)?;
                sleep(lasts).await;
                self.write(0);
                vigil.process().signal(Signal::HUP)?;
            }
            "postmaster of the primary frozen alone" => {
                a.freeze_process(Backend::Postmaster).await?;
                sleep(lasts).await;
                a.thaw()?;
            }
            "stream between primary and standby cut" => hold(stream, WireMode::Cut).await?,
            "replies of the primary held back" => hold(to_a, WireMode::BlackHoleReplies).await?,
            "replay paused" => {
                b.pause_replay().await?;
                sleep(lasts).await;
                b.resume_replay().await?;
            }
            "replies of a standby at 20 kB/s" => hold(to_c, WireMode::Throttle(20_000)).await?,
            "primary frozen" => {
                a.freeze()?;
                sleep(lasts).await;
                a.thaw()?;
            }
            _ => {
                self.write(2);
                sleep(lasts).await;
                self.write(0);
            }
        }
        self.until_whole(vigil).await
    }

    pub async fn stop(self) {
        self.writer.stop().await;
    }
}
