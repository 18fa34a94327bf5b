//! Who could take over, and each reason that stands in the way.

use super::*;

fn verdict(paper: &Paper, node: usize) -> (Verdict, Vec<&'static str>) {
    let promotable = paper.assess().nodes[node].promotable.clone().unwrap();
    (promotable.verdict, promotable.reasons.iter().map(|reason| reason.as_str()).collect())
}

/// `b` says this in a cluster that is well else.
fn with_b(says: &Says) -> Paper {
    let mut paper = healthy();
    paper.wait(1.0);
    paper.read(A, &primary(1, 200));
    paper.read(B, says);
    paper.read(C, &standby(1, 200, 200));
    paper
}

fn well() -> Says {
    standby(1, 200, 200)
}

#[test]
fn a_healthy_standby_is_promotable_with_the_primary_and_without() {
    let mut paper = with_b(&well());
    assert_eq!((verdict(&paper, B), verdict(&paper, C)), ((Verdict::Yes, vec![]), (Verdict::Yes, vec![])));
    assert_eq!(paper.assess().nodes[A].promotable, None, "the primary");
    paper.fail(A, Cause::Refused);
    paper.wait(1.0);
    paper.read(B, &Says { streaming: None, ..well() });
    paper.read(C, &Says { streaming: None, ..well() });
    assert_eq!((verdict(&paper, B), verdict(&paper, C)), ((Verdict::Yes, vec![]), (Verdict::Yes, vec![])));
}

#[test]
fn each_reason_forbids_or_leaves_open_by_itself() {
    let no = |reason| (Verdict::No, vec![reason]);
    for (says, expected) in [
        (Says { pause: Some("paused"), ..well() }, no("replay_paused")),
        (Says { pause: Some("pause requested"), ..well() }, no("replay_paused")),
        (Says { pause: Some("a word of tomorrow"), ..well() }, (Verdict::Unknown, vec!["facts_missing"])),
        (Says { apply_delay: 60, ..well() }, no("apply_delay")),
        (Says { conflict: true, ..well() }, no("replay_conflict")),
        (Says { system: "8", ..well() }, no("foreign_system")),
        (Says { twin_of: Some(A), ..well() }, no("same_server")),
    ] {
        assert_eq!(verdict(&with_b(&says), B), expected, "{:?}", expected.1);
    }
    // A backlog that takes too long, and one that does not.
    for (received, expected) in [(1 << 30, no("replay_backlog")), ((1 << 30) - 1, (Verdict::Yes, vec![]))] {
        let mut paper = Paper::new();
        let base = 1 << 32;
        paper.wait(1.0);
        paper.read(A, &primary(1, base + received));
        paper.read(B, &standby(1, base + received, base));
        paper.read(C, &standby(1, base + received, base + received));
        assert_eq!(verdict(&paper, B), expected);
    }
}

#[test]
fn several_reasons_are_all_told_and_no_wins_over_unknown() {
    let paper = with_b(&Says { apply_delay: 60, pause: Some("?"), conflict: true, ..well() });
    assert_eq!(verdict(&paper, B), (Verdict::No, vec!["facts_missing", "apply_delay", "replay_conflict"]));
}

#[test]
fn a_server_that_says_it_takes_nobody_is_no_and_one_that_we_cannot_read_is_unknown() {
    for cause in [Cause::Starting, Cause::NotConsistent, Cause::Stopping, Cause::HotStandbyOff] {
        let mut paper = with_b(&well());
        paper.fail(B, cause);
        assert_eq!(verdict(&paper, B), (Verdict::No, vec!["not_accepting_reads"]), "{cause}");
    }
    for cause in [Cause::Refused, Cause::Timeout, Cause::Password, Cause::ServerFull, Cause::Config] {
        let mut paper = with_b(&well());
        paper.fail(B, cause);
        assert_eq!(verdict(&paper, B), (Verdict::Unknown, vec!["not_observed"]), "{cause}");
    }
    let mut paper = with_b(&well());
    paper.now = moment(paper.now.wall.as_seconds() + 20.0);
    assert_eq!(verdict(&paper, B), (Verdict::Unknown, vec!["not_observed"]), "our own clock was late");
}

#[test]
fn a_fact_that_is_refused_leaves_it_open() {
    for collector in ["settings", "control", "replay_wait"] {
        let mut paper = with_b(&well());
        paper.refuse(B, collector);
        assert_eq!(verdict(&paper, B), (Verdict::Unknown, vec!["facts_missing"]), "{collector}");
    }
}

#[test]
fn one_that_is_behind_another_waits_until_the_readings_tell_an_order() {
    let mut paper = with_b(&Says { ..standby(1, 150, 150) });
    paper.read(C, &standby(1, 190, 190));
    assert_eq!(verdict(&paper, B).0, Verdict::Yes, "the primary is seen, and b is no later than a reading");
    paper.fail(A, Cause::Refused);
    assert_eq!(verdict(&paper, B), (Verdict::No, vec!["behind_other_standby"]));
    assert_eq!(verdict(&paper, C), (Verdict::Yes, vec![]));
    // Nobody asks one that is not seen.
    paper.fail(C, Cause::Refused);
    assert_eq!(verdict(&paper, B), (Verdict::Yes, vec![]));
}

#[test]
fn a_standby_that_lags_while_another_keeps_up_is_behind_it() {
    let mut paper = healthy();
    for second in 1..=5 {
        paper.wait(1.0);
        paper.read(A, &primary(1, 200 + second));
        paper.read(B, &standby(1, 200, 200));
        paper.read(C, &standby(1, 200 + second, 200 + second));
    }
    assert_eq!(verdict(&paper, B), (Verdict::No, vec!["behind_other_standby"]));
    assert_eq!(verdict(&paper, C), (Verdict::Yes, vec![]));
}

#[test]
fn after_a_promotion_who_did_not_follow_is_behind_or_diverged() {
    let promoted = Says { replay: Some(200), receive: Some(200), ..primary(2, 260) };
    for (c, expected) in [
        (standby(2, 260, 260), (Verdict::Yes, vec![])),
        (standby(1, 200, 200), (Verdict::No, vec!["timeline_behind"])),
        (standby(1, 230, 230), (Verdict::No, vec!["diverged", "timeline_behind"])),
        (Says { streaming: None, ..standby(1, 230, 230) }, (Verdict::Unknown, vec!["lag_unknown", "timeline_unknown"])),
    ] {
        let mut paper = healthy();
        paper.wait(1.0);
        paper.fail(A, Cause::Refused);
        paper.read(B, &promoted);
        paper.read(C, &c);
        assert_eq!(verdict(&paper, C), expected);
        paper.read(A, &primary(1, 200));
        assert_eq!(verdict(&paper, A), (Verdict::No, vec!["not_in_recovery"]), "the old primary is back");
    }
}

#[test]
fn what_feeds_it_counts() {
    // A cascade: b's walsender told of c.
    let mut paper = with_b(&Says { walsenders: vec![(7, "c", 200, 200, 1003.0)], ..well() });
    assert_eq!(verdict(&paper, C), (Verdict::No, vec!["cascading"]));
    // b was promoted: c is no cascade any more.
    paper.wait(1.0);
    paper.fail(A, Cause::Refused);
    paper.read(B, &Says { replay: Some(200), receive: Some(200), ..primary(2, 200) });
    paper.read(C, &standby(2, 200, 200));
    assert_eq!(verdict(&paper, C), (Verdict::Yes, vec![]));

    let archive = Says { receive: None, streaming: None, restore_command: true, ..well() };
    assert_eq!(verdict(&with_b(&archive), B), (Verdict::No, vec!["archive_only"]));
    // Not one that is only between two streams.
    assert_eq!(verdict(&with_b(&Says { receive: Some(200), ..archive }), B).0, Verdict::Yes);
}

#[test]
fn a_lost_slot_means_a_rebuild_where_nothing_else_can_feed_it() {
    let lost = |streaming, restore_command| {
        let mut paper = with_b(&Says { streaming, restore_command, ..well() });
        paper.read(A, &Says { lost_slot: Some("b"), ..primary(1, 200) });
        verdict(&paper, B)
    };
    assert_eq!(lost(None, false), (Verdict::No, vec!["needs_rebuild"]));
    assert_eq!(lost(None, true).0, Verdict::Yes, "the archive may have it");
    assert_eq!(lost(Some(1), false).0, Verdict::Yes, "it streams without the slot");
}

#[test]
fn with_synchronous_replication_only_one_that_confirmed_counts() {
    let rows = || vec![(1, "b", 200, 200, 1003.0), (2, "c", 200, 200, 1003.0)];
    let says = |names, state| {
        let mut paper = with_b(&well());
        paper.wait(0.1);
        paper.read(A, &Says { sync_names: names, sync_state: Some(state), walsenders: rows(), ..primary(1, 200) });
        paper
    };
    for (names, state, expected) in [
        ("b", "sync", Verdict::Yes),
        ("FIRST 1 (b, c)", "potential", Verdict::No),
        ("x", "async", Verdict::No),
        ("FIRST 1 (", "async", Verdict::Unknown),
        ("ANY 1 (b, c)", "quorum", Verdict::Yes),
        ("ANY 1 (b, c, d)", "quorum", Verdict::No),
        ("ANY 2 (b, c, d)", "quorum", Verdict::Yes),
        ("ANY 1 (*)", "quorum", Verdict::Yes),
        ("ANY 1 (c)", "quorum", Verdict::No),
    ] {
        let mut paper = says(names, state);
        assert_eq!(verdict(&paper, B).0, expected, "{names}: {:?}", verdict(&paper, B));
        // What was known last of a primary that is gone counts.
        paper.fail(A, Cause::Refused);
        assert_eq!(verdict(&paper, B).0, expected, "{names}, without the primary");
    }
    // One of two cannot know what the other alone confirmed.
    let mut paper = says("ANY 1 (b, c)", "quorum");
    paper.fail(C, Cause::Timeout);
    assert_eq!(verdict(&paper, B), (Verdict::No, vec!["not_synchronous"]));
    // A restart of ours forgets nothing of it; who never read it knows nothing.
    for (forgets, expected) in [(false, (Verdict::Yes, vec![])), (true, (Verdict::Unknown, vec!["synchrony_unknown"]))]
    {
        let mut kept = says("b", "sync").cluster.memory().clone();
        kept.promised = kept.promised.filter(|_| !forgets);
        let kept = serde_json::to_string(&kept).unwrap();
        let mut paper = Paper::remembering(serde_json::from_str(&kept).unwrap(), paper.now.wall.as_seconds() + 1.0);
        paper.wait(1.0);
        paper.fail(A, Cause::Refused);
        paper.read(B, &well());
        paper.read(C, &well());
        assert_eq!(verdict(&paper, B), expected);
    }
}
