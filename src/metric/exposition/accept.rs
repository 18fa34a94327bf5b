//! Which format a client wants.

use super::Format;
use crate::config::NativeHistograms;

/// The format that the header `Accept` prefers of those there are. Without a preference, Prometheus text: every client reads it.
/// Protobuf is there only for `auto`.
pub fn negotiate(accept: Option<&str>, native: NativeHistograms) -> Format {
    let mut best = (0.0, Format::PrometheusText);
    for range in accept.unwrap_or_default().split(',') {
        if let Some((quality, format)) = offer(range)
            && quality > best.0
            && (format != Format::Protobuf || native == NativeHistograms::Auto)
        {
            best = (quality, format);
        }
    }
    best.1
}

/// What one media range stands for among the formats there are, with its quality.
fn offer(range: &str) -> Option<(f32, Format)> {
    let mut parts = range.split(';').map(str::trim);
    let media = parts.next()?;
    let mut quality = 1.0;
    let (mut version, mut proto, mut encoding) = (None, None, None);
    for (name, value) in parts.filter_map(|part| part.split_once('=')) {
        let value = value.trim().trim_matches('"');
        match name.trim() {
            name if name.eq_ignore_ascii_case("q") => quality = value.parse().ok()?,
            name if name.eq_ignore_ascii_case("version") => version = Some(value),
            name if name.eq_ignore_ascii_case("proto") => proto = Some(value),
            name if name.eq_ignore_ascii_case("encoding") => encoding = Some(value),
            _ => {}
        }
    }
    let is = |name: &str| media.eq_ignore_ascii_case(name);
    let format = if is("application/openmetrics-text") && matches!(version, None | Some("0.0.1" | "1.0.0")) {
        Format::OpenMetrics
    } else if is("application/vnd.google.protobuf")
        && proto == Some("io.prometheus.client.MetricFamily")
        && encoding == Some("delimited")
    {
        Format::Protobuf
    } else if (is("text/plain") && matches!(version, None | Some("0.0.4"))) || is("text/*") || is("*/*") {
        Format::PrometheusText
    } else {
        return None;
    };
    Some((quality, format))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prometheus_gets_open_metrics() {
        let two = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                   text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let three = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                     application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
                     text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,\
                        application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                        application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;q=0.3,\
                        text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        for header in [two, three, protobuf] {
            assert_eq!(negotiate(Some(header), NativeHistograms::Off), Format::OpenMetrics, "{header}");
        }
    }

    #[test]
    fn everyone_else_gets_prometheus_text() {
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
        let text_only = "text/plain;version=0.0.4;q=1,*/*;q=0.1";
        for header in
            [None, Some(""), Some("*/*"), Some(browser), Some(text_only), Some("application/json"), Some(";;,q=")]
        {
            assert_eq!(negotiate(header, NativeHistograms::Off), Format::PrometheusText, "{header:?}");
        }
    }

    #[test]
    fn quality_decides_and_the_first_of_equals_wins() {
        for (header, format) in [
            ("text/plain;q=0.5, application/openmetrics-text;q=0.6", Format::OpenMetrics),
            ("application/openmetrics-text; q=0.5 , text/plain; q=0.6", Format::PrometheusText),
            ("application/openmetrics-text, text/plain", Format::OpenMetrics),
            ("text/plain, application/openmetrics-text", Format::PrometheusText),
            ("application/openmetrics-text;q=0, */*;q=0.1", Format::PrometheusText),
            ("application/openmetrics-text;version=2.0.0", Format::PrometheusText),
            ("APPLICATION/OpenMetrics-Text;Version=\"1.0.0\"", Format::OpenMetrics),
            ("application/openmetrics-text;q=much", Format::PrometheusText),
        ] {
            assert_eq!(negotiate(Some(header), NativeHistograms::Off), format, "{header}");
        }
    }

    #[test]
    fn protobuf_is_for_who_asks_for_it_first_where_it_is_there() {
        const DELIMITED: &str =
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
        // Prometheus 2.42 and 3 with native histograms, and 3 as it is with start timestamps alone preferred less.
        let two = format!(
            "{DELIMITED},application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
        );
        let three = format!(
            "{DELIMITED};q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,*/*;q=0.1"
        );
        let last = format!("application/openmetrics-text;version=1.0.0,{DELIMITED};q=0.5");
        for (header, format) in [
            (two.as_str(), Format::Protobuf),
            (&three, Format::Protobuf),
            (&last, Format::OpenMetrics),
            ("application/vnd.google.protobuf", Format::PrometheusText),
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text",
                Format::PrometheusText,
            ),
            ("application/vnd.google.protobuf;proto=other;encoding=delimited", Format::PrometheusText),
            ("*/*", Format::PrometheusText),
        ] {
            assert_eq!(negotiate(Some(header), NativeHistograms::Auto), format, "{header}");
            assert_ne!(negotiate(Some(header), NativeHistograms::Off), Format::Protobuf, "{header}");
        }
    }
}
