//! Promotions as they are told: timelines, forks, who can follow and who could take over, held against what the servers then do.

use pgvigil::lab::{Lab, LabError, Server, ServerOptions, StandbyOptions, StopMode, wait_until};
use pgvigil::pg::lsn::Lsn;

use super::watch::{Node, Page, SOON, Vigil};

type Outcome = Result<(), LabError>;

/// The state of a node in one of the families that have one.
fn says(page: &Page, family: &str, node: &str) -> String {
    page.one_of(family, &format!("node=\"{node}\""))
}

/// What stands in the way of a promotion of the node.
pub fn blocks(page: &Page, node: &str) -> Vec<String> {
    let node = format!("node=\"{node}\"");
    let series = page.matching(&["standby_promotable_block{", &node]);
    assert!(series.len() > 15, "zero-filled: {series:?}");
    let reason = |series: &str| series.split("reason=\"").nth(1).unwrap().trim_end_matches("\"}").to_owned();
    series.into_iter().filter(|(_, value)| *value == 1.0).map(|(series, _)| reason(series)).collect()
}

/// The standby that a failover would choose.
pub fn candidate(page: &Page) -> Option<String> {
    let chosen = page.matching(&["failover_candidate{"]);
    let name = |series: &str| series.split("node=\"").nth(1).unwrap().trim_end_matches("\"}").to_owned();
    let mut chosen = chosen.into_iter().filter(|(_, value)| *value == 1.0).map(|(series, _)| name(series));
    let first = chosen.next();
    assert_eq!(chosen.next(), None, "one at most");
    first
}

/// A node that is the primary still has no verdict as a standby.
fn told(page: &Page, node: &str) -> Result<(), String> {
    match page.matching(&["standby_promotable{", &format!("node=\"{node}\"")]).is_empty() {
        true => Err(format!("no verdict on {node}")),
        false => Ok(()),
    }
}

/// Waits until the node is promotable or not as said, for exactly these reasons.
pub async fn until_promotable(vigil: &Vigil, node: &str, state: &str, reasons: &[&str]) {
    vigil
        .until(&format!("{node} promotable: {state} {reasons:?}"), |page| {
            told(page, node)?;
            let mut seen = blocks(page, node);
            seen.sort();
            let state_seen = says(page, "standby_promotable", node);
            if state_seen == state && seen == reasons { Ok(()) } else { Err(format!("{state_seen} {seen:?}")) }
        })
        .await;
}

/// Waits until the node's timeline is behind and whether it can follow, and has diverged, are as said.
async fn until_lineage(vigil: &Vigil, node: &str, behind: &str, can_follow: &str, diverged: &str) {
    vigil
        .until(&format!("{node} behind: {behind}, can follow: {can_follow}, diverged: {diverged}"), |page| {
            told(page, node)?;
            let of = |family| says(page, family, node);
            let seen = [of("node_timeline_behind"), of("standby_can_follow"), of("standby_diverged")];
            if seen == [behind, can_follow, diverged] { Ok(()) } else { Err(format!("{seen:?}")) }
        })
        .await;
}

async fn until_timeline(vigil: &Vigil, timeline: f64, switches: f64) {
    vigil
        .until(&format!("timeline {timeline}"), |page| {
            let seen = (page.get("cluster_timeline", ""), page.get("timeline_switches_total", ""));
            if seen == (Some(timeline), Some(switches)) { Ok(()) } else { Err(format!("{seen:?}")) }
        })
        .await;
}

/// A primary `a` with two streaming standbys `b` and `c`.
async fn trio(lab: &Lab) -> Result<(Server, Server, Server, Vigil), LabError> {
    let a = lab.primary("a", ServerOptions::default()).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions { slot: Some("b".to_owned()), ..Default::default() }).await?;
    let c = lab.standby_of(&a, "c", StandbyOptions::default()).await?;
    a.wait_streaming("b", SOON).await?;
    a.wait_streaming("c", SOON).await?;
    let vigil = Vigil::start(lab, &[Node::of(&a), Node::of(&b), Node::of(&c)]).await?;
    vigil.until_healthy(&["a", "b", "c"], &["b", "c"]).await;
    Ok((a, b, c, vigil))
}

/// Where the server's own history says that timeline 2 began.
async fn fork_told_by(server: &Server) -> Result<f64, LabError> {
    let history = server.value("SELECT pg_read_file('pg_wal/00000002.history')").await?.unwrap_or_default();
    let lsn: Lsn = history.split_whitespace().nth(1).and_then(|lsn| lsn.parse().ok()).expect("a line of history");
    Ok(lsn.as_f64())
}

#[tokio::test]
async fn a_switchover_is_told_step_by_step() -> Outcome {
    let lab = Lab::new()?;
    let (a, b, c, mut vigil) = trio(&lab).await?;
    for standby in ["b", "c"] {
        until_promotable(&vigil, standby, "yes", &[]).await;
        until_lineage(&vigil, standby, "no", "yes", "no").await;
    }
    until_timeline(&vigil, 1.0, 0.0).await;
    let page = vigil.page().await;
    assert_eq!(page.get("timeline_fork_position_bytes", ""), None, "the first timeline forked off nowhere");
    assert_eq!((says(&page, "node_foreign_system", "a").as_str(), candidate(&page).as_deref()), ("no", Some("b")));
    assert!(page.matching(&["standby_promotable", "node=\"a\""]).is_empty(), "a primary cannot be promoted");

    a.sql("CREATE TABLE t AS SELECT generate_series(1, 1000)").await?;
    a.stop(StopMode::Fast).await?;
    vigil.until_state("a", "unreachable").await;
    for standby in ["b", "c"] {
        until_promotable(&vigil, standby, "yes", &[]).await;
    }
    assert_eq!(candidate(&vigil.page().await).as_deref(), Some("b"), "both have all: the first");

    b.promote().await?;
    until_timeline(&vigil, 2.0, 1.0).await;
    until_lineage(&vigil, "c", "yes", "yes", "no").await;
    until_promotable(&vigil, "c", "no", &["timeline_behind"]).await;
    let page = vigil.page().await;
    assert_eq!(page.get("timeline_fork_position_bytes", ""), Some(fork_told_by(&b).await?));
    assert_eq!((page.of_node("node_timeline", "b"), page.of_node("node_timeline", "c")), (Some(2.0), None));
    assert_eq!(candidate(&page), None);
    assert!(page.matching(&["cluster_failover_loss_bytes"]).is_empty(), "nobody to fail over to");

    // Who was told to be able to follows.
    c.repoint(b.port()).await?;
    b.wait_streaming("c", SOON).await?;
    until_promotable(&vigil, "c", "yes", &[]).await;
    a.rejoin(&b, None).await?;
    b.wait_streaming("a", SOON).await?;
    until_lineage(&vigil, "a", "no", "yes", "no").await;
    until_promotable(&vigil, "a", "yes", &[]).await;
    let page = vigil.page().await;
    assert_eq!((page.of_node("node_timeline", "a"), page.of_node("node_timeline", "c")), (Some(2.0), Some(2.0)));
    assert_eq!(candidate(&page).as_deref(), Some("a"));

    // A server that crashed tells another end of replay, and no restart of ours makes a fork of it.
    b.kill();
    b.start().await?;
    let told = b.query("SELECT pg_last_wal_replay_lsn()::text, pg_last_wal_receive_lsn()::text").await?;
    assert!(told[0][0].is_some() && told[0][1].is_none(), "{told:?}");
    vigil.restart(&lab).await?;
    vigil.until_healthy(&["a", "b", "c"], &[]).await;
    until_timeline(&vigil, 2.0, 1.0).await;
    assert_eq!(vigil.page().await.get("timeline_fork_position_bytes", ""), Some(fork_told_by(&b).await?));
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn in_a_split_brain_nobody_is_chosen_and_who_cannot_follow_does_not() -> Outcome {
    let lab = Lab::new()?;
    let (a, b, c, vigil) = trio(&lab).await?;
    b.promote().await?;
    a.sql("CREATE TABLE of_a AS SELECT generate_series(1, 1000)").await?;
    b.sql("CREATE TABLE of_b AS SELECT generate_series(1, 1000)").await?;
    c.wait_caught_up(&a, SOON).await?;
    for node in ["a", "c"] {
        until_lineage(&vigil, node, "yes", "no", "yes").await;
    }
    until_promotable(&vigil, "a", "no", &["not_in_recovery"]).await;
    until_promotable(&vigil, "c", "no", &["diverged", "timeline_behind"]).await;
    let page = vigil.page().await;
    assert_eq!((page.one_of("cluster_split_brain", "").as_str(), candidate(&page)), ("yes", None));

    // Neither gets anything from the new primary without a rewind.
    a.stop(StopMode::Fast).await?;
    a.rejoin(&b, None).await?;
    c.repoint(b.port()).await?;
    for server in [&a, &c] {
        wait_until(format!("{} to be turned away", server.name()), SOON, async || {
            match server.log().contains("forked off current database system timeline 1 before current recovery point") {
                true => Ok(()),
                false => Err("not yet".to_owned()),
            }
        })
        .await?;
        until_lineage(&vigil, server.name(), "yes", "no", "yes").await;
        until_promotable(&vigil, server.name(), "no", &["diverged", "timeline_behind"]).await;
    }
    let page = vigil.page().await;
    assert_eq!((page.one_of("cluster_split_brain", "").as_str(), candidate(&page)), ("no", None));
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn what_was_received_beyond_the_fork_and_not_replayed_leaves_it_open() -> Outcome {
    let lab = Lab::new()?;
    let (a, b, c, vigil) = trio(&lab).await?;
    c.pause_replay().await?;
    b.promote().await?;
    a.sql("CREATE TABLE of_a AS SELECT generate_series(1, 1000)").await?;
    until_lineage(&vigil, "c", "yes", "unknown", "yes").await;
    c.resume_replay().await?;
    until_lineage(&vigil, "c", "yes", "no", "yes").await;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn another_server_at_a_nodes_address_is_a_stranger() -> Outcome {
    let lab = Lab::new()?;
    let (_a, b, _c, vigil) = trio(&lab).await?;
    let stranger = lab.primary("stranger", ServerOptions::default().fresh_identity()).await?;
    stranger.stop(StopMode::Fast).await?;
    b.stop(StopMode::Fast).await?;
    vigil.until_state("b", "unreachable").await;
    assert_eq!(says(&vigil.page().await, "node_foreign_system", "b"), "unknown");
    stranger.configure(&[("port", &b.port().to_string())]);
    stranger.spawn()?;
    vigil.until_state("b", "up").await;
    until_promotable(&vigil, "b", "no", &["foreign_system"]).await;
    let page = vigil.page().await;
    assert_eq!(says(&page, "node_foreign_system", "b"), "yes");
    assert_eq!(says(&page, "node_foreign_system", "c"), "no");
    // It writes, and is no second primary of this cluster.
    assert_eq!((page.get("cluster_primaries", ""), page.one_of("cluster_split_brain", "").as_str()), (Some(1.0), "no"));
    assert_eq!(candidate(&page).as_deref(), Some("c"));
    page.expect_known("b", "received", false).unwrap();
    lab.stop().await;
    Ok(())
}
