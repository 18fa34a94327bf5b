//! What others see, beside what we see: who counts, for how long, and what it makes of a node.

use std::time::Duration;

use super::healthy;
use super::paper::{A, B, C, Paper, primary, standby};
use crate::cluster::observers::{Agreement, ObserverState, Others, Role, Sight, Silence, Told, states};
use crate::pg::failure::{Cause, NodeState};

const UP: NodeState = NodeState::Up;
const GONE: NodeState = NodeState::Unreachable;

/// The healthy cluster, with these observers configured.
fn watched_by(observers: &[&str]) -> Paper {
    let mut paper = healthy();
    let mut layout = paper.cluster.layout().clone();
    layout.observers = observers.iter().map(|name| (*name).to_owned()).collect();
    let all = layout.members.iter().map(|member| member.name.clone()).collect();
    paper.cluster.relayout(layout, &all);
    paper
}

/// What a process says that saw each of `nodes` so many seconds ago.
fn says(paper: &Paper, instance: &str, nodes: &[(&str, NodeState, Role, f64)]) -> Told {
    let sight = |(name, state, role, age): &(&str, NodeState, Role, f64)| {
        let seen = Some(paper.now.mono.minus(Duration::from_secs_f64(*age)));
        ((*name).to_owned(), Sight { state: *state, role: *role, seen, since: seen })
    };
    Told { instance: instance.to_owned(), sights: nodes.iter().map(sight).collect(), ..Told::default() }
}

/// What a process says that sees everything as it is, of this moment.
fn sees_all(paper: &Paper, instance: &str) -> Told {
    let nodes = [("a", UP, Role::Primary, 0.0), ("b", UP, Role::Standby, 0.0), ("c", UP, Role::Standby, 0.0)];
    says(paper, instance, &nodes)
}

fn others(paper: &Paper, node: usize) -> Others {
    paper.assess().nodes[node].others.clone()
}

fn counts(paper: &Paper, node: usize) -> (usize, usize, usize, usize) {
    let Others { up, answering, down, unknown, .. } = others(paper, node);
    (up, answering, down, unknown)
}

fn silence(paper: &Paper, observer: usize) -> Option<Silence> {
    others(paper, A).opinions[observer].silence
}

/// One reading of everything, so that we ourselves go on seeing.
fn read_all(paper: &mut Paper) {
    paper.read(A, &primary(1, 200));
    paper.read(B, &standby(1, 200, 200));
    paper.read(C, &standby(1, 200, 200));
}

#[test]
fn one_who_sees_what_we_see_agrees_and_one_who_never_answered_is_unknown() {
    let mut paper = watched_by(&["x", "y"]);
    let told = sees_all(&paper, "1");
    paper.cluster.hear("x", told);
    for node in [A, B, C] {
        let others = others(&paper, node);
        assert_eq!((others.up, others.down, others.unknown), (1, 0, 1));
        let agreements: Vec<_> = others.opinions.iter().map(|opinion| opinion.agreement).collect();
        assert_eq!(agreements, [Agreement::Agrees, Agreement::Unknown]);
        assert_eq!(others.opinions[1].silence, Some(Silence::NoAnswer));
    }
    let nobody = sees_all(&paper, "2");
    paper.cluster.hear("z", nobody);
    assert_eq!(others(&paper, A).opinions.len(), 2, "who is not configured is not heard");
}

#[test]
fn they_disagree_where_one_sees_what_the_other_does_not_or_another_role() {
    let mut paper = watched_by(&["x"]);
    let told = says(
        &paper,
        "1",
        &[
            ("a", GONE, Role::Unknown, 0.0),
            ("b", UP, Role::Primary, 0.0),
            ("c", NodeState::Starting, Role::Unknown, 0.0),
        ],
    );
    paper.cluster.hear("x", told);
    let agreement = |paper: &Paper, node| others(paper, node).opinions[0].agreement;
    assert!([A, B, C].into_iter().all(|node| agreement(&paper, node) == Agreement::Disagrees));
    assert_eq!([A, B, C].map(|node| counts(&paper, node)), [(0, 0, 1, 0), (1, 0, 0, 0), (0, 1, 0, 0)]);
    // Neither sees it up, each by its own way: that is no disagreement.
    paper.fail(A, Cause::Timeout);
    paper.fail(B, Cause::Refused);
    assert_eq!((agreement(&paper, A), agreement(&paper, B)), (Agreement::Agrees, Agreement::Disagrees));
}

#[test]
fn where_we_do_not_know_ourselves_nobody_agrees_and_what_they_see_still_counts() {
    let mut paper = watched_by(&["x"]);
    let told = sees_all(&paper, "1");
    paper.cluster.hear("x", told);
    // Nothing was read for longer than it counts, and nothing failed.
    paper.wait(2.0);
    let told = sees_all(&paper, "1");
    paper.wait(1.5);
    paper.cluster.hear("x", told);
    assert_eq!(paper.assess().nodes[A].state, "unknown");
    assert_eq!(others(&paper, A).opinions[0].agreement, Agreement::Unknown);
    assert_eq!(counts(&paper, A), (1, 0, 0, 0));
}

#[test]
fn a_fact_counts_for_its_own_age_and_not_for_that_of_the_answer() {
    let mut paper = watched_by(&["x"]);
    // Answered this very moment, from a reading that was made long before.
    let told = says(&paper, "1", &[("a", UP, Role::Primary, 3.1)]);
    paper.cluster.hear("x", told);
    assert_eq!((silence(&paper, 0), counts(&paper, A)), (Some(Silence::Old), (0, 0, 0, 1)));
    let told = says(&paper, "1", &[("a", UP, Role::Primary, 2.0)]);
    paper.cluster.hear("x", told);
    assert_eq!((silence(&paper, 0), counts(&paper, A)), (None, (1, 0, 0, 0)));
    assert_eq!(others(&paper, A).opinions[0].age_seconds.map(f64::round), Some(2.0));
    // It is frozen and says no more.
    paper.wait(1.5);
    read_all(&mut paper);
    assert_eq!((silence(&paper, 0), counts(&paper, A)), (Some(Silence::Old), (0, 0, 0, 1)));
    assert_eq!(others(&paper, A).opinions[0].agreement, Agreement::Unknown);
}

#[test]
fn a_failure_counts_until_the_next_can_have_come() {
    let mut paper = watched_by(&["x"]);
    for (age, counted) in [(6.9, true), (7.1, false)] {
        let told = says(&paper, "1", &[("a", NodeState::Timeout, Role::Unknown, age)]);
        paper.cluster.hear("x", told);
        assert_eq!(counts(&paper, A).2 == 1, counted, "{age}");
    }
}

#[test]
fn ourselves_and_a_second_name_of_one_process_do_not_count() {
    let mut paper = watched_by(&["self", "x", "y"]);
    let told = Told { ours: true, ..sees_all(&paper, "0") };
    paper.cluster.hear("self", told);
    for name in ["x", "y"] {
        let told = sees_all(&paper, "1");
        paper.cluster.hear(name, told);
    }
    assert_eq!(counts(&paper, A), (1, 0, 0, 0));
    let silences = [0, 1, 2].map(|observer| silence(&paper, observer));
    assert_eq!(silences, [Some(Silence::Ourselves), None, Some(Silence::Twin)]);
    // By the first name it cannot be asked any more: then by the second.
    paper.cluster.lose("x");
    assert_eq!((silence(&paper, 1), silence(&paper, 2)), (Some(Silence::Twin), None));
    assert_eq!(counts(&paper, A), (1, 0, 0, 0));
}

#[test]
fn a_process_that_was_replaced_does_not_count_beside_the_new_one() {
    let mut paper = watched_by(&["x", "y"]);
    for name in ["x", "y"] {
        let told = sees_all(&paper, "1");
        paper.cluster.hear(name, told);
    }
    // Restarted, and asked by its second name first.
    let told = sees_all(&paper, "2");
    paper.cluster.hear("y", told);
    assert_eq!(counts(&paper, A), (1, 0, 0, 1));
    assert_eq!(silence(&paper, 0), Some(Silence::NoAnswer));
}

#[test]
fn what_is_not_the_same_cluster_or_not_watched_counts_for_nothing() {
    let mut paper = watched_by(&["x", "y", "z"]);
    let told = Told { system_identifier: Some("8".to_owned()), ..sees_all(&paper, "1") };
    paper.cluster.hear("x", told);
    let told = says(&paper, "2", &[("other", UP, Role::Primary, 0.0)]);
    paper.cluster.hear("y", told);
    let told = says(&paper, "3", &[("a", NodeState::Unknown, Role::Unknown, 0.0)]);
    paper.cluster.hear("z", told);
    let silences = [0, 1, 2].map(|observer| silence(&paper, observer));
    assert_eq!(silences, [Silence::OtherSystem, Silence::NotWatched, Silence::NotSeen].map(Some));
    assert_eq!(counts(&paper, A), (0, 0, 0, 3));
    let told = Told { system_identifier: Some("7".to_owned()), ..sees_all(&paper, "1") };
    paper.cluster.hear("x", told);
    assert_eq!(silence(&paper, 0), None);
}

#[test]
fn a_page_is_out_of_date_only_when_somebody_sees_something_else() {
    let mut paper = watched_by(&["x"]);
    let revision = |paper: &Paper| paper.cluster.revision();
    let before = revision(&paper);
    for _ in 0..3 {
        let told = sees_all(&paper, "1");
        paper.cluster.hear("x", told);
    }
    assert_eq!(revision(&paper), before + 1);
    let told = says(&paper, "1", &[("a", GONE, Role::Unknown, 0.0)]);
    paper.cluster.hear("x", told);
    assert_eq!(revision(&paper), before + 2);
}

#[test]
fn an_observer_is_what_came_of_asking_it_in_the_order_of_the_config() {
    let answers = [
        Err(ObserverState::Unreachable),
        Ok("1".to_owned()),
        Ok("0".to_owned()),
        Ok("1".to_owned()),
        Ok("2".to_owned()),
        Err(ObserverState::Unknown),
    ];
    let expected = [
        ObserverState::Unreachable,
        ObserverState::Up,
        ObserverState::Ourselves,
        ObserverState::Twin,
        ObserverState::Up,
        ObserverState::Unknown,
    ];
    assert_eq!(states("0", &answers), expected);
}
