//! Whole clusters on paper: what the verdicts are when facts come, age and contradict each other.

mod beside;
mod identity;
mod loss;
mod maintenance;
mod observers;
pub(crate) mod paper;
mod promotable;
mod recovery;
mod relayout;
mod routing;
mod senders;
mod settings;
mod sync;
mod timelines;
mod witness;

use super::assess::Verdict;
use super::lag::Unknown;
use crate::pg::failure::Cause;
use paper::{A, B, C, Paper, Says, moment, primary, standby};

/// A healthy cluster: `a` is the primary at 200, `b` and `c` have all of it.
pub(crate) fn healthy() -> Paper {
    let mut paper = Paper::new();
    for flush in [100, 200] {
        paper.wait(1.0);
        paper.read(A, &primary(1, flush));
        paper.read(B, &standby(1, flush, flush));
        paper.read(C, &standby(1, flush, flush));
    }
    paper
}

#[test]
fn a_healthy_cluster_is_up_whole_and_without_lag() {
    let paper = healthy();
    let assessment = paper.assess();
    assert!(assessment.nodes.iter().all(|node| node.up && node.state == "up"));
    assert_eq!(assessment.primary.as_deref(), Some("a"));
    assert_eq!(assessment.split_brain, Verdict::No);
    assert_eq!((paper.lag(B), paper.lag(C)), ((Ok(0.0), Ok(0.0)), (Ok(0.0), Ok(0.0))));
    assert!(assessment.standbys.iter().all(|standby| standby.expected && standby.connected));
}

#[test]
fn nothing_is_known_before_every_node_was_heard_once() {
    let mut paper = Paper::new();
    paper.wait(1.0);
    paper.read(A, &primary(1, 100));
    paper.read(B, &standby(1, 100, 100));
    let assessment = paper.assess();
    assert!(assessment.nodes.iter().all(|node| node.state == "unknown" && !node.up));
    assert_eq!(assessment.split_brain, Verdict::Unknown);
    assert_eq!(paper.lag(B).0, Err(Unknown::NotObserved));
    paper.fail(C, Cause::Refused);
    assert_eq!(paper.assess().nodes[B].state, "up");
    assert_eq!(paper.assess().nodes[C].state, "unreachable");
}

#[test]
fn a_paused_standby_falls_behind_in_replay_alone() {
    let mut paper = healthy();
    for second in 1..=30 {
        paper.wait(1.0);
        paper.read(A, &primary(1, 200 + second));
        paper.read(B, &standby(1, 200 + second, 200));
        paper.read(C, &standby(1, 200 + second, 200 + second));
    }
    assert_eq!(paper.lag(B), (Ok(0.0), Ok(29.0)));
    assert_eq!(paper.assess().nodes[B].lag.unwrap().replayed.bytes, Some(30));
}

#[test]
fn two_loops_out_of_step_show_no_lag_where_there_is_none() {
    let mut paper = healthy();
    paper.wait(1.0);
    paper.read(B, &standby(1, 200, 200));
    paper.wait(0.2);
    paper.read(A, &primary(1, 300));
    paper.wait(0.7);
    // What the primary wrote after b was read is no lag of b, until b is read again or is overdue.
    assert_eq!(paper.assess().nodes[B].lag.unwrap().received.seconds, Ok(0.0));
    paper.wait(1.0);
    assert_eq!(paper.lag(B).0, Ok(2.0));
}

#[test]
fn a_restarted_standby_has_received_what_it_replayed() {
    let mut paper = healthy();
    paper.wait(1.0);
    paper.read(A, &primary(1, 200));
    paper.read(B, &standby(1, 128, 200));
    paper.read(C, &standby(1, 200, 200));
    assert_eq!(paper.lag(B), (Ok(0.0), Ok(0.0)));
}

#[test]
fn with_the_primary_gone_a_standby_that_has_all_we_know_is_unknown_and_one_behind_is_not() {
    let mut paper = healthy();
    paper.wait(1.0);
    paper.read(A, &primary(1, 300));
    paper.read(B, &standby(1, 300, 300));
    paper.read(C, &standby(1, 200, 200));
    paper.fail(A, Cause::Refused);
    paper.wait(1.0);
    paper.read(B, &standby(1, 300, 300));
    paper.read(C, &standby(1, 200, 200));
    assert_eq!(paper.lag(B).0, Err(Unknown::PrimaryUnseen));
    assert_eq!(paper.lag(C).0, Ok(1.0));
    let assessment = paper.assess();
    assert_eq!(assessment.primary.as_deref(), Some("a"));
    let loss = assessment.failover_loss.unwrap();
    assert_eq!((loss.seen_bytes, loss.seen_seconds), (0, Some(0.0)));
}

#[test]
fn a_standby_that_nothing_feeds_is_exactly_behind_in_what_it_received() {
    let mut paper = healthy();
    paper.fail(B, Cause::Refused);
    for second in 1..=40 {
        paper.wait(1.0);
        paper.read(A, &primary(1, 200 + second));
        paper.read(C, &standby(1, 200 + second, 200 + second));
    }
    assert_eq!(paper.lag(B), (Ok(39.0), Err(Unknown::Position)));
    assert!(paper.assess().standbys.iter().any(|standby| standby.standby == "b" && !standby.connected));
}

#[test]
fn a_standby_that_an_archive_may_feed_is_unknown_when_it_is_not_seen() {
    let mut paper = healthy();
    paper.wait(1.0);
    paper.read(B, &Says { restore_command: true, ..standby(1, 200, 200) });
    paper.fail(B, Cause::Refused);
    for second in 1..=40 {
        paper.wait(1.0);
        paper.read(A, &primary(1, 200 + second));
        paper.read(C, &standby(1, 200 + second, 200 + second));
    }
    assert_eq!(paper.lag(B), (Err(Unknown::Position), Err(Unknown::Position)));
}

#[test]
fn the_walsender_speaks_for_a_standby_that_we_cannot_read_until_its_replies_stop() {
    let mut paper = healthy();
    paper.fail(B, Cause::Timeout);
    let row = |flush, reply| ("b", flush, reply);
    for second in 1..=60u64 {
        paper.wait(1.0);
        // Its replies stop after 10 s; the row stays, as it does for a frozen standby.
        let (name, flush, reply) = row(200 + second.min(10), 1002.0 + second.min(10) as f64);
        let says = Says { walsenders: vec![(42, name, flush, flush, reply)], ..primary(1, 200 + second) };
        paper.read(A, &says);
        paper.read(C, &standby(1, 200 + second, 200 + second));
        let known = paper.lag(B);
        match second {
            5..=10 => assert_eq!(known, (Ok(0.0), Ok(0.0)), "{second}"),
            12..=29 => assert_eq!(known.0, Ok((second - 11) as f64), "{second}"),
            32.. => assert_eq!(known, (Err(Unknown::Position), Err(Unknown::Position)), "{second}"),
            _ => {}
        }
    }
}

#[test]
fn two_walsenders_of_one_name_speak_for_nobody() {
    let mut paper = healthy();
    paper.fail(B, Cause::Timeout);
    for second in 1..=10u64 {
        paper.wait(1.0);
        let reply = 1002.0 + second as f64;
        let rows = vec![(42, "b", 200, 200, reply), (43, "b", 200 + second, 200 + second, reply)];
        paper.read(A, &Says { walsenders: rows, ..primary(1, 200 + second) });
        paper.read(C, &standby(1, 200 + second, 200 + second));
    }
    assert_eq!(paper.lag(B).0, Err(Unknown::Position));
    assert!(paper.assess().standbys.iter().any(|standby| standby.standby == "b" && standby.name_conflict));
}

#[test]
fn after_a_promotion_the_new_primary_is_the_measure_and_the_old_one_has_diverged() {
    let mut paper = healthy();
    paper.wait(1.0);
    paper.read(A, &primary(1, 300));
    paper.read(B, &standby(1, 250, 250));
    paper.read(C, &standby(1, 250, 250));
    paper.wait(1.0);
    // b is promoted at 250 while a goes on: both write.
    paper.read(A, &primary(1, 320));
    paper.read(B, &Says { replay: Some(250), receive: Some(250), ..primary(2, 260) });
    paper.read(C, &standby(1, 320, 320));
    let assessment = paper.assess();
    assert_eq!((assessment.primaries, assessment.split_brain), (2, Verdict::Yes));
    assert_eq!(assessment.primary.as_deref(), Some("b"));
    assert_eq!(assessment.nodes[A].lineage.diverged, Some(Verdict::Yes));
    assert_eq!(paper.lag(C).0, Err(Unknown::Diverged));
    // c is repointed before it went beyond the fork, a comes back as a standby that is not rewound.
    paper.wait(1.0);
    paper.read(B, &Says { replay: Some(250), receive: Some(250), ..primary(2, 270) });
    paper.read(C, &standby(2, 270, 270));
    paper.read(A, &Says { streaming: None, ..standby(1, 320, 320) });
    assert_eq!(paper.lag(C), (Ok(0.0), Ok(0.0)));
    assert_eq!(paper.assess().nodes[A].lineage.diverged, Some(Verdict::Yes));
    assert_eq!(paper.assess().split_brain, Verdict::No);
}

#[test]
fn a_standby_whose_timeline_is_in_doubt_is_not_called_diverged() {
    let mut paper = healthy();
    paper.wait(1.0);
    paper.read(A, &Says { replay: Some(200), ..primary(2, 300) });
    paper.read(B, &Says { streaming: None, ..standby(1, 280, 280) });
    paper.read(C, &standby(2, 300, 300));
    assert_eq!(paper.lag(B).0, Err(Unknown::History));
    assert_eq!(paper.assess().nodes[B].lineage.diverged, Some(Verdict::Unknown));
}

#[test]
fn two_primaries_on_one_timeline_leave_no_measure() {
    let mut paper = healthy();
    paper.wait(1.0);
    paper.read(A, &primary(1, 300));
    paper.read(B, &primary(1, 310));
    paper.read(C, &standby(1, 300, 300));
    assert_eq!(paper.assess().split_brain, Verdict::Yes);
    assert_eq!(paper.lag(C).0, Err(Unknown::AmbiguousPrimary));
}

#[test]
fn when_our_own_clock_was_late_all_is_unknown_until_every_node_was_read_anew() {
    let mut paper = healthy();
    paper.now = moment(paper.now.wall.as_seconds() + 20.0);
    assert!(paper.assess().nodes.iter().all(|node| node.state == "unknown"), "even before the next tick");
    assert!(paper.cluster.tick(paper.now));
    paper.read(A, &primary(1, 300));
    paper.read(B, &standby(1, 300, 300));
    assert_eq!(paper.assess().nodes[A].state, "unknown");
    assert_eq!(paper.lag(B).0, Err(Unknown::NotObserved));
    paper.read(C, &standby(1, 300, 300));
    assert!(paper.assess().nodes.iter().all(|node| node.state == "up"));
    assert_eq!(paper.lag(B), (Ok(0.0), Ok(0.0)));
}

#[test]
fn a_node_whose_answers_say_nothing_does_not_blind_the_others() {
    let mut paper = healthy();
    paper.now = moment(paper.now.wall.as_seconds() + 20.0);
    assert!(paper.cluster.tick(paper.now));
    paper.read(A, &primary(1, 300));
    paper.read(B, &standby(1, 300, 300));
    paper.refuse(C, "recovery");
    let states: Vec<_> = paper.assess().nodes.iter().map(|node| node.state).collect();
    assert_eq!(states, ["up", "up", "unknown"]);
}

#[test]
fn a_restart_of_pgvigil_forgets_nothing() {
    let mut paper = healthy();
    for second in 1..=30 {
        paper.wait(1.0);
        paper.read(A, &primary(1, 200 + second));
        paper.read(B, &standby(1, 200 + second, 200));
        paper.read(C, &standby(1, 200 + second, 200 + second));
    }
    let kept = serde_json::to_string(paper.cluster.memory()).unwrap();
    let mut paper = Paper::remembering(serde_json::from_str(&kept).unwrap(), paper.now.wall.as_seconds() + 5.0);
    paper.wait(1.0);
    paper.read(A, &primary(1, 240));
    paper.read(B, &standby(1, 240, 200));
    paper.read(C, &standby(1, 235, 235));
    assert_eq!(paper.lag(B), (Ok(0.0), Ok(35.0)));
    // c stands in the gap that nobody watched: six seconds are too wide to be told as a lag.
    assert_eq!(paper.lag(C).0, Err(Unknown::History));
}

#[test]
fn every_tick_is_counted_known_or_not() {
    let mut paper = healthy();
    let before = paper.cluster.sampled()[B][0].clone();
    paper.wait(2.0);
    paper.fail(A, Cause::Refused);
    paper.read(B, &standby(1, 200, 200));
    paper.read(C, &standby(1, 200, 200));
    paper.wait(2.0);
    let after = &paper.cluster.sampled()[B][0];
    assert!(after.known > before.known && after.unknown > before.unknown);
    assert_eq!(after.seconds.count(), after.known);
}
