use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::alertmanager::{Alert, Payload};
use crate::runbook::book::Mode;
use crate::runbook::run::{Outcome, Phase, Plan, RunRecord};

fn record(seq: u64, entry: Entry) -> Record {
    Record { seq, durable: seq - 1, at: Moment::default().plus(Duration::from_secs(seq)), entry }
}

fn told(seq: u64, run: &str, event: Event) -> Record {
    record(seq, Entry::Run(RunRecord { run: run.into(), event }))
}

fn planned(plan: Plan) -> Event {
    Event::Planned(Box::new(plan))
}

fn plan() -> Plan {
    crate::runbook::run::tests::plan("orders", Mode::Automatic)
}

fn ended(outcome: Outcome) -> Event {
    Event::Ended { outcome, report: String::new() }
}

fn alert(seq: u64, name: &str, status: Status) -> Record {
    let labels = [("cluster", "orders"), ("alertname", name)];
    let labels: BTreeMap<_, _> = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let alert = Alert { status, labels, starts_at: Timestamp::UNIX_EPOCH, ends_at: None, fingerprint: "f".into() };
    let payload = Payload { receiver: "r".into(), group_key: "g".into(), truncated: 0, alerts: vec![alert.clone()] };
    record(seq, Entry::of(&payload, &alert, "am", |_| true))
}

#[test]
fn runs_that_are_over_are_forgotten_those_that_nobody_needs_first() {
    let mut runs = Runs::default();
    let mut seq = 0;
    let mut take = |runs: &mut Runs, id: &str, outcome| {
        for event in [planned(plan()), ended(outcome)] {
            seq += 1;
            runs.take(&told(seq, id, event));
        }
    };
    take(&mut runs, "unnoted", Outcome::Succeeded);
    for number in 0..MOST_ENDED * 2 {
        take(&mut runs, &format!("closed {number}"), Outcome::Expired);
        assert!(runs.ended.len() <= MOST_ENDED);
    }
    assert!(runs.get("unnoted").is_some(), "nobody took note of it");
    assert!(runs.get("closed 0").is_none());
    assert_eq!(runs.needed(), Some(1), "the journal keeps it");
    for number in 0..MOST_ENDED * 2 {
        take(&mut runs, &format!("unnoted {number}"), Outcome::Indeterminate);
        assert!(runs.ended.len() <= MOST_ENDED, "bounded even so");
    }
    assert!(runs.ended().all(Run::is_unacknowledged));
}

#[test]
fn an_open_run_is_planned_anew_only_while_nothing_was_done() {
    let mut runs = Runs::default();
    runs.take(&told(1, "run", planned(plan())));
    runs.take(&told(2, "run", planned(Plan { candidate: Some("c".into()), ..plan() })));
    let run = runs.open_of("orders").unwrap();
    assert_eq!((run.first, run.plan.candidate.as_deref()), (1, Some("c")));
    runs.take(&told(3, "run", Event::Locked { token: 1 }));
    runs.take(&told(4, "run", Event::Intended { step: 0, attempt: 1 }));
    runs.take(&told(5, "run", planned(plan())));
    let run = runs.get("run").unwrap();
    assert_eq!((run.phase, run.plan.candidate.as_deref()), (Phase::Acting, Some("c")));
    assert_eq!(runs.open().count(), 1);
    runs.take(&told(6, "run", ended(Outcome::Indeterminate)));
    runs.take(&told(7, "run", planned(plan())));
    assert!(runs.open_of("orders").is_none(), "what is over does not begin again");
    assert_eq!(runs.past().iter().map(|past| (past.acted, past.acknowledged)).collect::<Vec<_>>(), [(true, false)]);
    runs.take(&told(8, "run", Event::Acknowledged { by: "dba".into(), comment: String::new() }));
    assert_eq!(runs.needed(), None);
}

#[test]
fn what_is_told_of_a_run_that_nobody_knows_is_no_run() {
    let mut runs = Runs::default();
    runs.take(&told(1, "run", Event::Locked { token: 1 }));
    assert_eq!(runs.open().count() + runs.ended().count(), 0);
}

#[test]
fn the_newest_word_on_an_alert_counts_and_there_are_not_too_many() {
    let mut runs = Runs::default();
    runs.take(&alert(1, "Down", Status::Firing));
    assert!(runs.alarm("orders", "Down").unwrap().firing);
    runs.take(&alert(2, "Down", Status::Resolved));
    assert!(!runs.alarm("orders", "Down").unwrap().firing);
    for seq in 3..3 + MOST_ALERTS as u64 {
        runs.take(&alert(seq, &format!("Alert{seq}"), Status::Firing));
        assert!(runs.alerts.len() <= MOST_ALERTS);
    }
    assert!(runs.alarm("orders", "Down").is_none(), "the oldest makes room");
    assert_eq!(runs.alarms("orders").count(), MOST_ALERTS);
    assert_eq!(runs.alarms("others").count(), 0);
}
