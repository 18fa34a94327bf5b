//! What collectors' series say when a recorded node is changed in one point.

use std::time::Duration;

use pgvigil::clock::{Moment, Wall};
use pgvigil::collector::recovery::ReplayPause;
use pgvigil::collector::slots::Slot;
use pgvigil::collector::snapshot::{Fact, NodeView, Snapshot};
use pgvigil::collector::walsenders::Walsender;
use pgvigil::metric::catalog;
use pgvigil::metric::exposition::{Format, render};
use pgvigil::metric::sample::{Sample, Value};
use pgvigil::pg::lsn::Lsn;

use crate::golden::{promtool, reading, samples_of, view};

/// The series of a node.
struct Series(Vec<Sample>);

impl Series {
    fn of(view: &NodeView<'_>) -> Self {
        Self(samples_of(view))
    }

    /// The value of a series by the labels after cluster and node; `None` if it is absent.
    fn value(&self, name: &str, labels: &[&str]) -> Option<f64> {
        let name = format!("pgvigil_{name}");
        let found = self.0.iter().find(|sample| sample.family.name == name && sample.labels[2..] == *labels)?;
        match found.value {
            Value::Number(number) => Some(number),
            Value::Histogram(_) => None,
        }
    }

    /// The state that is 1, of the series with these labels before `state`.
    fn state(&self, name: &str, labels: &[&str]) -> &str {
        let name = format!("pgvigil_{name}");
        let of = |sample: &&Sample| sample.family.name == name && sample.labels[2..].starts_with(&to_labels(labels));
        let on = |sample: &&Sample| sample.value == Value::Number(1.0);
        let found: Vec<_> = self.0.iter().filter(of).filter(on).map(|sample| sample.labels.last().unwrap()).collect();
        assert_eq!(found.len(), 1, "{name}{labels:?} {found:?}");
        found[0]
    }

    fn any(&self, name: &str) -> bool {
        self.0.iter().any(|sample| sample.family.name == format!("pgvigil_{name}"))
    }
}

fn to_labels<'a>(labels: &[&'a str]) -> Vec<std::borrow::Cow<'a, str>> {
    labels.iter().map(|label| (*label).into()).collect()
}

fn primary() -> (Snapshot, Moment) {
    reading(16, "primary")
}

fn standby() -> (Snapshot, Moment) {
    reading(16, "standby")
}

fn value<T>(fact: &mut Option<Fact<T>>) -> &mut T {
    &mut fact.as_mut().unwrap().value
}

fn walsender_b(snapshot: &Snapshot) -> Walsender {
    let walsenders = &snapshot.walsenders.as_ref().unwrap().value;
    walsenders.iter().find(|walsender| walsender.application_name == "b").unwrap().clone()
}

fn slot_b(snapshot: &mut Snapshot) -> &mut Slot {
    value(&mut snapshot.slots).iter_mut().find(|slot| slot.name == "b").unwrap()
}

#[test]
fn walsenders_of_one_name_become_one_that_says_the_worst() {
    let (mut snapshot, read) = primary();
    let first = walsender_b(&snapshot);
    let flushed = snapshot.recovery.as_ref().unwrap().value.flush_lsn.unwrap();
    let behind = Walsender {
        pid: first.pid + 1,
        state: "catchup".to_owned(),
        sync_state: Some("potential".to_owned()),
        replay_lsn: Some(Lsn(flushed.0 - 4_096)),
        replay_lag: Some(7.0),
        write_lag: None,
        reply_time: Some(Wall::from_seconds(5.0)),
        ..first.clone()
    };
    for (one, other) in [(first.clone(), behind.clone()), (behind, first.clone())] {
        snapshot.walsenders.as_mut().unwrap().value = vec![one, other];
        let series = Series::of(&view(&snapshot, "a", read));
        assert_eq!(series.state("walsender_state", &["b"]), "catchup");
        assert_eq!(series.state("walsender_sync_state", &["b"]), "potential");
        assert_eq!(series.value("walsender_lag_seconds", &["b", "replay"]), Some(7.0));
        assert_eq!(series.value("walsender_lag_seconds", &["b", "write"]), first.write_lag);
        assert_eq!(series.value("walsender_lag_bytes", &["b", "replay"]), Some(4_096.0));
        assert_eq!(series.value("walsender_reply_timestamp_seconds", &["b"]), Some(5.0));
    }
}

#[test]
fn a_walsender_that_has_just_started_has_a_state_and_no_lag() {
    let (mut snapshot, read) = primary();
    let fresh = Walsender {
        state: "startup".to_owned(),
        sent_lsn: None,
        write_lsn: None,
        flush_lsn: None,
        replay_lsn: None,
        write_lag: None,
        flush_lag: None,
        replay_lag: None,
        reply_time: None,
        ..walsender_b(&snapshot)
    };
    *value(&mut snapshot.walsenders) = vec![fresh];
    let series = Series::of(&view(&snapshot, "a", read));
    assert_eq!(series.state("walsender_state", &["b"]), "startup");
    assert!(!series.any("walsender_lag_bytes") && !series.any("walsender_lag_seconds"));
}

#[test]
fn only_physical_walsenders_that_stream_are_standbys() {
    let (mut snapshot, read) = primary();
    let backup = Walsender {
        pid: 1,
        state: "backup".to_owned(),
        application_name: "pg_basebackup".to_owned(),
        ..walsender_b(&snapshot)
    };
    value(&mut snapshot.walsenders).push(backup);
    assert_eq!(snapshot.walsenders.as_ref().unwrap().value.len(), 3);
    let series = Series::of(&view(&snapshot, "a", read));
    for other in ["orders_feed", "pg_basebackup"] {
        assert_eq!(series.value("walsender_start_time_seconds", &[other]), None, "{other}");
    }
    assert!(series.value("walsender_start_time_seconds", &["b"]).is_some());
}

#[test]
fn a_standby_has_the_name_of_the_node_that_it_is() {
    let (snapshot, read) = primary();
    let pid = walsender_b(&snapshot).pid;
    let mut view = view(&snapshot, "a", read);
    view.standby_names.insert(pid, "berlin".to_owned());
    let series = Series::of(&view);
    assert!(series.value("walsender_start_time_seconds", &["berlin"]).is_some());
    assert_eq!(series.value("walsender_start_time_seconds", &["b"]), None);
}

#[test]
fn old_facts_are_absent_and_verdicts_unknown() {
    let (snapshot, read) = standby();
    let mut stale = view(&snapshot, "b", read);
    stale.now = read.plus(Duration::from_secs(31));
    let mut late = view(&snapshot, "b", read);
    late.not_before = late.now;
    for view in [stale, late] {
        let series = Series::of(&view);
        for state in ["replay_state", "wal_receiver_state", "archive_state"] {
            assert_eq!(series.state(state, &[]), "unknown");
        }
        let told = series.0.iter().filter(|sample| sample.family.labels.last() != Some(&"state")).count();
        assert_eq!(told, 0, "a verdict is all that is left");
    }
}

#[test]
fn the_slow_reading_outlives_the_fast_one() {
    let (snapshot, read) = primary();
    let mut view = view(&snapshot, "a", read);
    view.now = read.plus(Duration::from_secs(10));
    let series = Series::of(&view);
    assert!(series.any("node_info") && series.any("slots_limit"));
    assert!(!series.any("wal_position_bytes") && !series.any("slot_active"));
    assert_eq!(series.state("archive_state", &[]), "unknown", "whether an archiver runs hangs on the role");
    assert!(!series.any("archived_segments_total"), "and whether what it counted is of the present");
}

#[test]
fn a_lost_slot_has_a_status_and_no_bytes() {
    let (mut snapshot, read) = primary();
    let slot = slot_b(&mut snapshot);
    (slot.restart_lsn, slot.safe_wal_size, slot.wal_status) = (None, None, Some("lost".to_owned()));
    let series = Series::of(&view(&snapshot, "a", read));
    assert_eq!(series.state("slot_wal_status", &["b"]), "lost");
    assert_eq!(series.value("slot_retained_bytes", &["b", "physical"]), None);
    assert_eq!(series.value("slot_safe_bytes", &["b"]), None);
}

#[test]
fn a_slot_in_danger_is_below_zero() {
    let (mut snapshot, read) = primary();
    let flushed = snapshot.recovery.as_ref().unwrap().value.flush_lsn;
    let slot = slot_b(&mut snapshot);
    slot.restart_lsn = flushed.map(|lsn| Lsn(lsn.0 - 1_000));
    (slot.safe_wal_size, slot.wal_status) = (Some(-1_048_576), Some("unreserved".to_owned()));
    let series = Series::of(&view(&snapshot, "a", read));
    assert_eq!(series.state("slot_wal_status", &["b"]), "unreserved");
    assert_eq!(series.value("slot_safe_bytes", &["b"]), Some(-1_048_576.0));
    assert_eq!(series.value("slot_retained_bytes", &["b", "physical"]), Some(1_000.0));
}

#[test]
fn temporary_slots_make_no_series() {
    let (snapshot, read) = primary();
    assert!(snapshot.slots.as_ref().unwrap().value.iter().any(|slot| slot.temporary));
    assert_eq!(Series::of(&view(&snapshot, "a", read)).value("slot_active", &["passing"]), None);
}

#[test]
fn a_receiver_that_does_not_stream_is_not_up() {
    let (mut snapshot, read) = standby();
    assert_eq!(Series::of(&view(&snapshot, "b", read)).value("wal_receiver_up", &[]), Some(1.0));
    value(&mut snapshot.wal_receiver).as_mut().unwrap().status = "waiting".to_owned();
    let series = Series::of(&view(&snapshot, "b", read));
    assert_eq!((series.value("wal_receiver_up", &[]), series.state("wal_receiver_state", &[])), (Some(0.0), "waiting"));
    *value(&mut snapshot.wal_receiver) = None;
    let series = Series::of(&view(&snapshot, "b", read));
    assert_eq!((series.value("wal_receiver_up", &[]), series.state("wal_receiver_state", &[])), (Some(0.0), "none"));
    assert_eq!(series.value("node_timeline", &[]), None, "nobody tells the present timeline");
    snapshot.wal_receiver = None;
    let series = Series::of(&view(&snapshot, "b", read));
    assert_eq!((series.value("wal_receiver_up", &[]), series.state("wal_receiver_state", &[])), (None, "unknown"));
}

#[test]
fn a_standby_has_received_at_least_what_it_has_replayed() {
    let (mut snapshot, read) = standby();
    let recovery = value(&mut snapshot.recovery);
    (recovery.receive_lsn, recovery.replay_lsn) = (Some(Lsn(0x70_0000)), Some(Lsn(0x70_0B20)));
    let series = Series::of(&view(&snapshot, "b", read));
    assert_eq!(series.value("wal_position_bytes", &["received"]), Some(f64::from(0x70_0B20)));
    assert_eq!(series.value("wal_position_bytes", &["replayed"]), Some(f64::from(0x70_0B20)));
}

#[test]
fn a_promoted_node_shows_nothing_of_its_past_as_a_standby() {
    let (mut snapshot, read) = primary();
    let recovery = value(&mut snapshot.recovery);
    let past = recovery.flush_lsn.map(|lsn| Lsn(lsn.0 - 77));
    (recovery.receive_lsn, recovery.replay_lsn) = (past, past);
    recovery.last_xact_replay = Some(recovery.server_time);
    let series = Series::of(&view(&snapshot, "a", read));
    assert_eq!(series.value("wal_position_bytes", &["received"]), None);
    assert_eq!(series.value("wal_position_bytes", &["replayed"]), None);
    assert!(!series.any("replay_last_commit_timestamp_seconds"));
    assert_eq!(series.state("replay_state", &[]), "not_in_recovery");
}

#[test]
fn each_pause_state_has_its_word() {
    let (mut snapshot, read) = standby();
    for (pause, state) in [
        (Some(ReplayPause::Running), "running"),
        (Some(ReplayPause::Requested), "pause_requested"),
        (Some(ReplayPause::Paused), "paused"),
        (None, "unknown"),
    ] {
        value(&mut snapshot.recovery).pause = pause;
        assert_eq!(Series::of(&view(&snapshot, "b", read)).state("replay_state", &[]), state);
    }
}

#[test]
fn names_may_be_anything() {
    let (mut snapshot, read) = primary();
    let odd = "a\"b\\c\nd=\"1\"} 7 # {x} é\u{1f418}\t";
    slot_b(&mut snapshot).name = odd.to_owned();
    let pid = walsender_b(&snapshot).pid;
    let mut view = view(&snapshot, odd, read);
    view.cluster = odd;
    view.standby_names.insert(pid, odd.to_owned());
    let page = render(&catalog::families(), samples_of(&view), Format::PrometheusText).unwrap();
    assert_eq!(promtool(&page), [""; 0]);
    let comments = page.lines().filter(|line| line.starts_with('#')).count();
    let series = page.lines().filter(|line| line.starts_with("pgvigil_")).count();
    assert_eq!(comments + series, page.lines().count(), "a label broke a line");
}
