//! What pgvigil showed while a row ran, as a test that promtool runs again in no time: `tests/fixtures/faults/`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::prometheus::{Labels, Series};
use super::row::{Now, Row, Watched};
use crate::fixture::{ROOT, update};
use crate::scaled::{LAG_OBJECTIVE, SCALE, held, metrics};

/// Where the recordings are.
pub fn dir() -> PathBuf {
    Path::new(ROOT).join("tests/fixtures/faults")
}

/// The moments at which what fires is known.
#[derive(Default)]
pub struct Recording {
    checks: Vec<(f64, Now)>,
}

impl Recording {
    /// Takes what fires at this time, in seconds since the epoch.
    pub fn check(&mut self, now: Now, at: f64) {
        self.checks.push((at, now));
    }

    /// Writes the file of this row, where files are to be written anew.
    pub async fn write(&self, row: &Row, watched: &Watched) {
        if !update() {
            return;
        }
        let series = watched.samples(&metrics(&held(row.is_lag_held))).await;
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(self.text(row, watched, &series).as_bytes()).expect("memory");
        std::fs::create_dir_all(dir()).expect("a directory for recordings");
        std::fs::write(dir().join(format!("{}.yml.gz", row.name)), encoder.finish().expect("memory")).expect("a file");
    }

    fn text(&self, row: &Row, watched: &Watched, series: &[Series]) -> String {
        let scrapes = series.iter().filter(|(labels, _)| labels["__name__"] == "up");
        let start = scrapes.flat_map(|(_, samples)| samples).map(|(at, _)| *at).fold(f64::INFINITY, f64::min);
        let step = |at: f64| ((at - start) / SCALE.scrape.as_secs_f64()).round() as usize;
        let mut scraped = BTreeMap::<String, Vec<usize>>::new();
        for (labels, samples) in series.iter().filter(|(labels, _)| labels["__name__"] == "up") {
            scraped.insert(labels["instance"].clone(), samples.iter().map(|(at, _)| step(*at)).collect());
        }
        let mut text = format!(
            "# Fault {}: {}.\nevaluation_interval: 1s\nrule_files: [rules.yml]\ntests:\n- interval: 1s\n  input_series:\n",
            row.fault, row.how,
        );
        for (labels, samples) in series {
            let name = &labels["__name__"];
            let is_time = name.ends_with("_timestamp_seconds") || name.ends_with("_start_time_seconds");
            let value = |value: &str| match value.parse::<f64>() {
                // promtool's clock begins at 0.
                Ok(seconds) if is_time => format!("{:.3}", seconds - start),
                _ => value.to_owned(),
            };
            let values = samples.iter().map(|(at, text)| (step(*at), value(text))).collect();
            let values = sequence(&values, &scraped[&labels["instance"]]);
            let _ = writeln!(text, "  - series: '{}'\n    values: '{values}'", series_name(&watched.stable(labels)));
        }
        text += "  promql_expr_test:\n";
        for (at, now) in &self.checks {
            // A second before, so that no sample counts that Prometheus had not evaluated yet.
            let other = if row.is_lag_held { "" } else { LAG_OBJECTIVE };
            let firing = format!("ALERTS{{alertstate=\"firing\",severity!=\"none\",alertname!=\"{other}\"}}");
            let _ = writeln!(
                text,
                "  - expr: '{firing}'\n    eval_time: {}s\n    exp_samples:",
                step(*at).saturating_sub(1)
            );
            for labels in now.firing.values().filter(|labels| labels["alertname"] != other) {
                let _ = writeln!(text, "    - labels: '{}'\n      value: 1", series_name(labels));
            }
        }
        text
    }
}

fn series_name(labels: &Labels) -> String {
    let pairs = labels.iter().filter(|(name, _)| *name != "__name__");
    let pairs: Vec<_> = pairs.map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    format!("{}{{{}}}", labels["__name__"], pairs.join(","))
}

/// Samples by step in promtool's notation. Where there was a scrape and no sample the series has ended: Prometheus marks
/// it stale.
fn sequence(samples: &BTreeMap<usize, String>, scraped: &[usize]) -> String {
    let end = scraped.last().copied().unwrap_or_default();
    let mut items: Vec<String> = Vec::new();
    let mut is_there = false;
    for step in 0..=end {
        items.push(match samples.get(&step) {
            Some(value) => {
                is_there = true;
                value.clone()
            }
            None if is_there && scraped.contains(&step) => {
                is_there = false;
                "stale".to_owned()
            }
            None => "_".to_owned(),
        });
    }
    shortened(&items)
}

/// With runs of what stays the same, or rises by the same, written once.
fn shortened(items: &[String]) -> String {
    let whole = |item: &String| item.parse::<i64>().ok();
    let mut words = Vec::new();
    let mut rest = items;
    while let Some((first, _)) = rest.split_first() {
        let same = rest.iter().take_while(|item| *item == first).count();
        let rise = whole(first).zip(rest.get(1).and_then(whole)).map(|(a, b)| b - a);
        let rising = rise.map_or(1, |rise| {
            let pairs = rest.iter().zip(rest.iter().skip(1));
            1 + pairs.take_while(|(a, b)| whole(a).zip(whole(b)).is_some_and(|(a, b)| b - a == rise)).count()
        });
        let length = match (first.as_str(), rise) {
            ("_", _) if same > 1 => {
                words.push(format!("_x{same}"));
                same
            }
            ("_" | "stale", _) => {
                words.push(first.clone());
                1
            }
            (_, Some(rise)) if rising > 2 => {
                words.push(format!("{first}{}{}x{}", if rise < 0 { "-" } else { "+" }, rise.abs(), rising - 1));
                rising
            }
            _ if same > 2 => {
                words.push(format!("{first}+0x{}", same - 1));
                same
            }
            _ => {
                words.push(first.clone());
                1
            }
        };
        rest = &rest[length..];
    }
    words.join(" ")
}
