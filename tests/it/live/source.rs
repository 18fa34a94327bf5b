//! Where a standby gets its WAL from, and what is said when it can get it from nowhere any more.

use pgvigil::lab::{
    Archive, Lab, LabError, Server, ServerOptions, StandbyOptions, StopMode, Wire, WireMode, wait_until,
};
use pgvigil::pg::lsn::Lsn;

use super::watch::{Node, SOON, Vigil};

async fn until(vigil: &Vigil, family: &str, node: &str, state: &str) {
    vigil
        .until_within(&format!("{family} of {node} {state}"), 2 * SOON, |page| {
            let labels = format!("node=\"{node}\"");
            if page.matching(&[&format!("_{family}{{"), &labels]).is_empty() {
                return Err("no such series".to_owned());
            }
            let seen = page.one_of(family, &labels);
            if seen == state { Ok(()) } else { Err(seen) }
        })
        .await;
}

/// Writes segments until the oldest that `a` has begins well after what `b` has.
async fn outrun(a: &Server, b: &Server) -> Result<(), LabError> {
    let Lsn(position) = b.value("SELECT pg_last_wal_replay_lsn()").await?.unwrap().parse().unwrap();
    b.stop(StopMode::Fast).await?;
    // Segments of the lab have 1 MiB.
    let beyond = position + (2 << 20);
    let name = format!("{:08X}{:08X}", beyond >> 32, (beyond & 0xffff_ffff) >> 20);
    let gone = format!("SELECT min(substr(name, 9)) > '{name}' FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{{24}}$'");
    wait_until("the segments to be removed", SOON, async || {
        a.switch_wal().await?;
        a.sql("CHECKPOINT").await?;
        match a.value(&gone).await? {
            Some(yes) if yes == "t" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await
}

#[tokio::test]
async fn a_standby_whose_wal_is_gone_must_be_made_anew_unless_an_archive_has_it() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let wal = lab.server_dir("wal")?;
    let options = ServerOptions::default()
        .archive(&Archive::Into(wal.clone()))
        .set("wal_keep_size", "0")
        .set("min_wal_size", "2MB")
        .set("max_wal_size", "4MB");
    let a = lab.primary("a", options).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions::default()).await?;
    a.wait_streaming("b", SOON).await?;
    let vigil = Vigil::start(&lab, &[Node::of(&a), Node::of(&b)]).await?;
    until(&vigil, "standby_needs_rebuild", "b", "no").await;
    until(&vigil, "recovery_source", "b", "streaming").await;
    until(&vigil, "recovery_source", "a", "not_in_recovery").await;
    assert!(vigil.page().await.matching(&["standby_needs_rebuild", "node=\"a\""]).is_empty());

    outrun(&a, &b).await?;
    until(&vigil, "standby_needs_rebuild", "b", "unknown").await;
    until(&vigil, "recovery_source", "b", "unknown").await;
    b.start().await?;
    until(&vigil, "standby_needs_rebuild", "b", "yes").await;
    until(&vigil, "recovery_source", "b", "none").await;
    wait_until("the server's own word", SOON, async || {
        let log = b.log();
        if log.contains("has already been removed") { Ok(()) } else { Err("not in its log".to_owned()) }
    })
    .await?;

    // A command that finds nothing might yet; one that finds it brings the standby back.
    b.configure(&[("restore_command", "/bin/false")]);
    b.restart().await?;
    vigil
        .until("no more WAL from the archive", |page| {
            let states = ["recovery_source", "replay_wait"].map(|family| {
                match page.matching(&[&format!("_{family}{{"), "node=\"b\""]).is_empty() {
                    true => "absent".to_owned(),
                    false => page.one_of(family, "node=\"b\""),
                }
            });
            if states != ["archive", "retrying"] {
                return Err(format!("{states:?}"));
            }
            assert_eq!(page.one_of("standby_needs_rebuild", "node=\"b\""), "unknown");
            Ok(())
        })
        .await;
    b.configure(&[("restore_command", &Archive::restore_command(&wal))]);
    b.restart().await?;
    until(&vigil, "standby_needs_rebuild", "b", "no").await;
    until(&vigil, "recovery_source", "b", "streaming").await;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn the_source_of_wal_is_the_one_that_is_asked() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let wal = lab.server_dir("wal")?;
    let a = lab.primary("a", ServerOptions::default().archive(&Archive::Into(wal.clone()))).await?;
    let wire = Wire::to(a.port()).await?;
    let restore_command = Some(Archive::restore_command(&wal));
    let server = ServerOptions::default().set("wal_receiver_timeout", "2s");
    let both = StandbyOptions {
        restore_command: restore_command.clone(),
        through_port: Some(wire.port()),
        server,
        ..Default::default()
    };
    let b = lab.standby_of(&a, "b", both).await?;
    let shipped = StandbyOptions { archive_only: true, restore_command, ..Default::default() };
    let c = lab.standby_of(&a, "c", shipped).await?;
    a.wait_streaming("b", SOON).await?;
    let vigil = Vigil::start(&lab, &[Node::of(&a), Node::of(&b), Node::of(&c)]).await?;
    until(&vigil, "recovery_source", "b", "streaming").await;
    until(&vigil, "recovery_source", "c", "archive").await;
    // Refused, it turns to the archive. Without an answer it waits for one, and does not ask the archive.
    wire.set(WireMode::Cut).await?;
    until(&vigil, "recovery_source", "b", "archive").await;
    wire.set(WireMode::Pass).await?;
    until(&vigil, "recovery_source", "b", "streaming").await;
    wire.set(WireMode::BlackHole).await?;
    until(&vigil, "recovery_source", "b", "none").await;
    wire.set(WireMode::Pass).await?;
    until(&vigil, "recovery_source", "b", "streaming").await;
    // Nobody needs to be made anew where the primary still has all.
    until(&vigil, "standby_needs_rebuild", "c", "no").await;
    lab.stop().await;
    Ok(())
}
