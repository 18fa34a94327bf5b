//! Where a standby gets its WAL from, and whether it can get it at all, on paper.

use super::paper::{self, A, B, C, Paper, Says, moment};
use crate::cluster::assess::Verdict::{self, No, Unknown, Yes};
use crate::cluster::source::RecoverySource;
use crate::pg::failure::Cause;

const STREAM: &str = "RecoveryWalStream";
const RETRY: &str = "RecoveryRetrieveRetryInterval";

/// Positions are told in segments here, of 1 MB.
const SEGMENT: u64 = 1 << 20;

fn primary(timeline: u32, flush: u64) -> Says {
    paper::primary(timeline, flush * SEGMENT)
}

fn standby(timeline: u32, receive: u64, replay: u64) -> Says {
    paper::standby(timeline, receive * SEGMENT, replay * SEGMENT)
}

/// A standby at 100 that does not stream.
fn cut_off(wait_event: &'static str) -> Says {
    Says { streaming: None, wait_event, ..standby(1, 100, 100) }
}

/// `a` at 200 with WAL from segment `oldest` on, and `b` as it says.
fn paper(oldest: u64, b: &Says) -> Paper {
    let mut paper = Paper::new();
    paper.wait(1.0);
    paper.read(A, &Says { oldest, ..primary(1, 200) });
    paper.read(B, b);
    paper.read(C, &standby(1, 200, 200));
    paper
}

fn source(paper: &Paper, node: usize) -> RecoverySource {
    paper.assess().nodes[node].source
}

fn verdict(paper: &Paper) -> Verdict {
    paper.assess().nodes[B].needs_rebuild.unwrap()
}

#[test]
fn the_source_is_told_where_it_is_certain() {
    for (b, expected) in [
        (standby(1, 100, 100), RecoverySource::Streaming),
        (Says { restore_command: true, ..standby(1, 100, 100) }, RecoverySource::Streaming),
        (cut_off(STREAM), RecoverySource::None),
        (cut_off(RETRY), RecoverySource::None),
        (Says { restore_command: true, ..cut_off(RETRY) }, RecoverySource::Archive),
        (Says { restore_command: true, ..cut_off("RestoreCommand") }, RecoverySource::Archive),
        // It waits for a walreceiver that connects; meanwhile no command is asked.
        (Says { restore_command: true, ..cut_off(STREAM) }, RecoverySource::None),
    ] {
        assert_eq!(source(&paper(0, &b), B), expected, "{} {}", b.wait_event, b.restore_command);
    }
    let mut paper = paper(0, &cut_off(RETRY));
    assert_eq!(source(&paper, A), RecoverySource::NotInRecovery);
    paper.refuse(B, "settings");
    assert_eq!(source(&paper, B), RecoverySource::Unknown);
    paper.fail(B, Cause::Refused);
    assert_eq!(source(&paper, B), RecoverySource::Unknown);
}

#[test]
fn without_its_receiver_or_its_wait_a_source_is_not_guessed() {
    let restores = Says { restore_command: true, ..cut_off(RETRY) };
    for missing in ["wal_receiver", "replay_wait"] {
        let mut paper = Paper::new();
        paper.wait(1.0);
        paper.read(A, &primary(1, 200));
        paper.read_without(B, &restores, missing);
        paper.read(C, &standby(1, 200, 200));
        assert_eq!(source(&paper, B), RecoverySource::Unknown, "{missing}");
    }
}

#[test]
fn a_standby_must_be_made_anew_when_nobody_has_what_it_needs() {
    for (oldest, b, expected) in [
        (101, cut_off(RETRY), Yes),
        (101, cut_off(STREAM), Yes),
        (100, cut_off(RETRY), No),
        // What it has itself may reach further.
        (101, cut_off("RecoveryApplyDelay"), Unknown),
        (101, cut_off("RecoveryPause"), Unknown),
        // The command may bring it yet.
        (101, Says { restore_command: true, ..cut_off(RETRY) }, Unknown),
        (100, Says { restore_command: true, ..cut_off(RETRY) }, No),
        // Somebody feeds it, though not the primary.
        (101, Says { wait_event: STREAM, ..standby(1, 100, 100) }, No),
        // A stream that is refused again and again is seen now and then.
        (101, Says { wait_event: RETRY, ..standby(1, 100, 100) }, Yes),
    ] {
        assert_eq!(verdict(&paper(oldest, &b)), expected, "{oldest} {} {:?}", b.wait_event, b.streaming);
    }
    let paper = paper(101, &cut_off(RETRY));
    assert_eq!(paper.assess().nodes[A].needs_rebuild, None, "the primary");
}

#[test]
fn what_is_not_seen_is_not_gone() {
    let gone = || paper(101, &cut_off(RETRY));
    assert_eq!(verdict(&gone()), Yes);
    for (node, collector) in [(A, "wal_dir"), (B, "replay_wait"), (B, "settings")] {
        let mut paper = gone();
        paper.refuse(node, collector);
        assert_eq!(verdict(&paper), Unknown, "{collector}");
    }
    for node in [A, B] {
        let mut paper = gone();
        paper.fail(node, Cause::Refused);
        assert_eq!(verdict(&paper), Unknown, "node {node}");
    }
    let mut blind = gone();
    blind.now = moment(blind.now.wall.as_seconds() + 60.0);
    assert_eq!(verdict(&blind), Unknown);
}

#[test]
fn the_node_that_fed_it_last_may_still_have_it() {
    let mut paper = Paper::new();
    let fed = vec![(12, "b", 100 * SEGMENT, 100 * SEGMENT, 1001.0)];
    paper.wait(1.0);
    paper.read(A, &Says { oldest: 101, ..primary(1, 200) });
    paper.read(B, &standby(1, 100, 100));
    paper.read(C, &Says { walsenders: fed, oldest: 90, ..standby(1, 200, 200) });
    paper.wait(1.0);
    paper.read(A, &Says { oldest: 101, ..primary(1, 200) });
    paper.read(B, &cut_off(RETRY));
    paper.read(C, &Says { oldest: 90, ..standby(1, 200, 200) });
    assert_eq!(verdict(&paper), No);
    paper.read(C, &Says { oldest: 150, ..standby(1, 200, 200) });
    assert_eq!(verdict(&paper), Yes);
    paper.fail(C, Cause::Refused);
    assert_eq!(verdict(&paper), Unknown);
}

#[test]
fn positions_of_another_line_are_not_compared() {
    let after = |fork, receive| {
        let mut paper = Paper::new();
        paper.wait(1.0);
        paper.read(A, &primary(1, 200));
        paper.read(B, &standby(1, 100, 100));
        paper.read(C, &standby(1, 200, 200));
        paper.fail(A, Cause::Refused);
        paper.wait(1.0);
        paper.fail(A, Cause::Refused);
        paper.read(C, &Says { replay: Some(fork * SEGMENT), oldest: 190, ..primary(2, 300) });
        paper.read(B, &Says { wait_event: RETRY, streaming: None, ..standby(1, receive, receive) });
        verdict(&paper)
    };
    assert_eq!(after(180, 150), Yes, "before the fork");
    assert_eq!(after(140, 150), Unknown, "beyond it");
}
