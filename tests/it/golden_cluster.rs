//! Whole pages of a cluster, made from recorded rows as `serve` makes them, compared with `tests/golden`.

use std::time::Duration;

use pgvigil::clock::{Moment, Mono};
use pgvigil::cluster::facts::Report;
use pgvigil::cluster::layout::{Layout, Member, Timing};
use pgvigil::cluster::memory::Memory;
use pgvigil::cluster::{Cluster, cluster_samples};
use pgvigil::collector::snapshot::Exchange;
use pgvigil::collector::{COLLECTORS, Pace};
use pgvigil::metric::catalog;
use pgvigil::metric::exposition::{Format, render};
use pgvigil::metric::own::{ConfigReload, LogEvents, Own, own_samples};
use pgvigil::metric::sample::{Sample, Samples};
use pgvigil::pg::failure::{Cause, Failure};
use pgvigil::pg::lsn::Lsn;
use pgvigil::pg::version::ServerVersion;

use crate::fixture::{self, Answer};
use crate::golden::{MAJORS, compare, promtool, reading};

/// The recorded nodes, in one cluster.
const NODES: [&str; 4] = ["primary", "standby", "standby-paused", "archive-only"];
/// A node that refuses connections.
const GONE: &str = "gone";

const SECOND: Duration = Duration::from_secs(1);

fn layout() -> Layout {
    let member = |name: &str| {
        // The recorded standby called itself b.
        let called = if name == "standby" { "b" } else { name };
        Member { name: name.into(), slot: called.into(), application_name: called.into(), expected: true }
    };
    let timing = Timing {
        sample_interval: SECOND,
        collect_interval: 10 * SECOND,
        login_interval: 15 * SECOND,
        connect_timeout: 2 * SECOND,
        query_timeout: 2 * SECOND,
        archive_hung_after: 60 * SECOND,
    };
    let members = NODES.iter().copied().chain([GONE]).map(member).collect();
    Layout { name: "orders".into(), members, timing }
}

/// One reading of a recorded node. `written_since`: how much less WAL it had flushed than when it was recorded.
fn read(cluster: &mut Cluster, major: u32, node: usize, pace: Pace, now: Moment, written_since: u64) {
    let mut answers = Vec::new();
    for collector in COLLECTORS.iter().filter(|collector| collector.pace() == pace) {
        let mut answer = Answer::read(&fixture::path(major, NODES[node], collector.name())).unwrap();
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

/// What a pgvigil shows that watched these nodes for three seconds, and the primary, which wrote 4 KiB a second, for ten before.
pub fn samples(major: u32) -> Vec<Sample> {
    let (_, recorded) = reading(major, "primary");
    let start = Moment { mono: Mono::from_nanos(3_600_000_000_000), ..recorded };
    let before = Moment { mono: start.mono.minus(10 * SECOND), ..start };
    let mut cluster = Cluster::new(layout(), Memory::default(), before);
    read(&mut cluster, major, 0, Pace::Slow, before, 0);
    read(&mut cluster, major, 0, Pace::Fast, before, 40_960);
    for second in 0..3 {
        let now = start.plus(second * SECOND);
        for node in 0..NODES.len() {
            read(&mut cluster, major, node, Pace::Slow, now, 0);
            read(&mut cluster, major, node, Pace::Fast, now, 0);
            cluster.report(node, Report::Login(Ok(())), now);
        }
        cluster.report(NODES.len(), Report::Failed(Failure::new(Cause::Refused, "ECONNREFUSED")), now);
        cluster.tick(now.plus(SECOND / 2));
    }
    let mut samples = Samples::default();
    cluster_samples(&cluster, start.plus(3 * SECOND - SECOND / 4), &mut samples);
    let own = Own {
        start_time: start.wall.as_seconds(),
        resident_bytes: Some(9 << 20),
        cpu_seconds: Some(0.25),
        open_fds: Some(21),
        state_saved: vec![("orders".to_owned(), true)],
        config: ConfigReload { ok: true, last_good: start.wall.as_seconds() },
        log: LogEvents { error: 1, warn: 2, info: 3, dropped: 4 },
    };
    own_samples(&own, &mut samples);
    samples.into_vec()
}

#[test]
fn cluster_pages_are_as_committed_and_accepted() {
    for major in MAJORS {
        let page = render(&catalog::families(), samples(major), Format::PrometheusText).unwrap();
        // The version of pgvigil itself changes with each release.
        let page = page.replace(env!("CARGO_PKG_VERSION"), "VERSION");
        compare(&format!("pg{major}-cluster.prom"), &page);
        assert_eq!(promtool(&page), [""; 0], "pg{major}");
    }
}
