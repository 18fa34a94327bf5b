//! The write probe: a row is timed on each standby, what is late says so, what hangs ends, and nothing is written without one primary.

use pgvigil::lab::{Lab, LabError, Role, Server, ServerOptions, Spawn, StandbyOptions, StopMode, wait_until};
use serde_json::Value;

use super::watch::{Node, Page, SOON, Vigil};

type Outcome = Result<(), LabError>;

const TABLE: &str = include_str!("../../../deploy/write-probe.sql");

fn node(server: &Server) -> Node {
    let admin = format!(", admin_dsn: \"{}\"", server.dsn(Role::Superuser));
    Node::with(server.name(), &server.dsn(Role::Monitor), &admin)
}

/// Whether the newest row showed, and when.
fn shown(page: &Page, node: &str) -> (Option<f64>, Option<f64>) {
    (page.of_node("visible_known", node), page.of_node("visible_seconds", node))
}

async fn until_shown(vigil: &Vigil, node: &str, is_shown: bool) {
    vigil
        .until(&format!("a row on {node}: {is_shown}"), |page| match shown(page, node) {
            (Some(1.0), Some(seconds)) if is_shown && (0.0..1.0).contains(&seconds) => Ok(()),
            (Some(0.0), None) if !is_shown => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
}

/// What the API says of the newest probe: why it was not seen, and how old that is.
async fn told(vigil: &Vigil, node: usize) -> (String, f64) {
    let api: Value = serde_json::from_str(&vigil.get("/api/v1/clusters/lab", "").await.unwrap()).unwrap();
    let visible = &api["nodes"][node]["visible"];
    (visible["value"].to_string(), visible["age_seconds"].as_f64().unwrap_or(f64::MAX))
}

#[tokio::test]
async fn a_row_is_timed_on_each_standby_and_what_hangs_ends() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions::default()).await?;
    let c = lab.standby_of(&a, "c", StandbyOptions::default()).await?;
    a.sql(&TABLE.replace(":\"admin\"", "postgres")).await?;
    let port = lab.free_port()?;
    lab.own_dir("state")?;
    let text = Vigil::config_text(&lab, port, &[node(&a), node(&b), node(&c)], "");
    let config = lab.path().join("pgvigil.yml");
    std::fs::write(&config, text.replace("  - name: lab\n", "  - name: lab\n    write_probe: 1s\n")).unwrap();
    let vigil = Vigil::start_at(&lab, config.clone(), port).await?;
    until_shown(&vigil, "b", true).await;
    until_shown(&vigil, "c", true).await;
    vigil
        .until("nothing of the primary", |page| match shown(page, "a") {
            (None, None) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;

    let doctor = Spawn::new("doctor", env!("CARGO_BIN_EXE_pgvigil")).arg("doctor").arg("--write-probe");
    let doctor = lab.spawn(doctor.arg("--config").arg(&config))?;
    doctor.wait(SOON).await?;
    let text = doctor.log();
    assert_eq!(text.matches("showed a row after 0.").count(), 2, "{text}");

    c.pause_replay().await?;
    until_shown(&vigil, "c", false).await;
    until_shown(&vigil, "b", true).await;
    let failed = "pgvigil_check_failed{cluster=\"lab\",check=\"write_visible\",severity=\"error\"}";
    vigil
        .until(failed, |page| {
            page.matching(&[failed]).iter().any(|(_, value)| *value == 1.0).then_some(()).ok_or(String::new())
        })
        .await;
    c.resume_replay().await?;
    until_shown(&vigil, "c", true).await;

    // A commit that waits for ever: it ends by our own deadline, on the server too.
    a.alter(&[("synchronous_standby_names", "nobody")]).await?;
    until_shown(&vigil, "b", false).await;
    let (why, _) = told(&vigil, 1).await;
    assert!(why.contains("it was cancelled"), "{why}");
    a.alter(&[("synchronous_standby_names", "")]).await?;
    until_shown(&vigil, "b", true).await;
    assert_eq!(a.value("SELECT count(*) FROM pgvigil.write_probe").await?.as_deref(), Some("1"));
    let left = "SELECT count(*) FROM pg_stat_activity WHERE query ILIKE '%write_probe%' AND wait_event = 'SyncRep'";
    assert_eq!(a.value(left).await?.as_deref(), Some("0"));

    // While a node is not seen nobody knows whether it writes too.
    b.stop(StopMode::Fast).await?;
    until_shown(&vigil, "c", false).await;
    let beat = "SELECT beat FROM pgvigil.write_probe";
    let (before, (why, age)) = (a.value(beat).await?, told(&vigil, 2).await);
    assert!(why.contains("NoOnePrimary"), "{why}");
    wait_until("another probe", SOON, async || match told(&vigil, 2).await {
        (_, again) if again < age => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await?;
    assert_eq!(a.value(beat).await?, before, "nothing is written");
    lab.stop().await;
    Ok(())
}
