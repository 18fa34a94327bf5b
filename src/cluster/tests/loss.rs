//! Whom a failover would choose, and what it would lose.

use super::*;
use crate::cluster::loss::Loss;

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
fn the_estimated_loss_grows_until_the_last_backend_must_be_gone() {
    let mut paper = healthy();
    let read = |paper: &mut Paper| {
        paper.read(B, &standby(1, 200, 200));
        paper.read(C, &standby(1, 200, 200));
        told(paper)
    };
    paper.fail(A, Cause::Timeout);
    paper.wait(5.0);
    let silent = read(&mut paper);
    assert_eq!((silent.seen_bytes, silent.estimated_bytes, silent.estimated_seconds), (0, 500, Some(5.0)));
    // Refused: nobody listens there any more; orphans of a killed postmaster may commit for two seconds.
    paper.fail(A, Cause::Refused);
    assert_eq!(read(&mut paper).estimated_bytes, 500);
    paper.wait(10.0);
    assert_eq!(read(&mut paper).estimated_bytes, 700);
}

#[test]
fn a_primary_that_is_only_cut_off_from_us_goes_on_writing() {
    for cause in [Cause::NoRoute, Cause::Dns, Cause::Closed, Cause::Denied] {
        let mut paper = healthy();
        paper.fail(A, cause);
        paper.wait(20.0);
        paper.read(B, &standby(1, 200, 200));
        paper.read(C, &standby(1, 200, 200));
        assert_eq!(told(&paper).estimated_bytes, 2_000, "{cause}");
    }
}
