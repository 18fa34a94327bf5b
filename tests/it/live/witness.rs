//! A primary that we cannot reach and its standby can, and one that nobody can.

use std::time::Duration;

use pgvigil::lab::{Lab, LabError, Role, Server, ServerOptions, StandbyOptions, Wire, WireMode, Writer};

use super::watch::{Node, Page, SOON, Vigil};

type Outcome = Result<(), LabError>;

/// A primary behind a wire from us, with commits, and a standby that tries again at once when it loses it.
struct Scene {
    lab: Lab,
    a: Server,
    b: Server,
    wire: Wire,
    vigil: Vigil,
    _writer: Writer,
}

async fn scene() -> Result<Scene, LabError> {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let quick = ServerOptions::default().set("wal_retrieve_retry_interval", "200ms").set("wal_receiver_timeout", "4s");
    let b = lab.standby_of(&a, "b", StandbyOptions { server: quick, ..StandbyOptions::default() }).await?;
    let wire = Wire::to(a.port()).await?;
    let address = format!(", address: \"127.0.0.1:{}\"", a.port());
    let dsn = Server::dsn_through(wire.port(), Role::Monitor);
    let vigil = Vigil::start(&lab, &[Node::with("a", &dsn, &address), Node::of(&b)]).await?;
    let writer = Writer::start(&a, 100).await?;
    vigil.until_healthy(&["a", "b"], &["b"]).await;
    Ok(Scene { lab, a, b, wire, vigil, _writer: writer })
}

fn witnessed(page: &Page) -> [Option<f64>; 2] {
    ["a", "b"].map(|node| page.of_node("node_witnessed", node))
}

fn last_primary(page: &Page) -> [Option<f64>; 2] {
    ["a", "b"].map(|node| page.of_node("node_last_primary", node))
}

async fn until_witnessed(vigil: &Vigil, within: Duration, expected: f64) {
    vigil
        .until_within(&format!("node_witnessed {expected}"), within, |page| match witnessed(page) {
            seen if seen == [Some(expected), Some(0.0)] => Ok(()),
            seen => Err(format!("{seen:?}")),
        })
        .await;
}

/// Holds every page until `b` logs `words` so many times, and a page after that, to there being no witness.
async fn never_witnessed_until(scene: &Scene, words: &str, times: usize) {
    let is_over = || scene.b.log().matches(words).count() >= times;
    scene
        .vigil
        .until_within(words, Duration::from_secs(30), |page| {
            assert_eq!(witnessed(page), [Some(0.0); 2]);
            assert_eq!(last_primary(page), [Some(1.0), Some(0.0)]);
            if is_over() && page.state("a") != "up" { Ok(()) } else { Err("not yet".to_owned()) }
        })
        .await;
    assert_eq!(witnessed(&scene.vigil.page().await), [Some(0.0); 2]);
}

#[tokio::test]
async fn a_primary_that_only_we_cannot_reach_is_witnessed_until_it_dies() -> Outcome {
    let scene = scene().await?;
    let Scene { a, wire, vigil, .. } = &scene;
    assert_eq!(witnessed(&vigil.page().await), [Some(0.0); 2]);
    for (mode, within) in [(WireMode::Cut, 5), (WireMode::BlackHole, 10)] {
        wire.set(mode).await?;
        until_witnessed(vigil, Duration::from_secs(within), 1.0).await;
        let page = vigil.page().await;
        assert_ne!(page.state("a"), "up");
        assert_eq!(last_primary(&page), [Some(1.0), Some(0.0)]);
        wire.set(WireMode::Pass).await?;
        vigil.until_state("a", "up").await;
        assert_eq!(witnessed(&vigil.page().await), [Some(0.0); 2]);
    }
    wire.set(WireMode::Cut).await?;
    until_witnessed(vigil, SOON, 1.0).await;
    a.kill();
    until_witnessed(vigil, SOON, 0.0).await;
    never_witnessed_until(&scene, "could not connect to the primary server", 3).await;
    scene.lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_primary_that_is_killed_is_never_witnessed() -> Outcome {
    let scene = scene().await?;
    scene.a.kill();
    never_witnessed_until(&scene, "could not connect to the primary server", 5).await;
    scene.lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_primary_that_is_frozen_is_never_witnessed() -> Outcome {
    let scene = scene().await?;
    scene.a.freeze()?;
    never_witnessed_until(&scene, "terminating walreceiver due to timeout", 1).await;
    scene.a.thaw()?;
    scene.vigil.until_state("a", "up").await;
    assert_eq!(witnessed(&scene.vigil.page().await), [Some(0.0); 2]);
    scene.lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn who_was_the_primary_is_known_after_a_restart() -> Outcome {
    let mut scene = scene().await?;
    scene.a.kill();
    scene.vigil.until_state("a", "unreachable").await;
    scene.vigil.restart(&scene.lab).await?;
    for _ in 0..2 {
        assert_eq!(last_primary(&scene.vigil.page().await), [Some(1.0), Some(0.0)]);
        scene.vigil.until_state("a", "unreachable").await;
    }
    scene.b.promote().await?;
    scene
        .vigil
        .until("b is the last primary", |page| match last_primary(page) {
            [Some(0.0), Some(1.0)] => Ok(()),
            seen => Err(format!("{seen:?}")),
        })
        .await;
    scene.lab.stop().await;
    Ok(())
}
