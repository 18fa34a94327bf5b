//! The page as delimited protobuf messages, which alone can carry native histograms: each histogram has its classic and its native
//! buckets. The messages are those of `io.prometheus.client` as far as they are used here,
//! <https://github.com/prometheus/client_model/blob/master/io/prometheus/client/metrics.proto>.

use prost::Message;

use super::Page;
use crate::metric::family::{Family, Kind, Unit};
use crate::metric::histogram::Histogram;
use crate::metric::native::{Native, ZERO_THRESHOLD};
use crate::metric::sample::{Sample, Value};

#[derive(Clone, PartialEq, Message)]
struct MetricFamily {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    help: String,
    #[prost(enumeration = "MetricType", tag = "3")]
    kind: i32,
    #[prost(message, repeated, tag = "4")]
    metric: Vec<Metric>,
    #[prost(string, tag = "5")]
    unit: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
enum MetricType {
    Counter = 0,
    Gauge = 1,
    Histogram = 4,
}

#[derive(Clone, PartialEq, Message)]
struct Metric {
    #[prost(message, repeated, tag = "1")]
    label: Vec<LabelPair>,
    #[prost(message, optional, tag = "2")]
    gauge: Option<Number>,
    #[prost(message, optional, tag = "3")]
    counter: Option<Number>,
    #[prost(message, optional, tag = "7")]
    histogram: Option<Buckets>,
}

#[derive(Clone, PartialEq, Message)]
struct LabelPair {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

/// `Gauge` and `Counter`, which are the same here.
#[derive(Clone, Copy, PartialEq, Message)]
struct Number {
    #[prost(double, tag = "1")]
    value: f64,
}

/// `Histogram`.
#[derive(Clone, PartialEq, Message)]
struct Buckets {
    #[prost(uint64, tag = "1")]
    sample_count: u64,
    #[prost(double, tag = "2")]
    sample_sum: f64,
    #[prost(message, repeated, tag = "3")]
    bucket: Vec<Bucket>,
    #[prost(sint32, tag = "5")]
    schema: i32,
    #[prost(double, tag = "6")]
    zero_threshold: f64,
    #[prost(uint64, tag = "7")]
    zero_count: u64,
    #[prost(message, repeated, tag = "12")]
    positive_span: Vec<BucketSpan>,
    #[prost(sint64, repeated, tag = "13")]
    positive_delta: Vec<i64>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Bucket {
    #[prost(uint64, tag = "1")]
    cumulative_count: u64,
    #[prost(double, tag = "2")]
    upper_bound: f64,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
struct BucketSpan {
    #[prost(sint32, tag = "1")]
    offset: i32,
    #[prost(uint32, tag = "2")]
    length: u32,
}

/// All families that have a sample: a message without one says nothing, and clients do not expect it.
pub(super) fn encode(page: &Page) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (family, metrics) in metrics(page) {
        add_family(&mut bytes, family, &[&metrics]);
    }
    bytes
}

/// The samples of each family that has any, as fields of its message.
pub(super) fn metrics(page: &Page) -> impl Iterator<Item = (&'static Family, Vec<u8>)> {
    page.groups.iter().filter(|(_, indices)| !indices.is_empty()).map(|(family, indices)| {
        let metric = indices.iter().filter_map(|index| page.samples.get(*index)).map(metric).collect();
        // What is not set is not written.
        (*family, MetricFamily { metric, ..MetricFamily::default() }.encode_to_vec())
    })
}

/// Adds the message of a family, with all samples of `parts`.
pub(super) fn add_family(bytes: &mut Vec<u8>, family: &Family, parts: &[&[u8]]) {
    let head = head(family).encode_to_vec();
    let length = head.len() + parts.iter().map(|part| part.len()).sum::<usize>();
    prost::encoding::encode_varint(length as u64, bytes);
    bytes.extend(head);
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
}

fn head(family: &Family) -> MetricFamily {
    let kind = match family.kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
        Kind::Histogram => MetricType::Histogram,
    };
    let unit = match family.unit {
        Unit::None => "",
        Unit::Seconds => "seconds",
        Unit::Bytes => "bytes",
    };
    MetricFamily {
        name: family.name.to_owned(),
        help: family.help.to_owned(),
        kind: kind.into(),
        metric: Vec::new(),
        unit: unit.to_owned(),
    }
}

fn metric(sample: Sample<'_>) -> Metric {
    let pair = |(name, value): (&&str, &str)| LabelPair { name: (*name).to_owned(), value: value.to_owned() };
    let mut metric =
        Metric { label: sample.family.labels.iter().zip(sample.labels()).map(pair).collect(), ..Metric::default() };
    match (sample.value, sample.family.kind) {
        (Value::Histogram(histogram), _) => metric.histogram = Some(buckets(histogram)),
        (Value::Number(value), Kind::Counter) => metric.counter = Some(Number { value: *value }),
        (Value::Number(value), _) => metric.gauge = Some(Number { value: *value }),
    }
    metric
}

fn buckets(histogram: &Histogram) -> Buckets {
    let mut cumulative_count = 0;
    let bucket = |(upper_bound, count)| {
        cumulative_count += count;
        Bucket { cumulative_count, upper_bound }
    };
    let native = histogram.native();
    let (positive_span, positive_delta) = spans(native);
    Buckets {
        sample_count: histogram.count(),
        sample_sum: histogram.sum(),
        bucket: histogram.buckets().map(bucket).collect(),
        schema: native.schema(),
        zero_threshold: ZERO_THRESHOLD,
        zero_count: native.zero(),
        positive_span,
        positive_delta,
    }
}

/// Runs of buckets that follow one another, each by its distance from the one before, and what each bucket has more than the one
/// before it.
fn spans(native: &Native) -> (Vec<BucketSpan>, Vec<i64>) {
    let (mut spans, mut deltas) = (Vec::<BucketSpan>::new(), Vec::new());
    let (mut next, mut before) = (0, 0);
    for (index, count) in native.buckets() {
        match spans.last_mut() {
            Some(span) if *index == next => span.length += 1,
            _ => spans.push(BucketSpan { offset: index - next, length: 1 }),
        }
        let count = i64::try_from(*count).unwrap_or(i64::MAX);
        deltas.push(count - before);
        (next, before) = (index + 1, count);
    }
    (spans, deltas)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{LISTED, samples};
    use super::*;

    #[test]
    fn each_family_with_samples_is_a_message_with_both_kinds_of_buckets() {
        let bytes = encode(&Page::new(LISTED, samples(), super::super::Format::Protobuf));
        let mut rest = &bytes[..];
        let mut families = Vec::new();
        while !rest.is_empty() {
            families.push(MetricFamily::decode_length_delimited(&mut rest).unwrap());
        }
        let named: Vec<_> =
            families.iter().map(|family| (family.name.as_str(), family.kind(), &*family.unit)).collect();
        let expected = [
            ("pgvigil_g_bytes", MetricType::Gauge, "bytes"),
            ("pgvigil_c_seconds_total", MetricType::Counter, "seconds"),
            ("pgvigil_h_seconds", MetricType::Histogram, "seconds"),
            ("pgvigil_unlisted", MetricType::Gauge, ""),
        ];
        assert_eq!(named, expected);
        assert_eq!(families[0].metric[0].label[0].value, "a\"b\\c\nd # {x} 1", "nothing is escaped");
        assert_eq!(families[0].metric[1].gauge.unwrap().value, -0.5);
        assert_eq!(families[1].metric[0].counter.unwrap().value, 2.5);
        assert!(families[3].metric[0].gauge.unwrap().value.is_nan());
        let histogram = families[2].metric[0].histogram.as_ref().unwrap();
        assert_eq!((histogram.sample_count, histogram.sample_sum), (3, 10.0));
        let classic: Vec<_> = histogram.bucket.iter().map(|one| (one.upper_bound, one.cumulative_count)).collect();
        assert_eq!(classic, [(0.5, 1), (1.0, 2), (f64::INFINITY, 3)]);
        assert_eq!((histogram.schema, histogram.zero_count), (3, 0));
        // 0.25 is 2^-2, 0.75 is below 2^(-3/8), 9 below 2^(26/8).
        let spans: Vec<_> = histogram.positive_span.iter().map(|span| (span.offset, span.length)).collect();
        assert_eq!((spans, &histogram.positive_delta[..]), (vec![(-16, 1), (12, 1), (28, 1)], &[1, 0, 0][..]));
    }

    #[test]
    fn buckets_that_follow_one_another_are_one_span() {
        let mut histogram = Histogram::new(&[]);
        for value in [0.0, 1.0, 1.0, 1.05, 2.0] {
            histogram.observe(value);
        }
        let buckets = buckets(&histogram);
        let spans: Vec<_> = buckets.positive_span.iter().map(|span| (span.offset, span.length)).collect();
        assert_eq!(
            (buckets.zero_count, spans, &buckets.positive_delta[..]),
            (1, vec![(0, 2), (6, 1)], &[2, -1, 0][..])
        );
    }
}
