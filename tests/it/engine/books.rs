//! Plans to run.

use std::time::Duration;

use pgvigil::clock::Moment;
use pgvigil::pg::lsn::Timeline;
use pgvigil::runbook::book::{Class, Hook, Limits, Mode, Step, Target, Trigger};
use pgvigil::runbook::guard::Cause;
use pgvigil::runbook::run::{Episode, Plan};

const TIMEOUT: Duration = Duration::from_secs(30);

fn hook(probe: bool, idempotent: bool) -> Hook {
    let program = |name: &str| vec![format!("/hooks/{name}")];
    Hook { argv: program("act"), probe: probe.then(|| program("ask")), timeout: TIMEOUT, undo: None, idempotent }
}

fn run(name: &str, probe: bool, idempotent: bool) -> Step {
    Step::Run { name: name.to_owned(), hook: hook(probe, idempotent) }
}

fn step(word: &str) -> Step {
    match word {
        "fence" => Step::Fence(hook(true, true)),
        "fence-once" => Step::Fence(hook(true, false)),
        "fence-unproven" => Step::Fence(hook(false, true)),
        "promote" => Step::Promote { timeout: TIMEOUT },
        "delegate" => Step::Delegate { timeout: TIMEOUT },
        "repoint" => Step::Repoint { timeout: TIMEOUT },
        "verify" => Step::Verify { one_writable: true, standbys_streaming_within: None },
        "wait" => Step::Wait(TIMEOUT),
        "asked" => run("asked", true, true),
        "asked-once" => run("asked-once", true, false),
        "unasked" => run("unasked", false, true),
        "unasked-once" => run("unasked-once", false, false),
        "sql" => {
            Step::Sql { on: Target::Candidate, statement: "SELECT 1".to_owned(), timeout: TIMEOUT, idempotent: false }
        }
        other => panic!("no step {other}"),
    }
}

/// Steps by their words. The first few are what a runbook would have, the others every kind in every place.
pub const BOOKS: [&str; 10] = [
    "fence promote repoint verify",
    "unasked-once fence asked promote asked-once unasked-once",
    "asked-once fence unasked promote unasked sql",
    "wait fence unasked-once promote",
    "fence-once asked-once promote verify",
    "fence fence promote",
    "fence-unproven promote",
    "asked-once promote verify",
    "unasked-once verify",
    "delegate asked-once verify",
];

/// The plan of a book.
pub fn plan(book: &str, mode: Mode, version: u32) -> Plan {
    Plan {
        plan: format!("plan {version}"),
        episode: Episode {
            cluster: "orders".to_owned(),
            system_identifier: 7,
            timeline: Timeline(1),
            primary: "a".to_owned(),
        },
        runbook: "PostgresPrimaryUnreachable".to_owned(),
        book: "book".to_owned(),
        config: "config".to_owned(),
        class: Class::Failover,
        planned: false,
        mode,
        triggers: vec![Trigger::Alert],
        cause: Cause::Alert {
            name: "PostgresPrimaryUnreachable".to_owned(),
            firing: true,
            truncated: 0,
            starts_at: jiff::Timestamp::UNIX_EPOCH,
            received: Moment::default(),
        },
        limits: Limits::default(),
        steps: book.split_whitespace().map(step).collect(),
        candidate: Some("b".to_owned()),
        loss_bytes: Some(0),
        guards: Vec::new(),
    }
}
