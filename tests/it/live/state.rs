//! The state of a node and of our own eyes: frozen, killed, full, starting, stopping, half-granted, and pgvigil itself suspended.

use std::time::Duration;

use pgvigil::lab::{
    Backend, Lab, LabError, Role, Server, ServerOptions, StandbyOptions, StopMode, Wire, WireMode, wait_until,
};

use super::watch::{Node, SOON, Vigil};

type Outcome = Result<(), LabError>;

async fn pair(lab: &Lab) -> Result<(Server, Server, Vigil), LabError> {
    let a = lab.primary("a", ServerOptions::default()).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions::default()).await?;
    a.wait_streaming("b", SOON).await?;
    let vigil = Vigil::start(lab, &[Node::of(&a), Node::of(&b)]).await?;
    vigil.until_healthy(&["a", "b"], &["b"]).await;
    Ok((a, b, vigil))
}

async fn until_reason(vigil: &Vigil, node: &str, reason: &str) {
    vigil
        .until(&format!("{node} failing by {reason}"), |page| {
            match page.get("node_connect_failure", &format!("node=\"{node}\",reason=\"{reason}\"")) {
                Some(1.0) => Ok(()),
                _ => Err(format!("{:?}", page.matching(&["node_connect_failure", node]))),
            }
        })
        .await;
}

/// Connections of pgvigil that a server has, by its own count.
async fn connections(server: &Server) -> Result<i64, LabError> {
    let count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgvigil'";
    Ok(server.value(count).await?.and_then(|count| count.parse().ok()).unwrap_or(-1))
}

#[tokio::test]
async fn a_killed_server_is_down_at_once_and_up_again_at_its_return() -> Outcome {
    let lab = Lab::new()?;
    let (a, _b, vigil) = pair(&lab).await?;
    a.kill();
    vigil.until_state("a", "unreachable").await;
    until_reason(&vigil, "a", "refused").await;
    let page = vigil.page().await;
    assert_eq!((page.of_node("node_up", "a"), page.of_node("node_up", "b")), (Some(0.0), Some(1.0)));
    assert_eq!(page.one_of("cluster_split_brain", ""), "unknown");
    assert!(
        page.matching(&["wal_position_bytes", "node=\"a\""]).is_empty(),
        "old values of a dead server are withheld"
    );
    a.start().await?;
    vigil.until_state("a", "up").await;
    assert!(vigil.page().await.matching(&["node_connect_failure", "node=\"a\""]).is_empty());
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_frozen_server_costs_nobody_anything_and_no_connection() -> Outcome {
    let lab = Lab::new()?;
    let (a, b, vigil) = pair(&lab).await?;
    b.freeze()?;
    vigil.until_state("b", "timeout").await;
    for _ in 0..1000 {
        let page = vigil.page().await;
        assert_eq!((page.of_node("node_up", "a"), page.of_node("node_up", "b")), (Some(1.0), Some(0.0)));
    }
    b.thaw()?;
    vigil.until_state("b", "up").await;
    for server in [&a, &b] {
        // Two kept, and one login probe that comes and goes.
        wait_until("two or three connections", SOON, async || match connections(server).await {
            Ok(2..=3) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await?;
    }
    lab.stop().await;
    Ok(())
}

/// Takes every connection that a superuser can get.
async fn fill(server: &Server) -> Vec<tokio_postgres::Client> {
    let mut held = Vec::new();
    while let Ok(client) = server.connect().await {
        held.push(client);
    }
    held
}

#[tokio::test]
async fn a_full_server_is_up_and_its_login_probe_says_full() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default().set("max_connections", 8)).await?;
    let vigil = Vigil::start(&lab, &[Node::of(&a)]).await?;
    vigil.until_healthy(&["a"], &[]).await;
    wait_until("both kept connections", SOON, async || match connections(&a).await {
        Ok(2..) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await?;
    let mut held = fill(&a).await;
    vigil
        .until("a login refused", |page| match page.of_node("node_login_ok", "a") {
            Some(0.0) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    assert_eq!(vigil.page().await.state("a"), "up");
    assert!(vigil.log().contains("all connection slots are taken"), "{}", vigil.log());
    // Started while it is full: rejecting, with the reason, and not down.
    vigil.process().terminate(SOON).await?;
    wait_until("pgvigil's own slots freed", SOON, async || match connections(&a).await {
        Ok(0) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await?;
    held.extend(fill(&a).await);
    let vigil = Vigil::start(&lab, &[Node::of(&a)]).await?;
    vigil.until_state("a", "rejecting").await;
    until_reason(&vigil, "a", "server_full").await;
    held.clear();
    vigil.until_state("a", "up").await;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn with_logins_frozen_the_readings_go_on_and_the_probe_says_so() -> Outcome {
    let lab = Lab::new()?;
    let (a, _b, vigil) = pair(&lab).await?;
    a.freeze_process(Backend::Postmaster).await?;
    vigil
        .until("a login refused", |page| match page.of_node("node_login_ok", "a") {
            Some(0.0) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    let page = vigil.page().await;
    assert_eq!(page.state("a"), "up");
    page.expect_known("b", "replayed", true).unwrap();
    a.thaw()?;
    vigil
        .until("logins again", |page| match page.of_node("node_login_ok", "a") {
            Some(1.0) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn starting_is_not_down() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let options =
        StandbyOptions { archive_only: true, restore_command: Some("sleep 600".to_owned()), ..Default::default() };
    let b = lab.standby_made(&a, "b", options).await?;
    b.spawn()?;
    let vigil = Vigil::start(&lab, &[Node::of(&a), Node::of(&b)]).await?;
    vigil.until_state("b", "starting").await;
    assert_eq!(vigil.page().await.of_node("node_up", "b"), Some(0.0));
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn stopping_on_purpose_is_told_from_a_crash() -> Outcome {
    let lab = Lab::new()?;
    let (a, _b, vigil) = pair(&lab).await?;
    a.freeze_process(Backend::Checkpointer).await?;
    a.request_stop(StopMode::Fast)?;
    vigil.until_state("a", "stopping").await;
    a.thaw()?;
    a.wait_stopped(SOON).await?;
    vigil.until_state("a", "unreachable").await;
    let intended = async || -> bool {
        let facts = vigil.get("/api/v1/clusters/lab", "").await.unwrap();
        let facts: serde_json::Value = serde_json::from_str(&facts).unwrap();
        facts["nodes"][0]["failure"]["value"]["intended_stop"].as_bool().unwrap()
    };
    assert!(intended().await, "a fast shutdown was announced");
    a.start().await?;
    vigil.until_state("a", "up").await;
    a.kill();
    vigil.until_state("a", "unreachable").await;
    assert!(!intended().await, "a kill was not");
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_role_without_pg_monitor_is_named_with_what_it_hides_and_has_no_lag_of_zero() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions::default()).await?;
    a.wait_streaming("b", SOON).await?;
    let plain = |server: &Server| Node::with(server.name(), &server.dsn(Role::Plain), "");
    let vigil = Vigil::start(&lab, &[plain(&a), plain(&b)]).await?;
    vigil.until_healthy(&["a", "b"], &[]).await;
    wait_until("the missing grant named", SOON, async || {
        let log = vigil.log();
        let named = log.contains("GRANT pg_monitor TO plain") && log.contains("pgvigil_walsender_lag_seconds");
        named.then_some(()).ok_or(log)
    })
    .await?;
    let page = vigil.page().await;
    assert_eq!(page.get("collector_success", "node=\"a\",collector=\"walsenders\""), Some(0.0));
    assert!(page.matching(&["walsender_lag"]).is_empty());
    assert!(page.matching(&["sync_waiting_backends"]).is_empty());
    assert_eq!(page.one_of("sync_quorum", "node=\"a\""), "unknown");
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_view_that_is_refused_takes_no_other_along() -> Outcome {
    let lab = Lab::new()?;
    let (a, _b, vigil) = pair(&lab).await?;
    let until = async |walsenders: f64| {
        vigil
            .until(&format!("collector_success of walsenders {walsenders}"), |page| {
                let success =
                    |collector| page.get("collector_success", &format!("node=\"a\",collector=\"{collector}\""));
                match ["walsenders", "recovery", "wal_receiver", "slots"].map(success) {
                    [Some(seen), Some(1.0), Some(1.0), Some(1.0)] if seen == walsenders => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            })
            .await;
    };
    // The fast views are read in one statement, which fails as a whole.
    a.sql("REVOKE EXECUTE ON FUNCTION pg_stat_get_wal_senders() FROM PUBLIC").await?;
    until(0.0).await;
    assert_eq!(vigil.page().await.state("a"), "up");
    assert!(vigil.log().contains("permission denied for function pg_stat_get_wal_senders"), "{}", vigil.log());
    a.sql("GRANT EXECUTE ON FUNCTION pg_stat_get_wal_senders() TO PUBLIC").await?;
    until(1.0).await;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_superuser_is_warned_about() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let vigil = Vigil::start(&lab, &[Node::with("a", &a.dsn(Role::Superuser), "")]).await?;
    wait_until("the warning", SOON, async || {
        let log = vigil.log();
        log.contains("the role is a superuser").then_some(()).ok_or(log)
    })
    .await?;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn under_a_connection_limit_of_two_it_does_without_the_probe_and_says_so() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    a.sql("ALTER ROLE pgvigil CONNECTION LIMIT 2").await?;
    let vigil = Vigil::start(&lab, &[Node::of(&a)]).await?;
    vigil.until_healthy(&["a"], &[]).await;
    wait_until("the limit named", SOON, async || {
        let log = vigil.log();
        log.contains("login probe: our role's CONNECTION LIMIT is reached").then_some(()).ok_or(log)
    })
    .await?;
    vigil
        .until("the slow collectors on the second connection", |page| {
            match page.get("collector_success", "node=\"a\",collector=\"archiver\"") {
                Some(1.0) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    let page = vigil.page().await;
    assert_eq!(page.of_node("node_login_ok", "a"), None, "our own limit says nothing about others");
    assert_eq!(page.state("a"), "up");
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_wrong_password_is_not_down() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let wrong = a.dsn(Role::Monitor).replace(Role::Monitor.password(), "not-the-password");
    let vigil = Vigil::start(&lab, &[Node::with("a", &wrong, "")]).await?;
    vigil.until_state("a", "auth_failed").await;
    until_reason(&vigil, "a", "password").await;
    assert!(!vigil.log().contains("not-the-password"));
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn two_walsenders_of_one_name_merge_and_are_named() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let twin = || StandbyOptions { application_name: Some("twin".to_owned()), ..Default::default() };
    let b = lab.standby_of(&a, "b", twin()).await?;
    let c = lab.standby_of(&a, "c", twin()).await?;
    let as_twin = |server: &Server| Node::with(server.name(), &server.dsn(Role::Monitor), ", application_name: twin");
    let vigil = Vigil::start(&lab, &[Node::of(&a), as_twin(&b), Node::of(&c)]).await?;
    vigil
        .until("the conflict", |page| match page.get("standby_name_conflict", "standby=\"b\"") {
            Some(1.0) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    vigil.until_healthy(&["a", "b", "c"], &["b", "c"]).await;
    let page = vigil.page().await;
    assert_eq!(
        page.matching(&["walsender_state", "node=\"a\"", "state=\"streaming\""]).len(),
        1,
        "one series for both"
    );
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_suspended_pgvigil_knows_nothing_until_it_looked_again() -> Outcome {
    let lab = Lab::new()?;
    let (_a, b, vigil) = pair(&lab).await?;
    vigil.process().freeze()?;
    b.freeze()?;
    tokio::time::sleep(Duration::from_secs(4)).await;
    vigil.process().thaw()?;
    let page = vigil.page().await;
    // Whatever it had in mind is four seconds old: no verdict may come of it. b was frozen meanwhile.
    assert_ne!(page.state("b"), "up");
    assert!(page.expect_known("b", "replayed", true).is_err());
    vigil.until_state("a", "up").await;
    b.thaw()?;
    vigil.until_healthy(&["a", "b"], &["b"]).await;
    assert!(vigil.log().contains("our own clock was late"), "{}", vigil.log());
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_black_hole_is_a_timeout_and_its_end_is_seen() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let wire = Wire::to(a.port()).await?;
    let through = Node::with("a", &Server::dsn_through(wire.port(), Role::Monitor), "");
    let vigil = Vigil::start(&lab, &[through]).await?;
    vigil.until_healthy(&["a"], &[]).await;
    wire.set(WireMode::BlackHole).await?;
    vigil.until_state("a", "timeout").await;
    wire.set(WireMode::Pass).await?;
    vigil.until_state("a", "up").await;
    wire.set(WireMode::Cut).await?;
    vigil.until_state("a", "unreachable").await;
    lab.stop().await;
    Ok(())
}
