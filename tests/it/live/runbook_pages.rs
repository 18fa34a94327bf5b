//! Every block of SQL of the runbook pages, on a primary and a standby: as pgvigil's role what reads, and as far as the server's
//! parser what changes.

use pgvigil::lab::{Archive, Lab, LabError, Role, Server, ServerOptions, StandbyOptions};
use tokio_postgres::Client;

use super::watch::SOON;
use crate::runbook_pages::{Block, Place, pages, server};

/// What the block says of itself is true on this server.
async fn holds(
    server: &Server,
    monitor: &Client,
    superuser: &Client,
    block: &Block,
    place: &Place,
) -> Result<(), String> {
    let told = |error: &dyn std::fmt::Display| error.to_string();
    if !place.changes {
        let client = if place.as_superuser { superuser } else { monitor };
        server.query_on(client, &block.text).await.map_err(|error| told(&error))?;
        return Ok(());
    }
    for statement in block.statements() {
        superuser.prepare(&statement).await.map_err(|error| format!("{statement}: {error:?}"))?;
        // The parser takes any name and value of a setting. Without a reload nothing changes.
        if let Some(setting) = statement.strip_prefix("ALTER SYSTEM SET ") {
            let name = setting.split([' ', '=']).next().unwrap_or_default();
            server.query_on(superuser, &statement).await.map_err(|error| told(&error))?;
            server.query_on(superuser, &format!("ALTER SYSTEM RESET {name}")).await.map_err(|error| told(&error))?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn every_statement_of_a_page_runs_where_it_says() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let archive = Archive::Into(lab.server_dir("wal")?);
    let a = lab.primary("a", ServerOptions::default().archive(&archive)).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions { slot: Some("b".to_owned()), ..Default::default() }).await?;
    a.wait_streaming("b", SOON).await?;
    let (mut count, mut wrong) = (0, Vec::new());
    for (kind, node) in [("primary", &a), ("standby", &b)] {
        let (monitor, superuser) = (node.connect_as(Role::Monitor).await?, node.connect().await?);
        node.query_on(&monitor, "SET default_transaction_read_only = on").await?;
        for page in pages().values() {
            for block in page.blocks.iter().filter(|block| block.language == "sql") {
                let place = block.place().unwrap_or_default();
                let here =
                    server(&place.server).is_some_and(|kinds| kinds.contains(&kind)) && node.major() >= place.from;
                if !here {
                    continue;
                }
                count += 1;
                if let Err(error) = holds(node, &monitor, &superuser, block, &place).await {
                    wrong.push(format!("{}.md:{} on the {kind}: {error}", page.name, block.line));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 150, "{count} blocks");
    lab.stop().await;
    Ok(())
}
