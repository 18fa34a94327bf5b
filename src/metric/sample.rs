//! Samples: plain data between what is known and the page. Collectors add them; one file turns them into text.

use std::borrow::Cow;

use super::family::{Family, Kind};
use super::histogram::Histogram;

/// One series with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The family that it belongs to.
    pub family: &'static Family,
    /// The label values, in the order of `family.labels`.
    pub labels: Vec<Cow<'static, str>>,
    /// The value.
    pub value: Value,
}

/// The value of a sample.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A gauge or a counter.
    Number(f64),
    /// A histogram.
    Histogram(Histogram),
}

/// A growing list of samples.
#[derive(Debug, Default)]
pub struct Samples(Vec<Sample>);

impl Samples {
    /// Adds a gauge or a counter.
    pub fn number(&mut self, family: &'static Family, labels: &[&str], value: f64) {
        debug_assert_ne!(family.kind, Kind::Histogram, "{}", family.name);
        self.push(family, labels, Value::Number(value));
    }

    /// Adds a gauge or a counter if its value is known: unknown is absent, never 0.
    pub fn known(&mut self, family: &'static Family, labels: &[&str], value: Option<f64>) {
        if let Some(value) = value {
            self.number(family, labels, value);
        }
    }

    /// Adds 1 or 0.
    pub fn flag(&mut self, family: &'static Family, labels: &[&str], value: bool) {
        self.number(family, labels, f64::from(u8::from(value)));
    }

    /// Adds one series for each of `states`, the last label naming it: 1 for `current`, 0 for all others.
    pub fn states(&mut self, family: &'static Family, labels: &[&str], states: &[&'static str], current: &str) {
        debug_assert!(states.contains(&current), "{} has no state {current}", family.name);
        for state in states {
            let mut all = labels.to_vec();
            all.push(state);
            self.flag(family, &all, *state == current);
        }
    }

    /// Adds a histogram.
    pub fn histogram(&mut self, family: &'static Family, labels: &[&str], histogram: &Histogram) {
        debug_assert_eq!(family.kind, Kind::Histogram, "{}", family.name);
        self.push(family, labels, Value::Histogram(histogram.clone()));
    }

    /// The samples so far, in the order in which they were added.
    pub fn into_vec(self) -> Vec<Sample> {
        self.0
    }

    fn push(&mut self, family: &'static Family, labels: &[&str], value: Value) {
        debug_assert_eq!(labels.len(), family.labels.len(), "labels of {}", family.name);
        let labels = labels.iter().map(|label| Cow::Owned((*label).to_owned())).collect();
        self.0.push(Sample { family, labels, value });
    }
}
