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
