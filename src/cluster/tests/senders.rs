//! Who is a standby, how long ago it replied, how often it came back, and who feeds it.

use super::*;
use crate::cluster::cluster_samples;
use crate::cluster::upstream::Upstream;
use crate::metric::sample::{Samples, Value};

/// Standbys by their walsenders on one node: pid and name, all with the same position and reply time.
fn feeding(says: Says, rows: &[(i32, &'static str)], reply: f64) -> Says {
    let lsn = if says.standby { says.receive.unwrap() } else { says.flush };
    Says { walsenders: rows.iter().map(|(pid, name)| (*pid, *name, lsn, lsn, reply)).collect(), ..says }
}

/// A standby whose walreceiver connected to this host.
fn dialled(host: &'static str) -> Says {
    Says { sender_host: Some(host), receiver_pid: 7, ..standby(1, 200, 200) }
}

fn upstream(paper: &Paper, node: usize) -> Option<Upstream> {
    paper.assess().nodes[node].upstream.clone()
}

fn node(name: &str) -> Option<Upstream> {
    Some(Upstream::Node(name.to_owned()))
}

/// Two rounds of readings, so that what one says the others can deny.
fn rounds(a: &Says, b: &Says, c: &Says) -> Paper {
    let mut paper = Paper::new();
    for _ in 0..2 {
        paper.wait(1.0);
        for (node, says) in [(A, a), (B, b), (C, c)] {
            paper.read(node, says);
        }
    }
    paper
}

fn value(paper: &Paper, name: &str, labels: &[&str]) -> Option<f64> {
    let mut samples = Samples::default();
    cluster_samples(&paper.cluster, paper.now, &mut samples);
    let found =
        samples.iter().find(|sample| sample.family.name == name && sample.labels().skip(1).eq(labels.iter().copied()));
    match found?.value {
        Value::Number(number) => Some(*number),
        Value::Histogram(_) => None,
    }
}

#[test]
fn a_walsender_names_the_upstream_whatever_was_dialled() {
    let paper = rounds(
        &feeding(primary(1, 200), &[(1, "b")], 5.0),
        &feeding(dialled("proxy.example"), &[(2, "c")], 5.0),
        &dialled("a.example"),
    );
    assert_eq!((upstream(&paper, A), upstream(&paper, B), upstream(&paper, C)), (None, node("a"), node("b")));
    let of_c = |word: &str| value(&paper, "pgvigil_standby_upstream", &["c", word]);
    let words = ["a", "b", "other", "none", "unknown"].map(|word| of_c(word).unwrap());
    assert_eq!(words, [0.0, 1.0, 0.0, 0.0, 0.0]);
    assert_eq!(of_c("c"), None);
    assert_eq!(value(&paper, "pgvigil_standby_upstream", &["a", "none"]), None, "a primary has none to be fed by");
}

#[test]
fn a_standby_without_a_walreceiver_has_no_upstream_though_a_walsender_lingers() {
    let alone = Says { streaming: None, ..standby(1, 200, 200) };
    let paper = rounds(&feeding(primary(1, 200), &[(1, "b")], 5.0), &alone, &standby(1, 200, 200));
    assert_eq!(upstream(&paper, B), Some(Upstream::None));
}

#[test]
fn without_a_walsender_of_its_name_the_address_tells_if_it_can_be_true() {
    // The default name, which says nothing: one of the two it must be.
    let nameless = feeding(primary(1, 200), &[(1, "walreceiver")], 5.0);
    let paper = rounds(&nameless, &dialled("A.Example"), &dialled("proxy.example"));
    assert_eq!((upstream(&paper, B), upstream(&paper, C)), (node("a"), Some(Upstream::Unknown)));

    // Nobody in the cluster feeds anybody.
    let paper = rounds(&primary(1, 200), &dialled("a.example"), &dialled("elsewhere.example"));
    assert_eq!((upstream(&paper, B), upstream(&paper, C)), (Some(Upstream::Unknown), Some(Upstream::Other)));
    // A node's own address, where a tunnel begins, makes it no upstream of itself.
    let paper = rounds(&primary(1, 200), &dialled("b.example"), &standby(1, 200, 200));
    assert_eq!(upstream(&paper, B), Some(Upstream::Other));

    // The upstream says nothing: the standby's word is all there is.
    let mut paper = rounds(&primary(1, 200), &dialled("a.example"), &dialled("elsewhere.example"));
    paper.fail(A, Cause::Timeout);
    assert_eq!((upstream(&paper, B), upstream(&paper, C)), (node("a"), Some(Upstream::Unknown)));
}

#[test]
fn a_reading_from_before_the_walreceiver_denies_nothing() {
    let mut paper = rounds(&primary(1, 200), &Says { streaming: None, ..dialled("x.example") }, &standby(1, 200, 200));
    paper.wait(0.5);
    paper.read(B, &dialled("x.example"));
    assert_eq!(upstream(&paper, B), Some(Upstream::Unknown), "the others were read before it connected");
    paper.wait(0.5);
    for (node, says) in [(A, primary(1, 200)), (C, standby(1, 200, 200))] {
        paper.read(node, &says);
    }
    assert_eq!(upstream(&paper, B), Some(Upstream::Other));
}

#[test]
fn of_two_that_claim_a_standby_the_address_decides_or_who_heard_from_it() {
    let claim = |reply: f64| feeding(primary(1, 200), &[(1, "b")], reply);
    let also = |reply: f64| feeding(standby(1, 200, 200), &[(9, "b")], reply);
    let paper = rounds(&claim(5.0), &dialled("c.example"), &also(5.0));
    assert_eq!(upstream(&paper, B), node("c"));

    // It moved from a to c behind a proxy: a is told nothing any more.
    let mut paper = rounds(&claim(1000.0), &dialled("proxy.example"), &also(1000.0));
    assert_eq!(upstream(&paper, B), Some(Upstream::Unknown));
    for second in 0..25 {
        paper.wait(1.0);
        paper.read(A, &claim(1000.0));
        paper.read(B, &dialled("proxy.example"));
        paper.read(C, &also(1002.0 + f64::from(second)));
    }
    assert_eq!(upstream(&paper, B), node("c"));
}

#[test]
fn a_walsender_that_was_left_behind_gives_way_to_what_was_dialled() {
    // b went from a to c, which does not know it by name; a has not noticed.
    let left = feeding(primary(1, 200), &[(1, "b")], 1000.0);
    let new = feeding(standby(1, 200, 200), &[(9, "walreceiver")], 1000.0);
    let mut paper = rounds(&left, &dialled("c.example"), &new);
    assert_eq!(upstream(&paper, B), Some(Upstream::Unknown), "either may be true");
    for _ in 0..25 {
        paper.wait(1.0);
        for (node, says) in [(A, &left), (B, &dialled("c.example")), (C, &new)] {
            paper.read(node, says);
        }
    }
    assert_eq!(upstream(&paper, B), node("c"));
    // What is not seen contradicts nobody.
    paper.fail(C, Cause::Timeout);
    assert_eq!(upstream(&paper, B), node("a"));
}

#[test]
fn a_standby_that_says_nothing_is_fed_by_who_streams_to_it() {
    let mut paper = rounds(&feeding(primary(1, 200), &[(1, "b")], 5.0), &dialled("a.example"), &standby(1, 200, 200));
    paper.fail(B, Cause::Timeout);
    assert_eq!(upstream(&paper, B), node("a"));
    paper.read(A, &primary(1, 200));
    assert_eq!(upstream(&paper, B), Some(Upstream::Unknown));
    paper.wait(60.0);
    assert_eq!(upstream(&paper, C), Some(Upstream::Unknown), "nothing is fresh");
}

#[test]
fn the_age_of_a_reply_grows_on_our_clock_until_the_next_one() {
    let mut paper = Paper::new();
    let age = |paper: &Paper| value(paper, "pgvigil_walsender_reply_age_seconds", &["a", "b"]);
    let ratio = |paper: &Paper| value(paper, "pgvigil_walsender_reply_age_ratio", &["a", "b"]);
    let round = |paper: &mut Paper, reply: f64| {
        paper.wait(1.0);
        paper.read(A, &feeding(primary(1, 200), &[(1, "b")], reply));
        paper.read(B, &standby(1, 200, 200));
        paper.read(C, &standby(1, 200, 200));
    };
    // Its clock says that the reply is an hour old: when it came nobody saw.
    round(&mut paper, -2600.0);
    assert_eq!((age(&paper), ratio(&paper)), (None, None));
    round(&mut paper, -2599.0);
    assert_eq!(age(&paper), Some(0.0));
    for _ in 0..30 {
        round(&mut paper, -2599.0);
    }
    assert_eq!((age(&paper), ratio(&paper)), (Some(30.0), Some(0.5)), "of a wal_sender_timeout of 60 s");
    paper.wait(0.5);
    assert_eq!(age(&paper), Some(30.5));
    round(&mut paper, -2598.0);
    assert_eq!(age(&paper), Some(0.0));
}

#[test]
fn reconnects_are_counted_from_0_by_who_was_expected() {
    let mut paper = healthy();
    let count = |paper: &Paper, standby: &str| value(paper, "pgvigil_walsender_reconnects_total", &["a", standby]);
    assert_eq!((count(&paper, "b"), count(&paper, "c")), (Some(0.0), Some(0.0)), "before they ever connected");
    assert_eq!(count(&paper, "a"), None);
    for (pid, expected) in [(1, 0.0), (1, 0.0), (2, 1.0), (3, 2.0)] {
        paper.wait(1.0);
        paper.read(A, &feeding(primary(1, 200), &[(pid, "b"), (9, "stranger")], 5.0));
        assert_eq!(count(&paper, "b"), Some(expected));
    }
    assert_eq!(count(&paper, "stranger"), Some(0.0));
    paper.wait(1.0);
    paper.read(A, &primary(1, 200));
    paper.fail(A, Cause::Refused);
    paper.wait(60.0);
    assert_eq!((count(&paper, "b"), count(&paper, "stranger")), (Some(2.0), Some(0.0)), "no counter goes");
}

#[test]
fn restarts_of_a_walreceiver_are_counted_on_standbys_alone() {
    let mut paper = healthy();
    let count = |paper: &Paper, node: &str| value(paper, "pgvigil_wal_receiver_starts_total", &[node]);
    assert_eq!((count(&paper, "a"), count(&paper, "b")), (None, Some(0.0)));
    for (pid, expected) in [(0, 0.0), (8, 1.0), (8, 1.0), (9, 2.0)] {
        paper.wait(1.0);
        paper.read(B, &Says { receiver_pid: pid, ..standby(1, 200, 200) });
        assert_eq!(count(&paper, "b"), Some(expected), "{pid}");
    }
}

#[test]
fn what_copies_wal_is_no_standby_unless_it_was_configured() {
    let copies = |rows: &[(i32, &'static str)]| {
        let mut says = feeding(primary(1, 200), rows, 5.0);
        for row in &mut says.walsenders {
            // It reports a position that was written, and none that was replayed.
            row.3 = 0;
        }
        says
    };
    let mut paper = healthy();
    paper.wait(1.0);
    paper.read(A, &copies(&[(1, "pg_basebackup"), (2, "nightly"), (3, "c")]));
    let assessment = paper.assess();
    let standbys: Vec<_> = assessment.standbys.iter().map(|standby| standby.standby.as_str()).collect();
    assert_eq!(standbys, ["b", "c"], "neither the backup's stream nor nightly");
    assert!(assessment.standbys[1].connected, "c is one of ours");
    assert_eq!(paper.cluster.memory().node("c").told, None, "yet what never replays says nothing of where c stands");
}

#[test]
fn a_base_backup_that_fills_a_members_slot_is_not_yet_that_member() {
    let mut paper = healthy();
    let connected = |paper: &Paper| {
        let assessment = paper.assess();
        assessment.standbys.iter().find(|standby| standby.standby == "b").unwrap().connected
    };
    let mut says = feeding(primary(1, 200), &[(1, "pg_basebackup")], 5.0);
    says.slots = vec![("b", 1)];
    says.walsenders[0].3 = 0;
    let gone = Says { streaming: None, ..standby(1, 200, 200) };
    paper.wait(1.0);
    paper.read(B, &gone);
    paper.read(A, &says);
    assert!(!connected(&paper));
    // The standby itself may call itself anything: it replays.
    says.walsenders[0].3 = 100;
    paper.read(A, &says);
    assert!(connected(&paper));
}

#[test]
fn no_series_is_told_twice_where_names_are() {
    let twice = feeding(primary(1, 200), &[(1, "b"), (2, "b"), (3, "walreceiver"), (4, "walreceiver")], 5.0);
    let paper = rounds(&twice, &feeding(dialled("a.example"), &[(5, "walreceiver")], 5.0), &standby(1, 200, 200));
    let mut samples = Samples::default();
    cluster_samples(&paper.cluster, paper.now, &mut samples);
    let mut seen = std::collections::BTreeSet::new();
    for sample in samples.iter() {
        assert!(seen.insert((sample.family.name, sample.labels().collect::<Vec<_>>())), "{sample:?}");
    }
    assert!(seen.iter().any(|(name, labels)| *name == "pgvigil_standby_name_conflict" && labels[1] == "b"));
}
