//! The boards of `dashboards/` as Grafana would ask for them: every query of every panel, annotation and variable, to a real Prometheus
//! that scrapes two pgvigil over a primary and two standbys in load. No Grafana runs here.

mod ask;
mod schema;
mod shape;
mod stage;

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use pgvigil::lab::{Archive, LabError, wait_until};

use self::ask::Ask;
use self::stage::Stage;
use crate::dashboards::board::{Board, Query, boards, text};

const SOON: Duration = Duration::from_secs(60);
/// So many queries are asked at the same time, as a browser does.
const AT_ONCE: usize = 8;

/// Queries that have nothing to show in a cluster that is well, and what fills each.
const BY_FAULT: &[(&str, &str)] = &[
    ("pgvigil-failover: New timelines: Anno", FAILOVER),
    ("pgvigil-failover: Role changes: Anno", FAILOVER),
    ("pgvigil-failover: Runs that ended: A", FAILOVER),
    ("pgvigil-failover: Runs: Anno", FAILOVER),
    ("pgvigil-failover: Maintenance: Anno", MAINTENANCE),
    ("pgvigil-failover: Nodes that cannot be read: A", "a primary that is killed"),
    ("pgvigil-failover: Alerts: A", ALERT),
    ("pgvigil-fleet: Alerts: A", ALERT),
    ("pgvigil-fleet: New timelines: Anno", FAILOVER),
    ("pgvigil-fleet: Role changes: Anno", FAILOVER),
    ("pgvigil-fleet: Runs: Anno", FAILOVER),
    ("pgvigil-fleet: Maintenance: Anno", MAINTENANCE),
    ("pgvigil-replication: New timelines: Anno", FAILOVER),
    ("pgvigil-replication: Role changes: Anno", FAILOVER),
    ("pgvigil-replication: Runs: Anno", FAILOVER),
    ("pgvigil-replication: Maintenance: Anno", MAINTENANCE),
    ("pgvigil-wal: New timelines: Anno", FAILOVER),
    ("pgvigil-wal: Role changes: Anno", FAILOVER),
    ("pgvigil-wal: Runs: Anno", FAILOVER),
    ("pgvigil-wal: Maintenance: Anno", MAINTENANCE),
    ("pgvigil-failover: What stands in the way: A", "replay that is paused"),
];
/// What no fault here fills, and why. Its panel shows more than this.
const UNPLAYED: &[(&str, &str)] = &[(
    "pgvigil-wal: WAL volumes: full",
    "pgvigil tells it after two minutes of a volume that fills; its unit tests do",
)];
const FAILOVER: &str = "a failover that a person approves";
const MAINTENANCE: &str = "maintenance";
const ALERT: &str = "replay that is paused, until its alert is about to fire";

/// What was found of each query: nothing wrong, or what is missing.
type Found = BTreeMap<String, Result<(), String>>;

/// Asks for what has nothing yet.
async fn look(ask: &Ask, boards: &[Board], found: &mut Found) {
    for board in boards {
        let mut queries = board.queries();
        queries.retain(|query| !matches!(found.get(&query.place), Some(Ok(()))));
        for some in queries.chunks(AT_ONCE) {
            let outcomes = join_all(some.iter().map(|query| seen(ask, board, query))).await;
            found.extend(some.iter().map(|query| query.place.clone()).zip(outcomes));
        }
        for (name, query) in board.variables() {
            found.insert(format!("{}: ${name}", board.name), ask.variable(query).await);
        }
    }
}

async fn seen(ask: &Ask, board: &Board, query: &Query) -> Result<(), String> {
    let series = ask.series(query).await?;
    shape::is_drawn(board, query, &series)
}

fn missing(found: &Found) -> Vec<(&str, &str)> {
    found.iter().filter_map(|(place, outcome)| Some((place.as_str(), outcome.as_ref().err()?.as_str()))).collect()
}

/// Looks until nothing is missing but these.
async fn until_seen(ask: &Ask, boards: &[Board], found: &mut Found, but: &[&str]) -> Result<(), LabError> {
    let all = tokio::sync::Mutex::new(found);
    wait_until("every query to have its data", SOON, async || {
        let mut found = all.lock().await;
        look(ask, boards, &mut found).await;
        let missing: Vec<_> = missing(&found).into_iter().filter(|(place, _)| !is_of(place, but)).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("{missing:#?}")) }
    })
    .await
}

/// Whether a query is filled by one of these faults.
fn is_of(place: &str, faults: &[&str]) -> bool {
    let is_unplayed = UNPLAYED.iter().any(|(of, _)| *of == place);
    is_unplayed || BY_FAULT.iter().any(|(of, fault)| *of == place && faults.contains(fault))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_of_every_board_gets_what_its_panel_draws() -> Result<(), LabError> {
    let stage = Stage::open().await?;
    let (ask, boards, mut found) = (stage.ask(), boards(), Found::new());

    // All is well: what is empty now is known by name.
    let all: Vec<_> = BY_FAULT.iter().map(|(_, fault)| *fault).collect();
    until_seen(&ask, &boards, &mut found, &all).await?;
    let well = missing(&found).len();
    println!("{} of {} queries with data while all is well", found.len() - well, found.len());

    // Replay stands still on one standby, the archive fails, and somebody says that they work on it.
    stage.c.pause_replay().await?;
    stage.a.archive(&Archive::Broken).await?;
    stage.pile_up().await?;
    stage.maintain().await;
    let rest: Vec<_> =
        all.iter().copied().filter(|fault| [FAILOVER, "a primary that is killed"].contains(fault)).collect();
    until_seen(&ask, &boards, &mut found, &rest).await?;
    shape::shows_the_pause(&ask).await;
    stage.c.resume_replay().await?;

    // The primary is gone, and a person approves the failover.
    stage.a.kill_postmaster()?;
    stage.fail_over().await?;
    until_seen(&ask, &boards, &mut found, &[]).await?;

    let shown = |board: &Board, panel: &serde_json::Value| {
        let queries = format!("{}: {}: ", board.name, text(&panel["title"]));
        found.iter().any(|(place, outcome)| place.starts_with(&queries) && outcome.is_ok())
    };
    let panels: Vec<_> = boards.iter().flat_map(|board| board.panels().map(|panel| shown(board, panel))).collect();
    let with_data = panels.iter().filter(|shown| **shown).count();
    let queries = found.len() - missing(&found).len();
    println!("{with_data} of {} panels with data, {queries} of {} queries", panels.len(), found.len());
    assert_eq!(with_data, panels.len());
    stage.end().await;
    Ok(())
}
