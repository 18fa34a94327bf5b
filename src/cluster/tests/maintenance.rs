//! Maintenance ends, whatever happens, and nothing but its end ends it.

use std::time::Duration;

use super::healthy;
use super::paper::{A, B, C, Paper, Says, moment, primary};
use crate::clock::Wall;
use crate::cluster::cluster_samples;
use crate::cluster::maintenance::{Maintenance, lasts, reason};
use crate::metric::sample::{Samples, Value};

fn start(paper: &mut Paper, seconds: u64) {
    let reason = Some("minor upgrade".to_owned());
    paper.cluster.start_maintenance(Maintenance::new(paper.now, Duration::from_secs(seconds), "ops", reason));
}

/// `pgvigil_maintenance` and its end.
fn shown(paper: &Paper) -> (Option<f64>, Option<f64>) {
    let mut samples = Samples::default();
    cluster_samples(&paper.cluster, paper.now, &mut samples);
    let value = |name: &str| {
        let sample = samples.iter().find(|sample| sample.family.name == name)?;
        let Value::Number(number) = sample.value else { panic!("{name} is no number") };
        Some(*number)
    };
    (value("pgvigil_maintenance"), value("pgvigil_maintenance_end_timestamp_seconds"))
}

#[test]
fn it_ends_by_itself_and_is_over_once() {
    let mut paper = healthy();
    assert_eq!(shown(&paper), (Some(0.0), None));
    let begin = paper.now.wall.as_seconds();
    start(&mut paper, 10);
    for second in 1..10 {
        paper.now = moment(begin + f64::from(second));
        assert_eq!(shown(&paper), (Some(1.0), Some(begin + 10.0)), "{second}");
        assert_eq!(paper.cluster.expire_maintenance(paper.now.wall), None);
    }
    // The page needs nobody to notice.
    paper.now = moment(begin + 10.0);
    assert_eq!(shown(&paper), (Some(0.0), None));
    assert_eq!(paper.cluster.expire_maintenance(paper.now.wall).map(|over| over.by), Some("ops".to_owned()));
    assert_eq!(paper.cluster.expire_maintenance(paper.now.wall), None);
}

#[test]
fn another_start_replaces_its_end_and_an_end_is_one_at_once() {
    let mut paper = healthy();
    let begin = paper.now.wall.as_seconds();
    start(&mut paper, 3600);
    let before = paper.cluster.revision();
    start(&mut paper, 60);
    assert_eq!(shown(&paper), (Some(1.0), Some(begin + 60.0)));
    assert!(paper.cluster.revision() > before, "a page made before is out of date");
    let before = paper.cluster.revision();
    assert!(paper.cluster.end_maintenance().is_some());
    assert_eq!(shown(&paper), (Some(0.0), None));
    assert!(paper.cluster.revision() > before);
    assert_eq!(paper.cluster.end_maintenance(), None);
}

#[test]
fn it_outlives_a_restart_a_boot_another_config_and_a_new_system() {
    let mut paper = healthy();
    start(&mut paper, 3600);
    let expected = paper.cluster.maintenance(paper.now.wall).cloned();
    assert!(expected.is_some());
    let layout = paper.cluster.layout().clone();
    paper.cluster.relayout(layout, &["a".to_owned()].into());
    // Every node is made anew, with another identifier.
    for node in [A, B, C] {
        paper.wait(1.0);
        paper.read(node, &Says { system: "8", ..primary(1, 100) });
    }
    assert_eq!(paper.cluster.memory().system_identifier.as_deref(), Some("8"));
    let kept = serde_json::to_string(&paper.cluster.memory().clone().timeless()).unwrap();
    let paper = Paper::remembering(serde_json::from_str(&kept).unwrap(), paper.now.wall.as_seconds() + 5.0);
    assert_eq!(paper.cluster.maintenance(paper.now.wall).cloned(), expected);
    let mut later = Paper::remembering(serde_json::from_str(&kept).unwrap(), paper.now.wall.as_seconds() + 4000.0);
    assert_eq!(shown(&later), (Some(0.0), None));
    assert!(later.cluster.expire_maintenance(later.now.wall).is_some());
    assert_eq!(later.cluster.memory().maintenance, None, "what is over is not kept");
}

#[test]
fn a_memory_from_before_there_was_any_is_read() {
    let mut kept = serde_json::to_value(healthy().cluster.memory()).unwrap();
    assert!(kept.as_object_mut().unwrap().remove("maintenance").is_some());
    let memory: crate::cluster::memory::Memory = serde_json::from_value(kept).unwrap();
    assert_eq!(memory.maintenance, None);
}

#[test]
fn no_clock_makes_it_last_for_ever() {
    let mut paper = healthy();
    paper.now = moment(1e6);
    start(&mut paper, 24 * 3600);
    let holds = |paper: &Paper, seconds: f64| paper.cluster.maintenance(Wall::from_seconds(seconds)).is_some();
    assert!(holds(&paper, 1e6) && holds(&paper, 1e6 - 1.0), "a clock that is set back a little");
    assert!(!holds(&paper, 1e6 - 3600.0), "more than any may last");
    assert!(!holds(&paper, 1e6 + 24.0 * 3600.0));
    start(&mut paper, 1800);
    assert!(holds(&paper, 1e6 - 3600.0) && !holds(&paper, 1e6 - 24.0 * 3600.0));
}

#[test]
fn bounds() {
    for (text, seconds) in [("30m", 1800), ("1s", 1), ("24h", 86_400), ("1.5h", 5400)] {
        assert_eq!(lasts(text), Ok(Duration::from_secs(seconds)));
    }
    for (text, why) in [
        ("25h", "is too long: the most is 24h"),
        ("0s", "is too short: the least is 1s"),
        ("30", "has no unit"),
        ("-1h", "is not a duration"),
        ("", "is not a duration"),
    ] {
        assert!(lasts(text).unwrap_err().contains(why), "{text}");
    }
    assert_eq!(reason(" moving to new disks "), Ok("moving to new disks".to_owned()));
    assert!(reason(&"ü".repeat(200)).is_ok());
    for (text, why) in [("", "is empty"), (" \n", "is empty"), ("a\x1b[2Jb", "control"), ("a\nb", "control")] {
        assert!(reason(text).unwrap_err().contains(why), "{text:?}");
    }
    assert!(reason(&"x".repeat(201)).unwrap_err().contains("the most is 200 characters"));
}
