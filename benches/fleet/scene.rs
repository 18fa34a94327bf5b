//! Few servers that stand for many: clusters of a primary and two standbys, each a real one of which there are several names.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pgvigil::lab::{Lab, Role, Server, ServerOptions, Spawn, Spawned, StandbyOptions};

/// Longer than anything here takes.
pub const SOON: Duration = Duration::from_secs(120);
/// So many nodes a server; each has two kept connections, and one more now and then.
const NODES_A_SERVER: usize = 170;
/// The bearer token of who may start a maintenance.
pub const TOKEN: &str = "the-bench-may-decide-here";

/// Everything that runs.
pub struct Scene {
    pub lab: Lab,
    /// A primary and two standbys each.
    clusters: Vec<[Server; 3]>,
}

/// A running pgvigil.
pub struct Vigil {
    pub process: Arc<Spawned>,
    pub port: u16,
}

impl Scene {
    /// Servers for so many nodes.
    pub async fn set(nodes: usize) -> anyhow::Result<Self> {
        let lab = Lab::new()?;
        let options = || {
            ServerOptions::default()
                .set("max_connections", 3 * NODES_A_SERVER)
                .set("shared_buffers", "16MB")
                .set("autovacuum", "off")
                .fresh_identity()
        };
        let mut clusters = Vec::new();
        for number in 0..nodes.div_ceil(3 * NODES_A_SERVER) {
            let name = |role: &str| format!("{role}{number}");
            let a = lab.primary(&name("a"), options()).await?;
            let standby = || StandbyOptions { server: options(), ..Default::default() };
            let b = lab.standby_of(&a, &name("b"), standby()).await?;
            let c = lab.standby_of(&a, &name("c"), standby()).await?;
            for name in [name("b"), name("c")] {
                a.wait_streaming(&name, SOON).await?;
            }
            clusters.push([a, b, c]);
        }
        Ok(Self { lab, clusters })
    }

    /// Starts pgvigil on so many nodes, three a cluster.
    pub fn pgvigil(&self, nodes: usize) -> anyhow::Result<Vigil> {
        let port = self.lab.free_port()?;
        let state_dir = self.lab.own_dir(&format!("state-{nodes}"))?;
        let token = self.lab.path().join("token");
        std::fs::write(&token, TOKEN)?;
        let mut text = format!(
            "listen: 127.0.0.1:{port}\nstate_dir: {}\naccess: [{{name: bench, role: approver, token_file: {}}}]\nclusters:\n",
            state_dir.display(),
            token.display(),
        );
        for node in 0..nodes {
            let (cluster, role) = (node / 3, node % 3);
            if role == 0 {
                write!(text, "  - name: {}\n    nodes:\n", cluster_name(cluster))?;
            }
            let server = &self.clusters[cluster % self.clusters.len()][role];
            writeln!(
                text,
                "      - {{name: {}, application_name: {}, dsn: \"{}\"}}",
                ["a", "b", "c"][role],
                server.name(),
                server.dsn(Role::Monitor),
            )?;
        }
        let config = self.lab.path().join(format!("fleet-{nodes}.yml"));
        std::fs::write(&config, text)?;
        // Another build, to be held against this one.
        let program =
            std::env::var_os("LAB_PGVIGIL").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_pgvigil")), PathBuf::from);
        let spawn = Spawn::new(format!("pgvigil-{nodes}"), program).arg("serve").arg("--config").arg(&config);
        Ok(Vigil { process: self.lab.spawn(spawn)?, port })
    }

    /// The ports of the servers.
    pub fn ports(&self) -> impl Iterator<Item = u16> {
        self.clusters.iter().flatten().map(Server::port)
    }
}

/// The name of a cluster.
pub fn cluster_name(number: usize) -> String {
    format!("c{number:03}")
}
