//! Tests in promtool's format, as `alerts/tests` holds them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::fixture::ROOT;

/// A file of tests.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestFile {
    pub rule_files: Vec<String>,
    pub evaluation_interval: String,
    /// Rules on standbys read what the primary's group records: in Prometheus they may do so one evaluation later.
    pub group_eval_order: Vec<String>,
    pub tests: Vec<Case>,
}

/// One test: what is scraped, and which alerts fire when.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The alerts that it is about, what kind of test it is, and a colon before the situation.
    pub name: String,
    pub interval: String,
    pub input_series: Vec<Input>,
    #[serde(default)]
    pub promql_expr_test: Vec<Expectation>,
    #[serde(default)]
    pub alert_rule_test: Vec<AlertTest>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    pub series: String,
    pub values: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    pub eval_time: String,
    pub expr: String,
    #[serde(default)]
    pub exp_samples: Vec<Sampled>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampled {
    pub labels: String,
    pub value: f64,
}

/// What an alert tells people: its annotations.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertTest {
    pub eval_time: String,
    pub alertname: String,
    #[serde(default)]
    pub exp_alerts: Vec<ExpectedAlert>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedAlert {
    pub exp_labels: BTreeMap<String, String>,
    pub exp_annotations: BTreeMap<String, String>,
}

/// Which situation a test shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The alert fires, and not before its time.
    Fires,
    /// The nearest situation that is none.
    Silent,
    /// Series vanish as they do in the fault.
    Vanishes,
    /// pgvigil is gone for one or two scrapes. Only of tests that name observers; the others are all run so.
    Restarts,
}

impl Case {
    /// The alerts that the test is about, and how.
    pub fn about(&self) -> (Vec<&str>, Kind) {
        let head = self.name.split_once(':').map_or_else(|| panic!("{}: no colon", self.name), |(head, _)| head);
        let mut words: Vec<_> = head.split_whitespace().collect();
        let kind = match words.pop() {
            Some("fires") => Kind::Fires,
            Some("silent") => Kind::Silent,
            Some("vanishes") => Kind::Vanishes,
            Some("restarts") => Kind::Restarts,
            other => panic!("{}: {other:?} is no kind of test", self.name),
        };
        (words, kind)
    }

    /// Seconds until the last look.
    pub fn end(&self) -> u64 {
        let looks = self.promql_expr_test.iter().map(|look| seconds(&look.eval_time));
        looks.max().unwrap_or_else(|| panic!("{}: looks at nothing", self.name))
    }

    /// Whether it is about observers themselves and names them; all others are of one pgvigil, whose name does not matter.
    pub fn names_instances(&self) -> bool {
        self.input_series.iter().any(|input| input.series.contains("instance="))
    }
}

/// The files of tests: name and content. The healthy cluster is the first.
pub fn files() -> Vec<(PathBuf, TestFile)> {
    let dir = Path::new(ROOT).join("alerts/tests");
    let mut paths: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort_by_key(|path| (!path.ends_with("healthy.yml"), path.clone()));
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let file = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path, file)
    };
    paths.into_iter().map(read).collect()
}

/// A series' name and labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub name: String,
    pub labels: BTreeMap<String, String>,
}

impl Key {
    /// Reads `name{label="value",…}`; no value of ours has a quote in it.
    pub fn parse(text: &str) -> Self {
        let (name, rest) = text.split_once('{').unwrap_or((text, "}"));
        let rest = rest.strip_suffix('}').unwrap_or_else(|| panic!("{text}"));
        let mut labels = BTreeMap::new();
        for pair in rest.split_terminator("\",").map(|pair| pair.trim().trim_end_matches('"')) {
            let (label, value) = pair.split_once("=\"").unwrap_or_else(|| panic!("{text}: {pair}"));
            assert!(labels.insert(label.to_owned(), value.to_owned()).is_none(), "{text}: {label} twice");
        }
        Self { name: name.to_owned(), labels }
    }

    /// The value of a label, empty if there is none.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }

    /// The same with another value of a label.
    pub fn with(mut self, label: &str, value: &str) -> Self {
        self.labels.insert(label.to_owned(), value.to_owned());
        self
    }

    pub fn text(&self) -> String {
        let labels: Vec<_> = self.labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        format!("{}{{{}}}", self.name, labels.join(","))
    }
}

/// What a scrape brought of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sample {
    Value(f64),
    /// The series was there before and is not any more.
    Stale,
    Missing,
}

/// Reads promtool's notation.
pub fn values(text: &str) -> Vec<Sample> {
    text.split_whitespace().flat_map(term).collect()
}

fn term(text: &str) -> Vec<Sample> {
    let number = |text: &str| text.parse::<f64>().unwrap_or_else(|_| panic!("{text}"));
    let (what, times) = match text.rsplit_once('x') {
        Some((what, times)) => (what, times.parse::<usize>().unwrap_or_else(|_| panic!("{text}"))),
        None if text == "_" => ("_", 1),
        None => (text, 0),
    };
    match what {
        "_" => vec![Sample::Missing; times],
        "stale" => vec![Sample::Stale],
        _ => {
            let sign = what.char_indices().skip(1).find(|(_, c)| matches!(c, '+' | '-')).map(|(at, _)| at);
            let (first, step) = sign.map_or((what, 0.0), |at| (&what[..at], number(&what[at..])));
            (0..=times).map(|index| Sample::Value(number(first) + step * index as f64)).collect()
        }
    }
}

/// Writes promtool's notation, in runs.
pub fn notation(samples: &[Sample]) -> String {
    let mut text = String::new();
    let mut rest = samples;
    while let Some(first) = rest.first() {
        let run = run(rest);
        let _ = match (first, rest.get(1)) {
            (Sample::Missing, _) => write!(text, "_x{run} "),
            (Sample::Stale, _) => write!(text, "stale "),
            (Sample::Value(first), Some(Sample::Value(second))) if run > 1 && second > first => {
                write!(text, "{first}+{}x{} ", second - first, run - 1)
            }
            (Sample::Value(first), Some(Sample::Value(second))) if run > 1 && second < first => {
                write!(text, "{first}-{}x{} ", first - second, run - 1)
            }
            (Sample::Value(first), _) => write!(text, "{first}+0x{} ", run - 1),
        };
        rest = &rest[run..];
    }
    text
}

/// How many samples from the first on go on by the same step.
fn run(samples: &[Sample]) -> usize {
    let step = |pair: &[Sample]| match pair {
        [Sample::Value(one), Sample::Value(next)] => Some(next - one),
        [Sample::Missing, Sample::Missing] => Some(0.0),
        _ => None,
    };
    let Some(first) = samples.get(..2).and_then(step) else { return 1 };
    1 + samples.windows(2).take_while(|pair| step(pair) == Some(first)).count()
}

/// Seconds of a duration in promtool's notation.
pub fn seconds(text: &str) -> u64 {
    let mut total = 0;
    let mut digits = String::new();
    for letter in text.chars() {
        if letter.is_ascii_digit() {
            digits.push(letter);
            continue;
        }
        let unit = match letter {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => panic!("{text}"),
        };
        total += digits.parse::<u64>().unwrap_or_else(|_| panic!("{text}")) * unit;
        digits.clear();
    }
    assert!(digits.is_empty(), "{text}: no unit");
    total
}

#[test]
fn the_notation_reads_as_it_is_written() {
    let text = "1x2 _x2 5 stale 0+15x3 9-2x2 0.5";
    let read = values(text);
    assert_eq!(read.len(), 3 + 2 + 1 + 1 + 4 + 3 + 1);
    assert_eq!(read[7..11], [0.0, 15.0, 30.0, 45.0].map(Sample::Value));
    assert_eq!(values(&notation(&read)), read);
    assert_eq!(seconds("1h5m45s"), 3_945);
    let key = "pgvigil_node_up{cluster=\"orders\",node=\"a\"}";
    assert_eq!(Key::parse(key).text(), key);
    assert_eq!(Key::parse("up").text(), "up{}");
}
