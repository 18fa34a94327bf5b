//! What stands in the way of a promotion, made on real standbys, and what a failover then loses, held against the truth.

use std::time::{Duration, Instant};

use pgvigil::lab::{
    Archive, Lab, LabError, Server, ServerOptions, StandbyOptions, StopMode, Wire, WireMode, Writer, wait_until,
};
use pgvigil::pg::lsn::Lsn;

use super::timelines::{blocks, candidate, until_promotable};
use super::truth::{Truth, position};
use super::watch::{INTERVAL, Node, Page, SOON, Vigil};

type Outcome = Result<(), LabError>;

async fn until_candidate(vigil: &Vigil, name: Option<&str>) {
    vigil
        .until(&format!("candidate {name:?}"), |page| match candidate(page) {
            seen if seen.as_deref() == name => Ok(()),
            seen => Err(format!("{seen:?}")),
        })
        .await;
}

#[tokio::test]
async fn each_thing_in_the_way_is_named_and_gone_when_it_is_gone() -> Outcome {
    let lab = Lab::new()?;
    let archive = lab.server_dir("wal")?;
    let a = lab.primary("a", ServerOptions::default().archive(&Archive::Into(archive.clone()))).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions { slot: Some("b".to_owned()), ..Default::default() }).await?;
    let c = lab.standby_of(&b, "c", StandbyOptions::default()).await?;
    let restore_command = Some(Archive::restore_command(&archive));
    let d = StandbyOptions { archive_only: true, restore_command, ..Default::default() };
    let d = lab.standby_of(&a, "d", d).await?;
    a.wait_streaming("b", SOON).await?;
    b.wait_streaming("c", SOON).await?;
    let vigil = Vigil::start(&lab, &[&a, &b, &c, &d].map(Node::of)).await?;
    vigil.until_healthy(&["a", "b", "c", "d"], &["b", "c"]).await;
    until_promotable(&vigil, "b", "yes", &[]).await;
    until_promotable(&vigil, "c", "no", &["cascading"]).await;
    vigil
        .until("d fed by the archive alone", |page| match blocks(page, "d") {
            seen if seen.iter().any(|reason| reason == "archive_only") => Ok(()),
            seen => Err(format!("{seen:?}")),
        })
        .await;
    until_candidate(&vigil, Some("b")).await;

    b.pause_replay().await?;
    until_promotable(&vigil, "b", "no", &["replay_paused"]).await;
    until_candidate(&vigil, None).await;
    let told = vigil.get("/api/v1/clusters/lab", "").await.expect("the facts");
    assert!(told.contains("its replay is paused, or a pause is requested"), "{told}");
    b.resume_replay().await?;
    b.apply_delay(Duration::from_secs(60)).await?;
    until_promotable(&vigil, "b", "no", &["apply_delay"]).await;
    b.apply_delay(Duration::ZERO).await?;

    a.alter(&[("synchronous_standby_names", "ANY 1 (x, y)")]).await?;
    until_promotable(&vigil, "b", "no", &["not_synchronous"]).await;
    a.alter(&[("synchronous_standby_names", "b")]).await?;
    until_promotable(&vigil, "b", "yes", &[]).await;
    a.alter(&[("synchronous_standby_names", "")]).await?;

    b.freeze()?;
    until_promotable(&vigil, "b", "unknown", &["not_observed"]).await;
    b.thaw()?;
    until_candidate(&vigil, Some("b")).await;

    // It needs WAL that its slot keeps no more.
    b.stop(StopMode::Fast).await?;
    a.alter(&[("max_slot_wal_keep_size", "1MB"), ("wal_keep_size", "0")]).await?;
    let status = "SELECT wal_status FROM pg_replication_slots WHERE slot_name = 'b'";
    wait_until("the slot to be lost", SOON, async || {
        a.sql("SELECT pg_logical_emit_message(true, 'lab', repeat('x', 300000))").await?;
        a.switch_wal().await?;
        a.sql("CHECKPOINT").await?;
        let seen = a.value(status).await?;
        if seen.as_deref() == Some("lost") { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await?;
    b.start().await?;
    vigil
        .until("b to be made anew", |page| match blocks(page, "b") {
            seen if seen.iter().any(|reason| reason == "needs_rebuild") => Ok(()),
            seen => Err(format!("{seen:?}")),
        })
        .await;
    lab.stop().await;
    Ok(())
}

fn loss(page: &Page, bound: &str) -> Option<f64> {
    page.get("cluster_failover_loss_bytes", &format!("bound=\"{bound}\""))
}

/// A primary under load whose two standbys get nothing any more, each since another moment; then it dies.
#[tokio::test]
async fn what_a_failover_loses_is_bounded_by_what_was_seen_and_what_is_estimated() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let wires = [Wire::to(a.port()).await?, Wire::to(a.port()).await?];
    let mut standbys = Vec::new();
    for (name, wire) in ["b", "c"].into_iter().zip(&wires) {
        let through = StandbyOptions { through_port: Some(wire.port()), ..Default::default() };
        standbys.push(lab.standby_of(&a, name, through).await?);
        a.wait_streaming(name, SOON).await?;
    }
    let [b, c]: [Server; 2] = standbys.try_into().ok().expect("two standbys");
    let vigil = Vigil::start(&lab, &[Node::of(&a), Node::of(&b), Node::of(&c)]).await?;
    vigil.until_healthy(&["a", "b", "c"], &["b", "c"]).await;
    let truth = Truth::of(&a).await?;
    let writer = Writer::start(&a, 200).await?;

    wires[0].set(WireMode::BlackHoleReplies).await?;
    // b stands now, c goes on.
    let (of_b, _) = position(&b).await?;
    truth.grown_to(of_b, 1.5).await;
    wires[1].set(WireMode::BlackHoleReplies).await?;
    until_candidate(&vigil, Some("c")).await;
    until_promotable(&vigil, "b", "no", &["behind_other_standby"]).await;
    let (of_c, _) = position(&c).await?;
    truth.grown_to(of_c, 2.5).await;
    a.kill();
    let died = Instant::now();
    vigil.until_state("a", "unreachable").await;
    until_candidate(&vigil, Some("c")).await;
    drop(writer);

    let (of_c, _) = position(&c).await?;
    // Dead is dead: what it may have written after its last sight ends with the grace for its orphans.
    let at_once = vigil.page().await;
    wait_until("five seconds", SOON, async || match died.elapsed() {
        enough if enough >= Duration::from_secs(5) => Ok(()),
        elapsed => Err(format!("{elapsed:?}")),
    })
    .await?;
    let later = vigil.page().await;
    let seconds = |bound| later.get("cluster_failover_loss_seconds", &format!("bound=\"{bound}\""));
    if let (Some(seen), Some(estimated)) = (seconds("seen"), seconds("estimated")) {
        assert!(estimated - seen < 4.0, "{estimated} {seen}");
    }

    // The end of its WAL is where its recovery ends.
    a.start().await?;
    let end = a.value("SELECT pg_last_wal_replay_lsn()::text").await?;
    let end: Lsn = end.and_then(|end| end.parse().ok()).expect("the end of recovery");
    let lost = end.bytes_since(of_c) as f64;
    // What it wrote after our last reading of it nobody saw.
    let unseen = end.bytes_since(truth.before_the_end(4 * INTERVAL)) as f64;
    assert!(lost > 10_000.0, "{lost}");
    for page in [at_once, later] {
        let (seen, estimated) = (loss(&page, "seen").unwrap(), loss(&page, "estimated").unwrap());
        assert!(seen <= lost && seen >= lost - unseen, "seen {seen}, lost {lost}, of them unseen {unseen}");
        assert!(estimated >= lost, "estimated {estimated}, lost {lost}");
    }
    lab.stop().await;
    Ok(())
}
