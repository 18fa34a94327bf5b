//! WAL positions and timelines. The whole house speaks [`Lsn`], never a bare number.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A WAL position: bytes since the beginning of the cluster's WAL, PostgreSQL's `pg_lsn`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl Lsn {
    /// Bytes from `earlier` to this position; 0 if `earlier` is not earlier.
    pub const fn bytes_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The position as a metric value; exact below 2^53 (8 PiB).
    pub const fn as_f64(self) -> f64 {
        self.0 as f64
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

/// Text that is not a WAL position.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a WAL position of the form X/X")]
pub struct BadLsn(pub String);

impl FromStr for Lsn {
    type Err = BadLsn;

    fn from_str(text: &str) -> Result<Self, BadLsn> {
        let half = |digits: &str| {
            let plain = (1..=8).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
            if plain { u64::from_str_radix(digits, 16).ok() } else { None }
        };
        let parsed = text.split_once('/').and_then(|(high, low)| Some((half(high)?, half(low)?)));
        match parsed {
            Some((high, low)) => Ok(Self(high << 32 | low)),
            None => Err(BadLsn(text.to_owned())),
        }
    }
}

impl Serialize for Lsn {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Lsn {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A timeline: one history of WAL. A promotion starts the next; positions of two timelines are never compared as numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timeline(pub u32);

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refuses_what_is_no_position() {
        for text in ["", "/", "0/", "/0", "0", "0/0/0", "g/0", "0/123456789", " 0/0", "+1/0"] {
            assert_eq!(text.parse::<Lsn>(), Err(BadLsn(text.to_owned())));
        }
    }

    proptest! {
        #[test]
        fn text_and_number_are_the_same_position(number: u64) {
            prop_assert_eq!(Lsn(number).to_string().parse(), Ok(Lsn(number)));
        }
    }
}
