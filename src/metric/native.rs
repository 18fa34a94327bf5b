//! Native histograms as plain data: buckets that no one has to choose, each an eighth of a power of two wide or, of values that
//! differ by more than so many of them, a quarter, a half and so on. <https://prometheus.io/docs/specs/native_histograms/>

/// Values up to this are counted as zero; client_golang's default.
pub const ZERO_THRESHOLD: f64 = 2.938_735_877_055_719e-39;

/// With more buckets than these the resolution is halved.
const MOST: usize = 160;
/// Eight buckets between two powers of two: each is 9 % wide.
const FINEST: i32 = 3;

/// The buckets with a value in them. Nothing that is measured here is below zero.
#[derive(Clone, Debug, PartialEq)]
pub struct Native {
    schema: i32,
    zero: u64,
    /// By index, rising: bucket `i` is from 2^((i - 1) / 2^schema) up to and with 2^(i / 2^schema).
    buckets: Vec<(i32, u64)>,
}

impl Default for Native {
    fn default() -> Self {
        Self { schema: FINEST, zero: 0, buckets: Vec::new() }
    }
}

impl Native {
    /// Counts `value`.
    pub fn observe(&mut self, value: f64) {
        if value.is_nan() || value <= ZERO_THRESHOLD {
            self.zero += 1;
            return;
        }
        let index = (value.min(f64::MAX).log2() * f64::from(self.schema).exp2()).ceil() as i32;
        match self.buckets.binary_search_by_key(&index, |(index, _)| *index) {
            Ok(place) => {
                if let Some((_, count)) = self.buckets.get_mut(place) {
                    *count += 1;
                }
            }
            Err(place) => self.buckets.insert(place, (index, 1)),
        }
        while self.buckets.len() > MOST {
            self.halve();
        }
    }

    /// Between two powers of two there are 2^schema buckets.
    pub const fn schema(&self) -> i32 {
        self.schema
    }

    /// How many values were zero.
    pub const fn zero(&self) -> u64 {
        self.zero
    }

    /// The index and the number of values of each bucket that has one, by index.
    pub fn buckets(&self) -> &[(i32, u64)] {
        &self.buckets
    }

    /// Makes one bucket of each two.
    fn halve(&mut self) {
        self.schema -= 1;
        let mut merged: Vec<(i32, u64)> = Vec::with_capacity(self.buckets.len());
        for (index, count) in self.buckets.drain(..) {
            let index = (index + 1) >> 1;
            match merged.last_mut() {
                Some((last, sum)) if *last == index => *sum += count,
                _ => merged.push((index, count)),
            }
        }
        self.buckets = merged;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[f64]) -> Native {
        let mut native = Native::default();
        values.iter().for_each(|value| native.observe(*value));
        native
    }

    #[test]
    fn a_power_of_two_is_the_upper_bound_of_its_bucket() {
        for power in -60..60 {
            let native = of(&[f64::from(power).exp2(), f64::from(power).exp2() * 1.000_001]);
            assert_eq!(native.buckets(), [(power * 8, 1), (power * 8 + 1, 1)]);
        }
    }

    #[test]
    fn zero_and_less_are_zero() {
        let native = of(&[0.0, -0.0, -1.0, f64::NAN, 1e-40, f64::INFINITY]);
        assert_eq!((native.zero(), native.buckets()), (5, &[(8192, 1)][..]));
    }

    #[test]
    fn with_too_many_buckets_two_become_one() {
        // In the middle of each bucket: a bound that is no power of two is no float.
        let values: Vec<f64> = (0..=160).map(|index| ((f64::from(index) - 0.5) / 8.0).exp2()).collect();
        let (most, more) = (of(&values[..160]), of(&values));
        assert_eq!((most.schema(), most.buckets().len()), (3, 160));
        assert_eq!((more.schema(), more.buckets().len()), (2, 81));
        assert_eq!(more.buckets()[..2], [(0, 1), (1, 2)]);
        assert_eq!(more.buckets().last(), Some(&(80, 2)));
    }

    proptest! {
        #[test]
        fn every_value_is_in_its_bucket_and_the_buckets_are_bounded(
            values in prop::collection::vec((-120.0..120.0_f64).prop_map(f64::exp2), 0..400)
        ) {
            let native = of(&values);
            prop_assert!(native.buckets().len() <= MOST);
            prop_assert!(native.buckets().is_sorted_by(|a, b| a.0 < b.0));
            let width = f64::from(native.schema()).exp2();
            for (index, count) in native.buckets() {
                let [low, high] = [index - 1, *index].map(|bound| (f64::from(bound) / width).exp2());
                // What lies on a bound may be counted on either side of it: bounds are no round numbers.
                let within = |slack: f64| values.iter().filter(|value| **value > low * (1.0 + slack) && **value <= high * (1.0 - slack)).count() as u64;
                prop_assert!(within(1e-12) <= *count && *count <= within(-1e-12), "{index}");
            }
            let sum: u64 = native.buckets().iter().map(|(_, count)| count).sum();
            prop_assert_eq!(sum, values.len() as u64);
        }
    }
}
