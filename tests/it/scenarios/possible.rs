//! What no evidence may lead to, tried on evidence of every kind.

use pgvigil::runbook::guard::{Answer, Stage, judge_all};
use pgvigil::runbook::verdict::PrimaryVerdict;
use proptest::prelude::*;
use proptest::sample::select;

use super::file::{NodeWords, Scenario};

/// Ways in which a primary answers or does not.
const ANSWERS: &[&str] = &[
    "primary",
    "standby",
    "refused",
    "timeout",
    "no_route",
    "no_socket",
    "reset",
    "dns",
    "tls",
    "server_full",
    "role_limit",
    "password",
    "local",
    "starting",
    "stopping",
    "postmaster_gone",
    "backlog",
    "login_timeout",
    "pooler",
];
/// Ways in which a standby answers; mostly it does.
const STANDBYS: &[&str] =
    &["standby", "standby", "standby", "standby", "primary", "refused", "timeout", "starting", "password"];
/// Their walreceivers.
const RECEIVERS: &[&str] =
    &["none", "none", "none", "silent 1s", "silent 4s", "silent 50s", "connecting", "waiting 4s", "streaming"];

fn node(answers: &'static [&'static str]) -> impl Strategy<Value = NodeWords> {
    let place = (1u32..=3, select(&["0/4000000", "0/5000000", "0/5000100"][..]), prop::bool::weighted(0.1));
    let stream = (select(RECEIVERS), select(&["60s", "2s", "off"][..]), select(&[None, Some("b"), Some("c")][..]));
    (select(answers), place, stream).prop_map(|(answers, place, stream)| NodeWords {
        answers: answers.to_owned(),
        timeline: place.0,
        position: place.1.to_owned(),
        other_system: place.2,
        receiver: stream.0.to_owned(),
        wal_receiver_timeout: stream.1.to_owned(),
        fed_by: stream.2.map(str::to_owned),
        ..NodeWords::default()
    })
}

prop_compose! {
    fn scenario()(
        a in node(ANSWERS),
        b in node(STANDBYS),
        c in node(STANDBYS),
        stage in select(&[Stage::Plan, Stage::Fence, Stage::Promote][..]),
        was_writing: bool,
        known in prop::bool::weighted(0.95),
        system_known in prop::bool::weighted(0.95),
        witnessed in prop::bool::weighted(0.1),
        timeline in 1u32..=2,
        seen in select(&["1s", "10s", "60s"][..]),
        stopped in select(&[None, None, None, Some("5s"), Some("90s")][..]),
        processes in select(&[None, None, Some(0), Some(3)][..]),
        fed in select(vec![None, Some(vec!["b"]), Some(vec!["b", "c"]), Some(vec![]), Some(vec!["unknown"])]),
        observer in select(&[None, None, Some("up 200ms"), Some("timeout 200ms"), Some("unknown")][..]),
        blind in prop::bool::weighted(0.1),
    ) -> Scenario {
        let mut scenario = Scenario::read("{about: any, stage: plan, verdict: any, blocks: {}, nodes: {}}", "any");
        scenario.stage = stage;
        scenario.nodes = [("a", a), ("b", b), ("c", c)].map(|(name, node)| (name.to_owned(), node)).into();
        scenario.primary.was_writing = was_writing;
        scenario.primary.known = known;
        scenario.primary.system_known = system_known;
        scenario.primary.witnessed = witnessed;
        scenario.primary.timeline = timeline;
        scenario.primary.seen = seen.to_owned();
        scenario.primary.stopped_on_purpose = stopped.map(str::to_owned);
        scenario.primary.processes = processes;
        scenario.primary.fed = fed.map(|fed| fed.into_iter().map(str::to_owned).collect());
        scenario.primary.observers = observer.map(|sight| ("x".to_owned(), sight.to_owned())).into_iter().collect();
        scenario.run.blind = blind;
        scenario.run.episode = timeline;
        scenario.run.timeline = timeline;
        scenario
    }
}

fn passes(scenario: &Scenario, guards: &[&str]) -> bool {
    let world = scenario.world();
    let judged = judge_all(&world.scene());
    judged.iter().filter(|seen| guards.contains(&seen.guard.as_str())).all(|seen| seen.answer == Answer::Pass)
}

/// Some failure of the primary that leads to a promotion.
fn failed() -> impl Strategy<Value = Scenario> {
    scenario().prop_map(|mut scenario| {
        scenario.primary.known = true;
        scenario.primary.system_known = true;
        scenario.primary.witnessed = false;
        scenario.primary.stopped_on_purpose = None;
        scenario.primary.observers.clear();
        scenario.run.blind = false;
        let silent = scenario.nodes["a"].receiver.clone();
        for (name, node) in &mut scenario.nodes {
            node.timeline = scenario.primary.timeline;
            node.other_system = false;
            if name == "a" {
                node.answers = if silent == "none" { "refused" } else { "timeout" }.to_owned();
            } else {
                node.answers = "standby".to_owned();
            }
        }
        scenario
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn nothing_is_promoted_while_a_node_that_answers_takes_writes(scenario in scenario()) {
        let writes = scenario.nodes.values().any(|node| node.answers == "primary");
        prop_assert!(!(writes && passes(&scenario, &["primary_gone", "episode_current"])));
    }

    #[test]
    fn unknown_never_passes_and_the_verdict_is_that_of_the_guard(scenario in scenario()) {
        let world = scenario.world();
        let scene = world.scene();
        let (verdict, why) = scene.verdict();
        let judged = judge_all(&scene);
        let guard = judged.iter().find(|seen| seen.guard == "primary_gone").unwrap();
        prop_assert!(!why.is_empty());
        prop_assert_eq!(guard.answer == Answer::Pass, matches!(verdict, PrimaryVerdict::Gone | PrimaryVerdict::Hung));
        prop_assert!(judged.iter().all(|seen| !seen.value.is_empty()));
    }

    #[test]
    fn a_primary_that_answers_or_feeds_a_standby_has_not_failed(scenario in scenario()) {
        let (verdict, _) = scenario.world().scene().verdict();
        let silent = ["refused", "timeout", "no_route", "no_socket", "postmaster_gone", "backlog"];
        let a = &scenario.nodes["a"];
        if verdict.has_failed() {
            prop_assert!(silent.contains(&a.answers.as_str()), "{}", a.answers);
            prop_assert!(!scenario.run.blind && !scenario.primary.witnessed && scenario.primary.known);
            prop_assert!(scenario.primary.stopped_on_purpose.as_deref() != Some("5s"));
            let fed = |node: &NodeWords| {
                node.answers == "standby" && !node.other_system && node.receiver == "silent 1s"
                    && node.wal_receiver_timeout != "2s" && node.fed_by.is_none()
            };
            prop_assert!(!fed(&scenario.nodes["b"]) && !fed(&scenario.nodes["c"]));
        }
    }

    #[test]
    fn a_fact_that_goes_missing_never_lets_a_failover_pass(scenario in failed(), which in 0usize..7) {
        // The word of a standby that the primary did not feed when it was last read is not missed.
        let apart = scenario.primary.fed.as_ref().is_some_and(|fed| fed.iter().all(|name| name != "b" && name != "unknown"));
        prop_assume!(which != 5 || !apart);
        let before = passes(&scenario, &["primary_gone", "episode_current"]);
        let mut poorer = scenario;
        match which {
            0 => poorer.primary.known = false,
            1 => poorer.primary.system_known = false,
            2 => poorer.primary.fed = Some(vec!["unknown".into()]),
            3 => poorer.primary.was_writing = false,
            4 => poorer.primary.processes = None,
            5 => poorer.nodes.get_mut("b").unwrap().answers = "timeout".into(),
            _ => poorer.run.blind = true,
        }
        let after = passes(&poorer, &["primary_gone", "episode_current"]);
        prop_assert!(before || !after, "it passes for want of fact {which}");
    }
}
