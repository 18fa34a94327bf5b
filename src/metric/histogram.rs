//! Histograms as plain data: the only series about servers that outlive a reading.

use super::native::Native;

/// Upper bounds of the buckets of lag and duration histograms, in seconds.
pub const SECONDS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0,
    3600.0,
];

const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * KIB;
const GIB: f64 = 1024.0 * MIB;

/// Upper bounds of the buckets of lag histograms, in bytes; tied to WAL segments of 16 MiB.
pub const BYTES: &[f64] = &[
    8.0 * KIB,
    64.0 * KIB,
    512.0 * KIB,
    MIB,
    4.0 * MIB,
    16.0 * MIB,
    64.0 * MIB,
    256.0 * MIB,
    GIB,
    4.0 * GIB,
    16.0 * GIB,
    64.0 * GIB,
    256.0 * GIB,
];

/// A histogram with fixed bounds, and with those of its own: which of the two a page shows is decided when it is made, and a switch
/// between them loses no count.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    bounds: &'static [f64],
    counts: Vec<u64>,
    sum: f64,
    native: Native,
}

impl Histogram {
    /// An empty histogram; the bucket up to infinity is implied.
    pub fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len() + 1], sum: 0.0, native: Native::default() }
    }

    /// Counts `value`.
    pub fn observe(&mut self, value: f64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.sum += value;
        self.native.observe(value);
    }

    /// The sum of all values.
    pub const fn sum(&self) -> f64 {
        self.sum
    }

    /// The number of values.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The same values in the buckets of a native histogram.
    pub const fn native(&self) -> &Native {
        &self.native
    }

    /// Each upper bound (infinity last) with the number of values in its bucket alone.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        self.bounds.iter().copied().chain([f64::INFINITY]).zip(self.counts.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_on_a_bound_falls_into_its_bucket() {
        let mut histogram = Histogram::new(&[1.0, 2.0]);
        for value in [0.0, 1.0, 1.5, 2.0, 9.0] {
            histogram.observe(value);
        }
        let counts: Vec<_> = histogram.buckets().map(|(_, count)| count).collect();
        assert_eq!(counts, [2, 2, 1]);
        assert_eq!((histogram.count(), histogram.sum()), (5, 13.5));
    }
}
