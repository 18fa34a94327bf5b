//! What Alertmanager's webhook hands in: payload version 4, read strictly where we rely on it and not at all elsewhere, so that new
//! fields harm nobody. Nothing of it is believed but which alert it is.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use ring::digest::{Context, SHA256};
use serde::de::{Error as _, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Number, Value};

/// The only version that there is, since Alertmanager 0.6.
const VERSION: &str = "4";
/// Alerts in one request. A body of 1 MiB holds hardly more.
pub const MOST_ALERTS: usize = 1024;
/// Labels of one alert.
pub const MOST_LABELS: usize = 128;
/// Bytes of all names and values of one alert's labels together, so that a record of the journal stays small.
pub const MOST_LABEL_BYTES: usize = 8 << 10;
/// Characters of the receiver's name.
pub const MOST_RECEIVER: usize = 256;
/// Characters of a fingerprint; Alertmanager's has 16.
const MOST_FINGERPRINT: usize = 64;
/// Alertmanager writes this for an end that has not come.
const ZERO: &str = "0001-01-01T00:00:00Z";

/// Why a request is no payload of Alertmanager's. Each is a sentence: where, what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// No JSON object.
    #[error("the body is no JSON object ({0}): send what Alertmanager's webhook_config sends")]
    Json(String),
    /// Another version, or a payload of somebody's own.
    #[error(
        "version is {0}, not \"4\": remove `payload` from the webhook_config, or send what Alertmanager itself sends"
    )]
    Version(String),
    /// A field that is not as it should be, or not there.
    #[error("{path}: {what}; send what Alertmanager's webhook_config sends")]
    Field {
        /// Where, such as `alerts[3].startsAt`.
        path: String,
        /// What is wrong.
        what: String,
    },
    /// More than we take.
    #[error("{path} has {found} {unit}, and {most} is the most: {advice}")]
    TooMuch {
        /// Where.
        path: String,
        /// How many there are.
        found: usize,
        /// How many there may be.
        most: usize,
        /// Of what.
        unit: &'static str,
        /// What to do.
        advice: &'static str,
    },
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// The receiver, as Alertmanager's config names it, with what a regular expression takes for special escaped.
    pub receiver: String,
    /// The group's identity.
    pub group_key: String,
    /// So many alerts of the group were left out: what is here is not all.
    pub truncated: u64,
    /// All alerts of the group, old and new.
    pub alerts: Vec<Alert>,
}

/// One alert of a request. The status of the whole request says nothing, because it is made of what was not left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Whether it still fires.
    pub status: Status,
    /// All its labels.
    pub labels: BTreeMap<String, String>,
    /// Since when it fires.
    pub starts_at: Timestamp,
    /// When it ended. `None`: not yet.
    pub ends_at: Option<Timestamp>,
    /// Its identity: a digest of its labels.
    pub fingerprint: String,
}

impl Alert {
    /// What the label says, if it says something.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// Whether an alert still fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It does.
    Firing,
    /// It does no more, or nobody said so for long enough.
    Resolved,
}

impl Status {
    /// As Alertmanager writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }
}

/// The identity of what happened to an alert: the same however often, and by however many Alertmanagers, it is told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventKey([u8; 32]);

impl EventKey {
    /// The key of one alert of `payload`: its receiver, group, fingerprint, start and status.
    pub fn of(payload: &Payload, alert: &Alert) -> Self {
        let starts_at = alert.starts_at.as_nanosecond().to_string();
        let parts = [&*payload.receiver, &*payload.group_key, &*alert.fingerprint, &*starts_at, alert.status.as_str()];
        let mut digest = Context::new(&SHA256);
        for part in parts {
            // With its length no part can pass for another's end.
            digest.update(&(part.len() as u64).to_le_bytes());
            digest.update(part.as_bytes());
        }
        let mut key = [0; 32];
        key.copy_from_slice(digest.finish().as_ref());
        Self(key)
    }
}

impl fmt::Display for EventKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for EventKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for EventKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EventKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        bytes_of_hex(&text).map(Self).ok_or_else(|| D::Error::custom("an event key has 64 hexadecimal digits"))
    }
}

/// The bytes that 64 lower-case hexadecimal digits write.
pub fn bytes_of_hex(text: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; 32];
    if text.len() != 2 * bytes.len() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let &[high, low] = pair else { return None };
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(bytes)
}

/// Looked at first: where the version is another, nothing else means anything.
#[derive(Deserialize)]
struct Versioned {
    #[serde(default)]
    version: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawPayload {
    receiver: String,
    group_key: String,
    #[serde(default, deserialize_with = "whole")]
    truncated_alerts: u64,
    alerts: Vec<RawAlert>,
}

/// A whole number: to JSON, 3.0 is one as much as 3.
fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let number = Number::deserialize(deserializer)?;
    let text = number.to_string();
    let digits = text.strip_suffix(".0").unwrap_or(&text);
    digits.parse().map_err(|_| D::Error::custom(format!("{text} is no count")))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawAlert {
    status: String,
    labels: BTreeMap<String, String>,
    starts_at: String,
    #[serde(default)]
    ends_at: Option<String>,
    fingerprint: String,
}

impl Payload {
    /// Reads the body of a request.
    pub fn parse(body: &[u8]) -> Result<Self, PayloadError> {
        // A list would do for a struct.
        let is_object = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
        let no_json = |why: String| PayloadError::Json(why);
        serde_json::from_slice::<IgnoredAny>(body).map_err(|error| no_json(error.to_string()))?;
        if !is_object {
            return Err(no_json("it is something else".to_owned()));
        }
        let Versioned { version } = field(body)?;
        match version {
            Some(Value::String(version)) if version == VERSION => {}
            Some(other) => return Err(PayloadError::Version(shown(&other.to_string()))),
            None => return Err(PayloadError::Version("missing".to_owned())),
        }
        let raw: RawPayload = field(body)?;
        at_most(
            "receiver",
            "characters",
            raw.receiver.chars().count(),
            MOST_RECEIVER,
            "give the receiver a shorter name",
        )?;
        at_most("alerts", "elements", raw.alerts.len(), MOST_ALERTS, "set max_alerts in the webhook_config")?;
        let alerts = raw.alerts.into_iter().enumerate().map(|(index, raw)| alert(index, raw));
        Ok(Self {
            alerts: alerts.collect::<Result<_, _>>()?,
            receiver: raw.receiver,
            group_key: raw.group_key,
            truncated: raw.truncated_alerts,
        })
    }
}

fn field<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<T, PayloadError> {
    let mut json = serde_json::Deserializer::from_slice(body);
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = match error.path().to_string() {
            root if root == "." => "the body".to_owned(),
            path => shown(&path),
        };
        PayloadError::Field { path, what: shown(&error.into_inner().to_string()) }
    })
}

fn alert(index: usize, raw: RawAlert) -> Result<Alert, PayloadError> {
    let path = |field: &str| format!("alerts[{index}].{field}");
    let status = match raw.status.as_str() {
        "firing" => Status::Firing,
        "resolved" => Status::Resolved,
        other => {
            let what = format!("{} is neither firing nor resolved", shown(&format!("{other:?}")));
            return Err(PayloadError::Field { path: path("status"), what });
        }
    };
    let advice = "drop some by alert_relabel_configs in Prometheus";
    at_most(&path("labels"), "labels", raw.labels.len(), MOST_LABELS, advice)?;
    let bytes = raw.labels.iter().map(|(name, value)| name.len() + value.len()).sum();
    at_most(&path("labels"), "bytes", bytes, MOST_LABEL_BYTES, advice)?;
    let long = raw.fingerprint.chars().count();
    if !(1..=MOST_FINGERPRINT).contains(&long) {
        let what = format!("it has {long} characters, and 1 to {MOST_FINGERPRINT} are good");
        return Err(PayloadError::Field { path: path("fingerprint"), what });
    }
    let starts_at = time(&raw.starts_at, || path("startsAt"))?.ok_or_else(|| {
        let what = format!("{ZERO} is no time at which an alert began");
        PayloadError::Field { path: path("startsAt"), what }
    })?;
    let ends_at = raw.ends_at.map_or(Ok(None), |text| time(&text, || path("endsAt")))?;
    Ok(Alert { status, labels: raw.labels, starts_at, ends_at, fingerprint: raw.fingerprint })
}

/// A time as RFC 3339 writes it; `None` for the zero time.
fn time(text: &str, path: impl Fn() -> String) -> Result<Option<Timestamp>, PayloadError> {
    if text == ZERO {
        return Ok(None);
    }
    let time: Result<Timestamp, _> = text.parse();
    time.map(Some).map_err(|_| {
        let what = format!("{} is no time such as 2026-11-23T00:26:20.678Z", shown(&format!("{text:?}")));
        PayloadError::Field { path: path(), what }
    })
}

fn at_most(
    path: &str,
    unit: &'static str,
    found: usize,
    most: usize,
    advice: &'static str,
) -> Result<(), PayloadError> {
    if found <= most {
        return Ok(());
    }
    Err(PayloadError::TooMuch { path: path.to_owned(), found, most, unit, advice })
}

/// What others wrote, bounded, for a sentence.
fn shown(text: &str) -> String {
    let mut shown: String = text.chars().filter(|c| !c.is_control()).take(120).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests;
