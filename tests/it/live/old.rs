//! A server that is too old for pgvigil: what is said of it, and that it costs nobody anything.

use std::time::{Duration, Instant};

use pgvigil::lab::{Lab, LabError, Role, Server, ServerOptions, StandbyOptions, Wire, WireMode, wait_until};

use super::watch::{Node, SOON, Vigil};

#[tokio::test]
async fn a_server_older_than_10_is_named_and_costs_nobody_anything() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let logged = ServerOptions::default().set("log_connections", "on");
    let b = lab.standby_of(&a, "b", StandbyOptions { server: logged, ..Default::default() }).await?;
    a.wait_streaming("b", SOON).await?;
    let wire = Wire::to(b.port()).await?;
    wire.set(WireMode::Version("9.6.24")).await?;
    let connects = || b.log().matches("connection authorized: user=pgvigil").count();
    let began = Instant::now();
    let through = Node::with("b", &Server::dsn_through(wire.port(), Role::Monitor), "");
    let vigil = Vigil::start(&lab, &[Node::of(&a), through]).await?;
    vigil.until_state("a", "up").await;
    vigil.until_state("b", "rejecting").await;

    let page = vigil.page().await;
    assert_eq!(page.get("node_connect_failure", "node=\"b\",reason=\"unsupported\""), Some(1.0));
    assert_eq!(page.of_node("node_up", "b"), Some(0.0));
    for family in ["node_info", "node_in_recovery", "wal_position_bytes", "replay_state", "collector_duration"] {
        assert!(page.matching(&[family, "node=\"b\""]).is_empty(), "{family} of a server that nobody reads");
    }
    let facts = vigil.get("/api/v1/clusters/lab", "").await.expect("the facts");
    for told in [vigil.log(), facts] {
        assert!(told.contains("it is PostgreSQL 9.6; pgvigil reads 13 to 18"), "{told}");
    }

    // What no second try mends is tried less and less: at once, and after 1, 2, 4 s. At the pace of a server that is gone it were 13.
    wait_until("six seconds", SOON, async || match began.elapsed() {
        enough if enough >= Duration::from_secs(6) => Ok(()),
        elapsed => Err(format!("{elapsed:?}")),
    })
    .await?;
    assert!((2..=4).contains(&connects()), "{} logins", connects());
    assert_eq!(vigil.log().matches("it is PostgreSQL").count(), 1, "said once: {}", vigil.log());
    // The others are read as ever.
    let page = vigil.page().await;
    assert_eq!(
        (page.state("a").as_str(), page.get("collector_success", "node=\"a\",collector=\"recovery\"")),
        ("up", Some(1.0))
    );
    lab.stop().await;
    Ok(())
}
