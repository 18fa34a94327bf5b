//! Runbooks wait for a person, are held up, fail, or are forgotten.

use std::time::Duration;

use pgvigil::lab::{LabError, wait_until};
use serde_json::Value;

use super::cast::{Cast, Topology};
use super::row::Row;
use crate::live::client::try_get;

type Outcome = Result<(), LabError>;

const SOON: Duration = Duration::from_secs(20);
/// What the row's person asks for.
const BOOK: &str = "LabWork";
/// With a runbook that has one step.
const fn with(books: &'static [(&'static str, &'static str)]) -> Topology {
    Topology { books, ..Topology::DEFAULT }
}
const DONE: Topology =
    with(&[(BOOK, "class: diagnose\nmode: manual\nsteps: [{run: {name: look, argv: [/bin/true]}}]\n")]);
/// Its step does not end in time, and nothing tells whether it is done.
const HANGS: Topology = with(&[(
    BOOK,
    "class: diagnose\nmode: manual\nsteps: [{run: {name: look, argv: [/bin/sleep, '9'], timeout: 1s}}]\n",
)]);
/// Its step is no program.
const HELD: Topology =
    with(&[(BOOK, "class: diagnose\nmode: manual\nsteps: [{run: {name: look, argv: [/bin/there-is-none]}}]\n")]);

/// Waits until the newest run stands there.
async fn until(cast: &Cast, phase: &str) -> Result<Value, LabError> {
    wait_until(format!("a run that is {phase}"), SOON, async || {
        let answer = try_get(cast.vigil().port(), "/api/v1/runs").await?;
        match answer.json()["runs"].get(0) {
            Some(run) if run["phase"] == phase => Ok(run.clone()),
            other => Err(format!("{other:?}")),
        }
    })
    .await
}

/// Starts a run, and waits until it stands there.
async fn start(cast: &Cast, phase: &str) -> Result<Value, LabError> {
    cast.order(&["runbook", "run", BOOK, "--cluster", cast.name]).await?;
    until(cast, phase).await
}

/// Says something of the newest run.
async fn say(cast: &Cast, word: &str, more: &[&str]) -> Outcome {
    let answer = try_get(cast.vigil().port(), "/api/v1/runs").await.expect("an answer");
    let id = answer.json()["runs"][0]["id"].as_str().expect("a run").to_owned();
    cast.order(&[&["runbook", word, &id, "--comment", "in a row"], more].concat()).await
}

/// Starts a run and agrees to it at once.
async fn agreed(cast: &Cast, outcome: &str) -> Outcome {
    let run = start(cast, "awaiting").await?;
    say(cast, "approve", &["--plan", run["plan"].as_str().expect("a plan")]).await?;
    until(cast, outcome).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_for_approval() -> Outcome {
    Row {
        name: "runbook-asks",
        how: "a runbook in mode manual has a plan, and nobody answers",
        topology: DONE,
        alerts: &["PostgresRunbookAwaitingApproval critical instance=pgvigil-0"],
        ..Row::default()
    }
    .run(async |cast| start(cast, "awaiting").await.map(drop), async |cast| say(cast, "reject", &[]).await)
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn failed() -> Outcome {
    Row {
        name: "runbook-indeterminate",
        how: "a step of an approved run does not end in time, and nothing tells whether it is done",
        topology: HANGS,
        alerts: &["PostgresRunbookFailed critical instance=pgvigil-0"],
        ..Row::default()
    }
    .run(async |cast| agreed(cast, "indeterminate").await, async |cast| say(cast, "ack", &[]).await)
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn held_up() -> Outcome {
    Row {
        name: "runbook-blocked",
        how: "the program of a step is not there, so that the guard fence_ready holds the run up",
        topology: HELD,
        alerts: &["PostgresRunbookBlocked warning instance=pgvigil-0"],
        ..Row::default()
    }
    .run(
        async |cast| start(cast, "blocked").await.map(drop),
        async |cast| {
            say(cast, "abort", &[]).await?;
            until(cast, "aborted").await?;
            say(cast, "ack", &[]).await
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn unacknowledged() -> Outcome {
    Row {
        name: "runbook-unacknowledged",
        how: "a run succeeds, and nobody takes note of it",
        topology: DONE,
        alerts: &["PostgresRunbookUnacknowledged warning instance=pgvigil-0"],
        within: Duration::from_secs(75),
        ..Row::default()
    }
    .run(async |cast| agreed(cast, "succeeded").await, async |cast| say(cast, "ack", &[]).await)
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn paused() -> Outcome {
    Row {
        name: "runbooks-paused",
        how: "all runbooks are paused and forgotten",
        topology: DONE,
        alerts: &["PostgresRunbookPaused warning instance=pgvigil-0"],
        within: Duration::from_secs(120),
        ..Row::default()
    }
    .run(
        async |cast| cast.order(&["runbook", "pause", "--comment", "in a row"]).await,
        async |cast| cast.order(&["runbook", "resume", "--comment", "in a row"]).await,
    )
    .await
}
