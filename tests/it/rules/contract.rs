//! What the rules promise: series that exist, one value of several observers, alerts that lead somewhere, and tests of each.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use pgvigil::collector::COLLECTORS;
use pgvigil::doctor::check::CHECKS;
use pgvigil::metric::catalog;
use pgvigil::metric::family::{Family, Kind as Type, Observers};

use super::bundle::{self, Rule, Selector};
use super::case::{self, Key, Kind, seconds};
use crate::fixture::ROOT;

/// Labels whose values are words of ours, so that a rule must not ask for others.
const WORDS: &[&str] =
    &["state", "reason", "stage", "name", "privilege", "known", "cause", "collector", "type", "upstream"];
/// Nodes and observers of the tests: they may stand where a word does.
const NAMES: &[&str] = &["a", "b", "c", "d"];

/// The family of a series.
pub fn family(metric: &str) -> Option<&'static Family> {
    let families = catalog::families();
    let named = |name: &str| families.iter().copied().find(|family| family.name == name);
    let histogram = |end: &str| named(metric.strip_suffix(end)?).filter(|family| family.kind == Type::Histogram);
    named(metric).or_else(|| ["_bucket", "_sum", "_count"].into_iter().find_map(histogram))
}

fn alerts(groups: &[bundle::Group]) -> impl Iterator<Item = &Rule> {
    groups.iter().flat_map(|group| &group.rules).filter(|rule| rule.alert.is_some())
}

/// Each word that recorded pages have for a label of a metric, and all reasons for a failure to connect.
pub fn words() -> BTreeSet<(String, String, String)> {
    let mut words = BTreeSet::new();
    for page in fs::read_dir(format!("{ROOT}/tests/golden")).unwrap() {
        let text = fs::read_to_string(page.unwrap().path()).unwrap();
        for line in text.lines().filter(|line| line.starts_with("pgvigil_") && line.contains('{')) {
            let key = Key::parse(line.rsplit_once(' ').unwrap().0);
            let of = |(label, value): (&String, &String)| (key.name.clone(), label.clone(), value.clone());
            words.extend(key.labels.iter().map(of));
            // A native histogram has the family's own name.
            if let Some(name) = key.name.strip_suffix("_count") {
                words.extend(key.labels.iter().map(|(label, value)| (name.to_owned(), label.clone(), value.clone())));
            }
        }
    }
    let word = |metric: &str, label: &str, value: &str| (metric.to_owned(), label.to_owned(), value.to_owned());
    words.extend(reasons(None).iter().map(|reason| word("pgvigil_node_connect_failure", "reason", reason)));
    let collectors = COLLECTORS.iter().map(|collector| collector.name());
    words.extend(collectors.map(|name| word("pgvigil_collector_success", "collector", name)));
    for check in CHECKS {
        words.insert(word("pgvigil_check_failed", "check", check.id));
        words.insert(word("pgvigil_check_failed", "severity", check.severity.as_str()));
    }
    words
}

/// The reasons for a failure to connect, of one state or of all, by the page that another test holds to the code.
fn reasons(state: Option<&str>) -> Vec<String> {
    let page = fs::read_to_string(format!("{ROOT}/docs/node-states.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let of_state = rows.filter(|(_, rest)| state.is_none_or(|state| rest.starts_with(&format!("{state} | "))));
    of_state.map(|(reason, _)| reason.to_owned()).collect()
}

pub fn is_word(words: &BTreeSet<(String, String, String)>, metric: &str, label: &str, value: &str) -> bool {
    words.contains(&(metric.to_owned(), label.to_owned(), value.to_owned()))
}

#[test]
fn every_series_and_every_word_that_a_rule_selects_exists() {
    let (groups, words) = (bundle::groups(), words());
    let recorded: BTreeSet<_> =
        groups.iter().flat_map(|group| &group.rules).filter_map(|rule| rule.record.as_deref()).collect();
    for rule in groups.iter().flat_map(|group| &group.rules) {
        let of_description = rule.annotations.values().map(String::as_str).filter(|text| text.contains("| query"));
        let quoted: String =
            of_description.flat_map(|text| text.split('"').skip(1).step_by(2)).collect::<Vec<_>>().join(" ");
        for selector in [bundle::selectors(&rule.expr), bundle::selectors(&quoted.replace("%q", "\"\""))].concat() {
            let Selector { metric, matchers, .. } = &selector;
            if metric == "up" || recorded.contains(metric.as_str()) {
                continue;
            }
            let family = family(metric).unwrap_or_else(|| panic!("{}: no family {metric}", rule.name()));
            for (label, _, value) in matchers {
                let has = family.labels.contains(&label.as_str()) || (label == "le" && metric.ends_with("_bucket"));
                assert!(has, "{}: {metric} has no {label}", rule.name());
                let known = |value: &str| is_word(&words, metric, label, value);
                match label.as_str() {
                    // Either spelling of a bound.
                    "le" => assert!(value.split('|').any(known), "{}: {metric} le={value}", rule.name()),
                    _ => assert!(
                        value.is_empty() || value.split('|').all(known),
                        "{}: {metric} {label}={value}",
                        rule.name()
                    ),
                }
            }
        }
    }
}

#[test]
fn every_series_of_the_tests_could_be_scraped() {
    let words = words();
    for (path, file) in case::files() {
        for input in file.tests.iter().flat_map(|case| &case.input_series) {
            let key = Key::parse(&input.series);
            if key.name == "up" {
                continue;
            }
            let place = format!("{}: {}", path.display(), input.series);
            let family = family(&key.name).unwrap_or_else(|| panic!("{place}: no such family"));
            let labels: BTreeSet<_> = key
                .labels
                .keys()
                .map(String::as_str)
                .filter(|label| !["job", "instance", "le"].contains(label))
                .collect();
            assert_eq!(labels, family.labels.iter().copied().collect(), "{place}");
            for (label, value) in key.labels.iter().filter(|(label, _)| WORDS.contains(&label.as_str())) {
                let named = label == "upstream" && NAMES.contains(&value.as_str());
                assert!(named || is_word(&words, &key.name, label, value), "{place}: no such {label}");
            }
        }
    }
}

#[test]
fn who_reads_the_buckets_of_a_histogram_reads_a_native_one_too() {
    let rules = bundle::groups().into_iter().flat_map(|group| group.rules);
    let rules = rules.map(|rule| (rule.name().to_owned(), rule.expr.clone()));
    // A heatmap is of buckets by le, which a native histogram does not have.
    let queries = crate::dashboards::board::boards().into_iter().flat_map(|board| board.queries());
    let queries = queries.filter(|query| query.kind != "heatmap").map(|query| (query.place, query.expr));
    let mut read = 0;
    for (place, expr) in rules.chain(queries) {
        let selectors = bundle::selectors(&expr);
        for Selector { metric, .. } in &selectors {
            let is_histogram = |name: &str| family(name).is_some_and(|family| family.kind == Type::Histogram);
            for end in ["_sum", "_count"] {
                let is_classic = metric.strip_suffix(end).is_some_and(is_histogram);
                assert!(!is_classic, "{place}: {metric} is not there where native histograms are kept alone");
            }
            let Some(name) = metric.strip_suffix("_bucket").filter(|name| is_histogram(name)) else { continue };
            assert!(selectors.iter().any(|other| other.metric == name), "{place}: {metric} without {name}");
            read += 1;
        }
    }
    assert_eq!(read, 4, "the objective, and three quantiles");
}

/// Where a rule does not take several observers' values as the catalogue says, and why.
const OTHERWISE: &[(&str, &str)] = &[
    // The catalogue asks all observers before it says yes; one that proves a no is enough.
    ("pgvigil_standby_can_follow", "max"),
    // Of each observer the share of its own ticks comes first; of the shares it is the smallest.
    ("pgvigil_standby_lag_sampled_seconds_bucket", "sum"),
    ("pgvigil_standby_lag_sampled_seconds", "sum"),
    ("pgvigil_standby_lag_ticks_total", "sum"),
    // Whether there is any.
    ("pgvigil_standby_expected", "group"),
    ("pgvigil_node_up", "group"),
];

#[test]
fn several_observers_make_one_value_as_the_catalogue_says() {
    for rule in bundle::groups().iter().flat_map(|group| &group.rules) {
        for selector in bundle::selectors(&rule.expr) {
            let Some(family) = family(&selector.metric) else { continue };
            let known: Vec<_> =
                selector.matchers.iter().filter(|(_, operator, _)| !operator.starts_with('!')).collect();
            let values =
                known.iter().flat_map(|(label, _, value)| value.split('|').map(move |value| (label.as_str(), value)));
            let wanted = match family.across(values) {
                Observers::Max => "max",
                Observers::Min => "min",
                Observers::Own => continue,
            };
            let otherwise = OTHERWISE.contains(&(selector.metric.as_str(), selector.within.as_str()));
            assert!(
                selector.within == wanted || otherwise,
                "{}: {} by {}, not {wanted}",
                rule.name(),
                selector.metric,
                selector.within
            );
        }
    }
}

#[test]
fn every_alert_says_what_it_is_and_leads_to_its_runbook() {
    let groups = bundle::groups();
    let mut seen = BTreeSet::new();
    for rule in alerts(&groups) {
        let name = rule.name();
        assert!(seen.insert((name, rule.severity())), "{name} {} twice", rule.severity());
        assert!(name.starts_with("Postgres"), "{name}");
        assert_eq!(rule.labels.keys().collect::<Vec<_>>(), ["severity"], "{name}");
        assert!(["critical", "warning", "info", "engine", "none"].contains(&rule.severity()), "{name}");
        assert_eq!(rule.annotations.keys().collect::<Vec<_>>(), ["description", "runbook_url", "summary"], "{name}");
        assert!(rule.annotations["runbook_url"].ends_with(&format!("/runbooks/{name}")), "{name}");
        let summary = &rule.annotations["summary"];
        assert!(
            !summary.contains("$value") && !summary.contains("| query") && !summary.ends_with('.'),
            "{name}: {summary}"
        );
        assert!(rule.annotations["description"].ends_with(['.', '}']), "{name}");
        let kept = rule.keep_firing_for.as_deref().is_some_and(|keep| seconds(keep) >= 300);
        let heard = !["critical", "warning"].contains(&rule.severity()) || WINDOWED.contains(&name);
        assert!(kept || heard, "{name} ends with a restart of pgvigil");
        if rule.severity() == "critical" {
            assert!(
                rule.wait.as_deref().is_some_and(|wait| seconds(wait) >= 60),
                "{name}: a page waits for two scrapes"
            );
        }
    }
    let names: BTreeSet<_> = seen.iter().map(|(name, _)| *name).collect();
    assert!(names.len() >= 50, "{}", names.len());
}

/// Alerts whose expressions hold over a restart of pgvigil by themselves: they look back over windows, or at Prometheus alone.
const WINDOWED: &[&str] = &["PostgresFailoverHappened", "PostgresLagBudgetBurn", "PostgresObserverAbsent"];

/// A recording of another group may be one evaluation old: no page waits for it.
#[test]
fn no_page_reads_what_another_group_records() {
    for group in bundle::groups() {
        let own: BTreeSet<_> = group.rules.iter().filter_map(|rule| rule.record.as_deref()).collect();
        for rule in group.rules.iter().filter(|rule| rule.severity() == "critical") {
            for selector in bundle::selectors(&rule.expr).iter().filter(|selector| selector.metric.contains(':')) {
                let past = rule.expr.contains(&format!("max_over_time({}[6h])", selector.metric));
                assert!(own.contains(selector.metric.as_str()) || past, "{}: {}", rule.name(), selector.metric);
            }
        }
    }
}

#[test]
fn recordings_are_named_by_level_metric_and_operation_and_come_before_their_use() {
    let mut recorded = BTreeSet::new();
    for group in bundle::groups() {
        let mut own = BTreeSet::new();
        let names: BTreeSet<_> = group.rules.iter().filter_map(|rule| rule.record.as_deref()).collect();
        for rule in &group.rules {
            for selector in bundle::selectors(&rule.expr) {
                let metric = selector.metric.as_str();
                assert!(!names.contains(metric) || own.contains(metric), "{}: {metric} comes later", rule.name());
            }
            let Some(name) = &rule.record else { continue };
            own.insert(name.clone());
            assert!(recorded.insert(name.clone()), "{name} twice");
            let parts: Vec<_> = name.split(':').collect();
            let levels = ["global", "cluster", "cluster_node", "cluster_node_slot", "cluster_node_instance"];
            assert!(parts.len() == 3 && levels.contains(&parts[0]) && parts[1].starts_with("pgvigil_"), "{name}");
        }
    }
}

/// A window of four scrapes at 60 s; an offset needs none.
#[test]
fn every_window_takes_in_four_scrapes_a_minute_apart() {
    for rule in bundle::groups().iter().flat_map(|group| &group.rules) {
        for window in rule.expr.split('[').skip(1).filter_map(|rest| rest.split_once(']')) {
            assert!(seconds(window.0) >= 240, "{}: [{}]", rule.name(), window.0);
        }
    }
}

/// Without `on`, sides that differ in a label are silently nothing. A union needs none.
#[test]
fn every_set_operator_says_what_it_matches_on() {
    for rule in bundle::groups().iter().flat_map(|group| &group.rules) {
        let words: Vec<_> = rule.expr.split_whitespace().collect();
        for pair in words.windows(2).filter(|pair| ["and", "unless"].contains(&pair[0])) {
            assert_eq!(pair[1], "on", "{}: {} without on", rule.name(), pair[0]);
        }
        for operator in ["/", "-", ">", ">=", "<", "<="] {
            let next = words.windows(2).filter(|pair| pair[0] == operator).map(|pair| pair[1]);
            for next in next.filter(|next| is_vector(next)) {
                // Both sides are of the same labels here.
                assert!(
                    rule.name().starts_with("cluster_node:pgvigil_lag_bad") || SAME.contains(&rule.name()),
                    "{}: {operator} {next}",
                    rule.name()
                );
            }
        }
    }
}

/// Whether what follows an operator is a vector by itself, without a word on how it is matched.
fn is_vector(next: &str) -> bool {
    !next.starts_with("scalar(") && (next.contains("pgvigil") || AGGREGATIONS.contains(&next))
}

const AGGREGATIONS: &[&str] = &["max", "min", "sum", "count", "group"];
/// Rules in which an arithmetic operator has two sides of the same labels by what is written beside it.
const SAME: &[&str] = &["PostgresClockSkew", "cluster_node:pgvigil_node_primary:max"];

#[test]
fn every_alert_has_a_test_of_each_kind() {
    let groups = bundle::groups();
    let mut tests: BTreeMap<String, BTreeSet<Kind>> = BTreeMap::new();
    for case in case::files().into_iter().skip(1).flat_map(|(_, file)| file.tests) {
        let (alerts, kind) = case.about();
        for alert in alerts {
            let kinds = tests.entry(alert.to_owned()).or_default();
            kinds.insert(kind);
            // All others are run over a restart of pgvigil as well.
            if !case.names_instances() && kind != Kind::Vanishes {
                kinds.insert(Kind::Restarts);
            }
        }
    }
    let names: BTreeSet<_> = alerts(&groups).map(|rule| rule.name().to_owned()).collect();
    assert_eq!(tests.keys().cloned().collect::<BTreeSet<_>>(), names, "alerts of the tests and of the rules");
    for (name, kinds) in &tests {
        let mut wanted = vec![Kind::Fires, Kind::Silent, Kind::Vanishes, Kind::Restarts];
        // It is never silent.
        wanted.retain(|kind| name != "PostgresWatchdog" || *kind != Kind::Silent);
        assert_eq!(kinds.iter().copied().collect::<Vec<_>>(), wanted, "{name}");
    }
}

/// Each rule fires in some test, at its severity.
#[test]
fn every_rule_fires_in_a_test() {
    let groups = bundle::groups();
    let files = case::files();
    let looks = files.iter().flat_map(|(_, file)| &file.tests).flat_map(|case| &case.promql_expr_test);
    let seen: BTreeSet<_> = looks
        .flat_map(|look| &look.exp_samples)
        .map(|sample| Key::parse(&sample.labels))
        .map(|key| (key.label("alertname").to_owned(), key.label("severity").to_owned()))
        .collect();
    for rule in alerts(&groups) {
        assert!(
            seen.contains(&(rule.name().to_owned(), rule.severity().to_owned())),
            "{} {}",
            rule.name(),
            rule.severity()
        );
    }
}

/// A server that refuses pgvigil is told by exactly one alert, whatever the reason.
#[test]
fn every_reason_for_a_refusal_has_its_alert() {
    let reasons = reasons(Some("rejecting"));
    assert!(reasons.len() > 10);
    let groups = bundle::groups();
    fn asks(rule: &Rule, reason: &str) -> bool {
        let label = |name: &str| if name == "reason" { reason } else { "" };
        bundle::selectors(&rule.expr).iter().any(|selector| selector.takes("pgvigil_node_connect_failure", label))
    }
    for reason in reasons {
        let told: BTreeSet<_> =
            groups.iter().flat_map(|group| &group.rules).filter(|rule| asks(rule, &reason)).map(Rule::name).collect();
        assert_eq!(told.len(), 1, "{reason}: {told:?}");
    }
}

/// Every group stands in the order in which the tests have them evaluated.
#[test]
fn the_tests_know_every_group() {
    let groups: BTreeSet<_> = bundle::groups().into_iter().map(|group| group.name).collect();
    for (path, file) in case::files() {
        assert_eq!(file.group_eval_order.iter().cloned().collect::<BTreeSet<_>>(), groups, "{}", path.display());
        assert_eq!(file.group_eval_order[0], "postgres-primary", "{}", path.display());
    }
}

/// Alerts that no row of the fault matrix raises, and why. Their own tests hold them, and live tests the series that they read.
const UNPLAYED: &[(&str, &str)] = &[
    ("PostgresArchiveUnreadable", "no row names an archive_dir; live::archive_dir takes one away"),
    ("PostgresCheckFailed", "no row lasts for as long as it waits; live::doctor makes the mistakes"),
    ("PostgresClockSkew", "all servers of a row have the clock of one machine"),
    ("PostgresLagUnknown", "rows that heal may raise it in passing; none leaves a lag unknown for as long as it waits"),
    ("PostgresNodeUnknown", "nothing that happens to a server leaves its state unknown: pgvigil must be unable to ask"),
    ("PostgresObserverAbsent", "all rows share one Prometheus, which always has a target"),
    ("PostgresObserverJournalNotWritable", "no row sends alerts to its pgvigil; live::webhook fills the volume"),
    ("PostgresObserversDisagree", "the observers of a row do not ask each other; those of live::observers do"),
    ("PostgresStandbyNameConflict", "live::senders has two standbys of one name"),
    ("PostgresWalVolumeFilling", "all rows share the volume of the machine"),
    ("PostgresWatchdog", "it always fires, and rows leave it out"),
];

/// Names and severities of the alerts that rows of the fault matrix expect, from their source: no row runs here.
fn played() -> BTreeSet<(String, String)> {
    let mut played = BTreeSet::new();
    for file in fs::read_dir(format!("{ROOT}/tests/it/faults")).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        for expected in text.split("alerts: &[").skip(1).filter_map(|rest| rest.split_once(']')) {
            for alert in expected.0.split('"').skip(1).step_by(2) {
                let mut words = alert.split(' ').map(str::to_owned);
                let pair = words.next().zip(words.next());
                played.insert(pair.unwrap_or_else(|| panic!("{alert}: a name and a severity")));
            }
        }
    }
    played
}

#[test]
fn every_alert_is_raised_by_a_row_of_the_fault_matrix_or_says_why_not() {
    let (groups, played) = (bundle::groups(), played());
    let known: BTreeSet<_> = alerts(&groups).map(|rule| (rule.name().to_owned(), rule.severity().to_owned())).collect();
    assert!(!played.is_empty());
    let strange: Vec<_> = played.difference(&known).collect();
    assert!(strange.is_empty(), "rows expect what no rule raises: {strange:?}");
    let played: BTreeSet<_> = played.iter().map(|(name, _)| name.as_str()).collect();
    let unplayed: BTreeSet<_> =
        known.iter().map(|(name, _)| name.as_str()).filter(|name| !played.contains(name)).collect();
    let said: BTreeSet<_> = UNPLAYED.iter().map(|(name, _)| *name).collect();
    assert_eq!(unplayed, said, "alerts that no row raises, and those of which it is said why");
}
