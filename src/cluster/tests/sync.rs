//! The quorum on paper.

use super::paper::{A, B, C, Paper, Says, moment, primary, standby};
use crate::cluster::memory::Memory;
use crate::cluster::sync::SyncState::{self, Off, Satisfied, Unknown, Unsatisfied};
use crate::pg::failure::Cause;

/// `a` with this setting and a walsender for each name, read once with its standbys.
fn paper(sync_names: &'static str, walsenders: &[&'static str]) -> (Paper, Says) {
    let mut paper = Paper::remembering(Memory::default(), 1000.0);
    let walsenders = walsenders.iter().enumerate().map(|(index, name)| (index as i32 + 10, *name, 100, 100, 1000.0));
    let a = Says { sync_names, walsenders: walsenders.collect(), ..primary(1, 100) };
    paper.wait(1.0);
    paper.read(A, &a);
    paper.read(B, &standby(1, 100, 100));
    paper.read(C, &standby(1, 100, 100));
    (paper, a)
}

fn verdict(paper: &Paper) -> (SyncState, Option<i64>) {
    let quorum = paper.assess().nodes[A].sync.clone().unwrap();
    assert_eq!(quorum.unknown_because.is_some(), quorum.state == Unknown, "{quorum:?}");
    (quorum.state, quorum.spare)
}

#[test]
fn standbys_are_counted_as_the_server_counts_them() {
    for (names, walsenders, expected) in [
        ("", &["b", "c"][..], (Off, None)),
        ("b", &["b", "c"], (Satisfied, Some(0))),
        ("b, c", &["B", "c"], (Satisfied, Some(1))),
        ("FIRST 2 (b, c)", &["b"], (Unsatisfied, Some(-1))),
        ("FIRST 3 (b, c)", &["b", "c"], (Unsatisfied, Some(-1))),
        ("ANY 1 (b, c)", &["c"], (Satisfied, Some(0))),
        ("ANY 2 (b, c)", &[], (Unsatisfied, Some(-2))),
        ("*", &["b", "c", "x"], (Satisfied, Some(2))),
        ("ANY 2 (b)", &["b", "b"], (Satisfied, Some(0))),
        ("nobody", &["b"], (Unsatisfied, Some(-1))),
        ("b c", &["b"], (Unknown, None)),
    ] {
        assert_eq!(verdict(&paper(names, walsenders).0), expected, "{names:?} {walsenders:?}");
    }
}

#[test]
fn a_standby_has_no_quorum() {
    let (paper, _) = paper("b", &["b"]);
    assert!(paper.assess().nodes[B].sync.is_none() && paper.assess().nodes[C].sync.is_none());
}

#[test]
fn a_node_that_became_a_standby_has_none_any_more() {
    let (mut paper, a) = paper("b", &["b"]);
    paper.wait(1.0);
    paper.read(A, &Says { sync_names: "b", walsenders: a.walsenders, ..standby(1, 100, 100) });
    assert!(!paper.assess().nodes[A].is_primary && paper.assess().nodes[A].sync.is_none());
}

#[test]
fn without_fresh_facts_it_is_unknown() {
    let (mut failed, _) = paper("b", &["b"]);
    failed.fail(A, Cause::Refused);
    assert_eq!(verdict(&failed), (Unknown, None));

    let (mut silent, _) = paper("b", &["b"]);
    silent.wait(5.0);
    assert_eq!(verdict(&silent), (Unknown, None));

    let (mut refused, _) = paper("b", &["b"]);
    refused.refuse(A, "sync");
    assert_eq!(verdict(&refused), (Unknown, None), "the setting");

    let (mut blind, _) = paper("b", &["b"]);
    blind.now = moment(blind.now.wall.as_seconds() + 60.0);
    assert_eq!(verdict(&blind), (Unknown, None));
}

#[test]
fn without_walsenders_to_see_it_is_unknown_and_not_unsatisfied() {
    let (mut paper, a) = paper("b", &["b"]);
    paper.wait(1.0);
    paper.read_without(A, &a, "walsenders");
    assert_eq!(verdict(&paper), (Unknown, None));
}

#[test]
fn the_setting_is_as_old_as_a_slow_reading_may_be() {
    let (mut paper, a) = paper("b", &["b"]);
    for second in 1..=31 {
        paper.wait(1.0);
        paper.read_without(A, &a, "sync");
        paper.read(B, &standby(1, 100, 100));
        paper.read(C, &standby(1, 100, 100));
        let expected = if second <= 30 { (Satisfied, Some(0)) } else { (Unknown, None) };
        assert_eq!(verdict(&paper), expected, "{second}");
    }
}
