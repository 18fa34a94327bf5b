//! A primary with standbys, a pgvigil beside each that asks the others, and a HAProxy with the config that ships.

use std::sync::Arc;
use std::time::Duration;

use pgvigil::lab::{Lab, LabError, Server, ServerOptions, Spawn, Spawned, StandbyOptions, haproxy, wait_until};

use crate::live::client::get;
use crate::live::watch::{Node, SOON, Vigil};

const SHIPPED: &str = include_str!("../../../deploy/haproxy.cfg");
/// Of the shipped config: between two checks, and how many that fail close a server.
pub const INTER: Duration = Duration::from_millis(500);
pub const FALL: u32 = 4;
/// And how long a check that gets no answer takes.
pub const CHECK: Duration = Duration::from_millis(500);
/// pgvigil's own interval, as it is by default.
pub const SAMPLE: Duration = Duration::from_secs(1);
/// What a busy machine adds.
pub const BUSY: Duration = Duration::from_millis(300);

pub struct Stage {
    pub lab: Lab,
    pub servers: Vec<Server>,
    /// In the order of the servers.
    pub vigils: Vec<Vigil>,
    pub writes: u16,
    pub reads: u16,
    haproxy: Arc<Spawned>,
}

impl Stage {
    /// The first of `names` is the primary. `limit` takes the place of the shipped `lag=`.
    pub async fn open(names: &[&str], limit: &str) -> Result<Self, LabError> {
        let lab = Lab::new()?;
        let mut servers = vec![lab.primary(names[0], ServerOptions::default()).await?];
        for name in &names[1..] {
            let slot = StandbyOptions { slot: Some((*name).to_owned()), ..Default::default() };
            let standby = lab.standby_of(&servers[0], name, slot).await?;
            servers[0].wait_streaming(name, SOON).await?;
            servers.push(standby);
        }
        let ports = names.iter().map(|_| lab.free_port()).collect::<Result<Vec<_>, _>>()?;
        let mut vigils = Vec::new();
        for (name, port) in names.iter().zip(&ports) {
            let nodes: Vec<_> = servers.iter().map(Node::of).collect();
            let others: Vec<_> =
                names.iter().copied().zip(ports.iter().copied()).filter(|(other, _)| other != name).collect();
            vigils.push(vigil(&lab, name, *port, &nodes, &others).await?);
        }
        for (name, port) in names.iter().zip(&ports) {
            let question = if *name == names[0] { "primary" } else { "replica?lag=5s" };
            until_open(*port, name, question).await?;
        }
        let (writes, reads) = (lab.free_port()?, lab.free_port()?);
        let path = lab.path().join("haproxy.cfg");
        let text = config(&servers, &ports, limit).replace(":5000", &format!("127.0.0.1:{writes}"));
        std::fs::write(&path, text.replace(":5001", &format!("127.0.0.1:{reads}"))).unwrap();
        let haproxy = lab.spawn(Spawn::new("haproxy", haproxy()?).arg("-db").arg("-f").arg(path))?;
        let stage = Self { lab, servers, vigils, writes, reads, haproxy };
        // A server that was not checked yet counts as open to HAProxy.
        stage.until_said(&format!("Server standbys/{} is DOWN", names[0])).await?;
        for server in &stage.servers[1..] {
            stage.until_said(&format!("Server primary/{} is DOWN", server.name())).await?;
        }
        Ok(stage)
    }

    /// What the pgvigil beside server number `index` answers of it: the status and the line.
    pub async fn answer(&self, index: usize, question: &str) -> (u16, String) {
        let path = format!("/clusters/lab/nodes/{}/{question}", self.servers[index].name());
        let answer = get(self.vigils[index].port(), &path, "").await;
        (answer.status, answer.text())
    }

    /// Waits until HAProxy said this, after what it had said before.
    pub async fn until_said(&self, what: &str) -> Result<(), LabError> {
        self.until_said_after(0, what).await
    }

    /// How much HAProxy said so far.
    pub fn said(&self) -> usize {
        self.haproxy.log().len()
    }

    /// Waits until HAProxy said this beyond the first `before` bytes.
    pub async fn until_said_after(&self, before: usize, what: &str) -> Result<(), LabError> {
        wait_until(format!("HAProxy to say: {what}"), SOON, async || {
            let log = self.haproxy.log();
            let new = log.get(before..).unwrap_or_default();
            if new.contains(what) { Ok(()) } else { Err(new.to_owned()) }
        })
        .await
    }
}

/// Waits until the pgvigil at `port` says yes of the node.
async fn until_open(port: u16, node: &str, question: &str) -> Result<(), LabError> {
    wait_until(format!("{node} to be open"), SOON, async || {
        let answer = get(port, &format!("/clusters/lab/nodes/{node}/{question}"), "").await;
        if answer.status == 200 { Ok(()) } else { Err(answer.text()) }
    })
    .await
}

/// A pgvigil with its default intervals, that asks the `others`, by the name of the server beside them and port.
pub async fn vigil(
    lab: &Lab,
    name: &str,
    port: u16,
    nodes: &[Node],
    others: &[(&str, u16)],
) -> Result<Vigil, LabError> {
    let state = lab.own_dir(&format!("state-{name}"))?;
    let nodes: String = nodes.iter().map(|node| node.yaml.as_str()).collect();
    let other = |(name, port): &(&str, u16)| format!("  - {{name: v{name}, url: 'http://127.0.0.1:{port}'}}\n");
    let others: String = others.iter().map(other).collect();
    let text = format!(
        "listen: 127.0.0.1:{port}\nstate_dir: {}\nobservers:\n{others}clusters:\n  - name: lab\n    nodes:\n{nodes}",
        state.display()
    );
    let path = lab.path().join(format!("vigil-{name}.yml"));
    std::fs::write(&path, text).unwrap();
    Vigil::start_at(lab, path, port).await
}

/// The shipped config for these servers and the pgvigil at these ports.
fn config(servers: &[Server], ports: &[u16], limit: &str) -> String {
    let line = |line: &str| {
        let Some(server) = line.trim_start().strip_prefix("server ") else { return Some(line.to_owned()) };
        let name = server.split(' ').next()?;
        let (server, port) = servers.iter().zip(ports).find(|(server, _)| server.name() == name)?;
        Some(format!("    server {name} 127.0.0.1:{} port {port}", server.port()))
    };
    let lines: Vec<_> = SHIPPED.lines().filter_map(line).collect();
    lines.join("\n").replace("/clusters/orders/", "/clusters/lab/").replace("lag=5s", limit) + "\n"
}

#[test]
fn the_documented_figures_are_those_of_the_shipped_config() {
    let checks: Vec<_> = SHIPPED.lines().filter(|line| line.contains("default-server")).collect();
    let figures = format!("inter {}ms fall {FALL} rise 2", INTER.as_millis());
    assert!(checks.len() == 3 && checks.iter().all(|line| line.contains(&figures)), "{checks:?}");
    assert!(SHIPPED.contains(&format!("timeout check {}ms", CHECK.as_millis())));
}
