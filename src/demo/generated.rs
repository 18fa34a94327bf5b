//! The files that the demo writes for pgvigil, Prometheus and Alertmanager.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use ring::rand::SecureRandom;

use super::acting::Acting;
use super::rules;
use crate::lab::{Lab, Role, Server, Spawn};

/// How long Prometheus waits before it sends an alert again, unless it is told.
const RESEND_DELAY: Duration = Duration::from_secs(60);

/// Whom Alertmanager tells.
pub(super) struct Webhook {
    pub(super) url: String,
    pub(super) token_file: PathBuf,
}

/// Writes pgvigil's configuration, readable by us alone: the DSNs hold passwords.
pub(super) fn config(
    lab: &Lab,
    port: u16,
    state_dir: &Path,
    nodes: [&Server; 3],
    acting: &Acting,
) -> anyhow::Result<PathBuf> {
    let mut text = format!(
        "listen: 127.0.0.1:{port}\n\
         state_dir: {}\n\
         collect_interval: 2s\n\
         login_interval: 1s\n\
         archive_hung_after: 10s\n\
         {}\
         clusters:\n  \
           - name: demo\n\
         {}    nodes:\n",
        state_dir.display(),
        acting.config(),
        acting.of_cluster(),
    );
    for node in nodes {
        let (dsn, admin) = (node.dsn(Role::Monitor), node.dsn(Role::Superuser));
        text += &format!("      - {{name: {}, dsn: \"{dsn}\", admin_dsn: \"{admin}\"}}\n", node.name());
    }
    let path = lab.path().join("pgvigil.yml");
    write(&path, &text)?;
    Ok(path)
}

/// Writes Prometheus' configuration and the rules, and says how to start it. What fires goes to the Alertmanager on this
/// port.
pub(super) fn prometheus(
    lab: &Lab,
    program: PathBuf,
    port: u16,
    pgvigil_port: u16,
    alertmanager_port: Option<u16>,
) -> anyhow::Result<Spawn> {
    let config = lab.path().join("prometheus.yml");
    let rules_dir = lab.own_dir("rules")?;
    rules::write_rules(&rules_dir, pgvigil_port)?;
    let alertmanagers = alertmanager_port.map(|port| {
        format!("alerting:\n  alertmanagers:\n    - static_configs:\n      - targets: ['127.0.0.1:{port}']\n")
    });
    // `cluster` and `node` of the page are the truth about a series; without honor_labels Prometheus could rename them.
    let text = format!(
        "global:\n  \
           scrape_interval: 1s\n  \
           evaluation_interval: 1s\n\
         rule_files: ['{}/*.yml']\n\
         {}\
         scrape_configs:\n  \
           - job_name: pgvigil\n    \
             honor_labels: true\n    \
             static_configs:\n      \
               - targets: ['127.0.0.1:{pgvigil_port}']\n",
        rules_dir.display(),
        alertmanagers.unwrap_or_default(),
    );
    write(&config, &text)?;
    let data = lab.own_dir("prometheus")?.join("data");
    Ok(listening(Spawn::new("prometheus", program), port)
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", data.display()))
        .arg("--storage.tsdb.retention.size=256MB")
        // What fires before Prometheus has found its Alertmanager, 5 s after its start, is dropped until it is sent again.
        .arg(format!("--rules.alert.resend-delay={}ms", rules::SCALE.of(RESEND_DELAY).as_millis())))
}

/// Writes Alertmanager's configuration and says how to start it. All that is told rings the bell.
pub(super) fn alertmanager(
    lab: &Lab,
    program: PathBuf,
    port: u16,
    bell: &Webhook,
    pgvigil: &Webhook,
) -> anyhow::Result<Spawn> {
    let config = lab.path().join("alertmanager.yml");
    write(&config, &rules::routing(bell, pgvigil)?)?;
    let data = lab.own_dir("alertmanager")?.join("data");
    Ok(listening(Spawn::new("alertmanager", program), port)
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.path={}", data.display()))
        // Alone: nobody to gossip with.
        .arg("--cluster.listen-address="))
}

/// On loopback, and with links that lead there.
fn listening(spawn: Spawn, port: u16) -> Spawn {
    spawn
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg(format!("--web.external-url=http://127.0.0.1:{port}/"))
}

/// Writes a secret for one run into this file, and says where and what it is.
pub(super) fn token(lab: &Lab, name: &str) -> anyhow::Result<(PathBuf, String)> {
    let mut bytes = [0; 16];
    ring::rand::SystemRandom::new().fill(&mut bytes).ok().context("the system gives no random bytes")?;
    let (path, token) = (lab.path().join(name), bytes.map(|byte| format!("{byte:02x}")).concat());
    write(&path, &token)?;
    Ok((path, token))
}

pub(super) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let open = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    open.and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}
