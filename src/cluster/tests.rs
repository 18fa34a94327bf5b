//! Whole clusters on paper: what the verdicts are when facts come, age and contradict each other.

mod identity;

use std::time::Duration;

use super::assess::{Assessment, Verdict};
use super::facts::Report;
use super::lag::Unknown;
use super::layout::{Layout, Member, Timing};
use super::memory::Memory;
use super::*;
use crate::clock::{Moment, Mono, Wall};
use crate::collector::snapshot::Exchange;
use crate::collector::{COLLECTORS, Pace};
use crate::pg::failure::{Cause, Failure};
use crate::pg::lsn::Lsn;
use crate::pg::records::Records;

const A: usize = 0;
const B: usize = 1;
const C: usize = 2;

/// A cluster of three nodes whose clock the test sets.
struct Paper {
    cluster: Cluster,
    now: Moment,
}

/// What a node says of itself.
#[derive(Clone, Default)]
struct Says {
    standby: bool,
    timeline: u32,
    flush: u64,
    receive: Option<u64>,
    replay: Option<u64>,
    /// Rows of `pg_stat_replication`: pid, application name, flushed, replayed, reply time.
    walsenders: Vec<(i32, &'static str, u64, u64, f64)>,
    /// Timeline of the live stream.
    streaming: Option<u32>,
    control_timeline: u32,
    system: &'static str,
    restore_command: bool,
    /// Another node's server: the node's number.
    twin_of: Option<usize>,
}

fn primary(timeline: u32, flush: u64) -> Says {
    Says { timeline, flush, control_timeline: timeline, system: "7", ..Says::default() }
}

fn standby(timeline: u32, receive: u64, replay: u64) -> Says {
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
    fn new() -> Self {
        Self::remembering(Memory::default(), 1000.0)
    }

    fn remembering(memory: Memory, seconds: f64) -> Self {
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
        let layout = Layout { name: "paper".into(), members: ["a", "b", "c"].map(member).to_vec(), timing };
        let now = moment(seconds);
        Self { cluster: Cluster::new(layout, memory, now), now }
    }

    /// The clock goes on; ticks come in time.
    fn wait(&mut self, seconds: f64) {
        let end = self.now.wall.as_seconds() + seconds;
        while self.now.wall.as_seconds() + 1.0 <= end {
            self.now = moment(self.now.wall.as_seconds() + 1.0);
            self.cluster.tick(self.now);
        }
        self.now = moment(end);
        self.cluster.tick(self.now);
    }

    fn read(&mut self, node: usize, says: &Says) {
        let exchange = Exchange { sent: self.now, received: self.now };
        let answer = |name: &str| {
            let collector = *COLLECTORS.iter().find(|collector| collector.name() == name).unwrap();
            (collector, Ok(self.records(name, node, says)))
        };
        let fast = ["recovery", "wal_receiver", "walsenders", "slots"].map(answer).into_iter().collect();
        let slow = ["control", "settings"].map(answer).into_iter().collect();
        self.cluster.report(node, Report::Read { pace: Pace::Slow, exchange, answers: slow }, self.now);
        self.cluster.report(node, Report::Read { pace: Pace::Fast, exchange, answers: fast }, self.now);
    }

    fn fail(&mut self, node: usize, cause: Cause) {
        self.cluster.report(node, Report::Failed(Failure::new(cause, "")), self.now);
    }

    fn assess(&self) -> Assessment {
        self.cluster.assess(self.now)
    }

    fn lag(&self, node: usize) -> (Result<f64, Unknown>, Result<f64, Unknown>) {
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
                ("pause", says.standby.then(|| "not paused".to_owned())),
                ("last_xact_replay", None),
                ("started_at", text(1 + says.twin_of.unwrap_or(node))),
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
            "settings" => records(vec![vec![
                ("wal_receiver_status_interval", text(10)),
                ("wal_sender_timeout", text(60)),
                ("wal_receiver_timeout", text(60)),
                ("recovery_min_apply_delay", text(0)),
                ("restore_command_set", text(says.restore_command)),
                ("wal_segment_size", text(1 << 24)),
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

fn moment(seconds: f64) -> Moment {
    Moment { mono: Mono::from_nanos((seconds * 1e9) as u64), wall: Wall::from_seconds(seconds) }
}

/// A healthy cluster: `a` is the primary at 200, `b` and `c` have all of it.
fn healthy() -> Paper {
    let mut paper = Paper::new();
    for flush in [100, 200] {
        paper.wait(1.0);
        paper.read(A, &primary(1, flush));
        paper.read(B, &standby(1, flush, flush));
        paper.read(C, &standby(1, flush, flush));
    }
    paper
}

#[test]
fn a_healthy_cluster_is_up_whole_and_without_lag() {
    let paper = healthy();
    let assessment = paper.assess();
    assert!(assessment.nodes.iter().all(|node| node.up && node.state == "up"));
    assert_eq!(assessment.primary.as_deref(), Some("a"));
    assert_eq!(assessment.split_brain, Verdict::No);
    assert_eq!((paper.lag(B), paper.lag(C)), ((Ok(0.0), Ok(0.0)), (Ok(0.0), Ok(0.0))));
    assert!(assessment.standbys.iter().all(|standby| standby.expected && standby.connected));
}

#[test]
fn nothing_is_known_before_every_node_was_heard_once() {
    let mut paper = Paper::new();
    paper.wait(1.0);
    paper.read(A, &primary(1, 100));
    paper.read(B, &standby(1, 100, 100));
    let assessment = paper.assess();
    assert!(assessment.nodes.iter().all(|node| node.state == "unknown" && !node.up));
    assert_eq!(assessment.split_brain, Verdict::Unknown);
    assert_eq!(paper.lag(B).0, Err(Unknown::NotObserved));
    paper.fail(C, Cause::Refused);
    assert_eq!(paper.assess().nodes[B].state, "up");
    assert_eq!(paper.assess().nodes[C].state, "unreachable");
}

#[test]
fn a_paused_standby_falls_behind_in_replay_alone() {
    let mut paper = healthy();
    for second in 1..=30 {
        paper.wait(1.0);
        paper.read(A, &primary(1, 200 + second));
        paper.read(B, &standby(1, 200 + second, 200));
        paper.read(C, &standby(1, 200 + second, 200 + second));
    }
    assert_eq!(paper.lag(B), (Ok(0.0), Ok(29.0)));
    assert_eq!(paper.assess().nodes[B].lag.unwrap().replayed.bytes, Some(30));
}

#[test]
fn two_loops_out_of_step_show_no_lag_where_there_is_none() {
    let mut paper = healthy();
    paper.wait(1.0);
    paper.read(B, &standby(1, 200, 200));
    paper.wait(0.2);
    paper.read(A, &primary(1, 300));
    paper.wait(0.7);
    // What the primary wrote after b was read is no lag of b, until b is read again or is overdue.
    assert_eq!(paper.assess().nodes[B].lag.unwrap().received.seconds, Ok(0.0));
    paper.wait(1.0);
    assert_eq!(paper.lag(B).0, Ok(2.0));
}

#[test]
fn a_restarted_standby_has_received_what_it_replayed() {
    let mut paper = healthy();
    paper.wait(1.0);
    paper.read(A, &primary(1, 200));
    paper.read(B, &standby(1, 128, 200));
    paper.read(C, &standby(1, 200, 200));
    assert_eq!(paper.lag(B), (Ok(0.0), Ok(0.0)));
}

#[test]
fn with_the_primary_gone_a_standby_that_has_all_we_know_is_unknown_and_one_behind_is_not() {
    let mut paper = healthy();
    paper.wait(1.0);
    paper.read(A, &primary(1, 300));
    paper.read(B, &standby(1, 300, 300));
    paper.read(C, &standby(1, 200, 200));
    paper.fail(A, Cause::Refused);
    paper.wait(1.0);
    paper.read(B, &standby(1, 300, 300));
    paper.read(C, &standby(1, 200, 200));
    assert_eq!(paper.lag(B).0, Err(Unknown::PrimaryUnseen));
    assert_eq!(paper.lag(C).0, Ok(1.0));
    let assessment = paper.assess();
    assert_eq!(assessment.primary.as_deref(), Some("a"));
    let loss = assessment.failover_loss.unwrap();
    assert_eq!((loss.seen_bytes, loss.seen_seconds), (0, 0.0));
}

#[test]
fn the_estimated_loss_grows_while_a_primary_is_silent_and_stops_when_it_is_dead() {
    let mut paper = healthy();
    let standbys = |paper: &mut Paper| {
        paper.read(B, &standby(1, 200, 200));
        paper.read(C, &standby(1, 200, 200));
    };
    paper.fail(A, Cause::Timeout);
    paper.wait(5.0);
    standbys(&mut paper);
    let silent = paper.assess().failover_loss.unwrap();
    assert_eq!((silent.seen_bytes, silent.estimated_bytes, silent.estimated_seconds), (0, 500, 5.0));
    paper.fail(A, Cause::Refused);
    paper.wait(5.0);
    standbys(&mut paper);
    assert_eq!(paper.assess().failover_loss.unwrap().estimated_bytes, 500);
}

#[test]
fn a_standby_that_nothing_feeds_is_exactly_behind_in_what_it_received() {
    let mut paper = healthy();
    paper.fail(B, Cause::Refused);
    for second in 1..=40 {
        paper.wait(1.0);
        paper.read(A, &primary(1, 200 + second));
        paper.read(C, &standby(1, 200 + second, 200 + second));
    }
    assert_eq!(paper.lag(B), (Ok(39.0), Err(Unknown::Position)));
    assert!(paper.assess().standbys.iter().any(|standby| standby.standby == "b" && !standby.connected));
}

#[test]
fn a_standby_that_an_archive_may_feed_is_unknown_when_it_is_not_seen() {
    let mut paper = healthy();
    paper.wait(1.0);
    paper.read(B, &Says { restore_command: true, ..standby(1, 200, 200) });
    paper.fail(B, Cause::Refused);
    for second in 1..=40 {
        paper.wait(1.0);
        paper.read(A, &primary(1, 200 + second));
        paper.read(C, &standby(1, 200 + second, 200 + second));
    }
    assert_eq!(paper.lag(B), (Err(Unknown::Position), Err(Unknown::Position)));
}

#[test]
fn the_walsender_speaks_for_a_standby_that_we_cannot_read_until_its_replies_stop() {
    let mut paper = healthy();
    paper.fail(B, Cause::Timeout);
    let row = |flush, reply| ("b", flush, reply);
    for second in 1..=60u64 {
        paper.wait(1.0);
        // Its replies stop after 10 s; the row stays, as it does for a frozen standby.
        let (name, flush, reply) = row(200 + second.min(10), 1002.0 + second.min(10) as f64);
        let says = Says { walsenders: vec![(42, name, flush, flush, reply)], ..primary(1, 200 + second) };
        paper.read(A, &says);
        paper.read(C, &standby(1, 200 + second, 200 + second));
        let known = paper.lag(B);
        match second {
            5..=10 => assert_eq!(known, (Ok(0.0), Ok(0.0)), "{second}"),
            12..=29 => assert_eq!(known.0, Ok((second - 11) as f64), "{second}"),
            32.. => assert_eq!(known, (Err(Unknown::Position), Err(Unknown::Position)), "{second}"),
            _ => {}
        }
    }
}

#[test]
fn two_walsenders_of_one_name_speak_for_nobody() {
    let mut paper = healthy();
    paper.fail(B, Cause::Timeout);
    for second in 1..=10u64 {
        paper.wait(1.0);
        let reply = 1002.0 + second as f64;
        let rows = vec![(42, "b", 200, 200, reply), (43, "b", 200 + second, 200 + second, reply)];
        paper.read(A, &Says { walsenders: rows, ..primary(1, 200 + second) });
        paper.read(C, &standby(1, 200 + second, 200 + second));
    }
    assert_eq!(paper.lag(B).0, Err(Unknown::Position));
    assert!(paper.assess().standbys.iter().any(|standby| standby.standby == "b" && standby.name_conflict));
}

#[test]
fn after_a_promotion_the_new_primary_is_the_measure_and_the_old_one_has_diverged() {
    let mut paper = healthy();
    paper.wait(1.0);
    paper.read(A, &primary(1, 300));
    paper.read(B, &standby(1, 250, 250));
    paper.read(C, &standby(1, 250, 250));
    paper.wait(1.0);
    // b is promoted at 250 while a goes on: both write.
    paper.read(A, &primary(1, 320));
    paper.read(B, &Says { replay: Some(250), receive: Some(250), ..primary(2, 260) });
    paper.read(C, &standby(1, 320, 320));
    let assessment = paper.assess();
    assert_eq!((assessment.primaries, assessment.split_brain), (2, Verdict::Yes));
    assert_eq!(assessment.primary.as_deref(), Some("b"));
    assert_eq!(assessment.nodes[A].diverged, Some(Verdict::Yes));
    assert_eq!(paper.lag(C).0, Err(Unknown::Diverged));
    // c is repointed before it went beyond the fork, a comes back as a standby that is not rewound.
    paper.wait(1.0);
    paper.read(B, &Says { replay: Some(250), receive: Some(250), ..primary(2, 270) });
    paper.read(C, &standby(2, 270, 270));
    paper.read(A, &Says { streaming: None, ..standby(1, 320, 320) });
    assert_eq!(paper.lag(C), (Ok(0.0), Ok(0.0)));
    assert_eq!(paper.assess().nodes[A].diverged, Some(Verdict::Yes));
    assert_eq!(paper.assess().split_brain, Verdict::No);
}

#[test]
fn a_standby_whose_timeline_is_in_doubt_is_not_called_diverged() {
    let mut paper = healthy();
    paper.wait(1.0);
    paper.read(A, &Says { replay: Some(200), ..primary(2, 300) });
    paper.read(B, &Says { streaming: None, ..standby(1, 280, 280) });
    paper.read(C, &standby(2, 300, 300));
    assert_eq!(paper.lag(B).0, Err(Unknown::History));
    assert_eq!(paper.assess().nodes[B].diverged, Some(Verdict::Unknown));
}

#[test]
fn two_primaries_on_one_timeline_leave_no_measure() {
    let mut paper = healthy();
    paper.wait(1.0);
    paper.read(A, &primary(1, 300));
    paper.read(B, &primary(1, 310));
    paper.read(C, &standby(1, 300, 300));
    assert_eq!(paper.assess().split_brain, Verdict::Yes);
    assert_eq!(paper.lag(C).0, Err(Unknown::AmbiguousPrimary));
}

#[test]
fn when_our_own_clock_was_late_all_is_unknown_until_every_node_was_read_anew() {
    let mut paper = healthy();
    paper.now = moment(paper.now.wall.as_seconds() + 20.0);
    assert!(paper.assess().nodes.iter().all(|node| node.state == "unknown"), "even before the next tick");
    assert!(paper.cluster.tick(paper.now));
    paper.read(A, &primary(1, 300));
    paper.read(B, &standby(1, 300, 300));
    assert_eq!(paper.assess().nodes[A].state, "unknown");
    assert_eq!(paper.lag(B).0, Err(Unknown::NotObserved));
    paper.read(C, &standby(1, 300, 300));
    assert!(paper.assess().nodes.iter().all(|node| node.state == "up"));
    assert_eq!(paper.lag(B), (Ok(0.0), Ok(0.0)));
}

#[test]
fn a_restart_of_pgvigil_forgets_nothing() {
    let mut paper = healthy();
    for second in 1..=30 {
        paper.wait(1.0);
        paper.read(A, &primary(1, 200 + second));
        paper.read(B, &standby(1, 200 + second, 200));
        paper.read(C, &standby(1, 200 + second, 200 + second));
    }
    let kept = serde_json::to_string(paper.cluster.memory()).unwrap();
    let mut paper = Paper::remembering(serde_json::from_str(&kept).unwrap(), paper.now.wall.as_seconds() + 5.0);
    paper.wait(1.0);
    paper.read(A, &primary(1, 240));
    paper.read(B, &standby(1, 240, 200));
    paper.read(C, &standby(1, 235, 235));
    assert_eq!(paper.lag(B), (Ok(0.0), Ok(35.0)));
    // c stands in the gap that nobody watched: six seconds are too wide to be told as a lag.
    assert_eq!(paper.lag(C).0, Err(Unknown::History));
}

#[test]
fn every_tick_is_counted_known_or_not() {
    let mut paper = healthy();
    let before = paper.cluster.sampled()[B][0].clone();
    paper.wait(2.0);
    paper.fail(A, Cause::Refused);
    paper.read(B, &standby(1, 200, 200));
    paper.read(C, &standby(1, 200, 200));
    paper.wait(2.0);
    let after = &paper.cluster.sampled()[B][0];
    assert!(after.known > before.known && after.unknown > before.unknown);
    assert_eq!(after.seconds.count(), after.known);
}
