//! What collectors' series say when a recorded node is changed in one point.

use std::time::Duration;

use pgvigil::clock::{Moment, Wall};
use pgvigil::collector::base_backups::BaseBackup;
use pgvigil::collector::recovery::ReplayPause;
use pgvigil::collector::slots::Slot;
use pgvigil::collector::snapshot::{Fact, NodeView, Snapshot};
use pgvigil::collector::wal_receiver::WalReceiver;
use pgvigil::collector::walsenders::Walsender;
use pgvigil::metric::catalog;
use pgvigil::metric::exposition::{Format, render};
use pgvigil::metric::sample::{Sample, Samples, Value};
use pgvigil::pg::lsn::Lsn;

use crate::golden::{promtool, reading, samples_of, view};

/// The series of a node.
struct Series(Samples);

impl Series {
    fn of(view: &NodeView<'_>) -> Self {
        Self(samples_of(view))
    }

    /// The value of a series by the labels after cluster and node; `None` if it is absent.
    fn value(&self, name: &str, labels: &[&str]) -> Option<f64> {
        let name = format!("pgvigil_{name}");
        let found = self
            .0
            .iter()
            .find(|sample| sample.family.name == name && sample.labels().skip(2).eq(labels.iter().copied()))?;
        match found.value {
            Value::Number(number) => Some(*number),
            Value::Histogram(_) => None,
        }
    }

    /// The state that is 1, of the series with these labels before `state`.
    fn state(&self, name: &str, labels: &[&str]) -> &str {
        let name = format!("pgvigil_{name}");
        let of = |sample: &Sample<'_>| {
            sample.family.name == name && sample.labels().skip(2).take(labels.len()).eq(labels.iter().copied())
        };
        let on = |sample: &Sample<'_>| *sample.value == Value::Number(1.0);
        let found: Vec<_> = self.0.iter().filter(of).filter(on).filter_map(|sample| sample.labels().last()).collect();
        assert_eq!(found.len(), 1, "{name}{labels:?} {found:?}");
        found[0]
    }

    fn any(&self, name: &str) -> bool {
        self.0.iter().any(|sample| sample.family.name == format!("pgvigil_{name}"))
    }
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
        sync_priority: Some(0),
        xmin_age: Some(12.0),
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
        assert_eq!(series.value("walsender_sync_priority", &["b"]), Some(0.0), "out of the list is the worst place");
        assert_eq!(series.value("walsender_xmin_age_transactions", &["b"]), Some(12.0));
        assert_eq!(series.value("walsender_slot_info", &["b", "b"]), Some(1.0));
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
        // Long enough ago for a copier of WAL to have reported.
        backend_start: Some(Wall::from_seconds(1.0)),
        ..walsender_b(&snapshot)
    };
    *value(&mut snapshot.walsenders) = vec![fresh];
    let series = Series::of(&view(&snapshot, "a", read));
    assert_eq!(series.state("walsender_state", &["b"]), "startup");
    assert!(!series.any("walsender_lag_bytes") && !series.any("walsender_lag_seconds"));
}

#[test]
fn only_what_replays_is_a_standby_and_every_walsender_is_counted() {
    let (mut snapshot, read) = primary();
    let b = walsender_b(&snapshot);
    let called = |pid, name: &str| Walsender { pid, application_name: name.to_owned(), ..b.clone() };
    let backup = Walsender { state: "backup".to_owned(), ..called(1, "pg_basebackup") };
    let stream = Walsender { replay_lsn: None, ..called(2, "pg_basebackup") };
    let nightly = Walsender { replay_lsn: None, ..called(3, "nightly") };
    let long_ago = Some(Wall::from_seconds(1.0));
    let new =
        Walsender { replay_lsn: None, write_lsn: None, reply_time: None, backend_start: long_ago, ..called(4, "new") };
    value(&mut snapshot.walsenders).extend([backup, stream, nightly, new]);
    let mut view = view(&snapshot, "a", read);
    let series = Series::of(&view);
    for other in ["orders_feed", "pg_basebackup", "nightly"] {
        assert_eq!(series.value("walsender_start_time_seconds", &[other]), None, "{other}");
    }
    for standby in ["b", "new"] {
        assert!(series.value("walsender_start_time_seconds", &[standby]).is_some(), "{standby}");
    }
    let counts = |series: &Series| {
        ["standby", "wal_stream", "backup", "logical"].map(|kind| series.value("walsenders", &[kind]).unwrap())
    };
    assert_eq!(counts(&series), [2.0, 2.0, 1.0, 1.0]);
    // What the configuration knows as a standby is one.
    view.standby_names.insert(3, "berlin".to_owned());
    let series = Series::of(&view);
    assert_eq!(counts(&series), [3.0, 1.0, 1.0, 1.0]);
    assert!(series.value("walsender_start_time_seconds", &["berlin"]).is_some());
}

#[test]
fn a_walreceiver_with_nothing_to_tell_keeps_its_row() {
    let (mut snapshot, read) = standby();
    let of = |snapshot: &Snapshot| Series::of(&view(snapshot, "b", read));
    let whole = of(&snapshot);
    assert_eq!(whole.value("wal_receiver_slot_info", &["b"]), Some(1.0));
    let (age, ratio) =
        (whole.value("wal_receiver_last_message_age_seconds", &[]), whole.value("wal_receiver_message_age_ratio", &[]));
    assert_eq!(ratio, age.map(|age| age / 60.0));

    value(&mut snapshot.settings).wal_receiver_timeout = 0.0;
    assert!(!of(&snapshot).any("wal_receiver_message_age_ratio"), "no timeout");
    let receiver = value(&mut snapshot.wal_receiver).as_mut().unwrap();
    receiver.slot_name = Some("pg_walreceiver_4711".to_owned());
    assert!(!of(&snapshot).any("wal_receiver_slot_info"), "the name of a slot of its own bears its pid");

    let receiver = value(&mut snapshot.wal_receiver).as_mut().unwrap();
    *receiver = WalReceiver {
        slot_name: None,
        sender_host: None,
        sender_port: None,
        written_lsn: None,
        latest_end_lsn: None,
        last_msg_send_time: None,
        last_msg_receipt_time: None,
        latest_end_time: None,
        ..receiver.clone()
    };
    let series = of(&snapshot);
    assert_eq!(
        (series.state("wal_receiver_state", &[]), series.value("wal_receiver_up", &[])),
        ("streaming", Some(1.0))
    );
    assert_eq!(series.value("wal_receiver_timeline", &["received"]), Some(1.0));
    assert!(series.value("wal_receiver_position_bytes", &["flushed"]).is_some());
    assert_eq!(series.value("wal_receiver_position_bytes", &["written"]), None);
    for absent in ["last_message_age_seconds", "last_message_send_timestamp_seconds", "latest_end_timestamp_seconds"] {
        assert!(!series.any(&format!("wal_receiver_{absent}")), "{absent}");
    }
}

#[test]
fn base_backups_add_up_and_the_least_advanced_names_the_phase() {
    let (mut snapshot, read) = primary();
    let of = |snapshot: &Snapshot| Series::of(&view(snapshot, "a", read));
    let idle = of(&snapshot);
    assert_eq!(idle.value("base_backups", &[]), Some(0.0));
    assert!(!idle.any("base_backup_phase") && !idle.any("base_backup_streamed_bytes"), "nothing is in progress");

    let backup = |phase: &str, total, streamed| BaseBackup {
        phase: phase.to_owned(),
        backup_total: total,
        backup_streamed: Some(streamed),
        tablespaces_total: Some(2),
        tablespaces_streamed: Some(1),
    };
    *value(&mut snapshot.base_backups) = vec![
        backup("waiting for wal archiving to finish", Some(1_000), 1_010),
        backup("streaming database files", Some(500), 20),
    ];
    let two = of(&snapshot);
    assert_eq!(two.value("base_backups", &[]), Some(2.0));
    assert_eq!(two.state("base_backup_phase", &[]), "streaming_files");
    assert_eq!(two.value("base_backup_streamed_bytes", &[]), Some(1_030.0));
    assert_eq!(two.value("base_backup_estimated_bytes", &[]), Some(1_500.0));
    assert_eq!(two.value("base_backup_tablespaces", &["total"]), Some(4.0));
    assert_eq!(two.value("base_backup_tablespaces", &["streamed"]), Some(2.0));

    value(&mut snapshot.base_backups).push(backup("waiting for checkpoint to finish", None, 0));
    let three = of(&snapshot);
    assert_eq!(three.state("base_backup_phase", &[]), "waiting_for_checkpoint");
    assert_eq!(three.value("base_backup_estimated_bytes", &[]), None, "one has no estimate");
    assert_eq!(three.value("base_backup_streamed_bytes", &[]), Some(1_030.0));
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
    let kept = slot_b(&mut snapshot).restart_lsn;
    // It keeps its restart_lsn unless it was lost for removed WAL.
    for restart_lsn in [None, kept] {
        let slot = slot_b(&mut snapshot);
        (slot.restart_lsn, slot.safe_wal_size, slot.wal_status) = (restart_lsn, None, Some("lost".to_owned()));
        let series = Series::of(&view(&snapshot, "a", read));
        assert_eq!(series.state("slot_wal_status", &["b"]), "lost");
        assert_eq!(series.value("slot_retained_bytes", &["b", "physical"]), None);
        assert_eq!(series.value("slot_safe_bytes", &["b"]), None);
    }
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
    let page =
        String::from_utf8(render(&catalog::families(), samples_of(&view), Format::PrometheusText).unwrap()).unwrap();
    assert_eq!(promtool(&page), [""; 0]);
    let comments = page.lines().filter(|line| line.starts_with('#')).count();
    let series = page.lines().filter(|line| line.starts_with("pgvigil_")).count();
    assert_eq!(comments + series, page.lines().count(), "a label broke a line");
}
