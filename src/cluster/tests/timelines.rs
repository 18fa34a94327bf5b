//! Which timeline a node is on, whether it may come back to the newest, and what is told of promotions.

use super::*;
use crate::pg::lsn::{Lsn, Timeline};

/// `b` was promoted at `fork` while `a` is silent; `c` says what it says.
fn promoted(fork: u64, c: &Says) -> Paper {
    let mut paper = healthy();
    paper.wait(1.0);
    paper.fail(A, Cause::Refused);
    paper.read(B, &promoted_at(fork));
    paper.read(C, c);
    paper
}

fn promoted_at(fork: u64) -> Says {
    Says { replay: Some(fork), receive: Some(fork), ..primary(2, fork + 50) }
}

fn cut_off(position: u64) -> Says {
    Says { streaming: None, ..standby(1, position, position) }
}

fn behind(paper: &Paper, node: usize) -> Verdict {
    paper.assess().nodes[node].lineage.behind
}

fn can_follow(paper: &Paper, node: usize) -> Option<Verdict> {
    paper.assess().nodes[node].lineage.can_follow
}

#[test]
fn a_promotion_is_counted_once_and_its_fork_is_told() {
    let mut paper = healthy();
    let assessment = paper.assess();
    assert_eq!((assessment.timeline, assessment.timeline_switches), (Some(Timeline(1)), 0), "found at first");
    assert_eq!(assessment.timeline_fork, None);
    for _ in 0..3 {
        paper.wait(1.0);
        paper.fail(A, Cause::Refused);
        paper.read(B, &promoted_at(200));
        paper.read(C, &cut_off(200));
        let assessment = paper.assess();
        assert_eq!((assessment.timeline, assessment.timeline_switches), (Some(Timeline(2)), 1));
        assert_eq!(assessment.timeline_fork, Some(Lsn(200)));
    }
    // Kept over a restart of ours.
    let kept = serde_json::to_string(paper.cluster.memory()).unwrap();
    let mut paper = Paper::remembering(serde_json::from_str(&kept).unwrap(), paper.now.wall.as_seconds() + 5.0);
    paper.wait(1.0);
    paper.read(B, &promoted_at(200));
    let assessment = paper.assess();
    assert_eq!((assessment.timeline_switches, assessment.timeline_fork), (1, Some(Lsn(200))));
}

#[test]
fn what_is_found_at_the_start_is_no_switch() {
    let mut paper = Paper::new();
    paper.wait(1.0);
    // The old primary of a split brain, and then the new one.
    paper.read(B, &primary(1, 200));
    paper.read(A, &primary(3, 300));
    paper.read(C, &standby(3, 300, 300));
    assert_eq!((paper.assess().timeline, paper.assess().timeline_switches), (Some(Timeline(3)), 0));
}

#[test]
fn a_follower_may_be_the_first_to_tell_of_the_new_timeline() {
    let mut paper = healthy();
    paper.wait(1.0);
    paper.fail(A, Cause::Timeout);
    paper.fail(B, Cause::Timeout);
    paper.read(C, &standby(2, 260, 260));
    let assessment = paper.assess();
    assert_eq!((assessment.timeline, assessment.timeline_switches), (Some(Timeline(2)), 1));
    assert_eq!((behind(&paper, C), can_follow(&paper, C)), (Verdict::No, Some(Verdict::Yes)));
    // Where it forked nobody told yet.
    paper.read(A, &cut_off(200));
    assert_eq!(can_follow(&paper, A), Some(Verdict::Unknown));
}

#[test]
fn one_that_stands_still_where_its_stream_ended_is_behind_and_can_follow() {
    let paper = promoted(200, &cut_off(200));
    assert_eq!((behind(&paper, B), behind(&paper, C)), (Verdict::No, Verdict::Yes));
    assert_eq!((can_follow(&paper, B), can_follow(&paper, C)), (None, Some(Verdict::Yes)));
    assert_eq!(paper.assess().nodes[C].lineage.diverged, Some(Verdict::No));
}

#[test]
fn one_that_moved_without_a_stream_may_have_changed_its_timeline() {
    let paper = promoted(200, &cut_off(240));
    assert_eq!((behind(&paper, C), can_follow(&paper, C)), (Verdict::Unknown, Some(Verdict::Unknown)));
    assert_eq!(paper.assess().nodes[C].lineage.diverged, Some(Verdict::Unknown));
}

#[test]
fn one_that_had_it_before_the_promotion_has_it_of_the_old_timeline() {
    let mut paper = healthy();
    paper.fail(A, Cause::Refused);
    // The primary's last words reached c alone, after its last reading as one that streams.
    for _ in 0..3 {
        paper.wait(1.0);
        paper.read(C, &cut_off(240));
        paper.read(B, &Says { streaming: None, ..standby(1, 200, 200) });
    }
    paper.wait(1.0);
    paper.read(B, &promoted_at(200));
    paper.read(C, &cut_off(240));
    assert_eq!((behind(&paper, C), can_follow(&paper, C)), (Verdict::Yes, Some(Verdict::No)));
    assert_eq!(paper.assess().nodes[C].lineage.diverged, Some(Verdict::Yes));
}

#[test]
fn one_that_follows_the_old_primary_is_behind_and_beyond_the_fork_it_cannot_follow() {
    let paper = promoted(200, &standby(1, 200, 200));
    assert_eq!((behind(&paper, C), can_follow(&paper, C)), (Verdict::Yes, Some(Verdict::Yes)));
    let paper = promoted(200, &standby(1, 230, 230));
    assert_eq!((behind(&paper, C), can_follow(&paper, C)), (Verdict::Yes, Some(Verdict::No)));
    // Received beyond the fork and not replayed: it has diverged, and what it can do hangs on how it is started.
    let paper = promoted(200, &standby(1, 230, 200));
    assert_eq!(can_follow(&paper, C), Some(Verdict::Unknown));
    assert_eq!(paper.assess().nodes[C].lineage.diverged, Some(Verdict::Yes));
    let paper = promoted(200, &standby(2, 240, 240));
    assert_eq!((behind(&paper, C), can_follow(&paper, C)), (Verdict::No, Some(Verdict::Yes)));
}

#[test]
fn an_old_primary_back_is_behind_and_follows_only_if_it_wrote_nothing_beyond_the_fork() {
    for (wrote, follows) in [(200, Verdict::Yes), (230, Verdict::No)] {
        let mut paper = promoted(200, &standby(2, 250, 250));
        paper.wait(1.0);
        paper.read(A, &primary(1, wrote));
        paper.read(B, &promoted_at(200));
        assert_eq!((behind(&paper, A), can_follow(&paper, A)), (Verdict::Yes, Some(follows)), "{wrote}");
        assert_eq!(paper.assess().split_brain, Verdict::Yes);
        paper.read(A, &cut_off(wrote));
        assert_eq!(can_follow(&paper, A), Some(follows), "as a standby {wrote}");
    }
}

#[test]
fn a_fork_from_before_our_time_is_told_by_a_server_that_streamed_and_not_by_one_that_crashed() {
    for (receive, fork) in [(Some(200), Some(Lsn(200))), (None, None)] {
        let mut paper = Paper::new();
        paper.wait(1.0);
        paper.read(A, &Says { replay: Some(200), receive, ..primary(2, 300) });
        paper.read(B, &standby(2, 300, 300));
        paper.read(C, &standby(1, 230, 230));
        let assessment = paper.assess();
        assert_eq!(assessment.timeline_fork, fork);
        let expected = if fork.is_some() { Verdict::Yes } else { Verdict::Unknown };
        assert_eq!(assessment.nodes[C].lineage.diverged, Some(expected), "{receive:?}");
    }
}

#[test]
fn after_a_boot_of_our_machine_the_line_of_descent_is_still_known() {
    let kept = promoted(200, &cut_off(200)).cluster.memory().clone().timeless();
    // The clock began anew.
    let mut paper = Paper::remembering(kept, 10.0);
    paper.wait(1.0);
    for node in [A, B] {
        paper.fail(node, Cause::Refused);
    }
    paper.read(C, &standby(2, 230, 230));
    assert_eq!(paper.lag(C).0, Err(Unknown::History), "nothing was seen of the primary since");
    paper.wait(1.0);
    paper.read(C, &standby(1, 230, 230));
    paper.read(A, &primary(1, 250));
    paper.fail(B, Cause::Refused);
    let assessment = paper.assess();
    assert_eq!((assessment.timeline_fork, assessment.timeline_switches), (Some(Lsn(200)), 1));
    assert_eq!(can_follow(&paper, C), Some(Verdict::No));
    assert_eq!((behind(&paper, A), behind(&paper, C)), (Verdict::Yes, Verdict::Yes));
    // b crashed since, and tells of its promotion no more.
    paper.wait(1.0);
    paper.read(B, &Says { replay: Some(300), receive: None, ..primary(2, 310) });
    paper.read(C, &standby(1, 230, 230));
    assert_eq!(
        (paper.assess().timeline_fork, paper.assess().nodes[C].lineage.diverged),
        (Some(Lsn(200)), Some(Verdict::Yes))
    );
}

#[test]
fn without_a_fresh_reading_nothing_is_said() {
    let mut paper = promoted(200, &standby(1, 230, 230));
    paper.fail(C, Cause::Refused);
    assert_eq!((behind(&paper, C), can_follow(&paper, C)), (Verdict::Unknown, Some(Verdict::Unknown)));
    assert_eq!(paper.assess().nodes[A].lineage.foreign_system, Verdict::Unknown);
}
