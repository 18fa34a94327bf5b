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
    /// Rows of `pg_stat_replication`: pid, application name, flushed, replayed, reply time.
    pub walsenders: Vec<(i32, &'static str, u64, u64, f64)>,
    /// Timeline of the live stream.
    pub streaming: Option<u32>,
    pub control_timeline: u32,
    pub system: &'static str,
    pub restore_command: bool,
    /// Another node's server: the node's number.
    pub twin_of: Option<usize>,
    /// `synchronous_standby_names`.
    pub sync_names: &'static str,
    /// Whether replay is paused.
    pub paused: bool,
    /// Settings without a unit, beside those that are always told.
    pub settings: Vec<(&'static str, &'static str)>,
    /// How often the server was started before.
    pub restarts: u32,
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
        let member =
            |name: &str| Member { name: name.into(), slot: name.into(), application_name: name.into(), expected: true };
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
        let exchange = Exchange { sent: self.now, received: self.now };
        let answer = |name: &&str| {
            let collector = *COLLECTORS.iter().find(|collector| collector.name() == *name).unwrap();
            (collector, Ok(self.records(name, node, says)))
        };
        let answers = |names: &[&str]| names.iter().filter(|name| **name != missing).map(answer).collect();
        let fast = answers(&["recovery", "wal_receiver", "walsenders", "slots"]);
        let slow = answers(&["control", "settings", "sync"]);
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
                ("pause", says.standby.then(|| if says.paused { "paused" } else { "not paused" }.to_owned())),
                ("last_xact_replay", None),
                ("started_at", text(1 + says.twin_of.unwrap_or(node) + 10 * says.restarts as usize)),
            ]]),
            "wal_receiver" => records(
                says.streaming
                    .iter()
                    .map(|timeline| {
                        let mut row = vec![("status", text("streaming")), ("received_tli", text(timeline))];
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
                            ("replay_lsn", lsn(Some(*replay))),
                            ("write_lag", None),
                            ("flush_lag", None),
                            ("replay_lag", None),
                            ("sync_state", text("async")),
                            ("reply_time", text(reply)),
                            ("backend_start", text(1)),
                        ]
                    })
                    .collect(),
            ),
            "slots" => records(Vec::new()),
            "control" => records(vec![vec![
                ("system_identifier", text(says.system)),
                ("checkpoint_timeline", text(says.control_timeline)),
                ("min_recovery_end_timeline", says.standby.then(|| says.control_timeline.to_string())),
                ("redo_lsn", None),
                ("checkpoint_time", None),
            ]]),
            "settings" => {
                let always = [
                    ("wal_receiver_status_interval", "10", Some("s")),
                    ("wal_sender_timeout", "60", Some("s")),
                    ("wal_receiver_timeout", "60", Some("s")),
                    ("recovery_min_apply_delay", "0", Some("s")),
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
            other => panic!("no rows for {other}"),
        }
    }
}

const WAL_RECEIVER_NULLS: [&str; 11] = [
    "receive_start_lsn",
    "receive_start_tli",
    "written_lsn",
    "flushed_lsn",
    "last_msg_send_time",
    "last_msg_receipt_time",
    "latest_end_lsn",
    "latest_end_time",
    "slot_name",
    "sender_host",
    "sender_port",
];

pub fn moment(seconds: f64) -> Moment {
    Moment { mono: Mono::from_nanos((seconds * 1e9) as u64), wall: Wall::from_seconds(seconds) }
}
