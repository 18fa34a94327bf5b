//! Another configuration while the cluster is watched: who did not change is known all the time.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::cluster::layout::{Layout, Member};

/// The layout of `healthy` with these nodes in this order.
fn layout(paper: &Paper, names: &[&str]) -> Layout {
    let mut layout = paper.cluster.layout().clone();
    let member = |name: &&str| Member { name: (*name).into(), ..layout.members[0].clone() };
    layout.members = names.iter().map(member).collect();
    layout
}

fn relayout(paper: &mut Paper, names: &[&str], kept: &[&str]) {
    let layout = layout(paper, names);
    let kept: BTreeSet<_> = kept.iter().map(|name| (*name).to_owned()).collect();
    paper.cluster.relayout(layout, &kept);
}

fn ticks(paper: &Paper, node: usize) -> u64 {
    let sampled = &paper.cluster.sampled()[node][0];
    sampled.known + sampled.unknown
}

#[test]
fn who_moves_in_the_list_keeps_facts_history_and_histograms() {
    let mut paper = healthy();
    paper.wait(2.0);
    let before = ticks(&paper, B);
    assert!(before > 0);
    relayout(&mut paper, &["d", "b", "a"], &["a", "b"]);
    let assessment = paper.assess();
    assert_eq!(assessment.primary.as_deref(), Some("a"));
    assert_eq!(paper.lag(1), (Ok(0.0), Ok(0.0)), "b is known while d was never heard");
    assert_eq!((ticks(&paper, 1), ticks(&paper, 0)), (before, 0));
    assert_eq!(assessment.nodes[0].state, "unknown");
    assert_eq!(assessment.split_brain, Verdict::Unknown, "d may write too");
    assert!(paper.cluster.memory().nodes.contains_key("b") && !paper.cluster.memory().nodes.contains_key("c"));
}

#[test]
fn who_is_reached_otherwise_is_known_anew_and_counts_on() {
    let mut paper = healthy();
    paper.wait(1.0);
    let before = ticks(&paper, B);
    relayout(&mut paper, &["a", "b", "c"], &["a", "c"]);
    assert_eq!(paper.assess().nodes[B].state, "unknown");
    assert!(paper.lag(B).0.is_err(), "what the old address said is not of this server");
    assert_eq!(ticks(&paper, B), before, "a counter does not fall");
    paper.read(B, &standby(1, 200, 100));
    assert!(paper.lag(B).1.is_ok());
}

#[test]
fn after_our_clock_was_late_a_new_node_need_not_be_heard_but_the_others_must() {
    let mut paper = healthy();
    relayout(&mut paper, &["a", "b", "c", "d"], &["a", "b", "c"]);
    assert_eq!(paper.assess().nodes[A].state, "up");
    // Ten seconds without a tick: all are to be heard again, d too.
    paper.now = moment(paper.now.wall.as_seconds() + 10.0);
    paper.cluster.tick(paper.now);
    for node in [A, B, C] {
        paper.read(node, &if node == A { primary(1, 300) } else { standby(1, 300, 300) });
    }
    assert_eq!(paper.assess().nodes[A].state, "unknown");
    paper.fail(3, Cause::Refused);
    assert_eq!(paper.assess().nodes[A].state, "up");
}

#[test]
fn a_shorter_interval_makes_no_tick_late_that_was_not_and_a_longer_one_counts_at_once() {
    let mut paper = healthy();
    let with_interval = |paper: &mut Paper, millis: u64| {
        let mut layout = layout(paper, &["a", "b", "c"]);
        layout.timing.sample_interval = Duration::from_millis(millis);
        let kept = layout.members.iter().map(|member| member.name.clone()).collect();
        paper.cluster.relayout(layout, &kept);
    };
    let tick_after = |paper: &mut Paper, seconds: f64| {
        paper.now = moment(paper.now.wall.as_seconds() + seconds);
        paper.cluster.tick(paper.now)
    };
    assert!(!tick_after(&mut paper, 0.0));
    with_interval(&mut paper, 100);
    assert!(!tick_after(&mut paper, 1.0), "the last was a second ago, as it should be then");
    assert!(tick_after(&mut paper, 1.0), "now it is late");
    with_interval(&mut paper, 5_000);
    assert!(!tick_after(&mut paper, 10.0));
}
