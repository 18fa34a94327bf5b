//! What collectors read out of the recorded rows, on every version: the facts that the recorder set up.

use pgvigil::clock::Moment;
use pgvigil::cluster::sync::{Quorum, SyncState};
use pgvigil::collector::COLLECTORS;
use pgvigil::collector::archiver::ArchiveCommand;
use pgvigil::collector::limits::Usage;
use pgvigil::collector::recovery::ReplayPause;
use pgvigil::collector::settings::Value;
use pgvigil::collector::snapshot::{Exchange, Snapshot};
use pgvigil::collector::walsender_kind::WalsenderKind;
use pgvigil::pg::lsn::Timeline;

use crate::fixture::{self, Answer};
use crate::golden::{MAJORS, reading};

fn each(role: &str, check: impl Fn(u32, Snapshot)) {
    for major in MAJORS {
        check(major, reading(major, role).0);
    }
}

#[test]
fn a_primary() {
    each("primary", |major, snapshot| {
        let recovery = snapshot.recovery.unwrap().value;
        assert!(!recovery.in_recovery, "{major}");
        assert_eq!((recovery.timeline, recovery.pause), (Some(Timeline(1)), None), "{major}");
        assert!(recovery.flush_lsn.is_some() && recovery.insert_lsn >= recovery.flush_lsn, "{major}");
        assert_eq!(
            (recovery.receive_lsn, recovery.replay_lsn, recovery.last_xact_replay),
            (None, None, None),
            "{major}"
        );
        assert!(recovery.server_time > recovery.started_at, "{major}");

        let walsenders = snapshot.walsenders.unwrap().value;
        let b = walsenders.iter().find(|walsender| walsender.application_name == "b").unwrap();
        assert_eq!((b.state.as_str(), b.sync_state.as_deref()), ("streaming", Some("sync")), "{major}");
        assert!(b.sent_lsn >= b.write_lsn && b.write_lsn >= b.flush_lsn && b.flush_lsn >= b.replay_lsn, "{major}");
        assert!(b.replay_lsn.is_some(), "{major}");
        // The server forgets its lags after two replies without news; under load too, now and then.
        assert!(b.write_lag.is_none_or(|lag| (0.0..1.0).contains(&lag)), "{major}");
        assert!(b.replay_lag.is_none() || b.replay_lag >= b.write_lag, "{major}");
        assert!(b.reply_time > b.backend_start, "{major}");

        let slots = snapshot.slots.unwrap().value;
        let slot = |name: &str| slots.iter().find(|slot| slot.name == name).unwrap();
        assert_eq!((slot("b").active, slot("b").active_pid), (true, Some(b.pid)), "{major}");
        assert_eq!((slot("b").kind.as_str(), slot("b").temporary), ("physical", false), "{major}");
        assert_eq!((slot("orders_feed").kind.as_str(), slot("spare").active), ("logical", false), "{major}");
        assert!(slot("orders_feed").confirmed_flush_lsn >= slot("orders_feed").restart_lsn, "{major}");
        assert!(slot("passing").temporary && slot("spare").restart_lsn.is_none(), "{major}");
        assert_eq!(slot("b").wal_status.as_deref(), Some("reserved"), "{major}");
        assert!(slot("b").safe_wal_size.is_some_and(|size| (60 << 20..72 << 20).contains(&size)), "{major}");

        let details = snapshot.slot_details.unwrap().value;
        let names: Vec<_> = details.iter().map(|slot| slot.name.as_str()).collect();
        assert_eq!(names, ["b", "orders_feed", "spare"], "{major}: no temporary one");
        assert!(details.iter().all(|slot| slot.invalidation.as_deref() == Some("none")), "{major}");
        assert_eq!(details[1].catalog_xmin_age.map(|age| age > 0.0), Some(true), "{major}");
        let keeps: Vec<_> = details.iter().map(|slot| slot.xmin_age.is_some()).collect();
        assert_eq!(keeps, [true, false, false], "{major}: by hot_standby_feedback");
        let told = details.iter().map(|slot| (slot.two_phase, slot.failover, slot.synced));
        let no = |since: u32| (major >= since).then_some(false);
        assert!(told.into_iter().all(|flags| flags == (no(14), no(17), no(17))), "{major}");
        // In use, both of them; and the third from the start not.
        let idle: Vec<_> = details.iter().map(|slot| slot.inactive_age.is_some()).collect();
        assert_eq!(idle, [false, false, major >= 17], "{major}");

        let decoded = snapshot.slot_stats.unwrap().value;
        let names: Vec<_> = decoded.iter().map(|slot| slot.name.as_str()).collect();
        assert_eq!(names, if major >= 14 { &["orders_feed"][..] } else { &[] }, "{major}");
        let limits = snapshot.limits.unwrap().value;
        assert_eq!(
            (limits.slots, limits.walsenders),
            (Usage { used: 4, limit: 10 }, Usage { used: 2, limit: 10 }),
            "{major}"
        );

        let archiver = snapshot.archiver.unwrap().value;
        assert_eq!((archiver.mode.as_str(), archiver.command), ("on", ArchiveCommand::Set), "{major}");
        assert!(archiver.archived_count > 0 && archiver.failed_count == 0, "{major}");
        assert!(archiver.last_archived_wal.is_some() && archiver.last_failed_wal.is_none(), "{major}");
        assert!(archiver.last_archived_time.is_some() && archiver.last_failed_time.is_none(), "{major}");
        assert!(archiver.stats_reset.is_some_and(|reset| reset < archiver.server_time), "{major}");

        let sync = snapshot.sync.unwrap().value;
        assert_eq!(
            (sync.standby_names.as_str(), sync.synchronous_commit.as_str()),
            ("FIRST 1 (b, c)", "on"),
            "{major}"
        );
        let quorum = Quorum::of(&sync.standby_names, &walsenders);
        assert_eq!(
            (quorum.state, quorum.candidates, quorum.spare),
            (SyncState::Satisfied, Some(1), Some(0)),
            "{major}"
        );

        let privileges = snapshot.privileges.unwrap().value;
        assert_eq!(privileges.role, "pgvigil", "{major}");
        assert_eq!(
            (privileges.superuser, privileges.pg_monitor, privileges.connection_limit),
            (false, true, 5),
            "{major}"
        );
    });
}

#[test]
fn replay_and_what_stands_in_its_way() {
    for role in ["primary", "standby", "standby-paused", "archive-only", "promoted"] {
        each(role, |major, snapshot| {
            let standby = !["primary", "promoted"].contains(&role);
            let wait = snapshot.replay_wait.unwrap().value;
            assert_eq!((wait.in_recovery, wait.found), (standby, standby), "{major} {role}");
            let conflicts = snapshot.conflicts.unwrap().value;
            assert_eq!((conflicts.in_recovery, conflicts.snapshot), (standby, 0), "{major} {role}");
            assert_eq!(conflicts.logical_slot.is_some(), major >= 16, "{major} {role}");
            // Before 14 an idle standby pauses at the next record only.
            if role == "standby-paused" && major >= 14 {
                assert_eq!(wait.wait_event.as_deref(), Some("RecoveryPause"), "{major}");
            }
        });
    }
}

#[test]
fn a_streaming_standby() {
    each("standby", |major, snapshot| {
        let recovery = snapshot.recovery.unwrap().value;
        assert_eq!((recovery.in_recovery, recovery.timeline), (true, None), "{major}");
        assert_eq!((recovery.flush_lsn, recovery.insert_lsn), (None, None), "{major}");
        assert_eq!(recovery.pause, Some(ReplayPause::Running), "{major}");
        assert!(recovery.receive_lsn >= recovery.replay_lsn && recovery.replay_lsn.is_some(), "{major}");
        assert!(recovery.last_xact_replay.is_some(), "{major}");

        let receiver = snapshot.wal_receiver.unwrap().value.unwrap();
        assert_eq!((receiver.status.as_str(), receiver.slot_name.as_deref()), ("streaming", Some("b")), "{major}");
        assert_eq!(
            (receiver.receive_start_tli, receiver.received_tli),
            (Some(Timeline(1)), Some(Timeline(1))),
            "{major}"
        );
        assert!(receiver.receive_start_lsn < receiver.flushed_lsn, "{major}");
        assert!(receiver.written_lsn >= receiver.flushed_lsn && receiver.latest_end_lsn.is_some(), "{major}");
        assert!(receiver.last_msg_receipt_time >= receiver.last_msg_send_time, "{major}");
        assert!(receiver.latest_end_time.is_some(), "{major}");
        assert_eq!(receiver.sender_host.as_deref(), Some("127.0.0.1"), "{major}");
        assert!(receiver.sender_port > Some(1_023), "{major}");

        let archiver = snapshot.archiver.unwrap().value;
        assert_eq!((archiver.mode.as_str(), archiver.command), ("always", ArchiveCommand::Unset), "{major}");
        let status = snapshot.archive_status.unwrap().value;
        assert!(status.ready > 0 && status.oldest_ready_age > Some(0.0), "{major}");
        assert_eq!(snapshot.settings.unwrap().value.wal_receiver_status_interval, 1.0, "{major}");
    });
    each("standby-paused", |major, snapshot| {
        let pause = snapshot.recovery.unwrap().value.pause;
        assert!(matches!(pause, Some(ReplayPause::Paused | ReplayPause::Requested)), "{major}: {pause:?}");
    });
}

#[test]
fn a_standby_fed_from_the_archive() {
    each("archive-only", |major, snapshot| {
        let recovery = snapshot.recovery.unwrap().value;
        assert_eq!((recovery.in_recovery, recovery.receive_lsn), (true, None), "{major}");
        assert!(recovery.replay_lsn.is_some() && recovery.received() == recovery.replay_lsn, "{major}");
        assert_eq!(snapshot.wal_receiver.unwrap().value, None, "{major}");
        let settings = snapshot.settings.unwrap().value;
        assert_eq!((settings.recovery_min_apply_delay, settings.restore_command_set), (1.5, true), "{major}");
        assert_eq!((settings.wal_segment_size, settings.wal_receiver_status_interval), (1 << 20, 10.0), "{major}");
        assert_eq!((settings.wal_sender_timeout, settings.wal_receiver_timeout), (60.0, 60.0), "{major}");
        assert_eq!((settings.pending_restart, settings.known.len()), (Some(0), known(major)), "{major}");
        let value = |name: &str| settings.known[name].value;
        assert_eq!(value("wal_level"), Value::Word("replica"), "{major}: its primary has another");
        assert_eq!(value("max_slot_wal_keep_size"), Value::Number(-1.0), "{major}: no limit");
        assert_eq!((value("fsync"), value("hot_standby")), (Value::Number(0.0), Value::Number(1.0)), "{major}");
    });
}

#[test]
fn all_nodes_are_of_one_cluster() {
    for major in MAJORS {
        let control = |role| reading(major, role).0.control.unwrap().value;
        let (a, b, c) = (control("primary"), control("standby"), control("archive-only"));
        assert!(a.system_identifier == b.system_identifier && b.system_identifier == c.system_identifier, "{major}");
        assert_eq!((a.checkpoint_timeline, a.min_recovery_end_timeline), (Timeline(1), None), "{major}");
        assert_eq!(b.min_recovery_end_timeline, Some(Timeline(1)), "{major}");
        assert!(a.redo_lsn.is_some() && a.checkpoint_time.is_some(), "{major}");
    }
}

#[test]
fn a_promoted_standby() {
    each("promoted", |major, snapshot| {
        let recovery = snapshot.recovery.unwrap().value;
        assert_eq!((recovery.in_recovery, recovery.timeline), (false, Some(Timeline(2))), "{major}");
        assert!(recovery.replay_lsn.is_some() && recovery.replay_lsn <= recovery.flush_lsn, "{major}");
        assert_eq!(snapshot.wal_receiver.unwrap().value, None, "{major}");
    });
}

#[test]
fn a_primary_in_trouble() {
    each("primary-troubled", |major, snapshot| {
        let slots = snapshot.slots.unwrap().value;
        let b = slots.iter().find(|slot| slot.name == "b").unwrap();
        assert_eq!((b.wal_status.as_deref(), b.active, b.active_pid), (Some("lost"), false, None), "{major}");
        assert_eq!((b.restart_lsn, b.safe_wal_size), (None, None), "{major}");
        let archiver = snapshot.archiver.unwrap().value;
        assert!(archiver.failed_count > 0 && archiver.last_failed_wal.is_some(), "{major}");
        assert!(archiver.last_failed_time > archiver.last_archived_time, "{major}");
        assert!(snapshot.archive_status.unwrap().value.ready > 0, "{major}");

        let sync = snapshot.sync.unwrap().value;
        let quorum = Quorum::of(&sync.standby_names, &snapshot.walsenders.unwrap().value);
        assert_eq!(
            (quorum.state, quorum.candidates, quorum.spare),
            (SyncState::Unsatisfied, Some(0), Some(-1)),
            "{major}"
        );
        assert_eq!(sync.waiters.len(), 1, "{major}");
        assert!((0.0..30.0).contains(&sync.longest_wait()) && sync.waiters[0].busy_since.is_some(), "{major}");
    });
}

/// How many of the listed settings a server of this version has.
fn known(major: u32) -> usize {
    37 + if major >= 17 { 3 } else { 0 } + usize::from(major >= 18)
}

#[test]
fn a_role_without_the_grant() {
    each("primary-plain", |major, snapshot| {
        assert!(
            snapshot.walsenders.is_none() && snapshot.archive_status.is_none() && snapshot.sync.is_none(),
            "{major}"
        );
        assert!(snapshot.recovery.is_some() && snapshot.slots.is_some() && snapshot.archiver.is_some(), "{major}");
        let privileges = snapshot.privileges.unwrap().value;
        assert_eq!((privileges.pg_monitor, privileges.connection_limit), (false, -1), "{major}");
        let settings = snapshot.settings.unwrap().value;
        assert_eq!((settings.pending_restart, settings.known.len()), (None, known(major)), "{major}: some are hidden");
    });
    each("standby-plain", |major, snapshot| assert!(snapshot.wal_receiver.is_none(), "{major}"));
}

#[test]
fn wal_and_what_is_made_of_it() {
    for role in ["primary", "standby", "archive-only", "promoted"] {
        each(role, |major, snapshot| {
            let in_recovery = snapshot.recovery.unwrap().value.in_recovery;
            let stats = snapshot.wal_stats.unwrap().value;
            assert_eq!(stats.is_some(), major >= 14, "{major} {role}");
            if let Some(stats) = stats.filter(|_| role == "primary") {
                assert!(stats.wal_bytes > stats.wal_records && stats.wal_records > 0 && stats.wal_write > 0, "{major}");
                assert!(
                    stats.wal_write_time.is_some_and(|time| time > 0.0) && stats.wal_sync_time.is_some(),
                    "{major}"
                );
            }
            let dir = snapshot.wal_dir.unwrap().value;
            assert!(dir.size >= dir.segments << 20 && dir.segments > 0, "{major} {role}");
            assert_eq!(dir.oldest_lsn.map(|lsn| lsn.0 % (1 << 20)), Some(0), "{major} {role}");
            let checkpoints = snapshot.checkpoints.unwrap().value;
            assert_eq!(checkpoints.restartpoints_done.is_some(), major >= 17, "{major} {role}");
            let prefetch = snapshot.prefetch.unwrap().value;
            assert_eq!(prefetch.map(|row| row.in_recovery), (major >= 15).then_some(in_recovery), "{major} {role}");
            let checksums = snapshot.checksums.unwrap().value;
            assert_eq!(
                (checksums.enabled, checksums.failures),
                (Some(major >= 18), (major >= 18).then_some(0)),
                "{major}"
            );
            let control = snapshot.control.unwrap().value;
            // A promoted one forgets it at its first checkpoint.
            assert!(role == "promoted" || control.min_recovery_end_lsn.is_some() == in_recovery, "{major} {role}");
        });
    }
}

/// The recorded answer of a collector on 16, with one cell changed, as the collector takes it.
fn with_cell(role: &str, collector: &str, column: &str, cell: Option<&str>) -> Snapshot {
    with_cells(role, collector, |columns, rows| {
        let index = columns.iter().position(|name| name == column).unwrap();
        rows[0][index] = cell.map(str::to_owned);
    })
}

/// The same with any change to its rows.
fn with_cells(role: &str, collector: &str, change: impl FnOnce(&[String], &mut Vec<Vec<Option<String>>>)) -> Snapshot {
    let collector = COLLECTORS.iter().find(|other| other.name() == collector).unwrap();
    let mut answer = Answer::read(&fixture::path(16, role, collector.name())).unwrap();
    change(&answer.columns, &mut answer.rows);
    let mut snapshot = Snapshot::default();
    let now = Moment::default();
    collector.store(&answer.records(), &mut snapshot, Exchange { sent: now, received: now }).unwrap();
    snapshot
}

#[test]
fn what_a_command_amounts_to() {
    for (word, command) in
        [("unset", ArchiveCommand::Unset), ("noop", ArchiveCommand::Noop), ("set", ArchiveCommand::Set)]
    {
        let archiver = with_cell("primary", "archiver", "command", Some(word)).archiver.unwrap().value;
        assert_eq!(archiver.command, command);
    }
}

#[test]
fn settings_that_an_old_server_hides_are_taken_at_their_worst() {
    let settings = with_cells("archive-only", "settings", |columns, rows| {
        let [name, set] =
            ["name", "restore_command_set"].map(|column| columns.iter().position(|name| name == column).unwrap());
        rows.retain(|row| row[name].as_deref() != Some("recovery_min_apply_delay"));
        rows.iter_mut().for_each(|row| row[set] = None);
    });
    let settings = settings.settings.unwrap().value;
    assert!(settings.restore_command_set);
    assert_eq!(settings.recovery_min_apply_delay, 0.0);
}

#[test]
fn a_cascade_under_a_backup() {
    each("cascade", |major, snapshot| {
        let kind_of = |name: &str| -> Vec<_> {
            snapshot
                .senders()
                .filter(|(walsender, _)| walsender.application_name == name)
                .map(|(_, kind)| kind)
                .collect()
        };
        assert_eq!(kind_of("d"), [WalsenderKind::Standby], "{major}");
        assert_eq!(kind_of("nightly"), [WalsenderKind::WalStream], "{major}");
        assert_eq!(kind_of("pg_basebackup"), [WalsenderKind::Backup, WalsenderKind::WalStream], "{major}");
        let walsenders = &snapshot.walsenders.as_ref().unwrap().value;
        let d = walsenders.iter().find(|walsender| walsender.application_name == "d").unwrap();
        assert_eq!((d.sync_priority, d.xmin_age.is_some(), d.in_database), (Some(0), true, false), "{major}");

        let receiver = snapshot.wal_receiver.as_ref().unwrap().value.as_ref().unwrap();
        assert!(receiver.pid.is_some_and(|pid| pid > 1), "{major}");
        let json = serde_json::to_value(receiver).unwrap();
        assert!(json.get("pid").is_none() && json.get("status").is_some(), "{major}: {json}");

        let backups = &snapshot.base_backups.as_ref().unwrap().value;
        assert_eq!(backups.len(), 1, "{major}");
        assert_eq!(backups[0].phase, "streaming database files", "{major}");
        assert!(
            backups[0].backup_total > Some(1 << 20) && backups[0].backup_streamed < backups[0].backup_total,
            "{major}"
        );
        assert_eq!((backups[0].tablespaces_total, backups[0].tablespaces_streamed), (Some(1), Some(0)), "{major}");
    });
    each("primary", |major, snapshot| {
        let kinds: Vec<_> = snapshot.senders().map(|(walsender, kind)| (walsender.sync_priority, kind)).collect();
        assert!(kinds.contains(&(Some(1), WalsenderKind::Standby)), "{major}: {kinds:?}");
        assert!(kinds.contains(&(Some(0), WalsenderKind::Logical)), "{major}: {kinds:?}");
        assert_eq!(snapshot.base_backups.unwrap().value, [], "{major}");
    });
}
