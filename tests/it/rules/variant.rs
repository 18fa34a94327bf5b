//! Variants of a test: the same situation in a whole cluster, seen by other observers, at another scrape interval, across a restart.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::bundle;
use super::case::{Case, Expectation, Input, Key, Sample, Sampled, TestFile, notation, seconds, values};
use crate::fixture::ROOT;

/// Seconds between two scrapes, as the tests are written.
pub const WRITTEN: u64 = 15;

/// Who watches the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One pgvigil.
    Central,
    /// One, which is gone for two scrapes while the alerts fire, or where they would.
    CentralRestarts,
    /// Two, of which the second reaches no server at all and remembers nothing.
    SecondIsBlind,
    /// Two, of which the second is started anew every five minutes, a minute each.
    SecondRestarts,
    /// One beside each server, which ends with it.
    BesideEachNode,
}

type Series = BTreeMap<Key, Vec<Sample>>;

/// A test, sampled.
#[derive(Clone)]
struct Scene {
    name: String,
    series: Series,
    /// When is looked, in seconds, and the labels of the alerts that fire then.
    looks: Vec<(u64, Vec<String>)>,
    /// Number of the first scrape that finds no pgvigil, where it restarts.
    restart: u64,
}

/// All tests in one: each has a cluster and observers of its own, so Prometheus holds them as those of many clusters. What is
/// [`shown`] of the healthy one stands beside what each says.
pub fn pack(
    cases: &[Case],
    healthy: &Case,
    layout: Layout,
    interval: u64,
    rules: &[String],
    order: &[String],
) -> TestFile {
    let stay = stay_when_down();
    let scenes = cases.iter().map(|case| Scene::of(case, interval, layout).over(healthy, &stay).at(interval));
    let mut input_series = Vec::new();
    let mut promql_expr_test = Vec::new();
    for scene in scenes {
        let series = scene.observed(layout, interval);
        input_series
            .extend(series.into_iter().map(|(key, values)| Input { series: key.text(), values: notation(&values) }));
        promql_expr_test.extend(scene.expectations());
    }
    let name = format!("{layout:?} at {interval} s");
    let test = Case { name, interval: format!("{interval}s"), input_series, promql_expr_test, alert_rule_test: vec![] };
    TestFile {
        rule_files: rules.to_vec(),
        evaluation_interval: format!("{interval}s"),
        group_eval_order: order.to_vec(),
        tests: vec![test],
    }
}

/// Who is there: what several observers must agree on, whatever the test is about.
const PRESENCE: [&str; 6] = [
    "pgvigil_node_up",
    "pgvigil_node_state",
    "pgvigil_node_in_recovery",
    "pgvigil_node_last_primary",
    "pgvigil_standby_expected",
    "pgvigil_standby_connected",
];

/// What rules read of the healthy cluster, since the rest says nothing and costs promtool time: all of it, or who is there.
pub fn shown(healthy: &Case, whole: bool) -> Case {
    let groups = bundle::groups();
    let selectors: Vec<_> =
        groups.iter().flat_map(|group| &group.rules).flat_map(|rule| bundle::selectors(&rule.expr)).collect();
    let is_read = |input: &Input| {
        let key = Key::parse(&input.series);
        let read = selectors.iter().any(|selector| selector.takes(&key.name, |label| key.label(label)));
        read && (whole || PRESENCE.contains(&key.name.as_str()))
    };
    let mut healthy = healthy.clone();
    healthy.input_series.retain(is_read);
    healthy
}

/// The families that a node which is not up still has, as a recorded page of a cluster with such a node shows. Its lag does not count:
/// there it is known by its walsender.
fn stay_when_down() -> BTreeSet<String> {
    let page = fs::read_to_string(format!("{ROOT}/tests/golden/pg16-cluster.prom")).unwrap();
    let lines = page.lines().filter(|line| line.contains("node=\"gone\""));
    let names: BTreeSet<_> = lines.filter_map(|line| line.split('{').next()).map(str::to_owned).collect();
    assert!(names.contains("pgvigil_node_state") && !names.contains("pgvigil_node_in_recovery"));
    names
        .into_iter()
        .filter(|name| !["pgvigil_standby_lag_seconds", "pgvigil_standby_lag_bytes"].contains(&name.as_str()))
        .collect()
}

/// Makes samples vanish: the first that is missing after one that was there is a marker.
fn mark(samples: &mut [Sample]) {
    for at in 1..samples.len() {
        if samples[at] == Sample::Missing && matches!(samples[at - 1], Sample::Value(_)) {
            samples[at] = Sample::Stale;
        }
    }
}

impl Scene {
    fn of(case: &Case, interval: u64, layout: Layout) -> Self {
        assert_eq!(seconds(&case.interval), WRITTEN, "{}", case.name);
        let series = case.input_series.iter().filter(|input| !input.series.starts_with("up{"));
        let series = series.map(|input| (Key::parse(&input.series), values(&input.values)));
        let looks = case.promql_expr_test.iter().map(|look| {
            (seconds(&look.eval_time), look.exp_samples.iter().map(|sample| sample.labels.clone()).collect())
        });
        let mut scene = Self { name: case.name.clone(), series: series.collect(), looks: looks.collect(), restart: 0 };
        if layout == Layout::CentralRestarts {
            scene.look_over_a_restart(interval);
        }
        scene
    }

    /// Looks at the last time at which anything fires, or the last at all, then while pgvigil is gone, then when it is back.
    fn look_over_a_restart(&mut self, interval: u64) {
        let last = self.looks.iter().rfind(|(_, alerts)| !alerts.is_empty()).or(self.looks.last()).cloned();
        let (at, alerts) = last.unwrap_or_else(|| panic!("{}: looks at nothing", self.name));
        self.looks.retain(|(other, _)| *other <= at);
        // The engine's has no patience by intention: nobody sees a primary, and nobody can say that there is none.
        let in_between = alerts.iter().filter(|labels| !labels.contains("severity=\"engine\"")).cloned().collect();
        self.restart = at / interval + 1;
        self.looks.push(((self.restart + 1) * interval, in_between));
        self.looks.push(((self.restart + 3) * interval, alerts));
    }

    fn end(&self) -> u64 {
        self.looks.iter().map(|(at, _)| *at).max().unwrap_or(0)
    }

    /// Adds what a healthy cluster shows beside what the test says. Of a node that the test has not up, only what such a node still
    /// shows; of a standby that it has not connected, no walsender.
    fn over(mut self, healthy: &Case, stay: &BTreeSet<String>) -> Self {
        let length = (self.end() / WRITTEN + 1) as usize;
        for samples in self.series.values_mut() {
            hold(samples, length);
        }
        for input in &healthy.input_series {
            let key = Key::parse(&input.series);
            if key.name == "up" || self.series.contains_key(&key) {
                continue;
            }
            let mut samples = values(&input.values);
            go_on(&mut samples, length);
            let down = |said: Sample| said == Sample::Value(0.0) && !stay.contains(&key.name);
            // What has no node goes with the primary, when all goes.
            let node =
                [key.label("node"), key.label("standby"), "a"].into_iter().find(|node| !node.is_empty()).unwrap_or("a");
            self.blank("pgvigil_node_up", "node", node, &mut samples, |said| {
                !matches!(said, Sample::Value(_)) || (down(said) && key.label("node") == node)
            });
            let disconnected = |said| said == Sample::Value(0.0);
            self.blank("pgvigil_standby_connected", "standby", key.label("standby"), &mut samples, disconnected);
            mark(&mut samples);
            self.series.insert(key, samples);
        }
        self
    }

    /// Takes away the samples of the times at which the test says something of a node or standby that leaves none.
    fn blank(&self, of: &str, label: &str, value: &str, samples: &mut [Sample], leaves_none: impl Fn(Sample) -> bool) {
        let about = Key { name: of.to_owned(), labels: BTreeMap::new() }.with("cluster", "orders").with(label, value);
        let Some(said) = self.series.get(&about) else { return };
        for (sample, said) in samples.iter_mut().zip(said) {
            if leaves_none(*said) {
                *sample = Sample::Missing;
            }
        }
    }

    /// As it is seen by scrapes at another interval.
    fn at(mut self, interval: u64) -> Self {
        let every = (interval / WRITTEN) as usize;
        for samples in self.series.values_mut() {
            let ended = |at: usize| samples[at.saturating_sub(every - 1)..=at].contains(&Sample::Stale);
            let taken = (0..samples.len()).step_by(every).map(|at| match samples[at] {
                Sample::Missing if ended(at) => Sample::Stale,
                sample => sample,
            });
            *samples = taken.collect();
        }
        self
    }

    /// The series of all observers.
    fn observed(&self, layout: Layout, interval: u64) -> Series {
        let none = BTreeSet::new();
        let once = BTreeSet::from([self.restart, self.restart + 1]);
        let often = (0..=self.end() / interval).filter(|at| (120..180).contains(&(at * interval % 300))).collect();
        match layout {
            Layout::Central => self.seen_by("one", &none),
            Layout::CentralRestarts => self.seen_by("one", &once),
            Layout::SecondIsBlind => join([self.seen_by("one", &none), self.blind().seen_by("two", &none)]),
            Layout::SecondRestarts => join([self.seen_by("one", &none), self.seen_by("two", &often)]),
            Layout::BesideEachNode => {
                join(["a", "b", "c"].map(|node| self.beside(node).seen_by(node, &self.lost_with(node))))
            }
        }
    }

    /// By one observer that is not there at some scrapes.
    fn seen_by(&self, instance: &str, gone: &BTreeSet<u64>) -> Series {
        let instance = format!("{}: {instance}", self.name);
        let place = |key: &Key| {
            let cluster = key.label("cluster").to_owned();
            let key = if cluster == "orders" { key.clone().with("cluster", &self.name) } else { key.clone() };
            key.with("job", "pgvigil").with("instance", &instance)
        };
        let mut all: Series =
            self.series.iter().map(|(key, samples)| (place(key), without(key, samples, gone))).collect();
        let length = self.series.values().map(Vec::len).max().unwrap_or(0) as u64;
        let up = (0..length).map(|at| Sample::Value(if gone.contains(&at) { 0.0 } else { 1.0 }));
        all.insert(place(&Key::parse("up")), up.collect());
        all
    }

    /// As one sees it who reaches nobody, and does not know how it was.
    fn blind(&self) -> Self {
        let mut scene = self.clone();
        scene.series = BTreeMap::new();
        for (key, samples) in &self.series {
            let value = match key.name.as_str() {
                "pgvigil_standby_expected" | "pgvigil_state_saved" | "pgvigil_config_last_reload_successful" => {
                    scene.series.insert(key.clone(), samples.clone());
                    continue;
                }
                "pgvigil_standby_lag_ticks_total" if key.label("known") == "no" => {
                    let ticks = samples.iter().enumerate().map(|(at, sample)| instead(*sample, 15.0 * at as f64));
                    scene.series.insert(key.clone(), ticks.collect());
                    continue;
                }
                _ if ["state", "upstream"].iter().any(|label| key.labels.contains_key(*label)) => {
                    if key.name.starts_with("pgvigil_archive") || key.name.starts_with("pgvigil_slot") {
                        continue;
                    }
                    if [key.label("state"), key.label("upstream")].contains(&"unknown") { 1.0 } else { 0.0 }
                }
                "pgvigil_node_up" | "pgvigil_node_last_primary" | "pgvigil_node_witnessed" => 0.0,
                "pgvigil_standby_connected" | "pgvigil_standby_name_conflict" | "pgvigil_standby_lag_known" => 0.0,
                "pgvigil_maintenance" | "pgvigil_timeline_switches_total" | "pgvigil_collector_success" => 0.0,
                _ => continue,
            };
            scene.series.insert(key.clone(), samples.iter().map(|sample| instead(*sample, value)).collect());
        }
        scene
    }

    /// As one sees it that runs beside a server: the files of that server alone.
    fn beside(&self, node: &str) -> Self {
        let mut scene = self.clone();
        scene.series.retain(|key, _| !key.name.starts_with("pgvigil_wal_volume_") || key.label("node") == node);
        scene
    }

    /// The scrapes at which a server is not up, and the observer beside it is gone too. Where no server is up, that of c is left: with
    /// nobody there would be nothing to see.
    fn lost_with(&self, node: &str) -> BTreeSet<u64> {
        let down = |node: &str| {
            let up = Key::parse("pgvigil_node_up{cluster=\"orders\"}").with("node", node);
            let up = self.series.get(&up).into_iter().flatten();
            up.zip(0..)
                .filter(|(sample, _)| **sample == Sample::Value(0.0))
                .map(|(_, at)| at)
                .collect::<BTreeSet<u64>>()
        };
        let others = &down("a") & &down("b");
        if node == "c" { &down(node) - &others } else { down(node) }
    }

    fn expectations(&self) -> Vec<Expectation> {
        let expr = format!(
            "max without (alertstate) (ALERTS{{alertstate=\"firing\",severity!=\"none\",cluster=\"{}\"}})",
            self.name
        );
        let mine = |labels: &String| {
            let key = Key::parse(labels);
            Sampled { labels: key.with("cluster", &self.name).text(), value: 1.0 }
        };
        let look = |(at, alerts): &(u64, Vec<String>)| Expectation {
            eval_time: format!("{at}s"),
            expr: expr.clone(),
            exp_samples: alerts.iter().map(mine).collect(),
        };
        self.looks.iter().map(look).collect()
    }
}

/// The samples without those of scrapes that found no pgvigil. What a process counts begins anew with it.
fn without(key: &Key, samples: &[Sample], gone: &BTreeSet<u64>) -> Vec<Sample> {
    let counts =
        ["_ticks_total", "_sampled_seconds_bucket", "_reconnects_total"].iter().any(|end| key.name.ends_with(end));
    let mut counted = 0.0;
    let mut left: Vec<_> = samples
        .iter()
        .zip(0..)
        .map(|(sample, at)| match sample {
            Sample::Value(value) if gone.contains(&at) => {
                counted = if counts { *value } else { 0.0 };
                Sample::Missing
            }
            _ if gone.contains(&at) => Sample::Missing,
            Sample::Value(value) => Sample::Value(value - counted),
            other => *other,
        })
        .collect();
    mark(&mut left);
    left
}

/// Another value where there is one.
fn instead(sample: Sample, value: f64) -> Sample {
    if let Sample::Value(_) = sample { Sample::Value(value) } else { sample }
}

/// Lengthens samples by their last one.
fn hold(samples: &mut Vec<Sample>, length: usize) {
    let last = match samples.last() {
        Some(Sample::Value(value)) => Sample::Value(*value),
        _ => Sample::Missing,
    };
    samples.resize(length.max(samples.len()), last);
    samples.truncate(length);
}

/// Lengthens samples by their last step.
fn go_on(samples: &mut Vec<Sample>, length: usize) {
    let [.., Sample::Value(one), Sample::Value(last)] = samples[..] else { panic!("{samples:?}") };
    let from = samples.len();
    samples.extend((from..length.max(from)).map(|at| Sample::Value(last + (last - one) * (at - from + 1) as f64)));
    samples.truncate(length);
}

fn join<const N: usize>(all: [Series; N]) -> Series {
    all.into_iter().flatten().collect()
}
