//! What a metric family is: plain constant data. `catalog` lists every one there is.

/// A metric family as it stands on the wire.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    /// The full name on the wire, unit and `_total` included.
    pub name: &'static str,
    /// Meaning, unit and source, in one line.
    pub help: &'static str,
    /// The type.
    pub kind: Kind,
    /// The base unit; the name ends with it.
    pub unit: Unit,
    /// The label names, in order. Never a pid, a port, an LSN or a state in an identity.
    pub labels: &'static [&'static str],
    /// How rules make one value of the same series seen by several observers.
    pub observers: Observers,
}

/// The types of metric that pgvigil exposes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only goes up; its name ends in `_total`.
    Counter,
    /// Cumulative buckets, a sum and a count.
    Histogram,
}

/// Base units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A count or a state.
    None,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
}

impl Family {
    /// How the series with these label values becomes one. A series that stands for not seeing, such as the state `unknown`, is true
    /// only if nobody sees: it goes by the smallest value where the others go by the largest.
    pub fn across<'a>(&self, mut values: impl Iterator<Item = (&'a str, &'a str)>) -> Observers {
        let is_blindness = |(label, value)| match label {
            "state" => ["unknown", "timeout", "unreachable"].contains(&value),
            "upstream" => value == "unknown",
            "known" => value == "no",
            _ => false,
        };
        match self.observers {
            Observers::Max if values.any(is_blindness) => Observers::Min,
            all => all,
        }
    }
}

/// How the values of several observers of one cluster become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observers {
    /// The largest value is the truth: one observer that sees it is enough.
    Max,
    /// The smallest value is the truth: every observer must agree.
    Min,
    /// The series is about the observer itself, and stays apart.
    Own,
}
