//! Whom a failover would choose, and what it would lose.

use super::*;
use crate::cluster::loss::Loss;

/// What one commit may be.
const MARGIN: u64 = 65_536;

fn candidate(paper: &Paper) -> Option<String> {
    paper.assess().failover_candidate
}

fn told(paper: &Paper) -> Loss {
    paper.assess().failover_loss.unwrap()
}

#[test]
fn while_the_primary_writes_the_first_that_keeps_up_is_chosen() {
    let mut paper = healthy();
    assert_eq!(candidate(&paper).as_deref(), Some("b"));
    // A reading of a moment later tells no order.
    paper.wait(0.2);
    paper.read(A, &primary(1, 210));
    paper.read(C, &standby(1, 210, 210));
    assert_eq!(candidate(&paper).as_deref(), Some("b"));
    for second in 1..=5 {
        paper.wait(1.0);
        paper.read(A, &primary(1, 210 + second));
        paper.read(B, &standby(1, 205, 205));
        paper.read(C, &standby(1, 210 + second, 210 + second));
    }
    assert_eq!(candidate(&paper).as_deref(), Some("c"));
}

#[test]
fn with_the_primary_gone_the_one_with_most_is_chosen_and_the_loss_is_its_own() {
    for (b, c, chosen, lost) in [(280, 290, "c", 10), (290, 280, "b", 10), (290, 290, "b", 10)] {
        let mut paper = healthy();
        paper.wait(1.0);
        paper.read(A, &primary(1, 300));
        paper.fail(A, Cause::Refused);
        paper.read(B, &standby(1, b, b));
        paper.read(C, &standby(1, c, c));
        assert_eq!(candidate(&paper).as_deref(), Some(chosen), "{b} {c}");
        assert_eq!(told(&paper).seen_bytes, lost, "{b} {c}");
    }
    // Of equal ones that which has replayed more.
    let mut paper = healthy();
    paper.wait(1.0);
    paper.fail(A, Cause::Refused);
    paper.read(B, &standby(1, 290, 250));
    paper.read(C, &standby(1, 290, 290));
    assert_eq!(candidate(&paper).as_deref(), Some("c"));
}

#[test]
fn nobody_is_chosen_while_nobody_may_be_and_no_loss_is_told() {
    let mut paper = healthy();
    for node in [B, C] {
        paper.read(node, &Says { pause: Some("paused"), ..standby(1, 200, 200) });
    }
    assert_eq!((candidate(&paper), paper.assess().failover_loss), (None, None));
    // With two primaries a third is no help.
    let mut paper = healthy();
    paper.wait(1.0);
    paper.read(A, &primary(1, 300));
    paper.read(B, &Says { replay: Some(250), receive: Some(250), ..primary(2, 260) });
    paper.read(C, &standby(2, 260, 260));
    assert_eq!(paper.assess().nodes[C].promotable.as_ref().unwrap().verdict, Verdict::Yes);
    assert_eq!((candidate(&paper), paper.assess().failover_loss), (None, None));
}

#[test]
fn what_a_standby_heard_counts_even_after_it_forgot() {
    let mut paper = healthy();
    paper.wait(1.0);
    paper.read(A, &primary(1, 300));
    paper.read(B, &standby(1, 300, 300));
    paper.read(C, &Says { heard: Some(360), ..standby(1, 300, 300) });
    assert_eq!(told(&paper).seen_bytes, 60);
    paper.fail(A, Cause::Refused);
    paper.wait(1.0);
    for node in [B, C] {
        paper.read(node, &Says { streaming: None, ..standby(1, 300, 300) });
    }
    assert_eq!(told(&paper).seen_bytes, 60, "the walreceivers are gone, what they heard is not");
}

#[test]
fn a_gap_in_the_history_hides_the_seconds_and_not_the_bytes() {
    let mut paper = healthy();
    paper.fail(A, Cause::Timeout);
    paper.wait(10.0);
    paper.read(A, &primary(1, 300));
    paper.fail(A, Cause::Refused);
    for node in [B, C] {
        paper.read(node, &standby(1, 250, 250));
    }
    assert_eq!(paper.lag(B).0, Err(Unknown::History));
    assert_eq!(candidate(&paper).as_deref(), Some("b"));
    assert_eq!((told(&paper).seen_bytes, told(&paper).seen_seconds), (50, None));
}

#[test]
fn the_estimated_loss_grows_until_it_is_known_when_the_last_backend_must_be_gone() {
    let mut paper = healthy();
    let read = |paper: &mut Paper| {
        paper.read(B, &standby(1, 200, 200));
        paper.read(C, &standby(1, 200, 200));
        told(paper)
    };
    paper.fail(A, Cause::Timeout);
    paper.wait(5.0);
    let silent = read(&mut paper);
    assert_eq!((silent.seen_bytes, silent.estimated_bytes, silent.estimated_seconds), (0, MARGIN + 500, Some(5.0)));
    // Refused: nobody listens there any more; orphans of a killed postmaster may commit for two seconds.
    paper.fail(A, Cause::Refused);
    assert_eq!(read(&mut paper).estimated_bytes, MARGIN + 700);
    paper.wait(10.0);
    assert_eq!(read(&mut paper).estimated_bytes, MARGIN + 700);
}

#[test]
fn a_primary_that_is_only_cut_off_from_us_goes_on_writing() {
    for cause in [Cause::NoRoute, Cause::Dns, Cause::Closed, Cause::Denied] {
        let mut paper = healthy();
        paper.fail(A, cause);
        paper.wait(20.0);
        paper.read(B, &standby(1, 200, 200));
        paper.read(C, &standby(1, 200, 200));
        assert_eq!(told(&paper).estimated_bytes, MARGIN + 2_000, "{cause}");
    }
}

#[test]
fn what_is_heard_in_full_and_at_first_hand_shortens_what_nobody_saw() {
    let feeds = |flush| Says { walsenders: vec![(11, "b", flush, flush, 1000.0)], ..primary(1, flush) };
    let mut paper = healthy();
    paper.read(A, &feeds(200));
    paper.wait(1.0);
    paper.read(A, &feeds(300));
    paper.fail(A, Cause::Timeout);
    paper.wait(1.0);
    let told_at = |received, at| Says { heard: Some(350), message: Some((at, at)), ..standby(1, received, received) };
    let now = 1004.0;
    // It lacks some of what it was told: when the rest was written is not known.
    paper.read(B, &told_at(340, now - 0.25));
    paper.read(C, &standby(1, 300, 300));
    assert_eq!((told(&paper).seen_bytes, told(&paper).estimated_bytes), (10, 10 + MARGIN + 100));
    // Only whom the primary feeds hears of it at first hand.
    paper.read(C, &told_at(350, now - 0.25));
    assert_eq!(told(&paper).estimated_bytes, 10 + MARGIN + 100);
    // Once it has all, what is not seen begins with its last message: a quarter of a second and what passed since.
    paper.wait(0.5);
    paper.read(B, &told_at(350, now - 0.25));
    paper.read(C, &standby(1, 300, 300));
    assert_eq!((told(&paper).seen_bytes, told(&paper).estimated_bytes), (0, MARGIN + 75));
}

#[test]
fn what_is_fenced_writes_no_more() {
    let mut paper = healthy();
    paper.fail(A, Cause::Timeout);
    paper.wait(10.0);
    paper.read(B, &standby(1, 200, 200));
    paper.read(C, &standby(1, 200, 200));
    let loss = told(&paper);
    assert_eq!(loss.estimated_bytes, MARGIN + 1_000);
    assert_eq!(loss.ended_by(moment(1004.0).mono).estimated_bytes, MARGIN + 200);
    assert_eq!(loss.ended_by(moment(9000.0).mono), loss);
    assert_eq!(loss.ended_by(moment(1.0).mono).estimated_bytes, MARGIN);
    // What was told at a moment grows from there, and a worse word of then changes nothing.
    let fenced = loss.ended_by(moment(1004.0).mono);
    let later = loss.ended_by(moment(1009.0).mono);
    assert_eq!(later.told(70, moment(1008.5).mono).estimated_bytes, MARGIN + 120);
    assert_eq!(fenced.told(1 << 30, moment(1003.5).mono), fenced);
    // Who has seen it since knows better.
    assert_eq!(loss.told(0, moment(1001.5).mono), loss);
}

#[test]
fn a_burst_of_long_ago_says_nothing_of_the_last_second() {
    let mut paper = healthy();
    paper.wait(1.0);
    paper.read(A, &primary(1, 50_000_200));
    for second in 1..=6 {
        paper.wait(1.0);
        paper.read(A, &primary(1, 50_000_200 + 10 * second));
    }
    paper.fail(A, Cause::Timeout);
    paper.wait(2.0);
    for node in [B, C] {
        paper.read(node, &standby(1, 50_000_260, 50_000_260));
    }
    assert_eq!(told(&paper).estimated_bytes, MARGIN + 20);
}
