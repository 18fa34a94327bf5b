//! Which server a node is: one of another system, or one under two names.

use super::*;

#[test]
fn a_node_of_another_system_is_never_compared() {
    let mut paper = healthy();
    paper.wait(1.0);
    paper.read(A, &primary(1, 300));
    paper.read(B, &Says { system: "8", ..standby(1, 300, 300) });
    paper.read(C, &Says { system: "8", ..primary(3, 900) });
    assert_eq!(paper.lag(B).0, Err(Unknown::ForeignSystem));
    assert_eq!(paper.assess().primary.as_deref(), Some("a"));
    assert_eq!(paper.assess().split_brain, Verdict::No);
}

#[test]
fn a_server_under_two_names_is_no_second_primary_and_no_standby() {
    let mut paper = Paper::new();
    for flush in 1..10 {
        let says = primary(1, flush * 0x1000);
        paper.read(A, &says);
        paper.read(B, &Says { twin_of: Some(A), ..says });
        paper.read(C, &standby(1, flush * 0x1000, flush * 0x1000));
        paper.wait(1.0);
    }
    let assessment = paper.assess();
    assert_eq!((assessment.primaries, assessment.split_brain), (1, Verdict::No));
    assert_eq!(assessment.primary.as_deref(), Some("a"));
    assert_eq!(paper.lag(B), (Err(Unknown::SameServer), Err(Unknown::SameServer)));
    assert!(paper.lag(C).0.is_ok(), "the others are measured all the same");
    assert!(!assessment.standbys.iter().any(|standby| standby.standby == "b" && standby.connected));
}

#[test]
fn a_node_made_anew_is_a_stranger_and_nothing_is_remembered_of_what_it_was() {
    let mut paper = healthy();
    assert!(paper.assess().nodes.iter().all(|node| node.lineage.foreign_system == Verdict::No));
    paper.fail(B, Cause::Refused);
    assert_eq!(paper.assess().nodes[B].lineage.foreign_system, Verdict::Unknown, "it may come back as anything");
    paper.wait(1.0);
    paper.read(A, &primary(1, 200));
    paper.read(B, &Says { system: "8", ..primary(9, 900) });
    paper.read(C, &standby(1, 200, 200));
    let assessment = paper.assess();
    assert_eq!(assessment.nodes[B].lineage.foreign_system, Verdict::Yes);
    assert_eq!((assessment.primaries, assessment.split_brain), (1, Verdict::No));
    assert_eq!(assessment.timeline, Some(crate::pg::lsn::Timeline(1)), "a stranger's timeline is not ours");
    assert_eq!(assessment.timeline_switches, 0);
    // Made anew from the primary.
    paper.wait(1.0);
    paper.read(A, &primary(1, 200));
    paper.read(B, &Says { streaming: None, ..standby(1, 200, 200) });
    let node = &paper.assess().nodes[B];
    assert_eq!((node.lineage.foreign_system, paper.cluster.memory().node("b").timeline.unwrap().0), (Verdict::No, 1));
}

#[test]
fn a_stranger_that_answers_while_the_others_are_down_does_not_become_the_cluster() {
    let kept = serde_json::to_string(healthy().cluster.memory()).unwrap();
    let mut paper = Paper::remembering(serde_json::from_str(&kept).unwrap(), 1010.0);
    paper.wait(1.0);
    // pgvigil was started anew: nothing was read of a and b since.
    paper.read(C, &Says { system: "8", ..primary(1, 900) });
    paper.fail(A, Cause::Refused);
    paper.fail(B, Cause::Refused);
    assert_eq!(paper.assess().nodes[C].lineage.foreign_system, Verdict::Yes);
    assert_eq!(paper.cluster.memory().system_identifier.as_deref(), Some("7"));
    // Once every node is of the new system, that is the cluster.
    paper.wait(1.0);
    for (node, says) in [(A, primary(1, 900)), (B, standby(1, 900, 900)), (C, standby(1, 900, 900))] {
        paper.read(node, &Says { system: "8", ..says });
    }
    paper.wait(1.0);
    paper.read(A, &Says { system: "8", ..primary(1, 900) });
    assert!(paper.assess().nodes.iter().all(|node| node.lineage.foreign_system == Verdict::No));
}
