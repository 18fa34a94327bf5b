//! Pages of clusters on paper: what is wrong must be seen, without a colour and without a doubt.

use std::collections::BTreeSet;
use std::time::Instant;

use super::frame::{Frame, page};
use super::headline::{Level, troubles};
use super::run::RunView;
use super::tree::places;
use super::verdict::{Answer, answer};
use super::view::{SLOTS, Told, View};
use super::{Section, run, sections};
use crate::clock::Moment;
use crate::cluster::layout::Member;
use crate::cluster::tests::healthy;
use crate::cluster::tests::paper::{A, B, C, Paper, Says, primary, standby};
use crate::pg::failure::Cause;
use crate::runbook::book::Mode;
use crate::runbook::run::{Event, Outcome, Run};
use crate::runbook::story::Line;

fn view(paper: &Paper) -> View {
    View::of(&paper.cluster, Told::default(), paper.now)
}

fn text(paper: &Paper) -> String {
    all(&sections(&view(paper)))
}

fn all(sections: &[Section]) -> String {
    sections.iter().map(|section| section.html.as_str()).collect()
}

fn words(paper: &Paper) -> Vec<(Level, String)> {
    troubles(&view(paper)).into_iter().map(|trouble| (trouble.level, trouble.words)).collect()
}

/// The whole cluster once more, each saying what it says in turn.
fn round(paper: &mut Paper, says: [Option<Says>; 3]) {
    paper.wait(1.0);
    for (node, says) in says.into_iter().enumerate() {
        match says {
            Some(says) => paper.read(node, &says),
            None => paper.fail(node, Cause::Refused),
        }
    }
}

#[test]
fn a_whole_cluster_is_good_and_says_whom_a_failover_would_choose() {
    let mut paper = healthy();
    // Whom commits wait for is known once the primary was read with its standbys.
    round(&mut paper, [Some(primary(1, 200)), Some(standby(1, 200, 200)), Some(standby(1, 200, 200))]);
    let view = view(&paper);
    assert_eq!(words(&paper), []);
    assert_eq!((answer(&view), view.candidate.as_deref()), (Answer::Yes, Some("b")));
    let text = text(&paper);
    for part in [
        "All 3 nodes are up, a writes",
        "A failover now would work: to b, losing 0 B as seen",
        "<g data-node=\"a\" data-state=\"up\" data-role=\"primary\"",
        "<tr data-node=\"b\" data-state=\"up\" data-role=\"standby\" data-replay=\"running\">",
        "href=\"#i-primary\"",
        "role=\"img\"",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    for id in ["topology", "lag", "verdict", "archive", "slots", "runs", "checks"] {
        assert!(text.contains(&format!("<section id=\"{id}\" aria-labelledby=\"{id}-title\"")), "{id}");
    }
}

#[test]
fn a_dead_primary_is_the_first_thing_that_is_said() {
    let mut paper = healthy();
    round(&mut paper, [None, Some(standby(1, 200, 200)), Some(standby(1, 200, 200))]);
    let words = words(&paper);
    assert_eq!(words[0].0, Level::Critical, "{words:?}");
    assert!(words[0].1.starts_with("The primary a is unreachable"), "{words:?}");
    let text = text(&paper);
    assert!(text.contains("<g data-node=\"a\" data-state=\"unreachable\" data-role=\"unknown\""), "{text}");
    assert!(text.contains("href=\"#i-dead\"") && text.contains("was the primary"), "{text}");
    assert!(!text.contains("id=\"split-brain\""));
}

#[test]
fn each_state_has_a_sign_and_words_of_its_own() {
    let mut signs = BTreeSet::new();
    for (cause, state, sign) in [
        (Cause::Refused, "unreachable", "i-dead"),
        (Cause::Timeout, "timeout", "i-hung"),
        (Cause::Password, "auth_failed", "i-locked"),
    ] {
        let mut paper = healthy();
        paper.fail(C, cause);
        let text = text(&paper);
        assert!(text.contains(&format!("<tr data-node=\"c\" data-state=\"{state}\" data-role=\"unknown\">")), "{text}");
        assert!(text.contains(&format!("href=\"#{sign}\"")) && text.contains(&format!("{state}: ")), "{state}");
        assert!(super::frame::SIGNS.contains(&format!("id=\"{sign}\"")));
        assert!(signs.insert(sign));
    }
    let mut paper = healthy();
    let paused = Says { pause: Some("paused"), ..standby(1, 200, 200) };
    round(&mut paper, [Some(primary(1, 200)), Some(paused), Some(standby(1, 200, 200))]);
    let text = text(&paper);
    assert!(text.contains("REPLAY PAUSED") && text.contains("href=\"#i-paused\""), "{text}");
    assert!(text.contains("data-replay=\"paused\""));
}

#[test]
fn a_split_brain_is_an_alert_and_both_that_write_are_marked() {
    let mut paper = healthy();
    let promoted = Says { replay: Some(250), receive: Some(250), ..primary(2, 260) };
    round(&mut paper, [Some(primary(1, 320)), Some(promoted), Some(standby(1, 200, 200))]);
    let view = view(&paper);
    assert_eq!(answer(&view), Answer::No);
    let text = text(&paper);
    assert!(text.contains("<p id=\"split-brain\" role=\"alert\">"), "{text}");
    assert_eq!(text.matches("class=\"conflict\"").count(), 2, "{text}");
    assert!(text.contains("SECOND PRIMARY") && text.contains("PRIMARY, NOT ALONE"), "{text}");
    assert_eq!(words(&paper)[0].0, Level::Critical);
}

#[test]
fn what_is_not_known_is_never_good() {
    let mut paper = Paper::new();
    paper.wait(1.0);
    let view = view(&paper);
    assert_eq!(answer(&view), Answer::Unknown);
    assert!(troubles(&view).iter().all(|trouble| trouble.level == Level::Unknown) && !troubles(&view).is_empty());
    let text = text(&paper);
    assert!(!text.contains("data-level=\"good\"") && !text.contains("0.0 s behind"), "{text}");
}

#[test]
fn a_check_that_fails_is_shown_with_what_mends_it_and_what_is_unknown_apart() {
    let mut paper = healthy();
    let paused = Says { pause: Some("paused"), ..standby(1, 200, 200) };
    round(&mut paper, [Some(primary(1, 200)), Some(paused), Some(standby(1, 200, 200))]);
    let text = text(&paper);
    for part in [
        "<article data-check=\"replay_paused\" data-severity=\"warning\">",
        "▲ warning</span> <a href=\"/checks/replay_paused\">",
        "<code>on b: SELECT pg_wal_replay_resume();</code>",
        "<details id=\"checks-unknown\"><summary>? ",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    // The settings were read of nobody.
    let unknown = text.find("checks-unknown").unwrap();
    assert!(text[unknown..].contains("href=\"/checks/fsync\"") && !text[..unknown].contains("/checks/fsync"), "{text}");
    assert!(!text.contains("All is well"), "{text}");
}

#[test]
fn what_was_never_looked_at_is_not_well() {
    let mut view = view(&healthy());
    view.checks.clear();
    let shown = super::checks::section(&view).into_string();
    assert!(shown.contains("? Nothing was checked yet.") && !shown.contains('✓'), "{shown}");
}

#[test]
fn who_is_fed_stands_below_and_a_ring_ends() {
    let mut paper = healthy();
    let feeds = |names: &[&'static str], says: Says| {
        let row = |(pid, name): (i32, &&'static str)| (pid, *name, 200, 200, 1_003.0);
        Says { walsenders: (1..).zip(names).map(row).collect(), ..says }
    };
    let b = || standby(1, 200, 200);
    round(&mut paper, [Some(feeds(&["c"], primary(1, 200))), Some(b()), Some(feeds(&["b"], b()))]);
    let places = places(&view(&paper));
    let drawn: Vec<_> = places.iter().map(|place| (place.node, place.depth, place.above)).collect();
    assert_eq!(drawn, [(A, 0, None), (C, 1, Some(0)), (B, 2, Some(1))]);
    round(&mut paper, [Some(primary(1, 200)), Some(feeds(&["c"], b())), Some(feeds(&["b"], b()))]);
    let mut nodes: Vec<_> = super::tree::places(&view(&paper)).iter().map(|place| place.node).collect();
    nodes.sort_unstable();
    assert_eq!(nodes, [A, B, C]);
}

#[test]
fn the_last_minutes_have_gaps_where_nothing_was_known() {
    let mut paper = healthy();
    for second in 1..=120 {
        let behind = if second > 60 { 200 } else { 200 + second };
        let b = (!(20..40).contains(&second)).then(|| standby(1, 200 + second, behind));
        round(&mut paper, [Some(primary(1, 200 + second)), b, Some(standby(1, 200 + second, 200 + second))]);
    }
    let view = view(&paper);
    let b = &view.nodes[B];
    assert_eq!(b.trend.len(), SLOTS);
    let known = |past: &super::view::Past| matches!(past, super::view::Past::Known(_, Some(_)));
    assert!(b.trend.contains(&super::view::Past::Nothing), "before it was looked at");
    assert!(b.trend.iter().filter(|past| known(past)).count() >= 5, "{:?}", b.trend);
    assert!(b.trend[SLOTS - 11..SLOTS - 6].iter().any(|past| !known(past)), "{:?}", b.trend);
    let text = text(&paper);
    assert!(text.contains("url(#hatch)") && text.contains("not known for"), "{text}");
}

#[test]
fn what_others_wrote_cannot_become_html() {
    let mut paper = healthy();
    let mut layout = paper.cluster.layout().clone();
    layout.members[B].name = "<script>\"'&".to_owned();
    paper.cluster.relayout(layout, &BTreeSet::from(["a".to_owned(), "c".to_owned()]));
    let frame = Frame { title: "<b>", back: None, events: "/events", made: paper.now.wall };
    let page = page(&frame, &sections(&view(&paper))).into_string();
    assert!(!page.contains("<script>\"") && page.contains("&lt;script&gt;"), "{page}");
    assert!(
        !page.contains("style=") && !page.contains("onclick") && page.contains("<title>pgvigil: &lt;b&gt;</title>")
    );
}

#[test]
fn fifty_nodes_are_less_than_100_kb_and_made_at_once() {
    let mut paper = healthy();
    let mut layout = paper.cluster.layout().clone();
    let member = |number: usize| Member {
        name: format!("orders-standby-{number:02}"),
        slot: format!("orders_standby_{number:02}"),
        ..layout.members[0].clone()
    };
    layout.members = layout.members.iter().take(1).cloned().chain((1..50).map(member)).collect();
    paper.cluster.relayout(layout, &BTreeSet::from(["a".to_owned()]));
    let slots: Vec<(&'static str, i32)> =
        (1..50).map(|number| (&*format!("orders_standby_{number:02}").leak(), number)).collect();
    for second in 1..=160 {
        paper.wait(2.0);
        paper.read(A, &Says { slots: slots.clone(), ..primary(1, 200 + second) });
        for node in 1..50 {
            // No two are alike, and some are seldom heard.
            match (second as usize * 7 + node * 13) % 97 {
                0..3 => paper.fail(node, Cause::Timeout),
                late => paper.read(node, &standby(1, 200 + second, 200 + second - (late as u64 % 40).min(second))),
            }
        }
    }
    let began = Instant::now();
    let view = view(&paper);
    let frame = Frame { title: &view.cluster, back: None, events: "/events?cluster=paper", made: paper.now.wall };
    let page = page(&frame, &sections(&view)).into_string();
    println!("50 nodes: {} bytes, made in {:?} (debug build)", page.len(), began.elapsed());
    for section in sections(&view) {
        println!("  {}: {} bytes", section.id, section.html.len());
    }
    assert!(page.len() < 100_000, "{}", page.len());
}

fn run_of(mode: Mode, events: &[Event]) -> Run {
    let mut run = Run::begin("r-1".into(), 1, crate::runbook::run::tests::plan("orders", mode), Moment::default());
    for event in events {
        run.fold(event, Moment::default());
    }
    run
}

fn page_of(run: &Run, may_decide: bool) -> String {
    let story = vec![Line { at: Moment::default().wall, kind: "planned", words: "a plan & more".to_owned() }];
    all(&run::sections(&RunView { run: run.clone(), story, may_decide }))
}

#[test]
fn a_run_asks_those_who_may_decide_and_tells_the_others_how() {
    let awaiting = run_of(Mode::Manual, &[Event::Awaiting { until: Moment::default() }]);
    let page = page_of(&awaiting, true);
    for part in [
        "data-run=\"r-1\" data-phase=\"awaiting\"",
        "action=\"/runs/r-1/approve\"><input type=\"hidden\" name=\"plan\" value=\"plan\">",
        "action=\"/runs/r-1/reject\"",
        "action=\"/runs/r-1/abort\"",
        ">Approve this plan",
        "a plan &amp; more",
    ] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    assert!(!page.contains("/ack\""));
    let page = page_of(&awaiting, false);
    assert!(!page.contains("<form") && page.contains("pgvigil runbook approve r-1 --plan plan"), "{page}");
    let over = run_of(Mode::Manual, &[Event::Ended { outcome: Outcome::Degraded, report: "half".to_owned() }]);
    let page = page_of(&over, true);
    assert!(page.contains("action=\"/runs/r-1/ack\"") && page.matches("<form").count() == 1, "{page}");
}
