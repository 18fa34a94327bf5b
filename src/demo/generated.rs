//! The files that the demo writes for pgvigil and Prometheus.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::lab::{Lab, Role, Server, Spawn};

/// Writes pgvigil's configuration, readable by us alone: the DSNs hold passwords.
pub(super) fn config(lab: &Lab, port: u16, nodes: [&Server; 3]) -> anyhow::Result<PathBuf> {
    let state = lab.own_dir("state")?;
    let mut text = format!(
        "listen: 127.0.0.1:{port}\n\
         state_dir: {}\n\
         collect_interval: 2s\n\
         archive_hung_after: 10s\n\
         clusters:\n  \
           - name: demo\n    \
             nodes:\n",
        state.display(),
    );
    for node in nodes {
        let dsn = node.dsn(Role::Monitor);
        text += &format!("      - {{name: {}, dsn: \"{dsn}\"}}\n", node.name());
    }
    let path = lab.path().join("pgvigil.yml");
    write(&path, &text)?;
    Ok(path)
}

/// Writes Prometheus' configuration and says how to start it.
pub(super) fn prometheus(lab: &Lab, program: PathBuf, port: u16, pgvigil_port: u16) -> anyhow::Result<Spawn> {
    let config = lab.path().join("prometheus.yml");
    // `cluster` and `node` of the page are the truth about a series; without honor_labels Prometheus could rename them.
    let text = format!(
        "global:\n  \
           scrape_interval: 1s\n\
         scrape_configs:\n  \
           - job_name: pgvigil\n    \
             honor_labels: true\n    \
             static_configs:\n      \
               - targets: ['127.0.0.1:{pgvigil_port}']\n"
    );
    write(&config, &text)?;
    let data = lab.own_dir("prometheus")?.join("data");
    Ok(Spawn::new("prometheus", program)
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", data.display()))
        .arg("--storage.tsdb.retention.size=256MB")
        .arg(format!("--web.listen-address=127.0.0.1:{port}")))
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let open = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    open.and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}
