//! The lag objective is changed in two places, and nowhere else.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::case::{Case, Expectation, Input, Sampled, TestFile};
use super::{bundle, failures};

const SHARE: &str = "vector(0.999)";
const BOUND: &str = "le=~\"1|1.0\"";

/// A standby that is always 3 s behind, and of whose ticks one in a hundred is worse than 5 s.
const TICKS: [(&str, &str); 3] = [
    ("standby_lag_sampled_seconds_bucket{cluster=\"orders\",node=\"b\",stage=\"replayed\",le=\"1.0\"}", "0x80"),
    ("standby_lag_sampled_seconds_bucket{cluster=\"orders\",node=\"b\",stage=\"replayed\",le=\"5.0\"}", "0+14.85x80"),
    ("standby_lag_ticks_total{cluster=\"orders\",node=\"b\",stage=\"replayed\",known=\"yes\"}", "0+15x80"),
];

/// Writes the rules with another share and bound, and a test of which severities fire after 18 minutes.
fn burns(name: &str, share: &str, bound: &str, severities: &[&str]) -> PathBuf {
    let path = bundle::paths().into_iter().find(|path| path.ends_with("/objective.yml")).unwrap();
    let rules = fs::read_to_string(path).unwrap();
    assert_eq!((rules.matches(SHARE).count(), rules.matches(BOUND).count()), (1, 1), "one place each");
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let edited = dir.join(format!("objective-{name}.yml"));
    fs::write(&edited, rules.replace(SHARE, share).replace(BOUND, bound)).unwrap();
    let alert = |severity: &&str| Sampled {
        labels: format!(
            "{{alertname=\"PostgresLagBudgetBurn\",cluster=\"orders\",node=\"b\",severity=\"{severity}\"}}"
        ),
        value: 1.0,
    };
    let look = Expectation {
        eval_time: "18m".to_owned(),
        expr: "max without (alertstate) (ALERTS{alertstate=\"firing\"})".to_owned(),
        exp_samples: severities.iter().map(alert).collect(),
    };
    let series = TICKS.map(|(series, values)| Input { series: format!("pgvigil_{series}"), values: values.to_owned() });
    let case = Case {
        name: name.to_owned(),
        interval: "15s".to_owned(),
        input_series: series.into(),
        promql_expr_test: vec![look],
        alert_rule_test: vec![],
    };
    let file = TestFile {
        rule_files: vec![edited.display().to_string()],
        evaluation_interval: "15s".to_owned(),
        group_eval_order: vec![],
        tests: vec![case],
    };
    let test = dir.join(format!("objective-{name}.json"));
    fs::write(&test, serde_json::to_string(&file).unwrap()).unwrap();
    test
}

#[test]
fn another_share_and_another_bound_are_taken_in() {
    let five = "le=~\"5|5.0\"";
    let files = [
        burns("as-shipped", SHARE, BOUND, &["info", "warning"]),
        burns("five-seconds", SHARE, five, &["info", "warning"]),
        burns("five-seconds-of-99.5", "vector(0.995)", five, &["info"]),
        burns("five-seconds-of-98", "vector(0.98)", five, &[]),
    ];
    let files: Vec<_> = files.iter().map(|path| path.display().to_string()).collect();
    assert_eq!(files.iter().collect::<BTreeSet<_>>().len(), 4);
    if let Some(said) = failures(&files) {
        panic!("{said}");
    }
}
