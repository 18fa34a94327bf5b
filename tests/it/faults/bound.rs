//! By when an alert that wakes somebody must be at the webhook: a scrape, an evaluation, the wait of its rule, that of its group, and a
//! second for everything else.

use std::time::Duration;

use serde_json::Value;

use crate::fixture::ROOT;
use crate::rules::{bundle, case::seconds};
use crate::scaled::SCALE;

/// pgvigil's look, Alertmanager's delivery.
const REST: Duration = Duration::from_secs(1);

/// The bound of an alert as rows name it, with their shorter durations; `None` for one that wakes neither a person nor the engine.
pub fn of(alert: &str) -> Option<Duration> {
    let mut words = alert.split(' ');
    let (name, severity) = words.next().zip(words.next())?;
    if !["critical", "engine"].contains(&severity) {
        return None;
    }
    let groups = bundle::groups();
    let rule =
        groups.iter().flat_map(|group| &group.rules).find(|rule| rule.name() == name && rule.severity() == severity);
    let rule = rule.unwrap_or_else(|| panic!("no rule raises {alert}"));
    let wait = SCALE.of(Duration::from_secs(rule.wait.as_deref().map_or(0, seconds)));
    // It fires at an evaluation.
    let waits = SCALE.scrape * u32::try_from(wait.as_millis().div_ceil(SCALE.scrape.as_millis())).unwrap();
    Some(SCALE.scrape + SCALE.scrape + waits + group_wait(severity) + REST)
}

/// How long Alertmanager collects alerts of this severity.
fn group_wait(severity: &str) -> Duration {
    let text = std::fs::read_to_string(format!("{ROOT}/alerts/alertmanager.yml")).expect("alerts/alertmanager.yml");
    let config: Value = serde_saphyr::from_str(&text).expect("YAML");
    let matcher = Value::from(format!("severity=\"{severity}\""));
    let routes = config["route"]["routes"].as_array().expect("routes");
    let route = routes.iter().find(|route| route["matchers"].as_array().is_some_and(|all| all.contains(&matcher)));
    let wait = route.expect("a route of this severity")["group_wait"].as_str().expect("a group_wait");
    SCALE.of(Duration::from_secs(seconds(wait)))
}

#[test]
fn a_page_waits_for_its_rule_and_its_group() {
    assert_eq!(of("PostgresPrimaryUnreachable engine"), Some(Duration::from_secs(3)));
    assert_eq!(of("PostgresPrimaryDown critical"), Some(Duration::from_millis(6_500)));
    assert_eq!(of("PostgresStandbyDown warning node=b"), None);
}
