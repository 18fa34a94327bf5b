//! A node that we lost and a standby hears: lost is one thing, dead another.

use super::healthy;
use super::paper::{A, B, C, Paper, Says, moment, primary, standby};
use crate::pg::failure::Cause;

/// A standby of `a` at 200 that heard its upstream at `came`; what it heard was sent a moment before.
fn hears(came: f64) -> Says {
    Says { sender_host: Some("a.example"), message: Some((came - 0.001, came)), ..standby(1, 200, 200) }
}

/// The cluster on paper, now: in seconds.
fn now(paper: &Paper) -> f64 {
    paper.now.wall.as_seconds()
}

/// The healthy cluster, with `b` and `c` fed by `a` and reading messages of it as they come.
fn fed() -> Paper {
    let mut paper = healthy();
    paper.wait(1.0);
    let at = now(&paper);
    paper.read(A, &primary(1, 200));
    paper.read(B, &hears(at));
    paper.read(C, &hears(at));
    paper
}

/// A second goes by; `a` fails, `b` says this, `c` has no walreceiver.
fn second(paper: &mut Paper, b: impl Fn(f64) -> Says) {
    paper.wait(1.0);
    let at = now(paper);
    // One outage shows itself in many ways.
    paper.fail(A, if at.rem_euclid(2.0) < 1.0 { Cause::Timeout } else { Cause::Refused });
    paper.read(B, &b(at));
    paper.read(C, &Says { streaming: None, ..standby(1, 200, 200) });
}

fn witnessed(paper: &Paper) -> [bool; 3] {
    let nodes = paper.assess().nodes;
    [A, B, C].map(|node| nodes[node].witnessed)
}

#[test]
fn of_two_moments_that_a_message_may_have_come_the_earlier_counts() {
    for (trip, proven) in [(0.5, true), (1.5, false)] {
        let mut paper = fed();
        second(&mut paper, hears);
        // It came a second after the loss if the server looked at its clock at the end of the reading, and before it if not.
        second(&mut paper, |at| Says { trip, ..hears(at) });
        assert_eq!(witnessed(&paper)[A], proven, "of the standby: {trip} s");
        let mut paper = fed();
        paper.read(A, &Says { trip, ..primary(1, 200) });
        second(&mut paper, hears);
        second(&mut paper, hears);
        assert_eq!(witnessed(&paper)[A], proven, "of the node: {trip} s");
    }
}

#[test]
fn who_is_up_needs_no_witness() {
    let mut paper = fed();
    for _ in 0..3 {
        paper.wait(1.0);
        let at = now(&paper);
        paper.read(A, &primary(1, 200));
        paper.read(B, &hears(at));
        paper.read(C, &hears(at));
        assert_eq!(witnessed(&paper), [false; 3]);
    }
}

#[test]
fn cut_off_from_us_alone_with_traffic() {
    let mut paper = fed();
    second(&mut paper, |at| hears(at - 0.1));
    assert_eq!(witnessed(&paper), [false; 3], "it came before we knew");
    for _ in 0..100 {
        second(&mut paper, |at| hears(at - 0.1));
        assert_eq!(witnessed(&paper), [true, false, false]);
    }
    // Reached again, and lost again: what proved that it lived then proves nothing now.
    paper.wait(1.0);
    paper.read(A, &primary(1, 200));
    paper.read(B, &hears(paper.now.wall.as_seconds()));
    assert_eq!(witnessed(&paper), [false; 3]);
    let last = now(&paper) + 0.5;
    second(&mut paper, |_| hears(last));
    assert_eq!(witnessed(&paper), [false; 3]);
}

#[test]
fn cut_off_from_us_alone_and_idle() {
    let mut paper = fed();
    let (last, mut seen) = (now(&paper), Vec::new());
    for _ in 0..100 {
        // The receiver asks each half of its timeout, and is answered.
        second(&mut paper, |at| hears(last + 30.0 * ((at - last) / 30.0).floor()));
        seen.push(witnessed(&paper)[A]);
    }
    assert!(seen[..29].iter().all(|seen| !seen) && seen[29..].iter().all(|seen| *seen), "{seen:?}");
}

#[test]
fn killed() {
    let mut paper = fed();
    // What came in the last moment, and a walreceiver that is seen before it sees the end.
    let last = now(&paper) + 0.999;
    paper.wait(1.0);
    paper.fail(A, Cause::Refused);
    paper.read(B, &hears(last));
    paper.read(C, &hears(last));
    assert_eq!(witnessed(&paper), [false; 3]);
    // What was under way is taken in late: it was sent before the end.
    for _ in 0..3 {
        paper.wait(1.0);
        paper.fail(A, Cause::Refused);
        let late = Says { message: Some((last, now(&paper))), ..hears(0.0) };
        paper.read(B, &late);
        paper.read(C, &late);
        assert_eq!(witnessed(&paper), [false; 3]);
    }
    // New walreceivers, which have heard nothing: both of their times are that of their start.
    for pid in 1..=60 {
        second(&mut paper, |at| Says { message: Some((at, at)), receiver_pid: pid, ..hears(0.0) });
        assert_eq!(witnessed(&paper), [false; 3]);
    }
}

#[test]
fn frozen() {
    let mut paper = fed();
    // The last message comes before the deadline of the query passes.
    let last = now(&paper) + 0.9;
    for _ in 0..60 {
        second(&mut paper, |_| hears(last));
        assert_eq!(witnessed(&paper), [false; 3]);
    }
}

#[test]
fn frozen_with_much_under_way_to_a_slow_standby() {
    let mut paper = fed();
    let last = now(&paper);
    for _ in 0..60 {
        // It goes on reading what was sent before.
        second(&mut paper, |at| Says { message: Some((last + (at - last) / 100.0, at)), ..hears(0.0) });
        assert_eq!(witnessed(&paper), [false; 3]);
    }
}

#[test]
fn cut_off_and_then_dead() {
    let mut paper = fed();
    for _ in 0..10 {
        second(&mut paper, hears);
    }
    assert!(witnessed(&paper)[A]);
    let last = now(&paper);
    // Its host is gone, and nobody tells the receiver: three quarters of its timeout.
    for after in 1..=60 {
        second(&mut paper, |_| hears(last));
        assert_eq!(witnessed(&paper)[A], after < 45, "{after} s");
    }
    // The receiver of one that is killed ends at once.
    let mut paper = fed();
    for _ in 0..10 {
        second(&mut paper, hears);
    }
    second(&mut paper, |_| Says { streaming: None, ..standby(1, 200, 200) });
    assert_eq!(witnessed(&paper), [false; 3]);
}

#[test]
fn a_standby_without_a_timeout_is_held_to_the_default() {
    for (timeout, stands) in [(4, 3), (0, 45), (600, 450)] {
        let mut paper = fed();
        let hears = |at| Says { receiver_timeout: Some(timeout), ..hears(at) };
        second(&mut paper, hears);
        second(&mut paper, hears);
        let last = now(&paper);
        for after in 1..=500 {
            second(&mut paper, |_| hears(last));
            assert_eq!(witnessed(&paper)[A], after < stands, "{timeout}: {after} s");
        }
    }
}

#[test]
fn a_cascade_behind_another_standby_is_no_witness() {
    let mut paper = fed();
    for _ in 0..10 {
        paper.wait(1.0);
        paper.fail(A, Cause::Timeout);
        let at = now(&paper);
        let walsenders = vec![(42, "b", 200, 200, at)];
        // b hears c, and c hears nobody.
        paper.read(C, &Says { walsenders, ..hears(1003.0) });
        paper.read(B, &Says { sender_host: Some("c.example"), ..hears(at) });
        assert_eq!(witnessed(&paper), [false; 3]);
    }
    // c itself is one, for a and for nobody else.
    paper.wait(1.0);
    paper.fail(A, Cause::Timeout);
    let at = now(&paper);
    paper.read(C, &Says { walsenders: vec![(42, "b", 200, 200, at)], ..hears(at) });
    assert_eq!(witnessed(&paper), [true, false, false]);
}

#[test]
fn whom_a_standby_hears_must_be_known() {
    for sender_host in [None, Some("elsewhere.example"), Some("c.example")] {
        let mut paper = fed();
        for _ in 0..5 {
            second(&mut paper, |at| Says { sender_host, ..hears(at) });
            assert_eq!(witnessed(&paper), [false; 3], "{sender_host:?}");
        }
    }
}

#[test]
fn a_standby_that_is_not_read_is_no_witness() {
    let mut paper = fed();
    second(&mut paper, hears);
    second(&mut paper, hears);
    assert!(witnessed(&paper)[A]);
    for after in 1..=10 {
        paper.wait(1.0);
        paper.fail(A, Cause::Timeout);
        assert_eq!(witnessed(&paper)[A], after <= 3, "{after} s");
    }
    paper.read(B, &hears(now(&paper)));
    assert!(witnessed(&paper)[A]);
    // Nor one whose receiver was not read with the rest.
    paper.wait(1.0);
    paper.fail(A, Cause::Timeout);
    paper.read_without(B, &hears(now(&paper)), "wal_receiver");
    assert_eq!(witnessed(&paper), [false; 3]);
    paper.read(B, &hears(now(&paper)));
    assert!(witnessed(&paper)[A]);
    // Nor one whose timeout is not known.
    paper.refuse(B, "settings");
    assert_eq!(witnessed(&paper), [false; 3]);
}

#[test]
fn a_standby_whose_clock_was_set_back_is_no_witness() {
    let mut paper = fed();
    let last = now(&paper);
    for _ in 0..60 {
        second(&mut paper, |at| Says { message: Some((last, at + 3600.0)), ..hears(0.0) });
        assert_eq!(witnessed(&paper), [false; 3]);
    }
    // Nor where we have never read the node, and cannot tell when it was sent.
    let mut paper = Paper::new();
    let last = now(&paper) + 3600.0;
    for _ in 0..60 {
        second(&mut paper, |_| hears(last));
        assert_eq!(witnessed(&paper), [false; 3]);
    }
}

#[test]
fn a_walreceiver_that_does_not_stream_is_no_witness() {
    let mut paper = fed();
    second(&mut paper, hears);
    for (status, proven) in [("streaming", true), ("waiting", false), ("stopping", false), ("streaming", true)] {
        second(&mut paper, |at| Says { receiver_status: Some(status), ..hears(at) });
        assert_eq!(witnessed(&paper)[A], proven, "{status}");
    }
}

#[test]
fn we_start_again_in_the_middle() {
    let mut paper = fed();
    second(&mut paper, hears);
    let kept = serde_json::to_string(paper.cluster.memory()).unwrap();
    let last = now(&paper) + 9.0;
    let mut paper = Paper::remembering(serde_json::from_str(&kept).unwrap(), now(&paper) + 10.0);
    // Nothing is known of when it was lost: our first failure counts.
    second(&mut paper, |_| hears(last));
    assert_eq!(witnessed(&paper), [false; 3]);
    second(&mut paper, |at| hears(at - 0.1));
    assert_eq!(witnessed(&paper), [true, false, false]);
    assert!(paper.assess().nodes[A].last_primary, "and who it was is remembered");
}

#[test]
fn our_own_clock_stood_still() {
    let mut paper = fed();
    for _ in 0..3 {
        second(&mut paper, hears);
    }
    assert!(witnessed(&paper)[A]);
    let last = now(&paper) + 10.0;
    paper.now = moment(now(&paper) + 20.0);
    assert_eq!(witnessed(&paper), [false; 3], "we know nothing");
    assert!(paper.cluster.tick(paper.now));
    // What was heard meanwhile may have been before another end.
    second(&mut paper, |_| hears(last));
    assert_eq!(witnessed(&paper), [false; 3]);
    second(&mut paper, hears);
    assert_eq!(witnessed(&paper), [true, false, false]);
}

#[test]
fn the_last_primary_is_one_node_until_another_takes_over() {
    let last = |paper: &Paper| {
        let nodes = paper.assess().nodes;
        [A, B, C].map(|node| nodes[node].last_primary)
    };
    let mut paper = Paper::new();
    paper.wait(1.0);
    for node in [A, B, C] {
        paper.fail(node, Cause::Refused);
    }
    assert_eq!(last(&paper), [false; 3], "none was seen");
    let mut paper = fed();
    for _ in 0..30 {
        second(&mut paper, hears);
        assert_eq!(last(&paper), [true, false, false]);
    }
    // b takes over; then a comes back and writes on the old timeline.
    paper.wait(1.0);
    paper.read(B, &Says { replay: Some(200), receive: Some(200), ..primary(2, 260) });
    assert_eq!(last(&paper), [false, true, false]);
    paper.read(A, &primary(1, 300));
    assert_eq!(last(&paper), [false, true, false]);
}
