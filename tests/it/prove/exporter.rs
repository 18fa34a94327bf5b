//! Which families prometheus-postgres-exporter shows of a primary and of a standby, for `docs/migration.md`: `make prove-migration`.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use pgvigil::lab::{Lab, LabError, Role, Server, ServerOptions, Spawn, StandbyOptions, wait_until};

use crate::fixture::{ROOT, update};
use crate::live::client::try_get;

/// Debian's package, 0.11.1, with the queries that it brings.
const EXPORTER: &str = "/usr/bin/prometheus-postgres-exporter";
const QUERIES: &str = "/usr/share/doc/prometheus-postgres-exporter/examples/queries.yaml";
const SOON: Duration = Duration::from_secs(30);

/// The families that it shows of a server, with their types.
async fn families(lab: &Lab, server: &Server) -> Result<BTreeSet<String>, LabError> {
    let port = lab.free_port()?;
    let spawn = Spawn::new(format!("exporter-{}", server.name()), EXPORTER)
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg(format!("--extend.query-path={QUERIES}"))
        .env("DATA_SOURCE_NAME", format!("{} sslmode=disable", server.dsn(Role::Superuser)));
    let process = lab.spawn(spawn)?;
    let mut page = String::new();
    wait_until("the exporter's page", SOON, async || {
        let answer = try_get(port, "/metrics").await?;
        let text = answer.text();
        if text.contains("\npg_up 1") { Ok(text) } else { Err(process.log_tail(5)) }
    })
    .await
    .map(|text| page = text)?;
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE pg_"));
    Ok(types.map(|line| format!("pg_{line}")).collect())
}

#[tokio::test]
async fn what_the_exporter_shows_is_what_the_page_was_written_for() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let archive = lab.own_dir("archive")?;
    let options = ServerOptions::default()
        .set("archive_mode", "on")
        .set("archive_command", format!("cp %p {}/%f", archive.display()));
    let a = lab.primary("a", options).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions { slot: Some("b".to_owned()), ..Default::default() }).await?;
    a.wait_streaming("b", SOON).await?;
    let mut all = families(&lab, &a).await?;
    all.extend(families(&lab, &b).await?);
    let text: String = all.iter().map(|line| format!("{line}\n")).collect();
    let path = Path::new(ROOT).join("tests/fixtures/migration/postgres_exporter-0.11.1.txt");
    if update() {
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(&path).unwrap_or_default(),
        text,
        "UPDATE=1 make prove-migration records it anew"
    );
    lab.stop().await;
    Ok(())
}
