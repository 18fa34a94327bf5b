//! The scene: a primary, two standbys, pgvigil on all three, the peer on the primary.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use pgvigil::lab::{Lab, ProcessId, Role, Server, ServerOptions, Spawn, Spawned, StandbyOptions, Wire, wait_until};
use tokio_postgres::Client as Sql;

use super::client::{Client, value};

/// Longer than anything here takes.
pub const SOON: Duration = Duration::from_secs(30);
/// When a scrape is given up: Prometheus's own default.
pub const GIVEN_UP: Duration = Duration::from_secs(10);
/// Debian's package, 0.11.1.
const PEER: &str = "/usr/bin/prometheus-postgres-exporter";

/// Everything that runs.
pub struct Scene {
    pub lab: Lab,
    pub a: Server,
    pub b: Server,
    pub c: Server,
    /// Through which `c` streams.
    pub wire: Wire,
    pub peer: Exporter,
}

/// A running exporter.
pub struct Exporter {
    pub process: Arc<Spawned>,
    pub port: u16,
}

/// How often pgvigil does what.
#[derive(Clone, Copy)]
pub enum Pace {
    /// As it comes, but for more frequent logins where they are counted.
    Default { login: &'static str },
    /// Ten readings a second and nothing else, to measure one.
    ReadingsAlone,
}

impl Scene {
    pub async fn set() -> anyhow::Result<Self> {
        let lab = Lab::new()?;
        let options = || ServerOptions::default().set("max_replication_slots", 220).set("autovacuum", "off");
        let a = lab.primary("a", options()).await?;
        let standby = || StandbyOptions { server: options(), ..Default::default() };
        let b = lab.standby_of(&a, "b", standby()).await?;
        let wire = Wire::to(a.port()).await?;
        let c = lab.standby_of(&a, "c", StandbyOptions { through_port: Some(wire.port()), ..standby() }).await?;
        for name in ["b", "c"] {
            a.wait_streaming(name, SOON).await?;
        }
        a.sql(&format!("CREATE ROLE peer LOGIN PASSWORD '{}' IN ROLE pg_monitor", Role::Monitor.password())).await?;
        let peer = start_peer(&lab, &a).await?;
        Ok(Self { lab, a, b, c, wire, peer })
    }

    /// Starts pgvigil on all three nodes and waits until it knows all.
    pub async fn pgvigil(&self, pace: Pace) -> anyhow::Result<Exporter> {
        let port = self.lab.free_port()?;
        let state_dir = self.lab.own_dir("state")?;
        let node =
            |server: &Server| format!("      - {{name: {}, dsn: \"{}\"}}\n", server.name(), server.dsn(Role::Monitor));
        let paces = match pace {
            Pace::Default { login } => format!("login_interval: {login}\n"),
            Pace::ReadingsAlone => "sample_interval: 100ms\ncollect_interval: 1h\nlogin_interval: 1h\n".to_owned(),
        };
        let text = format!(
            "listen: 127.0.0.1:{port}\nstate_dir: {}\n{paces}clusters:\n  - name: bench\n    nodes:\n{}{}{}",
            state_dir.display(),
            node(&self.a),
            node(&self.b),
            node(&self.c),
        );
        let config = self.lab.path().join("pgvigil.yml");
        std::fs::write(&config, text)?;
        // Another build, to be held against this one.
        let program =
            std::env::var_os("LAB_PGVIGIL").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_pgvigil")), PathBuf::from);
        let process = self.lab.spawn(Spawn::new("pgvigil", program).arg("serve").arg("--config").arg(&config))?;
        let exporter = Exporter { process, port };
        exporter
            .wait_for("pgvigil to know all three", |page| {
                page.contains(r#"pgvigil_standby_lag_known{cluster="bench",node="b",stage="replayed"} 1"#)
                    && page.contains(r#"pgvigil_standby_lag_known{cluster="bench",node="c",stage="replayed"} 1"#)
                    && value(page, &node_up("a")) == Some(1.0)
                    && page.contains(r#"pgvigil_archive_state{cluster="bench",node="a",state="unknown"} 0"#)
            })
            .await?;
        Ok(exporter)
    }

    /// Makes the primary have exactly `count` slots that hold WAL, beside the standbys' connections.
    pub async fn slots(&self, count: usize) -> anyhow::Result<()> {
        let surplus = format!(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name >= 'slot_{count:03}'"
        );
        let missing = format!(
            "SELECT pg_create_physical_replication_slot(name, true) FROM (SELECT 'slot_' || lpad(n::text, 3, '0') AS name \
             FROM generate_series(0, {count} - 1) n) AS wanted WHERE name NOT IN (SELECT slot_name FROM pg_replication_slots)"
        );
        self.a.sql(&surplus).await?;
        Ok(self.a.sql(&missing).await?)
    }

    /// The primary's postmaster.
    pub async fn postmaster(&self) -> anyhow::Result<ProcessId> {
        Ok(self.a.process_of(pgvigil::lab::Backend::Postmaster).await?)
    }

    /// Everything streams again, and both exporters see it.
    pub async fn settle(&self, pgvigil: &Exporter) -> anyhow::Result<()> {
        self.a.wait_ready(SOON).await?;
        for name in ["b", "c"] {
            self.a.wait_streaming(name, SOON).await?;
        }
        let up = |page: &str| {
            let known = r#"pgvigil_standby_lag_known{cluster="bench",node="c",stage="replayed"}"#;
            ["a", "b", "c"].iter().all(|node| value(page, &node_up(node)) == Some(1.0))
                && value(page, known) == Some(1.0)
        };
        pgvigil.wait_for("pgvigil to see all nodes up", up).await?;
        self.peer.wait_for("the peer to see the primary up", |page| value(page, "pg_up") == Some(1.0)).await
    }
}

/// The series that says whether a node is up.
pub fn node_up(node: &str) -> String {
    format!(r#"pgvigil_node_up{{cluster="bench",node="{node}"}}"#)
}

async fn start_peer(lab: &Lab, server: &Server) -> anyhow::Result<Exporter> {
    let port = lab.free_port()?;
    let dsn = server.dsn(Role::Monitor).replace("user=pgvigil", "user=peer");
    let spawn = Spawn::new("peer", PEER)
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .env("DATA_SOURCE_NAME", format!("{dsn} sslmode=disable"));
    let process = lab.spawn(spawn).context("scripts/bootstrap exporter installs the peer")?;
    let exporter = Exporter { process, port };
    exporter.wait_for("the peer's first page", |page| value(page, "pg_up") == Some(1.0)).await?;
    Ok(exporter)
}

impl Exporter {
    /// A scraper of it.
    pub fn client(&self) -> std::io::Result<Client> {
        Client::connect(self.port, GIVEN_UP)
    }

    /// Its page.
    pub fn page(&self) -> std::io::Result<String> {
        Ok(self.client()?.scrape()?.body.to_owned())
    }

    /// Who it is.
    pub fn id(&self) -> ProcessId {
        self.process.id()
    }

    /// Waits until the page is as wanted.
    pub async fn wait_for(&self, what: &str, wanted: impl Fn(&str) -> bool) -> anyhow::Result<()> {
        let look = async || match self.page() {
            Ok(page) if wanted(&page) => Ok(()),
            Ok(page) => Err(format!("a page of {} bytes without it", page.len())),
            Err(error) => Err(error.to_string()),
        };
        wait_until(what, SOON, look).await.with_context(|| self.process.log_tail(20))
    }

    /// Ends it.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.process.terminate(SOON).await?;
        Ok(())
    }
}

/// How many connections of this name a server has.
pub async fn connections(client: &Sql, application_name: &str) -> anyhow::Result<usize> {
    let count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1";
    Ok(usize::try_from(client.query_one(count, &[&application_name]).await?.get::<_, i64>(0))?)
}
