//! Samples: plain data between what is known and the page. Collectors add them; one file turns them into text.

use std::fmt;

use super::family::{Family, Kind};
use super::histogram::Histogram;

/// One series with its value, where it lies in [`Samples`].
#[derive(Clone, Copy)]
pub struct Sample<'a> {
    /// The family that it belongs to.
    pub family: &'static Family,
    /// The value.
    pub value: &'a Value,
    labels: &'a [Span],
    text: &'a str,
}

impl<'a> Sample<'a> {
    /// The label values, in the order of `family.labels`.
    pub fn labels(&self) -> impl ExactSizeIterator<Item = &'a str> + use<'a> {
        let text = self.text;
        self.labels.iter().map(move |span| text.get(span.0 as usize..span.1 as usize).unwrap_or_default())
    }

    /// Whether all its labels but the last one are those of `other`, of the same family and list. `false` where that is not plain
    /// to see.
    pub fn differs_in_last(&self, other: &Self) -> bool {
        let [head, other_head] = [self.labels, other.labels].map(|spans| spans.split_last().map(|(_, head)| head));
        head == other_head
    }
}

impl fmt::Debug for Sample<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {:?}", self.family.name, self.labels().collect::<Vec<_>>(), self.value)
    }
}

/// The value of a sample.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A gauge or a counter.
    Number(f64),
    /// A histogram.
    Histogram(Box<Histogram>),
}

/// A growing list of samples. There are thousands on a page that is made anew for each scrape: they share one text, so that a sample
/// costs no allocation of its own.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    series: Vec<Series>,
    labels: Vec<Span>,
    text: String,
}

#[derive(Clone, Debug)]
struct Series {
    family: &'static Family,
    /// Where its labels begin; they end where those of the next one begin.
    labels: u32,
    value: Value,
}

/// From where to where in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span(u32, u32);

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
        let mut all = labels.to_vec();
        for state in states {
            all.truncate(labels.len());
            all.push(state);
            self.flag(family, &all, *state == current);
        }
    }

    /// Adds a histogram.
    pub fn histogram(&mut self, family: &'static Family, labels: &[&str], histogram: &Histogram) {
        debug_assert_eq!(family.kind, Kind::Histogram, "{}", family.name);
        self.push(family, labels, Value::Histogram(Box::new(histogram.clone())));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// Sample number `index`, in the order in which they were added.
    pub fn get(&self, index: usize) -> Option<Sample<'_>> {
        let series = self.series.get(index)?;
        let end = self.series.get(index + 1).map_or(self.labels.len(), |next| next.labels as usize);
        let labels = self.labels.get(series.labels as usize..end)?;
        Some(Sample { family: series.family, value: &series.value, labels, text: &self.text })
    }

    /// All of them, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = Sample<'_>> {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    fn push(&mut self, family: &'static Family, labels: &[&str], value: Value) {
        debug_assert_eq!(labels.len(), family.labels.len(), "labels of {}", family.name);
        let first = self.labels.len();
        let before = self.series.last().map_or(first, |last| last.labels as usize);
        for (place, label) in labels.iter().enumerate() {
            // Mostly that of the sample before: the same cluster, the same node, the same slot.
            let same = self.labels.get(before + place).filter(|_| before + place < first).copied();
            let same = same.filter(|span| self.text.get(span.0 as usize..span.1 as usize) == Some(*label));
            let span = same.unwrap_or_else(|| {
                let start = self.text.len() as u32;
                self.text.push_str(label);
                Span(start, self.text.len() as u32)
            });
            self.labels.push(span);
        }
        self.series.push(Series { family, labels: first as u32, value });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::family::{Observers, Unit};

    const fn family(labels: &'static [&'static str]) -> Family {
        let (kind, unit) = (Kind::Gauge, Unit::None);
        Family { name: "pgvigil_x", help: "Help.", kind, unit, labels, observers: Observers::Max }
    }

    static TWO: Family = family(&["node", "slot"]);
    static NONE: Family = family(&[]);

    #[test]
    fn each_sample_has_its_own_labels_whatever_it_shares_with_others() {
        let mut samples = Samples::default();
        let given: [&[&str]; 7] = [&["a", "s"], &["a", "t"], &["b", "t"], &[], &["", "é"], &["é", "é"], &["t", "b"]];
        for labels in given {
            samples.number(if labels.is_empty() { &NONE } else { &TWO }, labels, 1.0);
        }
        let kept: Vec<Vec<&str>> = samples.iter().map(|sample| sample.labels().collect()).collect();
        assert_eq!(kept, given);
        assert_eq!(samples.text, "astbéétb", "kept once as long as it is the same");
    }
}
