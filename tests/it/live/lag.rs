//! True lag: pgvigil's values against the test's own look at the servers, in every situation that misleads others.

use std::time::Duration;

use pgvigil::lab::{
    Archive, Backend, Lab, LabError, Server, ServerOptions, StandbyOptions, StopMode, Wire, WireMode, Writer,
};

use super::truth::{Truth, position};
use super::watch::{Node, SOON, Vigil};

type Outcome = Result<(), LabError>;

/// Timeouts short enough to see what happens after them.
fn quick() -> ServerOptions {
    timeouts("4s", "1s")
}

fn timeouts(replication: &str, status_interval: &str) -> ServerOptions {
    ServerOptions::default()
        .set("wal_sender_timeout", replication)
        .set("wal_receiver_timeout", replication)
        .set("wal_receiver_status_interval", status_interval)
}

fn named(name: &str) -> StandbyOptions {
    StandbyOptions { slot: Some(name.to_owned()), server: quick(), ..Default::default() }
}

/// A primary `a` with a streaming standby `b`, and pgvigil watching both.
async fn pair(lab: &Lab, options: StandbyOptions) -> Result<(Server, Server, Vigil), LabError> {
    let a = lab.primary("a", quick()).await?;
    let b = lab.standby_of(&a, "b", options).await?;
    a.wait_streaming("b", SOON).await?;
    let vigil = Vigil::start(lab, &[Node::of(&a), Node::of(&b)]).await?;
    vigil.until_healthy(&["a", "b"], &["b"]).await;
    Ok((a, b, vigil))
}

/// Asserts no lag on both stages for as long as `truth` shows none.
async fn check_none(vigil: &Vigil, node: &str) {
    for stage in ["received", "replayed"] {
        vigil
            .until(&format!("no {stage} lag of {node}"), |page| match page.lag(node, stage) {
                Some(0.0) => Ok(()),
                other => Err(format!("{other:?}")),
            })
            .await;
    }
}

#[tokio::test]
async fn an_idle_primary_is_no_lag() -> Outcome {
    let lab = Lab::new()?;
    let (a, b, vigil) = pair(&lab, named("b")).await?;
    let truth = Truth::of(&a).await?;
    a.sql("CREATE TABLE t AS SELECT 1 AS x").await?;
    b.wait_caught_up(&a, SOON).await?;
    check_none(&vigil, "b").await;
    // Others show the age of the last commit here. Twenty looks while nothing is written:
    for _ in 0..20 {
        let (_, replayed) = position(&b).await?;
        truth.check(&vigil, "b", "replayed", replayed).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // WAL that is no commit counts too.
    b.pause_replay().await?;
    let (_, replayed) = position(&b).await?;
    a.sql("SELECT pg_logical_emit_message(false, 'lab', 'no commit')").await?;
    a.sql("CHECKPOINT").await?;
    truth.check_growth(&vigil, "b", "replayed", replayed, &[1.0, 2.0]).await;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn under_load_a_healthy_standby_shows_next_to_none() -> Outcome {
    let lab = Lab::new()?;
    let (a, b, vigil) = pair(&lab, named("b")).await?;
    let truth = Truth::of(&a).await?;
    let writer = Writer::start(&a, 100).await?;
    for _ in 0..20 {
        let (received, replayed) = position(&b).await?;
        truth.check(&vigil, "b", "received", received).await;
        truth.check(&vigil, "b", "replayed", replayed).await;
    }
    writer.stop().await;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_standby_cut_off_grows_while_the_primary_writes() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", quick()).await?;
    let wire = Wire::to(a.port()).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions { through_port: Some(wire.port()), ..named("b") }).await?;
    a.wait_streaming("b", SOON).await?;
    let vigil = Vigil::start(&lab, &[Node::of(&a), Node::of(&b)]).await?;
    vigil.until_healthy(&["a", "b"], &["b"]).await;
    let truth = Truth::of(&a).await?;
    let writer = Writer::start(&a, 50).await?;
    wire.set(WireMode::Cut).await?;
    pgvigil::lab::wait_until("no walreceiver on b", SOON, async || {
        let rows = b.query("SELECT 1 FROM pg_stat_wal_receiver").await.map_err(|error| error.to_string())?;
        if rows.is_empty() { Ok(()) } else { Err("still there".to_owned()) }
    })
    .await?;
    let (received, replayed) = position(&b).await?;
    truth.check_growth(&vigil, "b", "received", received, &[2.0, 4.0, 6.0]).await;
    truth.check(&vigil, "b", "replayed", replayed).await;
    writer.stop().await;
    // The lag goes on growing when the writes end: what is missing is missing.
    truth.check_growth(&vigil, "b", "received", received, &[8.0]).await;
    wire.set(WireMode::Pass).await?;
    check_none(&vigil, "b").await;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_paused_standby_is_behind_in_replay_alone_and_counts_no_idle_time() -> Outcome {
    let lab = Lab::new()?;
    let (a, b, vigil) = pair(&lab, named("b")).await?;
    let truth = Truth::of(&a).await?;
    b.wait_caught_up(&a, SOON).await?;
    b.pause_replay().await?;
    let (_, replayed) = position(&b).await?;
    // An idle spell before the first write is no lag; servers and their exporters count it.
    tokio::time::sleep(Duration::from_secs(3)).await;
    a.sql("CREATE TABLE t AS SELECT 1 AS x").await?;
    truth.check_growth(&vigil, "b", "replayed", replayed, &[1.0, 3.0, 5.0]).await;
    let (received, _) = position(&b).await?;
    truth.check(&vigil, "b", "received", received).await;
    b.resume_replay().await?;
    check_none(&vigil, "b").await;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_delayed_standby_lags_by_its_delay_which_is_told() -> Outcome {
    let lab = Lab::new()?;
    let options = StandbyOptions { apply_delay: Some(Duration::from_secs(3)), ..named("b") };
    let (a, b, vigil) = pair(&lab, options).await?;
    let truth = Truth::of(&a).await?;
    let writer = Writer::start(&a, 20).await?;
    vigil
        .until("a lag near the delay", |page| match page.lag("b", "replayed") {
            Some(lag) if (2.0..5.0).contains(&lag) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    for _ in 0..10 {
        let (received, replayed) = position(&b).await?;
        truth.check(&vigil, "b", "replayed", replayed).await;
        truth.check(&vigil, "b", "received", received).await;
    }
    assert_eq!(vigil.page().await.of_node("standby_apply_delay_seconds", "b"), Some(3.0));
    writer.stop().await;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_cascade_is_measured_by_the_primary_and_not_by_its_upstream() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", quick()).await?;
    let b_wire = Wire::to(a.port()).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions { through_port: Some(b_wire.port()), ..named("b") }).await?;
    let c = lab.standby_of(&b, "c", named("c")).await?;
    b.wait_streaming("c", SOON).await?;
    let vigil = Vigil::start(&lab, &[Node::of(&a), Node::of(&b), Node::of(&c)]).await?;
    vigil.until_healthy(&["a", "b", "c"], &["b", "c"]).await;
    let truth = Truth::of(&a).await?;
    let writer = Writer::start(&a, 50).await?;
    // With its upstream's replay paused the cascade replays ahead of it.
    b.pause_replay().await?;
    let (_, paused_at) = position(&b).await?;
    truth.check_growth(&vigil, "b", "replayed", paused_at, &[2.0]).await;
    let (_, replayed) = position(&c).await?;
    truth.check(&vigil, "c", "replayed", replayed).await;
    b.resume_replay().await?;
    // With the upstream cut off, the cascade streams on happily, and is behind.
    b_wire.set(WireMode::Cut).await?;
    pgvigil::lab::wait_until("no walreceiver on b", SOON, async || {
        let rows = b.query("SELECT 1 FROM pg_stat_wal_receiver").await.map_err(|error| error.to_string())?;
        if rows.is_empty() { Ok(()) } else { Err("still there".to_owned()) }
    })
    .await?;
    c.wait_caught_up(&b, SOON).await?;
    let (received, _) = position(&c).await?;
    truth.check_growth(&vigil, "c", "received", received, &[2.0, 4.0]).await;
    assert_eq!(vigil.page().await.of_node("wal_receiver_up", "c"), Some(1.0));
    writer.stop().await;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn an_archive_only_standby_is_behind_by_what_is_not_archived() -> Outcome {
    let lab = Lab::new()?;
    let wal = lab.server_dir("wal")?;
    let a = lab.primary("a", quick().archive(&Archive::Into(wal.clone()))).await?;
    let options = StandbyOptions {
        archive_only: true,
        restore_command: Some(Archive::restore_command(&wal)),
        server: quick(),
        ..Default::default()
    };
    let b = lab.standby_of(&a, "b", options).await?;
    let vigil = Vigil::start(&lab, &[Node::of(&a), Node::of(&b)]).await?;
    vigil.until_healthy(&["a", "b"], &[]).await;
    let truth = Truth::of(&a).await?;
    a.sql("CREATE TABLE t AS SELECT 1 AS x").await?;
    let segment = a.switch_wal().await?;
    pgvigil::lab::wait_until(format!("{segment} replayed"), SOON, async || {
        b.value("SELECT x FROM t").await.map_err(|error| error.to_string()).map(drop)
    })
    .await?;
    let (_, replayed) = position(&b).await?;
    a.sql("INSERT INTO t VALUES (2)").await?;
    truth.check_growth(&vigil, "b", "replayed", replayed, &[1.0, 3.0]).await;
    truth.check(&vigil, "b", "received", replayed).await;
    // It has no walsender and no walreceiver; the archive feeds it. Out of sight it is unknown, never 0 and never a guess.
    b.freeze()?;
    vigil.until("lag of b unknown", |page| page.expect_known("b", "received", false)).await;
    vigil.until("lag of b unknown", |page| page.expect_known("b", "replayed", false)).await;
    b.thaw()?;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_frozen_walreceiver_is_seen_by_the_standbys_own_word() -> Outcome {
    let lab = Lab::new()?;
    let (a, b, vigil) = pair(&lab, named("b")).await?;
    let truth = Truth::of(&a).await?;
    let writer = Writer::start(&a, 50).await?;
    b.freeze_process(Backend::WalReceiver).await?;
    let (received, _) = position(&b).await?;
    truth.check_growth(&vigil, "b", "received", received, &[2.0, 3.0]).await;
    writer.stop().await;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_frozen_standby_is_told_by_its_walsender_then_unknown_then_exact() -> Outcome {
    let lab = Lab::new()?;
    // Its replies count for 6 s, its walsender lives for 8 s: between the two nobody knows.
    let patient = || timeouts("8s", "3s");
    let a = lab.primary("a", patient()).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions { server: patient(), ..named("b") }).await?;
    a.wait_streaming("b", SOON).await?;
    let vigil = Vigil::start(&lab, &[Node::of(&a), Node::of(&b)]).await?;
    vigil.until_healthy(&["a", "b"], &["b"]).await;
    let truth = Truth::of(&a).await?;
    let writer = Writer::start(&a, 20).await?;
    vigil
        .until("b's settings known", |page| match page.of_node("standby_apply_delay_seconds", "b") {
            Some(_) => Ok(()),
            None => Err("absent".to_owned()),
        })
        .await;
    let told_by_a = async || -> Result<Option<String>, LabError> {
        a.value("SELECT flush_lsn::text FROM pg_stat_replication WHERE application_name = 'b'").await
    };
    b.freeze()?;
    vigil.until_state("b", "timeout").await;
    let told = told_by_a().await?.and_then(|lsn| lsn.parse().ok()).expect("the walsender's row stays");
    truth.check(&vigil, "b", "received", told).await;
    vigil.until("what b received unknown", |page| page.expect_known("b", "received", false)).await;
    vigil.until("what b received unknown", |page| page.expect_known("b", "received", false)).await;
    pgvigil::lab::wait_until("no walsender for b", SOON, async || match told_by_a().await {
        Ok(None) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await?;
    vigil.until("replay of b unknown", |page| page.expect_known("b", "replayed", false)).await;
    vigil.until("what b received known", |page| page.expect_known("b", "received", true)).await;
    let now = truth.lag_at(told);
    truth.check_growth(&vigil, "b", "received", told, &[now + 1.0, now + 3.0]).await;
    let page = vigil.page().await;
    assert_eq!(page.get("standby_connected", "standby=\"b\""), Some(0.0));
    assert_eq!(page.get("standby_expected", "standby=\"b\""), Some(1.0));
    b.thaw()?;
    vigil.until_state("b", "up").await;
    writer.stop().await;
    check_none(&vigil, "b").await;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_restarted_standby_does_not_fall_back_to_its_segments_start() -> Outcome {
    let lab = Lab::new()?;
    let (a, b, vigil) = pair(&lab, named("b")).await?;
    let truth = Truth::of(&a).await?;
    a.sql("CREATE TABLE t AS SELECT generate_series(1, 2000) AS x").await?;
    b.wait_caught_up(&a, SOON).await?;
    b.stop(StopMode::Fast).await?;
    vigil.until("b gone", |page| if page.state("b") == "up" { Err("up".into()) } else { Ok(()) }).await;
    b.start().await?;
    vigil.until_state("b", "up").await;
    let (received, replayed) = position(&b).await?;
    for _ in 0..5 {
        truth.check(&vigil, "b", "received", received).await;
        truth.check(&vigil, "b", "replayed", replayed).await;
    }
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn after_a_promotion_lag_is_measured_on_the_new_timeline() -> Outcome {
    let lab = Lab::new()?;
    let (a, b, c, vigil) = trio(&lab).await?;
    let writer = Writer::start(&a, 50).await?;
    writer.stop().await;
    c.wait_caught_up(&a, SOON).await?;
    a.stop(StopMode::Fast).await?;
    b.promote().await?;
    vigil
        .until("b the primary", |page| match page.of_node("node_timeline", "b") {
            Some(2.0) if page.get("cluster_primaries", "") == Some(1.0) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    let truth = Truth::of(&b).await?;
    let writer = Writer::start(&b, 50).await?;
    // c still follows the old primary: it is behind the new one, and not diverged.
    let (received, _) = position(&c).await?;
    truth.check_growth(&vigil, "c", "received", received, &[1.5, 3.0]).await;
    assert_eq!(vigil.page().await.one_of("standby_diverged", "node=\"c\""), "no");
    c.repoint(b.port()).await?;
    b.wait_streaming("c", SOON).await?;
    writer.stop().await;
    check_none(&vigil, "c").await;
    lab.stop().await;
    Ok(())
}

/// A primary `a` with two streaming standbys `b` and `c`.
async fn trio(lab: &Lab) -> Result<(Server, Server, Server, Vigil), LabError> {
    let a = lab.primary("a", quick()).await?;
    let b = lab.standby_of(&a, "b", named("b")).await?;
    let c = lab.standby_of(&a, "c", StandbyOptions { slot: None, server: quick(), ..Default::default() }).await?;
    a.wait_streaming("b", SOON).await?;
    a.wait_streaming("c", SOON).await?;
    let vigil = Vigil::start(lab, &[Node::of(&a), Node::of(&b), Node::of(&c)]).await?;
    vigil.until_healthy(&["a", "b", "c"], &["b", "c"]).await;
    Ok((a, b, c, vigil))
}

#[tokio::test]
async fn a_split_brain_is_seen_and_its_followers_have_diverged() -> Outcome {
    let lab = Lab::new()?;
    let (a, b, c, vigil) = trio(&lab).await?;
    assert_eq!(vigil.page().await.one_of("cluster_split_brain", ""), "no");
    b.promote().await?;
    a.sql("CREATE TABLE of_a AS SELECT generate_series(1, 1000)").await?;
    b.sql("CREATE TABLE of_b AS SELECT generate_series(1, 1000)").await?;
    vigil
        .until("a split brain", |page| match page.one_of("cluster_split_brain", "").as_str() {
            "yes" => Ok(()),
            other => Err(other.to_owned()),
        })
        .await;
    assert_eq!(vigil.page().await.get("cluster_primaries", ""), Some(2.0));
    c.wait_caught_up(&a, SOON).await?;
    for node in ["a", "c"] {
        vigil
            .until(&format!("{node} diverged"), |page| {
                match page.one_of("standby_diverged", &format!("node=\"{node}\"")).as_str() {
                    "yes" => page.expect_known(node, "received", false),
                    other => Err(other.to_owned()),
                }
            })
            .await;
    }
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn an_old_primary_back_without_a_rewind_has_diverged() -> Outcome {
    let lab = Lab::new()?;
    let (a, b, vigil) = pair(&lab, named("b")).await?;
    b.promote().await?;
    a.sql("CREATE TABLE of_a AS SELECT generate_series(1, 1000)").await?;
    b.sql("CREATE TABLE of_b AS SELECT generate_series(1, 1000)").await?;
    vigil
        .until("both writing", |page| match page.get("cluster_primaries", "") {
            Some(2.0) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    a.stop(StopMode::Fast).await?;
    a.rejoin(&b, None).await?;
    vigil.until_state("a", "up").await;
    vigil
        .until("a diverged", |page| match page.one_of("standby_diverged", "node=\"a\"").as_str() {
            "yes" => page.expect_known("a", "received", false),
            other => Err(other.to_owned()),
        })
        .await;
    assert_eq!(vigil.page().await.one_of("cluster_split_brain", ""), "no");
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn with_the_primary_gone_the_loss_is_told_and_no_lag_is_made_up() -> Outcome {
    let lab = Lab::new()?;
    let (a, b, c, vigil) = trio(&lab).await?;
    let truth = Truth::of(&a).await?;
    let writer = Writer::start(&a, 50).await?;
    c.pause_replay().await?;
    let (_, paused_at) = position(&c).await?;
    truth.grown_to(paused_at, 2.0).await;
    writer.stop().await;
    b.wait_caught_up(&a, SOON).await?;
    vigil
        .until("no lag of b", |page| match page.lag("b", "received") {
            Some(0.0) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    a.kill();
    vigil.until_state("a", "unreachable").await;
    // b has all that was ever seen; whether the primary wrote more nobody can say.
    vigil.until("lag of b unknown", |page| page.expect_known("b", "received", false)).await;
    // c is behind what was seen, and that stays true and grows.
    truth.check_growth(&vigil, "c", "replayed", paused_at, &[4.0, 6.0]).await;
    let page = vigil.page().await;
    let seen = page.get("cluster_failover_loss_bytes", "bound=\"seen\"");
    let estimated = page.get("cluster_failover_loss_bytes", "bound=\"estimated\"");
    assert_eq!(seen, Some(0.0));
    assert!(estimated >= seen, "{estimated:?}");
    vigil
        .until("the estimate frozen", |page| {
            let now = page.get("cluster_failover_loss_bytes", "bound=\"estimated\"");
            if now == estimated { Ok(()) } else { Err(format!("{now:?}, was {estimated:?}")) }
        })
        .await;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_restart_of_pgvigil_forgets_no_lag() -> Outcome {
    let lab = Lab::new()?;
    let (a, b, mut vigil) = pair(&lab, named("b")).await?;
    let truth = Truth::of(&a).await?;
    b.pause_replay().await?;
    let (_, replayed) = position(&b).await?;
    a.sql("CREATE TABLE t AS SELECT 1 AS x").await?;
    truth.check_growth(&vigil, "b", "replayed", replayed, &[2.0]).await;
    vigil.restart(&lab).await?;
    vigil.until_state("b", "up").await;
    truth.check(&vigil, "b", "replayed", replayed).await;
    let now = truth.lag_at(replayed);
    truth.check_growth(&vigil, "b", "replayed", replayed, &[now + 2.0]).await;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn without_a_history_an_old_lag_is_unknown_and_not_made_up() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", quick()).await?;
    let b = lab.standby_of(&a, "b", named("b")).await?;
    a.wait_streaming("b", SOON).await?;
    b.pause_replay().await?;
    a.sql("CREATE TABLE t AS SELECT 1 AS x").await?;
    let vigil = Vigil::start(&lab, &[Node::of(&a), Node::of(&b)]).await?;
    vigil.until_healthy(&["a", "b"], &[]).await;
    vigil.until("what b received known", |page| page.expect_known("b", "received", true)).await;
    vigil.page().await.expect_known("b", "replayed", false).unwrap();
    b.resume_replay().await?;
    check_none(&vigil, "b").await;
    lab.stop().await;
    Ok(())
}
