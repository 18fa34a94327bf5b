//! The one place that turns samples into a page: OpenMetrics 1.0 and Prometheus text 0.0.4 with `prometheus-client`, and protobuf.

mod accept;
mod fragment;
mod protobuf;

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::ptr;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, LabelSetEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry;

use super::family::{Family, Kind, Unit};
use super::sample::{Sample, Samples, Value};

pub use accept::negotiate;
pub use fragment::{Fragment, assemble};

/// A format of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus text 0.0.4.
    PrometheusText,
    /// Delimited protobuf messages, with native histograms.
    Protobuf,
}

impl Format {
    /// The value of the header `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::PrometheusText => "text/plain; version=0.0.4; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }
}

/// The page could not be written.
#[derive(Debug, thiserror::Error)]
#[error("the metrics page could not be written: {0}; this is a defect of pgvigil, please report it")]
pub struct RenderError(#[from] fmt::Error);

/// Writes a page. Each of `families` gets its HELP and TYPE even without a sample (but in protobuf), in the order given; samples of a
/// family keep their order. Samples of a family that is not among them come last, so that no mistake loses a fact.
pub fn render(families: &[&'static Family], samples: Samples, format: Format) -> Result<Vec<u8>, RenderError> {
    let page = Page::new(families, samples, format);
    if format == Format::Protobuf {
        return Ok(protobuf::encode(&page));
    }
    let mut text = write(page)?;
    if format == Format::OpenMetrics {
        encode_eof(&mut text)?;
    }
    Ok(text.into_bytes())
}

/// All of a text but the end.
fn write(page: Page) -> Result<String, RenderError> {
    let mut text = String::with_capacity(page.size());
    let mut registry = registry::Registry::default();
    registry.register_collector(Box::new(page));
    encode_registry(&mut text, &registry)?;
    Ok(text)
}

/// What is on a page: families in order, each with the numbers of its samples.
#[derive(Debug)]
struct Page {
    groups: Vec<(&'static Family, Vec<usize>)>,
    samples: Samples,
    format: Format,
}

impl Page {
    fn new(families: &[&'static Family], samples: Samples, format: Format) -> Self {
        let mut groups: Vec<_> = families.iter().map(|family| (*family, Vec::new())).collect();
        // A family is one static: its address is its identity.
        let mut places: HashMap<*const Family, usize> =
            families.iter().enumerate().map(|(place, family)| (ptr::from_ref(*family), place)).collect();
        let mut last = None;
        for (index, sample) in samples.iter().enumerate() {
            let place = match last {
                Some((family, place)) if ptr::eq(family, sample.family) => place,
                _ => *places.entry(ptr::from_ref(sample.family)).or_insert(groups.len()),
            };
            last = Some((sample.family, place));
            match groups.get_mut(place) {
                Some((_, indices)) => indices.push(index),
                None => groups.push((sample.family, vec![index])),
            }
        }
        Self { groups, samples, format }
    }

    /// About how long it will be, rather too much: a text that outgrows its room is copied.
    fn size(&self) -> usize {
        let lines = |sample: Sample<'_>| match sample.value {
            Value::Number(_) => 1,
            Value::Histogram(histogram) => histogram.buckets().count() + 2,
        };
        self.groups.len() * 320 + self.samples.iter().map(lines).sum::<usize>() * 112
    }
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut head = String::new();
        for (family, indices) in &self.groups {
            let (stem, unit) = wire(family, self.format);
            let mut metric = encoder.encode_descriptor(stem, family.help, unit.as_ref(), metric_type(family.kind))?;
            let mut before: Option<Sample<'_>> = None;
            for sample in indices.iter().filter_map(|index| self.samples.get(*index)) {
                if !before.is_some_and(|before| sample.differs_in_last(&before)) {
                    write_head(&mut head, &sample)?;
                }
                before = Some(sample);
                // An empty set of labels would be written as empty braces.
                match sample.labels().last() {
                    None => encode_sample(&mut metric, sample, self.format)?,
                    Some(last) => {
                        let labels = Labels { head: &head, last };
                        encode_sample(&mut metric.encode_family(&labels)?, sample, self.format)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// The name as the encoder wants it. For OpenMetrics without `_total` and without the unit, which it puts behind again; Prometheus
/// text has counters' names in full in its comments, and no word of units.
fn wire(family: &Family, format: Format) -> (&'static str, Option<registry::Unit>) {
    if format == Format::PrometheusText {
        return (family.name, None);
    }
    let stem = match family.kind {
        Kind::Counter => family.name.strip_suffix("_total").unwrap_or(family.name),
        Kind::Gauge | Kind::Histogram => family.name,
    };
    let with = |suffix, unit| stem.strip_suffix(suffix).map_or((stem, None), |bare| (bare, Some(unit)));
    match family.unit {
        Unit::None => (stem, None),
        Unit::Seconds => with("_seconds", registry::Unit::Seconds),
        Unit::Bytes => with("_bytes", registry::Unit::Bytes),
    }
}

const fn metric_type(kind: Kind) -> MetricType {
    match kind {
        Kind::Gauge => MetricType::Gauge,
        Kind::Counter => MetricType::Counter,
        Kind::Histogram => MetricType::Histogram,
    }
}

fn encode_sample(encoder: &mut MetricEncoder<'_>, sample: Sample<'_>, format: Format) -> fmt::Result {
    match (sample.value, sample.family.kind, format) {
        (Value::Histogram(histogram), ..) => {
            let buckets: Vec<_> = histogram.buckets().collect();
            encoder.encode_histogram::<NoLabelSet>(histogram.sum(), histogram.count(), &buckets, None)
        }
        // The encoder puts `_total` behind.
        (Value::Number(number), Kind::Counter, Format::OpenMetrics) => match whole(*number) {
            Some(whole) => encoder.encode_counter::<NoLabelSet, u64, u64>(&whole.unsigned_abs(), None),
            None => encoder.encode_counter::<NoLabelSet, f64, f64>(number, None),
        },
        // The encoder writes the name as it is.
        (Value::Number(number), ..) => match whole(*number) {
            Some(whole) => encoder.encode_gauge(&whole),
            None => encoder.encode_gauge(number),
        },
    }
}

/// A number without a fraction, exact in a float: written without a point, which is shorter and easier on the eye.
fn whole(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}

/// The labels of a sample. One series after the other mostly differs in the last label alone, and what stands before its value is
/// handed to the encoder as one name: a page has thousands of series, and each piece of a line costs.
#[derive(Debug)]
struct Labels<'a> {
    head: &'a str,
    last: &'a str,
}

impl EncodeLabelSet for Labels<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        let mut label = encoder.encode_label();
        let mut key = label.encode_label_key()?;
        key.write_str(self.head)?;
        let mut value = key.encode_label_value()?;
        value.write_str(self.last)?;
        value.finish()
    }
}

/// All labels up to the name of the last one, with values escaped as the encoder does: `cluster="orders",node="a",state`.
fn write_head(head: &mut String, sample: &Sample<'_>) -> fmt::Result {
    head.clear();
    let mut names = sample.family.labels.iter();
    let Some(last) = names.next_back() else { return Ok(()) };
    for (name, value) in names.zip(sample.labels()) {
        write!(head, "{name}=\"")?;
        for character in value.chars() {
            match character {
                '\\' => head.push_str("\\\\"),
                '"' => head.push_str("\\\""),
                '\n' => head.push_str("\\n"),
                plain => head.push(plain),
            }
        }
        head.push_str("\",");
    }
    head.push_str(last);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::family::Observers;
    use crate::metric::histogram::Histogram;

    const fn family(name: &'static str, kind: Kind, unit: Unit, labels: &'static [&'static str]) -> Family {
        Family { name, help: "Help.", kind, unit, labels, observers: Observers::Max }
    }

    static GAUGE: Family = family("pgvigil_g_bytes", Kind::Gauge, Unit::Bytes, &["slot"]);
    static WIDE: Family = family("pgvigil_wide", Kind::Gauge, Unit::None, &["cluster", "node", "state"]);
    static COUNTER: Family = family("pgvigil_c_seconds_total", Kind::Counter, Unit::Seconds, &[]);
    static HISTOGRAM: Family = family("pgvigil_h_seconds", Kind::Histogram, Unit::Seconds, &["stage"]);
    static SILENT: Family = family("pgvigil_silent_total", Kind::Counter, Unit::None, &[]);
    static UNLISTED: Family = family("pgvigil_unlisted", Kind::Gauge, Unit::None, &[]);

    pub(super) fn samples() -> Samples {
        let mut samples = Samples::default();
        samples.number(&UNLISTED, &[], f64::NAN);
        samples.number(&GAUGE, &["a\"b\\c\nd # {x} 1"], 1_099_511_627_776.0);
        samples.number(&COUNTER, &[], 2.5);
        samples.number(&GAUGE, &[""], -0.5);
        let mut histogram = Histogram::new(&[0.5, 1.0]);
        for value in [0.25, 0.75, 9.0] {
            histogram.observe(value);
        }
        samples.histogram(&HISTOGRAM, &["received"], &histogram);
        samples
    }

    pub(super) static LISTED: &[&Family] = &[&SILENT, &GAUGE, &COUNTER, &HISTOGRAM];

    fn written(families: &[&'static Family], samples: Samples, format: Format) -> String {
        String::from_utf8(render(families, samples, format).unwrap()).unwrap()
    }

    #[test]
    fn open_metrics_has_the_names_of_the_families_and_every_help() {
        let expected = r##"# HELP pgvigil_silent Help.
# TYPE pgvigil_silent counter
# HELP pgvigil_g_bytes Help.
# TYPE pgvigil_g_bytes gauge
# UNIT pgvigil_g_bytes bytes
pgvigil_g_bytes{slot="a\"b\\c\nd # {x} 1"} 1099511627776
pgvigil_g_bytes{slot=""} -0.5
# HELP pgvigil_c_seconds Help.
# TYPE pgvigil_c_seconds counter
# UNIT pgvigil_c_seconds seconds
pgvigil_c_seconds_total 2.5
# HELP pgvigil_h_seconds Help.
# TYPE pgvigil_h_seconds histogram
# UNIT pgvigil_h_seconds seconds
pgvigil_h_seconds_sum{stage="received"} 10.0
pgvigil_h_seconds_count{stage="received"} 3
pgvigil_h_seconds_bucket{le="0.5",stage="received"} 1
pgvigil_h_seconds_bucket{le="1.0",stage="received"} 2
pgvigil_h_seconds_bucket{le="+Inf",stage="received"} 3
# HELP pgvigil_unlisted Help.
# TYPE pgvigil_unlisted gauge
pgvigil_unlisted NaN
# EOF
"##;
        assert_eq!(written(LISTED, samples(), Format::OpenMetrics), expected);
    }

    #[test]
    fn prometheus_text_names_counters_in_full() {
        let expected = r##"# HELP pgvigil_silent_total Help.
# TYPE pgvigil_silent_total counter
# HELP pgvigil_g_bytes Help.
# TYPE pgvigil_g_bytes gauge
pgvigil_g_bytes{slot="a\"b\\c\nd # {x} 1"} 1099511627776
pgvigil_g_bytes{slot=""} -0.5
# HELP pgvigil_c_seconds_total Help.
# TYPE pgvigil_c_seconds_total counter
pgvigil_c_seconds_total 2.5
# HELP pgvigil_h_seconds Help.
# TYPE pgvigil_h_seconds histogram
pgvigil_h_seconds_sum{stage="received"} 10.0
pgvigil_h_seconds_count{stage="received"} 3
pgvigil_h_seconds_bucket{le="0.5",stage="received"} 1
pgvigil_h_seconds_bucket{le="1.0",stage="received"} 2
pgvigil_h_seconds_bucket{le="+Inf",stage="received"} 3
# HELP pgvigil_unlisted Help.
# TYPE pgvigil_unlisted gauge
pgvigil_unlisted NaN
"##;
        assert_eq!(written(LISTED, samples(), Format::PrometheusText), expected);
    }

    #[test]
    fn every_label_is_escaped_and_none_is_that_of_another_series() {
        let mut samples = Samples::default();
        let odd = "a\"b\\c\nd";
        for labels in [["c", odd, "x"], ["c", odd, odd], ["c", "n", odd], ["n", "n", odd], ["", "", ""]] {
            samples.number(&WIDE, &labels, 1.0);
        }
        let page = written(&[], samples, Format::PrometheusText);
        let lines: Vec<_> = page.lines().skip(2).collect();
        let odd = r#"a\"b\\c\nd"#;
        let expected = [["c", odd, "x"], ["c", odd, odd], ["c", "n", odd], ["n", "n", odd], ["", "", ""]].map(
            |[cluster, node, state]| {
                format!("pgvigil_wide{{cluster=\"{cluster}\",node=\"{node}\",state=\"{state}\"}} 1")
            },
        );
        assert_eq!(lines, expected);
    }
}
