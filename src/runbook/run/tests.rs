use std::time::Duration;

use super::*;
use crate::runbook::book::Hook;

const TIMEOUT: Duration = Duration::from_secs(30);

/// A run of a fence, a promotion and a verification, and no word of what happened to it yet.
pub(crate) fn plan(cluster: &str, mode: Mode) -> Plan {
    let hook = Hook {
        argv: vec!["/act".into()],
        probe: Some(vec!["/ask".into()]),
        timeout: TIMEOUT,
        undo: None,
        idempotent: true,
    };
    Plan {
        plan: "plan".into(),
        episode: Episode { cluster: cluster.into(), system_identifier: 7, timeline: Timeline(1), primary: "a".into() },
        runbook: "book".into(),
        book: "hash".into(),
        config: "hash".into(),
        class: Class::Failover,
        planned: false,
        mode,
        triggers: vec![Trigger::Alert],
        cause: Cause::Observation,
        limits: Limits::default(),
        steps: vec![
            Step::Fence(hook),
            Step::Promote { timeout: TIMEOUT },
            Step::Verify { one_writable: true, standbys_streaming_within: None },
        ],
        candidate: Some("b".into()),
        loss_bytes: None,
        guards: Vec::new(),
    }
}

fn at(second: u64) -> Moment {
    Moment::default().plus(Duration::from_secs(second))
}

fn run(mode: Mode) -> Run {
    Run::begin("run".into(), 1, plan("orders", mode), at(0))
}

fn after(mut run: Run, events: &[Event]) -> Run {
    for (event, second) in events.iter().zip(1..) {
        run.fold(event, at(second));
    }
    run
}

fn approved(plan: &str) -> Event {
    Event::Approved { plan: plan.into(), by: "dba".into(), comment: String::new() }
}

fn intended(step: usize, attempt: u32) -> Event {
    Event::Intended { step, attempt }
}

fn did(step: usize, result: StepResult) -> Event {
    Event::Did { step, attempt: 1, result, detail: "so it said".into(), millis: 1, data: None }
}

fn probed(step: usize, answer: Probe) -> Event {
    Event::Probed { step, answer, detail: String::new(), data: None }
}

const LOCKED: Event = Event::Locked { token: 5 };

fn awaiting() -> Event {
    Event::Awaiting { until: at(900) }
}

fn blocked() -> Event {
    Event::Blocked { stage: Stage::Fence, guards: Vec::new() }
}

#[test]
fn only_the_plan_that_was_shown_is_approved() {
    let other = after(run(Mode::Manual), &[awaiting(), approved("another")]);
    assert_eq!((other.phase, &other.approved_by), (Phase::Awaiting, &None));
    let same = after(run(Mode::Manual), &[awaiting(), approved("plan")]);
    assert_eq!((same.phase, same.approved_by.as_deref()), (Phase::Locking, Some("dba")));
    let early = after(run(Mode::Manual), &[approved("plan"), LOCKED]);
    assert_eq!(early.phase, Phase::Planned, "the lock is no approval");
}

#[test]
fn a_new_plan_and_a_block_void_the_approval() {
    let begun = [awaiting(), approved("plan"), LOCKED];
    let anew =
        after(run(Mode::Manual), &[&begun[..], &[Event::Planned(Box::new(plan("orders", Mode::Manual)))]].concat());
    assert_eq!((anew.phase, &anew.approved_by, anew.token, anew.until), (Phase::Planned, &None, None, None));
    let held = after(run(Mode::Manual), &[&begun[..], &[blocked(), LOCKED]].concat());
    assert_eq!((held.phase, &held.approved_by), (Phase::Blocked, &None));
}

#[test]
fn automatic_needs_the_lock_alone() {
    assert_eq!(after(run(Mode::Automatic), &[LOCKED]).phase, Phase::Ready);
    assert_eq!(after(run(Mode::Automatic), &[blocked(), LOCKED]).phase, Phase::Ready);
}

#[test]
fn a_plan_does_not_change_once_anything_was_begun() {
    let mut other = plan("orders", Mode::Automatic);
    other.candidate = Some("c".into());
    let run = after(run(Mode::Automatic), &[LOCKED, intended(0, 1), Event::Planned(Box::new(other)), blocked()]);
    assert_eq!((run.phase, run.plan.candidate.as_deref()), (Phase::Acting, Some("b")));
    assert!(run.acted && !run.fenced);
}

#[test]
fn the_word_of_a_fence_is_no_proof() {
    let fencing = after(run(Mode::Automatic), &[LOCKED, intended(0, 1), did(0, StepResult::Done)]);
    assert_eq!((fencing.phase, fencing.step, fencing.fenced), (Phase::Probing, 0, false));
    for answer in [Probe::No, Probe::Unknown] {
        let asked = after(fencing.clone(), &[probed(0, answer)]);
        assert_eq!((asked.phase, asked.fenced), (Phase::Probing, false));
    }
    let proven = after(fencing, &[probed(0, Probe::Yes)]);
    assert_eq!((proven.phase, proven.step, proven.attempt, proven.fenced), (Phase::Ready, 1, 0, true));
}

#[test]
fn the_promotion_is_the_point_of_no_return_when_it_begins() {
    let fenced =
        after(run(Mode::Automatic), &[LOCKED, intended(0, 1), did(0, StepResult::Done), probed(0, Probe::Yes)]);
    assert_eq!(after(fenced.clone(), &[Event::Undoing]).phase, Phase::Undoing);
    let promoting = after(fenced, &[intended(1, 1)]);
    assert!(promoting.past_return && !promoting.promoted);
    assert_eq!(after(promoting.clone(), &[Event::Undoing]).phase, Phase::Acting);
    let failed = after(promoting.clone(), &[did(1, StepResult::Unknown), intended(1, 2)]);
    assert_eq!((failed.phase, failed.attempt, failed.step_began), (Phase::Acting, 2, promoting.step_began));
    assert!(!failed.promoted);
    let skipped = after(failed, &[Event::LeftOut { step: 1, why: String::new() }]);
    assert_eq!(skipped.step, 1, "nothing is left out before there is a new primary");
    let promoted = after(promoting, &[did(1, StepResult::AlreadyDone)]);
    assert!(promoted.promoted);
    let without =
        after(promoted, &[intended(2, 1), did(2, StepResult::No), Event::LeftOut { step: 2, why: "no".into() }]);
    assert_eq!((without.phase, &without.left_out, without.current()), (Phase::Ready, &vec!["no".to_owned()], None));
}

#[test]
fn what_is_told_of_another_step_or_while_undoing_counts_for_nothing() {
    let fenced = after(run(Mode::Automatic), &[LOCKED, intended(0, 1), probed(0, Probe::Yes)]);
    let told = after(fenced.clone(), &[did(0, StepResult::Failed), probed(0, Probe::No), did(1, StepResult::Done)]);
    assert_eq!((told.phase, told.step, told.promoted), (Phase::Ready, 1, false));
    let undoing = after(fenced, &[Event::Undoing, did(1, StepResult::Done), probed(1, Probe::Yes)]);
    assert_eq!((undoing.phase, undoing.promoted), (Phase::Undoing, false));
}

#[test]
fn the_end_is_the_end_until_somebody_takes_note() {
    let ended = |outcome, events: &[Event]| {
        after(run(Mode::Automatic), &[events, &[Event::Ended { outcome, report: String::new() }]].concat())
    };
    for outcome in Outcome::ALL {
        let is_closed = matches!(
            outcome,
            Outcome::DryRun
                | Outcome::Blocked
                | Outcome::Expired
                | Outcome::Rejected
                | Outcome::Stale
                | Outcome::Recovered
                | Outcome::Superseded
        );
        let run = ended(outcome, &[]);
        assert_eq!(run.is_unacknowledged(), !is_closed, "{outcome:?}");
        let later = after(run.clone(), &[LOCKED, intended(0, 1), Event::Undoing]);
        assert_eq!(run, later, "{outcome:?}");
        let noted = Event::Acknowledged { by: "dba".into(), comment: String::new() };
        assert!(!after(run, &[noted]).is_unacknowledged());
    }
    assert!(ended(Outcome::Superseded, &[LOCKED, intended(0, 1)]).is_unacknowledged(), "it had begun something");
}
