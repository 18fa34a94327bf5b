//! Where clients may be sent, and the one line that says why not.

use std::time::Duration;

use proptest::prelude::*;

use super::healthy;
use super::paper::{A, B, C, Paper, Says, primary, standby};
use crate::cluster::observers::{Role, Sight, Told};
use crate::cluster::routing::{Limit, Question};
use crate::pg::failure::{Cause, NodeState};
use crate::pg::lsn::Timeline;

const ALL: [Question; 5] = [Question::Primary, Question::Replica, Question::ReadOnly, Question::Sync, Question::Async];

fn ask_within(paper: &Paper, node: usize, question: Question, limit: Option<&str>) -> String {
    let limit = limit.map(|limit| Limit::parse(limit).unwrap());
    match paper.cluster.evidence(paper.now).route(node, question, limit) {
        Ok(()) => "yes".to_owned(),
        Err(closed) => closed.to_string(),
    }
}

fn ask(paper: &Paper, node: usize, question: Question) -> String {
    ask_within(paper, node, question, None)
}

fn is_open(paper: &Paper, node: usize, question: Question) -> bool {
    ask(paper, node, question) == "yes"
}

/// `healthy`, where the primary feeds both others.
fn fed() -> Paper {
    let mut paper = healthy();
    go_on(&mut paper, 300);
    paper
}

fn feeding(flush: u64) -> Says {
    let walsender = |pid, name| (pid, name, flush, flush, 0.0);
    Says { walsenders: vec![walsender(1, "b"), walsender(2, "c")], ..primary(1, flush) }
}

fn go_on(paper: &mut Paper, flush: u64) {
    paper.wait(1.0);
    paper.read(A, &feeding(flush));
    paper.read(B, &standby(1, flush, flush));
    paper.read(C, &standby(1, flush, flush));
}

/// The same, with an observer `x` that sees `b` as this, so many seconds ago, on this timeline.
fn told(role: Role, age: f64, timeline: Option<u32>) -> Paper {
    let mut paper = fed();
    let mut layout = paper.cluster.layout().clone();
    layout.observers = vec!["x".to_owned()];
    let all = layout.members.iter().map(|member| member.name.clone()).collect();
    paper.cluster.relayout(layout, &all);
    paper.fail(B, Cause::Timeout);
    let seen = Some(paper.now.mono.minus(Duration::from_secs_f64(age)));
    let sight = Sight { state: NodeState::Up, role, seen, since: None };
    let told = Told {
        instance: "other".into(),
        system_identifier: Some("7".into()),
        timeline: timeline.map(Timeline),
        sights: [("b".to_owned(), sight)].into(),
        ..Told::default()
    };
    paper.cluster.hear("x", told);
    paper
}

#[test]
fn in_a_healthy_cluster_each_is_what_it_is() {
    let paper = fed();
    let open = |node| ALL.map(|question| is_open(&paper, node, question));
    assert_eq!(open(A), [true, false, true, false, false]);
    assert_eq!(open(B), [false, true, true, false, true]);
    assert_eq!(ask(&paper, B, Question::Primary), "in recovery");
    assert_eq!(ask(&paper, A, Question::Replica), "not in recovery");
    assert_eq!(ask(&paper, B, Question::Sync), "its sync_state is async");
}

#[test]
fn what_is_not_known_is_a_no() {
    let mut paper = Paper::new();
    paper.wait(1.0);
    paper.read(A, &primary(1, 100));
    paper.read(B, &standby(1, 100, 100));
    let blind = "not known: pgvigil was late, or has not heard of every node since it began";
    assert_eq!(ask(&paper, A, Question::Primary), blind);

    let mut paper = fed();
    paper.wait(10.0);
    for node in [A, B] {
        for question in ALL {
            assert_eq!(ask(&paper, node, question), "not read of late: its state is unknown");
        }
    }
    paper.fail(A, Cause::Refused);
    assert_eq!(ask(&paper, A, Question::Primary), "not read of late: its state is unreachable");
    // Our own clock stood still, and the reading before it counts for nothing.
    let mut paper = fed();
    paper.now = super::moment(paper.now.wall.as_seconds() + 60.0);
    assert_eq!(ask(&paper, A, Question::Primary), blind);
    // A server that does not tell which it is.
    let mut paper = Paper::new();
    paper.wait(1.0);
    paper.read_without(A, &primary(1, 100), "control");
    paper.fail(B, Cause::Refused);
    paper.fail(C, Cause::Refused);
    assert_eq!(ask(&paper, A, Question::Primary), "its system identifier, or the cluster's, is not known yet");
}

#[test]
fn a_primary_goes_on_while_others_are_not_reached() {
    let mut paper = fed();
    paper.wait(1.0);
    paper.read(A, &primary(1, 400));
    paper.fail(B, Cause::Refused);
    paper.fail(C, Cause::Timeout);
    assert_eq!(ask(&paper, A, Question::Primary), "yes");
}

#[test]
fn a_second_primary_closes_both_and_the_older_for_good() {
    let mut paper = fed();
    paper.wait(1.0);
    paper.read(A, &primary(1, 400));
    paper.read(B, &primary(2, 400));
    assert_eq!(ask(&paper, A, Question::Primary), "on timeline 1, and timeline 2 was seen");
    assert_eq!(ask(&paper, B, Question::Primary), "split brain: a writes too");
    assert_eq!(ask(&paper, A, Question::ReadOnly), "on timeline 1, and timeline 2 was seen");
    paper.fail(B, Cause::Refused);
    assert_eq!(ask(&paper, A, Question::Primary), "on timeline 1, and timeline 2 was seen");
    // Nor does it after a restart of ours that sees nothing else.
    let mut after = Paper::remembering(paper.cluster.memory().clone(), 2000.0);
    after.wait(1.0);
    after.read(A, &primary(1, 500));
    after.fail(B, Cause::Refused);
    after.fail(C, Cause::Refused);
    assert_eq!(ask(&after, A, Question::Primary), "on timeline 1, and timeline 2 was seen");
    // The other goes on once the old one is gone.
    paper.wait(1.0);
    paper.read(B, &primary(2, 500));
    paper.fail(A, Cause::Refused);
    assert_eq!(ask(&paper, B, Question::Primary), "yes");
}

#[test]
fn a_copy_that_writes_the_same_timeline_closes_both() {
    let mut paper = fed();
    paper.wait(1.0);
    paper.read(A, &primary(1, 400));
    paper.read(B, &primary(1, 400));
    assert_eq!(ask(&paper, A, Question::Primary), "split brain: b writes too");
    assert_eq!(ask(&paper, B, Question::Primary), "split brain: a writes too");
}

#[test]
fn one_server_by_two_names_is_open_by_the_first_and_a_stranger_is_not() {
    let mut paper = fed();
    paper.wait(1.0);
    paper.read(A, &primary(1, 400));
    paper.read(B, &Says { twin_of: Some(A), ..primary(1, 400) });
    paper.read(C, &Says { system: "8", ..primary(9, 400) });
    assert_eq!(ask(&paper, A, Question::Primary), "yes");
    assert_eq!(ask(&paper, B, Question::Primary), "the same server as a: correct the dsn of one");
    assert_eq!(ask(&paper, C, Question::Primary), "another system identifier than the cluster's");
}

#[test]
fn what_another_observer_sees_closes_a_primary_while_it_is_fresh_and_its_timeline_for_good() {
    assert_eq!(ask(&told(Role::Standby, 0.0, Some(1)), A, Question::Primary), "yes");
    let paper = told(Role::Primary, 0.0, None);
    assert_eq!(ask(&paper, A, Question::Primary), "split brain: b writes too, as observer x sees");
    assert_eq!(ask(&told(Role::Primary, 60.0, None), A, Question::Primary), "yes");
    // What we read ourselves since counts more.
    let mut paper = told(Role::Primary, 0.5, None);
    paper.read(B, &standby(1, 300, 300));
    assert_eq!(ask(&paper, A, Question::Primary), "yes");

    let old = "on timeline 1, and an observer told of timeline 2";
    let paper = told(Role::Standby, 60.0, Some(2));
    assert_eq!(ask(&paper, A, Question::Primary), old);
    assert_eq!(ask(&paper, C, Question::Replica), old);
    let mut after = Paper::remembering(paper.cluster.memory().clone(), 2000.0);
    after.wait(1.0);
    after.read(A, &primary(1, 500));
    after.fail(B, Cause::Refused);
    after.fail(C, Cause::Refused);
    assert_eq!(ask(&after, A, Question::Primary), old);
}

#[test]
fn an_observer_of_another_system_closes_nothing() {
    let mut paper = fed();
    let mut layout = paper.cluster.layout().clone();
    layout.observers = vec!["x".to_owned()];
    paper.cluster.relayout(layout, &["a", "b", "c"].map(str::to_owned).into());
    let sight = Sight { state: NodeState::Up, role: Role::Primary, seen: Some(paper.now.mono), since: None };
    for system in [Some("8".to_owned()), None] {
        paper.cluster.hear(
            "x",
            Told {
                instance: "other".into(),
                system_identifier: system.clone(),
                timeline: Some(Timeline(9)),
                sights: system.iter().map(|_| ("b".to_owned(), sight)).collect(),
                ..Told::default()
            },
        );
        assert_eq!(ask(&paper, A, Question::Primary), "yes", "{system:?}");
    }
}

#[test]
fn a_standby_is_open_while_it_is_fed_and_within_the_limit() {
    let mut paper = fed();
    for second in 1..=5 {
        paper.wait(1.0);
        paper.read(A, &feeding(300 + second * 100));
        paper.read(B, &standby(1, 300 + second * 100, 300));
        paper.read(C, &Says { streaming: None, ..standby(1, 300, 300) });
    }
    let limited = |limit| ask_within(&paper, B, Question::Replica, Some(limit));
    assert_eq!((limited("500B"), limited("1kB"), limited("5s")), ("yes".into(), "yes".into(), "yes".into()));
    assert_eq!((limited("499B"), limited("3s")), ("behind by 500 bytes".into(), "behind by 4.0 s".into()));
    assert_eq!(ask_within(&paper, A, Question::ReadOnly, Some("0B")), "yes", "a primary is never behind");
    assert_eq!(ask(&paper, C, Question::Replica), "nothing feeds it");

    // Without a primary nothing feeds anybody; who asks for no limit may still read.
    paper.fail(A, Cause::Refused);
    assert_eq!(ask(&paper, C, Question::Replica), "yes");
    // What was seen of the primary is more than this one has.
    assert_eq!(ask_within(&paper, B, Question::Replica, Some("3s")), "behind by 4.0 s");
    assert_eq!(ask_within(&paper, B, Question::Replica, Some("1kB")), "its lag is not known: the primary is not seen");
    // Beside a new primary those that did not follow it are behind.
    paper.wait(1.0);
    paper.read(B, &primary(2, 900));
    paper.read(C, &Says { streaming: None, ..standby(1, 300, 300) });
    assert_eq!(ask(&paper, C, Question::Replica), "not on the newest timeline");
}

#[test]
fn whether_commits_wait_for_a_standby_is_what_the_only_primary_says() {
    for (state, sync, r#async) in [
        ("sync", "yes", "its sync_state is sync"),
        ("quorum", "yes", "its sync_state is quorum"),
        ("potential", "its sync_state is potential", "yes"),
        ("async", "its sync_state is async", "yes"),
        ("new", "the primary does not tell its sync_state", "the primary does not tell its sync_state"),
    ] {
        let mut paper = fed();
        paper.wait(1.0);
        paper.read(A, &Says { sync_state: Some(state), ..feeding(400) });
        paper.read(B, &standby(1, 400, 400));
        paper.read(C, &standby(1, 400, 400));
        assert_eq!(
            (ask(&paper, B, Question::Sync).as_str(), ask(&paper, B, Question::Async).as_str()),
            (sync, r#async)
        );
    }
    let unknown = "the primary does not tell its sync_state";
    let mut paper = fed();
    paper.read(A, &primary(1, 400));
    assert_eq!(ask(&paper, B, Question::Async), unknown, "no walsender");
    paper.read(A, &Says { walsenders: vec![(1, "b", 400, 400, 0.0), (2, "b", 400, 400, 0.0)], ..primary(1, 400) });
    assert_eq!(ask(&paper, B, Question::Async), unknown, "two of one name");
    paper.fail(A, Cause::Refused);
    assert_eq!(ask(&paper, B, Question::Async), unknown, "no primary");
}

#[test]
fn a_limit_is_read_as_postgresql_reads_memory_or_as_a_time() {
    let time = |millis| Limit::Time(Duration::from_millis(millis));
    for (text, limit) in [
        ("0B", Limit::Bytes(0)),
        ("10MB", Limit::Bytes(10 << 20)),
        ("1kB", Limit::Bytes(1024)),
        ("2GB", Limit::Bytes(2 << 30)),
        ("1TB", Limit::Bytes(1 << 40)),
        ("5s", time(5_000)),
        ("500ms", time(500)),
        ("1.5s", time(1_500)),
        ("1m", time(60_000)),
    ] {
        assert_eq!(Limit::parse(text), Ok(limit), "{text}");
    }
    for text in
        ["", "5", "10", "MB", "-1MB", "1.5MB", "10mb", "10 MB", "99999999999TB", "s", "-1s", "1d", "5s5s", "NaNs"]
    {
        assert!(Limit::parse(text).is_err_and(|error| error.contains("10MB")), "{text}");
    }
}

/// What a sequence does next.
#[derive(Clone, Debug)]
enum Event {
    Wait(u8),
    Stall,
    Reads { node: usize, writes: bool, timeline: u32, twin: bool, system: bool, without: bool },
    Fails(usize),
    Told { node: usize, writes: bool, timeline: u32 },
}

fn event() -> impl Strategy<Value = Event> {
    let reads = (0usize..3, any::<bool>(), 1u32..4, 0u8..8, 0u8..8, 0u8..8).prop_map(
        |(node, writes, timeline, twin, system, without)| Event::Reads {
            node,
            writes,
            timeline,
            twin: twin == 0,
            system: system != 0,
            without: without == 0,
        },
    );
    let told = (0usize..3, any::<bool>(), 1u32..4);
    prop_oneof![
        2 => (1u8..5).prop_map(Event::Wait),
        1 => Just(Event::Stall),
        12 => reads,
        2 => (0usize..3).prop_map(Event::Fails),
        1 => told.prop_map(|(node, writes, timeline)| Event::Told { node, writes, timeline }),
    ]
}

proptest! {
    #[test]
    fn no_sequence_of_reports_opens_two_primaries(events in prop::collection::vec(event(), 1..80)) {
        let mut paper = Paper::new();
        let mut layout = paper.cluster.layout().clone();
        layout.observers = vec!["x".to_owned()];
        paper.cluster.relayout(layout, &Default::default());
        for event in events {
            match event {
                Event::Wait(seconds) => paper.wait(f64::from(seconds) / 2.0),
                Event::Stall => paper.now = super::moment(paper.now.wall.as_seconds() + 20.0),
                Event::Fails(node) => paper.fail(node, Cause::Timeout),
                Event::Reads { node, writes, timeline, twin, system, without } => {
                    let says = if writes { primary(timeline, 100) } else { standby(timeline, 100, 100) };
                    let says = Says { twin_of: twin.then_some(A), system: if system { "7" } else { "8" }, ..says };
                    paper.read_without(node, &says, if without { "control" } else { "" });
                }
                Event::Told { node, writes, timeline } => {
                    let role = if writes { Role::Primary } else { Role::Standby };
                    let sight = Sight { state: NodeState::Up, role, seen: Some(paper.now.mono), since: None };
                    let name = paper.cluster.layout().members[node].name.clone();
                    paper.cluster.hear("x", Told {
                        instance: "other".into(),
                        system_identifier: Some("7".into()),
                        timeline: Some(Timeline(timeline)),
                        sights: [(name, sight)].into(),
                        ..Told::default()
                    });
                }
            }
            let open: Vec<_> = [A, B, C].into_iter().filter(|node| is_open(&paper, *node, Question::Primary)).collect();
            prop_assert!(open.len() <= 1, "{:?}", open);
            for node in &open {
                prop_assert!(is_open(&paper, *node, Question::ReadOnly) && !is_open(&paper, *node, Question::Replica));
                let evidence = paper.cluster.evidence(paper.now);
                let timeline = evidence.written_timeline(*node).map_or(0, |timeline| timeline.0);
                // Of one system timelines only rise; another takes its place whole.
                prop_assert!(timeline >= paper.cluster.memory().timeline.map_or(0, |timeline| timeline.0));
            }
        }
    }
}
