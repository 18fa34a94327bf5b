//! About Alertmanager's webhook and the journal behind it.

use super::family::{Family, Kind, Observers, Unit};
use super::histogram::{Histogram, SECONDS};
use super::sample::Samples;
use crate::runbook::record::Reason;
use crate::runbook::seen::Outcome;

const fn own(
    name: &'static str,
    kind: Kind,
    unit: Unit,
    labels: &'static [&'static str],
    help: &'static str,
) -> Family {
    Family { name, help, kind, unit, labels, observers: Observers::Own }
}

/// Of `POST /alertmanager`.
pub(super) static REQUESTS: Family = own(
    "pgvigil_webhook_requests_total",
    Kind::Counter,
    Unit::None,
    &["code"],
    "Requests to POST /alertmanager by class of HTTP status: 2xx taken in; 4xx refused, and refused again when it comes again; 5xx the \
     journal cannot be written.",
);
/// Of each alert in them.
pub(super) static ALERTS: Family = own(
    "pgvigil_webhook_alerts_total",
    Kind::Counter,
    Unit::None,
    &["outcome"],
    "Alerts handed in by Alertmanager and recorded, by what they are to us: new; duplicate: told before; no_cluster, unknown_cluster, \
     no_alertname: recorded and ignored.",
);
/// From the request's head to its answer.
pub(super) static DURATION: Family = own(
    "pgvigil_webhook_duration_seconds",
    Kind::Histogram,
    Unit::Seconds,
    &[],
    "Time from the head of a request to POST /alertmanager to its answer, the journal's fsync included.",
);
/// Whether an alert would be taken now.
pub(super) static WRITABLE: Family = own(
    "pgvigil_journal_writable",
    Kind::Gauge,
    Unit::None,
    &[],
    "1 if the journal was last opened and written, 0 if that failed and alerts are refused with 503; absent while nobody needs it.",
);
/// Its size.
pub(super) static BYTES: Family = own(
    "pgvigil_journal_bytes",
    Kind::Gauge,
    Unit::Bytes,
    &[],
    "Size of the journal's files; absent while it is not open.",
);
/// What failed.
pub(super) static ERRORS: Family = own(
    "pgvigil_journal_errors_total",
    Kind::Counter,
    Unit::None,
    &[],
    "Attempts to open or write the journal that failed; the log says why.",
);

/// The classes of statuses; there is no redirection.
const CODES: [(&str, u16); 3] = [("2xx", 2), ("4xx", 4), ("5xx", 5)];

/// What was counted since the start.
#[derive(Clone, Debug)]
pub struct Webhook {
    codes: [u64; CODES.len()],
    outcomes: [u64; KINDS_OF_OUTCOME],
    duration: Histogram,
    /// Whether the journal can be written, as far as that was tried.
    pub writable: Option<bool>,
    /// The journal's size, while it is open.
    pub bytes: Option<u64>,
    /// What failed.
    pub errors: u64,
}

impl Default for Webhook {
    fn default() -> Self {
        Self {
            codes: Default::default(),
            outcomes: Default::default(),
            duration: Histogram::new(SECONDS),
            writable: None,
            bytes: None,
            errors: 0,
        }
    }
}

/// A plain number: with optimisation the compiler cannot count [`OUTCOMES`], whose names are made by a function, inside of a type.
const KINDS_OF_OUTCOME: usize = 5;

const OUTCOMES: [(&str, Outcome); KINDS_OF_OUTCOME] = [
    ("new", Outcome::New),
    ("duplicate", Outcome::Duplicate),
    (Reason::NoCluster.as_str(), Outcome::Ignored(Reason::NoCluster)),
    (Reason::UnknownCluster.as_str(), Outcome::Ignored(Reason::UnknownCluster)),
    (Reason::NoAlertname.as_str(), Outcome::Ignored(Reason::NoAlertname)),
];

impl Webhook {
    /// Counts a request that was answered with `code` after `seconds`.
    pub fn answered(&mut self, code: u16, seconds: f64) {
        for ((_, class), count) in CODES.iter().zip(&mut self.codes) {
            *count += u64::from(code / 100 == *class);
        }
        self.duration.observe(seconds);
    }

    /// Counts alerts whose request was answered.
    pub fn took(&mut self, outcomes: &[Outcome]) {
        for ((_, outcome), count) in OUTCOMES.iter().zip(&mut self.outcomes) {
            *count += outcomes.iter().filter(|taken| *taken == outcome).count() as u64;
        }
    }
}

/// Adds the samples.
pub fn webhook_samples(webhook: &Webhook, samples: &mut Samples) {
    for ((code, _), count) in CODES.iter().zip(webhook.codes) {
        samples.number(&REQUESTS, &[code], count as f64);
    }
    for ((outcome, _), count) in OUTCOMES.iter().zip(webhook.outcomes) {
        samples.number(&ALERTS, &[outcome], count as f64);
    }
    samples.histogram(&DURATION, &[], &webhook.duration);
    samples.known(&WRITABLE, &[], webhook.writable.map(|writable| f64::from(u8::from(writable))));
    samples.known(&BYTES, &[], webhook.bytes.map(|bytes| bytes as f64));
    samples.number(&ERRORS, &[], webhook.errors as f64);
}
