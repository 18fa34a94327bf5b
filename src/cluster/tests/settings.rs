//! A standby's settings beside its primary's, on paper.

use std::collections::BTreeMap;

use super::*;
use crate::cluster::settings::Comparison;

type Told = Vec<(&'static str, &'static str)>;

const FIVE: [&str; 5] = [
    "max_connections",
    "max_locks_per_transaction",
    "max_prepared_transactions",
    "max_wal_senders",
    "max_worker_processes",
];

/// The five at ten, but those in `other`; and more.
fn told(other: &[(&'static str, &'static str)]) -> Told {
    let mut all: BTreeMap<_, _> = FIVE.map(|name| (name, "10")).into();
    all.extend(other.iter().copied());
    all.into_iter().collect()
}

/// Reads `a` with the settings `primary`, then `b` as `says`.
fn read(paper: &mut Paper, a: &Told, b: &Says) {
    paper.wait(1.0);
    paper.read(A, &Says { settings: a.clone(), ..primary(1, 100) });
    paper.read(B, b);
    paper.read(C, &standby(1, 100, 100));
}

fn b(settings: Told) -> Says {
    Says { settings, ..standby(1, 100, 100) }
}

fn paused(settings: Told) -> Says {
    Says { paused: true, ..b(settings) }
}

fn comparison(paper: &Paper) -> Comparison {
    paper.assess().nodes[B].settings.clone().unwrap()
}

/// What is 1 of those that are told, and how many are.
fn of(verdicts: &BTreeMap<&'static str, bool>) -> (Vec<&'static str>, usize) {
    (verdicts.iter().filter(|(_, verdict)| **verdict).map(|(name, _)| *name).collect(), verdicts.len())
}

fn after(a: &Told, b: &Says) -> Comparison {
    let mut paper = Paper::new();
    read(&mut paper, a, b);
    comparison(&paper)
}

#[test]
fn only_lower_is_too_low_and_any_difference_is_drift() {
    let same = after(&told(&[]), &b(told(&[])));
    assert_eq!((of(&same.too_low), same.replay_blocked), ((vec![], 5), Verdict::No));
    // The one that is always told with its unit is compared too.
    assert_eq!(of(&same.drift), (vec![], 6));
    for name in FIVE {
        let lower = after(&told(&[]), &b(told(&[(name, "9")])));
        assert_eq!((of(&lower.too_low), of(&lower.drift)), ((vec![name], 5), (vec![name], 6)));
        assert_eq!(lower.replay_blocked, Verdict::No, "it replays yet");
        let higher = after(&told(&[]), &b(told(&[(name, "11")])));
        assert_eq!((of(&higher.too_low), of(&higher.drift)), ((vec![], 5), (vec![name], 6)));
    }
}

#[test]
fn drift_is_of_settings_that_a_failover_would_want_equal() {
    for (name, primarys, own, expected) in [
        ("wal_level", "logical", "replica", Some(true)),
        ("wal_level", "logical", "logical", Some(false)),
        ("wal_level", "of tomorrow", "replica", None),
        ("archive_mode", "on", "off", Some(true)),
        ("archive_mode", "on", "always", Some(false)),
        ("archive_mode", "off", "always", Some(true)),
        ("fsync", "on", "off", Some(true)),
        ("hot_standby_feedback", "off", "on", None),
    ] {
        let drift = after(&told(&[(name, primarys)]), &b(told(&[(name, own)]))).drift;
        assert_eq!(drift.get(name).copied(), expected, "{name}: {primarys} {own}");
    }
    let one_side = after(&told(&[("summarize_wal", "on")]), &b(told(&[])));
    assert!(!one_side.drift.contains_key("summarize_wal"), "one has no such setting");
}

#[test]
fn the_primary_is_compared_with_nobody() {
    let mut paper = Paper::new();
    read(&mut paper, &told(&[]), &b(told(&[])));
    assert!(paper.assess().nodes[A].settings.is_none());
    // Nor is a second primary, which is no standby.
    paper.wait(1.0);
    paper.read(A, &Says { settings: told(&[]), ..primary(2, 200) });
    paper.read(B, &Says { settings: told(&[("max_connections", "9")]), ..primary(1, 200) });
    paper.read(C, &standby(1, 100, 100));
    let rival = comparison(&paper);
    assert_eq!((rival.too_low.len(), rival.drift.len(), rival.replay_blocked), (0, 0, Verdict::No));
}

#[test]
fn without_fresh_facts_nothing_is_compared() {
    let low = told(&[("max_connections", "9")]);
    let nothing = |paper: &Paper, blocked: Verdict| {
        let told = comparison(paper);
        assert_eq!((told.too_low.len(), told.drift.len(), told.replay_blocked), (0, 0, blocked));
    };
    let start = || {
        let mut paper = Paper::new();
        read(&mut paper, &told(&[]), &b(low.clone()));
        paper
    };
    let mut gone = start();
    gone.fail(A, Cause::Refused);
    nothing(&gone, Verdict::No);
    let mut silent = start();
    silent.fail(B, Cause::Timeout);
    nothing(&silent, Verdict::Unknown);
    for node in [A, B] {
        let mut refused = start();
        refused.refuse(node, "settings");
        nothing(&refused, Verdict::No);
    }
    let mut blind = start();
    blind.now = moment(blind.now.wall.as_seconds() + 60.0);
    nothing(&blind, Verdict::Unknown);
    let mut foreign = start();
    read(&mut foreign, &told(&[]), &Says { system: "8", ..b(low) });
    nothing(&foreign, Verdict::No);
}

#[test]
fn a_pause_by_a_person_is_told_from_one_by_settings() {
    let low = told(&[("max_wal_senders", "9")]);
    assert_eq!(after(&told(&[]), &paused(told(&[]))).replay_blocked, Verdict::No);
    assert_eq!(after(&told(&[]), &paused(low.clone())).replay_blocked, Verdict::Yes);
    let four: Told = told(&[]).into_iter().skip(1).collect();
    assert_eq!(after(&told(&[]), &paused(four)).replay_blocked, Verdict::Unknown, "who knows the fifth");

    let mut alone = Paper::new();
    alone.wait(1.0);
    alone.read(B, &paused(low));
    alone.read(C, &standby(1, 100, 100));
    alone.fail(A, Cause::Refused);
    assert_eq!(comparison(&alone).replay_blocked, Verdict::Unknown, "nobody knows the primary's");
}

#[test]
fn once_blocked_it_stays_so_until_that_server_goes_on() {
    let low = told(&[("max_connections", "9")]);
    let mut paper = Paper::new();
    // In the first round nobody is sure of anything.
    for _ in 0..2 {
        read(&mut paper, &told(&[]), &paused(low.clone()));
    }
    assert_eq!(comparison(&paper).replay_blocked, Verdict::Yes);
    // The primary is lowered again: the record of the change is still to be replayed.
    read(&mut paper, &low, &paused(low.clone()));
    assert_eq!((of(&comparison(&paper).too_low).0, comparison(&paper).replay_blocked), (vec![], Verdict::Yes));
    paper.fail(A, Cause::Refused);
    assert_eq!(comparison(&paper).replay_blocked, Verdict::Yes, "the primary is gone");
    let mut again = Paper::remembering(paper.cluster.memory().clone(), paper.now.wall.as_seconds());
    read(&mut again, &low, &paused(low.clone()));
    assert_eq!(comparison(&again).replay_blocked, Verdict::Yes, "pgvigil was started again");

    // Started again with enough, then paused by a person.
    let restarted = Says { restarts: 1, ..paused(told(&[])) };
    read(&mut paper, &told(&[]), &restarted);
    assert_eq!(comparison(&paper).replay_blocked, Verdict::No);
    // Or it went on in some way that we do not know.
    read(&mut again, &low, &b(low.clone()));
    read(&mut again, &low, &paused(low.clone()));
    assert_eq!(comparison(&again).replay_blocked, Verdict::No);
}
