//! Whole pages of a cluster, made from recorded rows as `serve` makes them, compared with `tests/golden`.

use std::time::Duration;

use pgvigil::archive_watch::archive_dir::{ArchiveDir, ArchiveDirState, Found, Newest};
use pgvigil::archive_watch::hostside::{Hostside, WalVolume};
use pgvigil::clock::{Moment, Mono};
use pgvigil::cluster::facts::Report;
use pgvigil::cluster::layout::{Layout, Member, Timing};
use pgvigil::cluster::maintenance::Maintenance;
use pgvigil::cluster::memory::Memory;
use pgvigil::cluster::observers::{ObserverState, Role, Sight, Told};
use pgvigil::cluster::visible::Visible;
use pgvigil::cluster::{Cluster, cluster_samples};
use pgvigil::collector::archive_status::ArchiveStatus;
use pgvigil::collector::snapshot::Exchange;
use pgvigil::collector::{COLLECTORS, Pace};
use pgvigil::doctor;
use pgvigil::doctor::patient::Patient;
use pgvigil::metric::catalog;
use pgvigil::metric::exposition::{Format, render};
use pgvigil::metric::fleet::Load;
use pgvigil::metric::histogram::{self, Histogram};
use pgvigil::metric::own::{ConfigReload, LogEvents, Own, own_samples};
use pgvigil::metric::runbooks::{Ended, Runbooks};
use pgvigil::metric::sample::{Samples, Value};
use pgvigil::metric::webhook::Webhook;
use pgvigil::pg::failure::{Cause, Failure, NodeState};
use pgvigil::pg::lsn::{Lsn, Timeline};
use pgvigil::pg::version::ServerVersion;
use pgvigil::runbook::book::{Class, Limits, Mode, Trigger};
use pgvigil::runbook::guard::{Answer as Said, Cause as Wake, Seen};
use pgvigil::runbook::record::{Entry, Reason, Record};
use pgvigil::runbook::run::{Episode, Event, Outcome as RunOutcome, Plan, RunRecord};
use pgvigil::runbook::runs::Runs;
use pgvigil::runbook::seen::Outcome;
use pgvigil::server_log::entry;
use pgvigil::server_log::said::ServerLog;

use crate::fixture::{self, Answer};
use crate::golden::{MAJORS, compare, promtool, reading};

/// The recorded nodes, in one cluster.
const NODES: [&str; 5] = ["primary", "standby", "standby-paused", "archive-only", "cascade"];
/// A node that refuses connections, and yet streams from the cascade.
const GONE: &str = "gone";

const SECOND: Duration = Duration::from_secs(1);
/// Bytes.
const EACH_SECOND: u64 = 131_072;

fn layout(nodes: &[&str]) -> Layout {
    let member = |name: &str| {
        // What the recorded standbys called themselves.
        let called = match name {
            "standby" => "b",
            GONE => "d",
            other => other,
        };
        Member {
            name: name.into(),
            slot: called.into(),
            application_name: called.into(),
            address: None,
            expected: true,
        }
    };
    let timing = Timing {
        sample_interval: SECOND,
        collect_interval: 10 * SECOND,
        login_interval: 15 * SECOND,
        connect_timeout: 2 * SECOND,
        query_timeout: 2 * SECOND,
        archive_hung_after: 60 * SECOND,
    };
    let members = nodes.iter().copied().map(member).collect();
    let observers = ["vigil-b", "vigil-c"].map(str::to_owned).into();
    Layout { name: "orders".into(), members, observers, manager: None, timing }
}

/// One reading of a node as it was `recorded`. `written_since`: how much less WAL it had flushed than then.
fn read(
    cluster: &mut Cluster,
    major: u32,
    (node, recorded): (usize, &str),
    pace: Pace,
    now: Moment,
    written_since: u64,
) {
    let mut answers = Vec::new();
    for collector in COLLECTORS.iter().filter(|collector| collector.pace() == pace) {
        let mut answer = Answer::read(&fixture::path(major, recorded, collector.name())).unwrap();
        if collector.name() == "recovery" {
            let flushed = answer.columns.iter().position(|column| column == "flush_lsn").unwrap();
            if let Some(lsn) = &mut answer.rows[0][flushed] {
                *lsn = Lsn(lsn.parse::<Lsn>().unwrap().0 - written_since).to_string();
            }
        }
        cluster.report(node, Report::Connected { version: ServerVersion(answer.server_version) }, now);
        answers.push((*collector, Ok(started_apart(answer, node).records())));
    }
    let exchange = Exchange { sent: now, received: now.plus(Duration::from_millis(2)) };
    cluster.report(node, Report::Read { pace, exchange, answers }, exchange.received);
}

/// Some of the recorded nodes are one server at two times, which started once; here they are servers of their own.
fn started_apart(mut answer: Answer, node: usize) -> Answer {
    if let Some(column) = answer.columns.iter().position(|column| column == "started_at") {
        for row in &mut answer.rows {
            // A microsecond is enough to tell them apart.
            row[column] =
                row[column].take().map(|at| format!("{:.6}", at.parse::<f64>().unwrap() + node as f64 * 1e-6));
        }
    }
    answer
}

/// What an observer says that is cut off from the standby, and whose primary is the paused standby.
fn hear(cluster: &mut Cluster, now: Mono) {
    let sees = |name: &str, state, role| (name.to_owned(), Sight { state, role, seen: Some(now), since: None });
    let sights = [
        sees("primary", NodeState::Up, Role::Primary),
        sees("standby", NodeState::Timeout, Role::Unknown),
        sees("standby-paused", NodeState::Up, Role::Primary),
        sees(GONE, NodeState::Unreachable, Role::Unknown),
    ];
    cluster.hear("vigil-b", Told { instance: "b".into(), sights: sights.into(), ..Told::default() });
}

/// A run that was shown, one that nobody took note of, and one that asks.
fn runbooks(at: Moment) -> Runbooks {
    let (mut runs, mut ended) = (Runs::default(), Ended::default());
    for (number, mode, outcome) in [
        (1, Mode::DryRun, Some(RunOutcome::DryRun)),
        (2, Mode::Manual, Some(RunOutcome::Indeterminate)),
        (3, Mode::Manual, None),
    ] {
        let run = number.to_string();
        let last = match outcome {
            Some(outcome) => Event::Ended { outcome, report: String::new() },
            None => Event::Awaiting { until: at },
        };
        for event in [Event::Planned(Box::new(plan(mode))), last] {
            let entry = Entry::Run(RunRecord { run: run.clone(), event });
            runs.take(&Record { seq: number, durable: 0, at, entry });
        }
        ended.count(runs.get(&run).unwrap());
    }
    Runbooks::of(ended, Some(&runs), ["orders".to_owned()])
}

fn plan(mode: Mode) -> Plan {
    Plan {
        plan: "1f0a".to_owned(),
        episode: Episode {
            cluster: "orders".to_owned(),
            system_identifier: 1,
            timeline: Timeline(1),
            primary: "primary".to_owned(),
        },
        runbook: "PostgresPrimaryUnreachable".to_owned(),
        book: String::new(),
        config: String::new(),
        planned: false,
        class: Class::Failover,
        mode,
        triggers: vec![Trigger::Alert],
        cause: Wake::Person { by: "ops".to_owned() },
        limits: Limits::default(),
        steps: Vec::new(),
        candidate: None,
        loss_bytes: None,
        guards: [("no_manager", Said::Pass), ("primary_gone", Said::Unknown), ("candidate_valid", Said::Block)]
            .map(|(guard, answer)| Seen { guard: guard.to_owned(), answer, value: String::new() })
            .into(),
    }
}

/// What a pgvigil shows that watched these nodes for three seconds, and the primary, which wrote 128 KiB a second, for ten before:
/// more than a segment, so that it knows the age of what is not archived.
pub fn samples(major: u32) -> Samples {
    let (_, recorded) = reading(major, "primary");
    let start = Moment { mono: Mono::from_nanos(3_600_000_000_000), ..recorded };
    let before = Moment { mono: start.mono.minus(10 * SECOND), ..start };
    let members: Vec<_> = NODES.into_iter().chain([GONE]).collect();
    let mut cluster = Cluster::new(layout(&members), Memory::default(), before);
    read(&mut cluster, major, (0, NODES[0]), Pace::Slow, before, 0);
    for second in 0..10 {
        let behind = u64::from(10 - second) * EACH_SECOND;
        read(&mut cluster, major, (0, NODES[0]), Pace::Fast, before.plus(second * SECOND), behind);
    }
    for second in 0..3 {
        let now = start.plus(second * SECOND);
        for (node, recorded) in NODES.into_iter().enumerate() {
            read(&mut cluster, major, (node, recorded), Pace::Slow, now, 0);
            read(&mut cluster, major, (node, recorded), Pace::Fast, now, 0);
            cluster.report(node, Report::Login(Ok(())), now);
        }
        cluster.report(NODES.len(), Report::Failed(Failure::new(Cause::Refused, "ECONNREFUSED")), now);
        cluster.tick(now.plus(SECOND / 2));
    }
    beside(&mut cluster, start.plus(2 * SECOND));
    hear(&mut cluster, start.plus(2 * SECOND).mono);
    cluster.start_maintenance(Maintenance::new(start, 1800 * SECOND, "ops", None));
    let mut samples = Samples::default();
    let now = start.plus(3 * SECOND - SECOND / 4);
    cluster_samples(&cluster, now, &mut samples);
    doctor::samples(&Patient::new(&cluster, now), &mut samples);
    let own = Own {
        start_time: start.wall.as_seconds(),
        resident_bytes: Some(9 << 20),
        cpu_seconds: Some(0.25),
        open_fds: Some(21),
        state_saved: vec![("orders".to_owned(), true)],
        config: ConfigReload { ok: true, last_good: start.wall.as_seconds() },
        observers: vec![("vigil-b".to_owned(), ObserverState::Up), ("vigil-c".to_owned(), ObserverState::Unreachable)],
        log: LogEvents { error: 1, warn: 2, info: 3, dropped: 4 },
        load: load(),
        webhook: webhook(),
        runbooks: runbooks(start),
    };
    own_samples(&own, &mut samples);
    samples
}

/// Three readings that were on time, and one that was not.
fn load() -> Load {
    let mut load = Load { connects_waiting: 3, connects_open: 1, ..Load::default() };
    [0.0005, 0.0005, 0.002, 0.3].into_iter().for_each(|late| load.late.observe(late));
    load
}

/// What Alertmanager handed in.
fn webhook() -> Webhook {
    let mut webhook = Webhook::default();
    (webhook.writable, webhook.bytes, webhook.errors) = (Some(true), Some(1_500), 1);
    webhook.took(&[Outcome::New, Outcome::Duplicate, Outcome::Duplicate, Outcome::Ignored(Reason::UnknownCluster)]);
    for (code, seconds) in [(202, 0.004), (200, 0.003), (503, 0.2), (405, 0.001)] {
        webhook.answered(code, seconds);
    }
    webhook
}

/// What a pgvigil shows that watched the standby take over from a primary that refuses connections now.
pub fn after_promotion(major: u32) -> Samples {
    let (_, recorded) = reading(major, "promoted");
    let start = Moment { mono: Mono::from_nanos(3_600_000_000_000), ..recorded };
    let mut cluster = Cluster::new(layout(&["primary", "standby"]), Memory::default(), start);
    for (second, second_node) in ["standby", "standby", "promoted", "promoted"].into_iter().enumerate() {
        let now = start.plus(SECOND.mul_f64(second as f64));
        let nodes = [(0, "primary"), (1, second_node)];
        for node in nodes.into_iter().filter(|(node, _)| *node > 0 || second < 1) {
            read(&mut cluster, major, node, Pace::Slow, now, 0);
            read(&mut cluster, major, node, Pace::Fast, now, 0);
        }
        if second >= 1 {
            cluster.report(0, Report::Failed(Failure::new(Cause::Refused, "ECONNREFUSED")), now);
        }
        cluster.tick(now.plus(SECOND / 2));
    }
    let mut samples = Samples::default();
    cluster_samples(&cluster, start.plus(4 * SECOND - SECOND / 4), &mut samples);
    // What differs from any other page; the rest is on those.
    let told = ["_timeline", "_promotable", "_failover_", "_diverged", "_can_follow", "_foreign_", "_split_brain"];
    let mut kept = Samples::default();
    for sample in samples.iter().filter(|sample| told.iter().any(|part| sample.family.name.contains(part))) {
        if let Value::Number(number) = sample.value {
            kept.number(sample.family, &sample.labels().collect::<Vec<_>>(), *number);
        }
    }
    kept
}

#[test]
fn the_page_after_a_promotion_is_as_committed_and_accepted() {
    for major in MAJORS {
        let samples = after_promotion(major);
        let families: Vec<_> = catalog::families()
            .into_iter()
            .filter(|family| samples.iter().any(|sample| sample.family == *family))
            .collect();
        let page = String::from_utf8(render(&families, samples, Format::PrometheusText).unwrap()).unwrap();
        compare(&format!("pg{major}-promotion.prom"), &page);
        assert_eq!(promtool(&page), [""; 0], "pg{major}");
    }
}

/// What pgvigil sees beside the primary and in the archive.
fn beside(cluster: &mut Cluster, now: Moment) {
    let mut archive_durations = Histogram::new(histogram::SECONDS);
    [0.04, 0.3, 2.0].into_iter().for_each(|seconds| archive_durations.observe(seconds));
    let hostside = Hostside {
        archive_status: ArchiveStatus {
            ready: 1,
            oldest_ready_age: Some(0.5),
            oldest_segments: Vec::new(),
            position: None,
            server_time: now.wall,
        },
        archive_durations,
        wal_volume: WalVolume { size: 100 << 30, free: 25 << 30, seconds_to_full: Some(86_400.0) },
        started_at: None,
    };
    cluster.report(0, Report::Hostside(Some(hostside)), now);
    let mut log = ServerLog::new(entry::Format::Text);
    let message = "all replication slots are in use".to_owned();
    log.hear(&entry::Entry { is_understood: true, message, before: None, stamp: None }, now);
    cluster.report(0, Report::ServerLog(Ok(log)), now);
    let counts_for = Duration::from_secs(60);
    cluster.report(1, Report::Visible(Some(Visible { seconds: Ok(0.012), counts_for })), now);
    let newest = Newest { timeline: Timeline(1), end: Lsn(0x700_0000), archived: now.wall };
    let found = Found {
        totals: Some((5, 5 << 20)),
        missing: Some(1),
        bad: [0, 0, 1, 0],
        newest: Some(newest),
        ..Found::default()
    };
    cluster.report_archive(ArchiveDir { state: ArchiveDirState::Gap, found: Some(found) }, now);
}

#[test]
fn cluster_pages_are_as_committed_and_accepted() {
    for major in MAJORS {
        let page =
            String::from_utf8(render(&catalog::families(), samples(major), Format::PrometheusText).unwrap()).unwrap();
        // The version of pgvigil itself changes with each release.
        let page = page.replace(env!("CARGO_PKG_VERSION"), "VERSION");
        compare(&format!("pg{major}-cluster.prom"), &page);
        assert_eq!(promtool(&page), [""; 0], "pg{major}");
    }
}
