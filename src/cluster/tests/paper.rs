//! A cluster on paper: the test says what its nodes say, and sets the clock.

use std::time::Duration;

use crate::clock::{Moment, Mono, Wall};
use crate::cluster::Cluster;
use crate::cluster::assess::Assessment;
use crate::cluster::facts::Report;
use crate::cluster::lag::Unknown;
use crate::cluster::layout::{Layout, Member, Timing};
use crate::cluster::memory::Memory;
use crate::collector::snapshot::Exchange;
use crate::collector::{COLLECTORS, Pace};
use crate::pg::failure::{Cause, Failure};
use crate::pg::lsn::Lsn;
use crate::pg::records::Records;
use crate::pg::version::ServerVersion;

pub const A: usize = 0;
pub const B: usize = 1;
pub const C: usize = 2;

/// A cluster of three nodes whose clock the test sets.
pub struct Paper {
    pub cluster: Cluster,
    pub now: Moment,
}

/// What a node says of itself.
#[derive(Clone, Default)]
pub struct Says {
    pub standby: bool,
    pub timeline: u32,
    pub flush: u64,
    pub receive: Option<u64>,
    pub replay: Option<u64>,
    /// Rows of `pg_stat_replication`: pid, application name, flushed, replayed (0: never), reply time.
    pub walsenders: Vec<(i32, &'static str, u64, u64, f64)>,
    /// Slots in use: name and the walsender's pid.
    pub slots: Vec<(&'static str, i32)>,
    /// Timeline of the live stream.
    pub streaming: Option<u32>,
    /// The walreceiver's pid.
    pub receiver_pid: i32,
    /// The walreceiver's status; streaming unless set.
    pub receiver_status: Option<&'static str>,
    /// The host that the walreceiver connected to, at port 5432.
    pub sender_host: Option<&'static str>,
    pub control_timeline: u32,
    pub system: &'static str,
    pub restore_command: bool,
    /// Another node's server: the node's number.
    pub twin_of: Option<usize>,
    /// `synchronous_standby_names`.
    pub sync_names: &'static str,
    /// Settings without a unit, beside those that are always told.
    pub settings: Vec<(&'static str, &'static str)>,
    /// How often the server was started before.
    pub restarts: u32,
    /// What the startup process waits for.
    pub wait_event: &'static str,
    /// The number of the oldest segment, of 1 MB.
    pub oldest: u64,
    /// `sync_state` of all walsenders; async unless set.
    pub sync_state: Option<&'static str>,
    /// The word for the pause of replay; not paused unless set.
    pub pause: Option<&'static str>,
    /// `recovery_min_apply_delay` in seconds.
    pub apply_delay: u32,
    /// Whether a query is in the way of replay.
    pub conflict: bool,
    /// A slot that is lost.
    pub lost_slot: Option<&'static str>,
    /// What the walreceiver heard of the primary's position.
    pub heard: Option<u64>,
    /// When the walreceiver's newest message was sent and came, each on its server's clock; that of a node is ours.
    pub message: Option<(f64, f64)>,
    /// For how long the reading was under way, in seconds; the server looked at its clock at the end.
    pub trip: f64,
    /// `wal_receiver_timeout` in seconds; 60 unless set.
    pub receiver_timeout: Option<u32>,
}

pub fn primary(timeline: u32, flush: u64) -> Says {
    Says { timeline, flush, control_timeline: timeline, system: "7", ..Says::default() }
}

pub fn standby(timeline: u32, receive: u64, replay: u64) -> Says {
    Says {
        standby: true,
        receive: Some(receive),
        replay: Some(replay),
        streaming: Some(timeline),
        control_timeline: 1,
        system: "7",
        ..Says::default()
    }
}

fn records(rows: Vec<Vec<(&str, Option<String>)>>) -> Records {
    let columns: Vec<String> =
        rows.first().map_or_else(Vec::new, |row| row.iter().map(|cell| cell.0.to_owned()).collect());
    Records::new(columns.into(), rows.into_iter().map(|row| row.into_iter().map(|cell| cell.1).collect()).collect())
}

fn text(value: impl ToString) -> Option<String> {
    Some(value.to_string())
}

impl Paper {
    pub fn new() -> Self {
        Self::remembering(Memory::default(), 1000.0)
    }

    pub fn remembering(memory: Memory, seconds: f64) -> Self {
        let member = |name: &str| Member {
            name: name.into(),
            slot: name.into(),
            application_name: name.into(),
            address: Some(format!("{name}.example:5432")),
            expected: true,
        };
        let second = Duration::from_secs(1);
        let timing = Timing {
            sample_interval: second,
            collect_interval: 10 * second,
            login_interval: 15 * second,
            connect_timeout: 2 * second,
            query_timeout: 2 * second,
            archive_hung_after: 60 * second,
        };
        let layout = Layout {
            name: "paper".into(),
            members: ["a", "b", "c"].map(member).to_vec(),
            observers: Vec::new(),
            manager: None,
            timing,
        };
        let now = moment(seconds);
        Self { cluster: Cluster::new(layout, memory, now), now }
    }

    /// The clock goes on; ticks come in time.
    pub fn wait(&mut self, seconds: f64) {
        let end = self.now.wall.as_seconds() + seconds;
        while self.now.wall.as_seconds() + 1.0 <= end {
            self.now = moment(self.now.wall.as_seconds() + 1.0);
            self.cluster.tick(self.now);
        }
        self.now = moment(end);
        self.cluster.tick(self.now);
    }

    pub fn read(&mut self, node: usize, says: &Says) {
        self.read_without(node, says, "");
    }

    /// A reading from which the answer of one collector is missing.
    pub fn read_without(&mut self, node: usize, says: &Says, missing: &str) {
        let sent = moment(self.now.wall.as_seconds() - says.trip);
        let exchange = Exchange { sent, received: self.now };
        let answer = |name: &&str| {
            let collector = *COLLECTORS.iter().find(|collector| collector.name() == *name).unwrap();
            (collector, Ok(self.records(name, node, says)))
        };
        let answers = |names: &[&str]| names.iter().filter(|name| **name != missing).map(answer).collect();
        let fast = answers(&["recovery", "wal_receiver", "walsenders", "slots"]);
        let slow = answers(&["control", "settings", "sync", "replay_wait", "wal_dir"]);
        self.cluster.report(node, Report::Connected { version: ServerVersion(160_000) }, self.now);
        self.cluster.report(node, Report::Read { pace: Pace::Slow, exchange, answers: slow }, self.now);
        self.cluster.report(node, Report::Read { pace: Pace::Fast, exchange, answers: fast }, self.now);
    }

    /// The slow reading of one collector is refused.
    pub fn refuse(&mut self, node: usize, name: &str) {
        let exchange = Exchange { sent: self.now, received: self.now };
        let collector = *COLLECTORS.iter().find(|collector| collector.name() == name).unwrap();
        let answers = vec![(collector, Err("refused".to_owned()))];
        self.cluster.report(node, Report::Read { pace: collector.pace(), exchange, answers }, self.now);
    }

    pub fn fail(&mut self, node: usize, cause: Cause) {
        self.cluster.report(node, Report::Failed(Failure::new(cause, "")), self.now);
    }

    pub fn assess(&self) -> Assessment {
        self.cluster.assess(self.now)
    }

    pub fn lag(&self, node: usize) -> (Result<f64, Unknown>, Result<f64, Unknown>) {
        let round = |seconds: Result<f64, Unknown>| seconds.map(|seconds| seconds.round());
        let lag = self.assess().nodes[node].lag.unwrap();
        (round(lag.received.seconds), round(lag.replayed.seconds))
    }

    fn records(&self, name: &str, node: usize, says: &Says) -> Records {
        let now = self.now.wall.as_seconds();
        let lsn = |lsn: Option<u64>| lsn.map(|lsn| Lsn(lsn).to_string());
        let primary = |value: u64| (!says.standby).then_some(value);
        match name {
            "recovery" => records(vec![vec![
                ("server_time", text(now)),
                ("in_recovery", text(says.standby)),
                ("replay_lsn", lsn(says.replay)),
                ("receive_lsn", lsn(says.receive)),
                ("flush_lsn", lsn(primary(says.flush))),
                ("insert_lsn", lsn(primary(says.flush))),
                ("timeline", primary(1).map(|_| format!("{:08X}", says.timeline))),
                ("pause", says.standby.then(|| says.pause.unwrap_or("not paused").to_owned())),
                ("last_xact_replay", None),
                ("started_at", text(1 + says.twin_of.unwrap_or(node) + 10 * says.restarts as usize)),
            ]]),
            "wal_receiver" => records(
                says.streaming
                    .iter()
                    .map(|timeline| {
                        let mut row = vec![
                            ("pid", text(says.receiver_pid)),
                            ("status", text(says.receiver_status.unwrap_or("streaming"))),
                            ("received_tli", text(timeline)),
                            ("sender_host", says.sender_host.and_then(text)),
                            ("sender_port", says.sender_host.and_then(|_| text(5432))),
                            ("written_lsn", lsn(says.receive)),
                            ("latest_end_lsn", lsn(says.heard)),
                            ("last_msg_send_time", says.message.and_then(|(sent, _)| text(sent))),
                            ("last_msg_receipt_time", says.message.and_then(|(_, came)| text(came))),
                        ];
                        for column in WAL_RECEIVER_NULLS {
                            row.push((column, None));
                        }
                        row
                    })
                    .collect(),
            ),
            "walsenders" => records(
                says.walsenders
                    .iter()
                    .map(|(pid, name, flush, replay, reply)| {
                        vec![
                            ("pid", text(pid)),
                            ("application_name", text(name)),
                            ("state", text("streaming")),
                            ("sent_lsn", lsn(Some(*flush))),
                            ("write_lsn", lsn(Some(*flush))),
                            ("flush_lsn", lsn(Some(*flush))),
                            ("replay_lsn", lsn(Some(*replay).filter(|replay| *replay > 0))),
                            ("write_lag", None),
                            ("flush_lag", None),
                            ("replay_lag", None),
                            ("sync_state", text(says.sync_state.unwrap_or("async"))),
                            ("sync_priority", text(0)),
                            ("xmin_age", None),
                            ("in_database", text(false)),
                            ("reply_time", text(reply)),
                            ("backend_start", text(1)),
                        ]
                    })
                    .collect(),
            ),
            "slots" => records(
                says.slots
                    .iter()
                    .map(|(name, pid)| (*name, Some(*pid), None))
                    .chain(says.lost_slot.map(|name| (name, None, Some("lost"))))
                    .map(|(name, pid, wal_status)| {
                        vec![
                            ("slot_name", text(name)),
                            ("slot_type", text("physical")),
                            ("temporary", text(false)),
                            ("active", text(pid.is_some())),
                            ("active_pid", pid.and_then(text)),
                            ("restart_lsn", None),
                            ("confirmed_flush_lsn", None),
                            ("wal_status", wal_status.and_then(text)),
                            ("safe_wal_size", None),
                        ]
                    })
                    .collect(),
            ),
            "control" => records(vec![vec![
                ("system_identifier", text(says.system)),
                ("checkpoint_timeline", text(says.control_timeline)),
                ("min_recovery_end_timeline", says.standby.then(|| says.control_timeline.to_string())),
                ("min_recovery_end_lsn", None),
                ("redo_lsn", None),
                ("checkpoint_time", None),
            ]]),
            "settings" => {
                let delay = says.apply_delay.to_string();
                let timeout = says.receiver_timeout.unwrap_or(60).to_string();
                let always = [
                    ("wal_receiver_status_interval", "10", Some("s")),
                    ("wal_sender_timeout", "60", Some("s")),
                    ("wal_receiver_timeout", timeout.as_str(), Some("s")),
                    ("recovery_min_apply_delay", delay.as_str(), Some("s")),
                    ("wal_segment_size", "16", Some("MB")),
                ];
                let more = says.settings.iter().map(|(name, setting)| (*name, *setting, None));
                let row = |(name, setting, unit): (&str, &str, Option<&str>)| {
                    vec![
                        ("name", text(name)),
                        ("setting", text(setting)),
                        ("unit", unit.map(str::to_owned)),
                        ("pending_restart", None),
                        ("restore_command_set", text(says.restore_command)),
                        ("sees_all", text(true)),
                    ]
                };
                records(always.into_iter().chain(more).map(row).collect())
            }
            "sync" => records(vec![vec![
                ("standby_names", text(says.sync_names)),
                ("synchronous_commit", text("on")),
                ("sees_all", text(true)),
                ("server_time", text(now)),
                ("waiting_pid", None),
                ("busy_since", None),
            ]]),
            "replay_wait" => records(vec![vec![
                ("in_recovery", text(says.standby)),
                ("allowed", text(true)),
                ("found", text(says.standby)),
                ("wait_event_type", text(if says.conflict { "BufferPin" } else { "Activity" })),
                ("wait_event", text(if says.conflict { "BufferPin" } else { says.wait_event })),
            ]]),
            "wal_dir" => records(vec![vec![
                ("size", text(0)),
                ("segments", text(1)),
                ("oldest", text(format!("{:08X}{:08X}", says.oldest >> 12, says.oldest & 0xfff))),
                ("wal_segment_size", text(1 << 20)),
            ]]),
            other => panic!("no rows for {other}"),
        }
    }
}

const WAL_RECEIVER_NULLS: [&str; 5] =
    ["receive_start_lsn", "receive_start_tli", "flushed_lsn", "latest_end_time", "slot_name"];

pub fn moment(seconds: f64) -> Moment {
    Moment { mono: Mono::from_nanos((seconds * 1e9) as u64), wall: Wall::from_seconds(seconds) }
}
