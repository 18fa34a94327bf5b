//! Pages made from recorded rows, compared with `tests/golden`. `UPDATE=1` writes them anew; read the difference before you commit it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use pgvigil::clock::{Moment, Mono, Wall};
use pgvigil::collector::snapshot::{Exchange, NodeView, Snapshot};
use pgvigil::collector::{COLLECTORS, CollectError};
use pgvigil::metric::catalog;
use pgvigil::metric::exposition::{Format, render};
use pgvigil::metric::family::{Family, Kind};
use pgvigil::metric::sample::Samples;
use pgvigil::pg::version::ServerVersion;

use crate::fixture::{self, Answer, ROOT};

/// The supported major versions, all of which have fixtures.
pub const MAJORS: std::ops::RangeInclusive<u32> = 13..=18;
const ROLES: [&str; 9] = [
    "primary",
    "primary-troubled",
    "primary-plain",
    "standby",
    "standby-paused",
    "cascade",
    "standby-plain",
    "archive-only",
    "promoted",
];

/// One recorded node, and the moment of its reading, by a clock that is a quarter of a second behind the server's.
pub fn reading(major: u32, role: &str) -> (Snapshot, Moment) {
    let mut snapshot = Snapshot::default();
    let mut now = Moment { mono: Mono::from_nanos(3_600_000_000_000), ..Moment::default() };
    for collector in COLLECTORS {
        let path = fixture::path(major, role, collector.name());
        let Some(answer) = Answer::read(&path) else {
            let refused = role.ends_with("-plain") && ["archive_status", "wal_dir"].contains(&collector.name());
            assert!(refused, "no {}: record it", path.display());
            continue;
        };
        snapshot.version = Some(ServerVersion(answer.server_version));
        let records = answer.records();
        if collector.name() == "recovery" {
            let server_time = records.single().unwrap().epoch("server_time").unwrap().unwrap();
            now.wall = Wall::from_seconds(server_time.as_seconds() - 0.25);
        }
        match collector.store(&records, &mut snapshot, Exchange { sent: now, received: now }) {
            Ok(()) => {}
            Err(CollectError::MissingGrant("pg_monitor")) => assert!(role.ends_with("-plain"), "{}", path.display()),
            Err(error) => panic!("{}: {error}", path.display()),
        }
    }
    (snapshot, now)
}

/// A node as its series are made, a second after it was read.
pub fn view<'a>(snapshot: &'a Snapshot, node: &'a str, read: Moment) -> NodeView<'a> {
    NodeView {
        cluster: "orders",
        node,
        snapshot,
        now: read.plus(Duration::from_secs(1)),
        fast_window: Duration::from_secs(3),
        slow_window: Duration::from_secs(30),
        not_before: Moment::default(),
        archive_hung_after: Duration::from_secs(60),
        standby_names: BTreeMap::new(),
    }
}

/// What all collectors make of a node. None may add to a family that it does not announce.
pub fn samples_of(view: &NodeView<'_>) -> Samples {
    let mut samples = Samples::default();
    for collector in COLLECTORS {
        let before = samples.len();
        collector.samples(view, &mut samples);
        for sample in samples.iter().skip(before) {
            let name = sample.family.name;
            assert!(collector.families().contains(&sample.family), "{} does not announce {name}", collector.name());
        }
    }
    samples
}

/// The samples of one recorded node.
pub fn samples(major: u32, role: &str) -> Samples {
    let (snapshot, read) = reading(major, role);
    samples_of(&view(&snapshot, role, read))
}

/// Every recorded node.
pub fn nodes() -> impl Iterator<Item = (u32, &'static str)> {
    MAJORS.flat_map(|major| ROLES.map(|role| (major, role)))
}

fn collector_families() -> Vec<&'static Family> {
    COLLECTORS.iter().flat_map(|collector| collector.families()).copied().collect()
}

fn golden(name: &str) -> PathBuf {
    Path::new(ROOT).join("tests/golden").join(name)
}

pub fn compare(name: &str, page: &str) {
    let path = golden(name);
    if fixture::update() {
        fs::write(&path, page).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}; run with UPDATE=1"));
    for (line, (is, was)) in page.lines().zip(expected.lines()).enumerate() {
        assert_eq!(is, was, "tests/golden/{name} line {}", line + 1);
    }
    assert_eq!(page.lines().count(), expected.lines().count(), "tests/golden/{name}");
}

/// What `promtool check metrics` complains of.
pub fn promtool(page: &str) -> Vec<String> {
    let mut check = Command::new("promtool");
    check.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut check = check.spawn().expect("promtool is not installed: it comes with Prometheus");
    check.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = check.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let complaints: Vec<_> = String::from_utf8(said).unwrap().lines().map(str::to_owned).collect();
    assert!(output.status.success() || !complaints.is_empty(), "promtool: {}", output.status);
    complaints
}

#[test]
fn pages_are_as_committed() {
    for (major, role) in nodes() {
        let page =
            String::from_utf8(render(&collector_families(), samples(major, role), Format::PrometheusText).unwrap())
                .unwrap();
        compare(&format!("pg{major}-{role}.prom"), &page);
    }
    for role in ["primary", "standby"] {
        let page =
            String::from_utf8(render(&collector_families(), samples(16, role), Format::OpenMetrics).unwrap()).unwrap();
        compare(&format!("pg16-{role}.openmetrics"), &page);
    }
    // Beside them lie two in OpenMetrics, and for each version that of a whole cluster and what differs after a promotion.
    let expected = MAJORS.count() * (ROLES.len() + 2) + 2;
    assert_eq!(fs::read_dir(golden("")).unwrap().count(), expected, "a golden page that no test compares");
}

#[test]
fn promtool_accepts_every_page() {
    // Its parser is that of Prometheus text, where the comments of a counter bear the full name.
    let counters: BTreeSet<_> = collector_families()
        .into_iter()
        .filter(|family| family.kind == Kind::Counter)
        .map(|family| format!("{} no help text", family.name))
        .collect();
    for (major, role) in nodes() {
        let samples = samples(major, role);
        let page =
            String::from_utf8(render(&catalog::families(), samples.clone(), Format::PrometheusText).unwrap()).unwrap();
        assert_eq!(promtool(&page), [""; 0], "pg{major} {role}");
        let page = String::from_utf8(render(&catalog::families(), samples, Format::OpenMetrics).unwrap()).unwrap();
        let complaints = promtool(&page);
        let known = |complaint: &&String| !counters.contains(*complaint);
        assert_eq!(complaints.iter().filter(known).collect::<Vec<_>>(), [""; 0], "pg{major} {role}");
    }
}

#[test]
fn no_page_has_a_series_twice_and_every_state_is_told_once() {
    for (major, role) in nodes() {
        let mut seen = BTreeSet::new();
        let mut states = BTreeMap::<_, f64>::new();
        for sample in samples(major, role).iter() {
            let mut labels: Vec<_> = sample.labels().map(str::to_owned).collect();
            assert!(seen.insert((sample.family.name, labels.clone())), "pg{major} {role}: {sample:?}");
            if let (Some(&"state"), pgvigil::metric::sample::Value::Number(value)) =
                (sample.family.labels.last(), &sample.value)
            {
                labels.pop();
                *states.entry((sample.family.name, labels)).or_default() += value;
            }
        }
        assert!(states.values().all(|sum| *sum == 1.0), "pg{major} {role}: {states:?}");
    }
}

#[test]
fn a_role_without_the_grant_shows_no_lag_of_zero() {
    for major in MAJORS {
        for role in ["primary-plain", "standby-plain"] {
            for sample in samples(major, role).iter() {
                let hidden = ["walsender_", "wal_receiver_up", "replay_wait", "ready", "pgvigil_sync_"]
                    .iter()
                    .any(|word| sample.family.name.contains(word));
                assert!(!hidden, "pg{major} {role}: {sample:?}");
            }
        }
    }
}
