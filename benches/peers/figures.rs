//! Numbers: percentiles of a round, the spread over rounds, and ratios.

use std::fmt;
use std::time::Duration;

/// Milliseconds.
pub fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// The value that `share` of all are not above; NaN of none.
pub fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// Median, least and greatest of several measurements.
#[derive(Clone, Copy)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub greatest: f64,
    pub count: usize,
}

impl Spread {
    pub fn of(values: &[f64]) -> Self {
        let edge = |pick: fn(f64, f64) -> f64| values.iter().copied().reduce(pick).unwrap_or(f64::NAN);
        Self { median: percentile(values, 0.5), least: edge(f64::min), greatest: edge(f64::max), count: values.len() }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            0 => write!(f, "none"),
            1 => write!(f, "{}", short(self.median)),
            _ => write!(f, "{} ({}–{})", short(self.median), short(self.least), short(self.greatest)),
        }
    }
}

/// Three digits that count.
pub fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size < 0.1 => format!("{value:.3}"),
        size if size < 10.0 => format!("{value:.2}"),
        size if size < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// Ours against theirs: "1/40" or "2.5".
pub fn ratio(ours: f64, theirs: f64) -> String {
    match theirs / ours {
        parts if !parts.is_finite() => "–".to_owned(),
        parts if parts >= 1.0 => format!("1/{}", short(parts)),
        parts => short(1.0 / parts),
    }
}
