//! About pgvigil itself.

use super::family::{Family, Kind, Observers, Unit};
use super::fleet::{self, Load, load_samples};
use super::runbooks::{Runbooks, runbook_samples};
use super::sample::Samples;
use super::webhook::{self, Webhook, webhook_samples};
use crate::cluster::observers::ObserverState;

const fn own(
    name: &'static str,
    kind: Kind,
    unit: Unit,
    labels: &'static [&'static str],
    help: &'static str,
) -> Family {
    Family { name, help, kind, unit, labels, observers: Observers::Own }
}

static BUILD_INFO: Family =
    own("pgvigil_build_info", Kind::Gauge, Unit::None, &["version"], "1, with the version of pgvigil as its label.");
static START_TIME: Family = own(
    "pgvigil_start_time_seconds",
    Kind::Gauge,
    Unit::Seconds,
    &[],
    "When this process started, since the Unix epoch: counters and histograms count from here.",
);
static RESIDENT: Family =
    own("pgvigil_resident_memory_bytes", Kind::Gauge, Unit::Bytes, &[], "Resident memory of this process (VmRSS).");
static CPU: Family =
    own("pgvigil_cpu_seconds_total", Kind::Counter, Unit::Seconds, &[], "CPU time of this process, user and system.");
static OPEN_FDS: Family =
    own("pgvigil_open_fds", Kind::Gauge, Unit::None, &[], "Open file descriptors of this process.");
static STATE_SAVED: Family = own(
    "pgvigil_state_saved",
    Kind::Gauge,
    Unit::None,
    &["cluster"],
    "1 if the cluster's lag history was last kept in state_dir, 0 if that failed; absent without a state_dir.",
);
static RELOAD_OK: Family = own(
    "pgvigil_config_last_reload_successful",
    Kind::Gauge,
    Unit::None,
    &[],
    "1 if the config was taken in when it was last read, 0 if the one before stays in force; the log says why.",
);
static RELOAD_TIME: Family = own(
    "pgvigil_config_last_reload_success_timestamp_seconds",
    Kind::Gauge,
    Unit::Seconds,
    &[],
    "When the config in force was read, since the Unix epoch.",
);

static OBSERVER_UP: Family = own(
    "pgvigil_observer_up",
    Kind::Gauge,
    Unit::None,
    &["observer"],
    "1 if another observer answered when it was last asked and is counted, else 0; observer_state says why not.",
);
static OBSERVER_STATE: Family = own(
    "pgvigil_observer_state",
    Kind::Gauge,
    Unit::None,
    &["observer", "state"],
    "What came of asking another observer, 1 for exactly one state; ourselves: its url leads to this process; twin: it is the same \
     process as one named before it; config: a file of ours cannot be used.",
);
static LOG_EVENTS: Family = own(
    "pgvigil_own_log_events_total",
    Kind::Counter,
    Unit::None,
    &["class"],
    "Events that were logged, by class: error, warn or info; what --log filters out is not counted.",
);
static LOG_DROPPED: Family = own(
    "pgvigil_log_dropped_total",
    Kind::Counter,
    Unit::None,
    &[],
    "Lines of the log that were dropped because its reader did not take them in time, or because they could not be written.",
);

/// All of them.
pub static FAMILIES: &[&Family] = &[
    &BUILD_INFO,
    &START_TIME,
    &RESIDENT,
    &CPU,
    &OPEN_FDS,
    &STATE_SAVED,
    &RELOAD_OK,
    &RELOAD_TIME,
    &OBSERVER_UP,
    &OBSERVER_STATE,
    &LOG_EVENTS,
    &LOG_DROPPED,
    &fleet::READING_LATE,
    &fleet::CONNECTS_WAITING,
    &fleet::CONNECTS_OPEN,
    &webhook::REQUESTS,
    &webhook::ALERTS,
    &webhook::DURATION,
    &webhook::WRITABLE,
    &webhook::BYTES,
    &webhook::ERRORS,
];

/// How the last reading of the config went.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConfigReload {
    /// Whether it was taken in.
    pub ok: bool,
    /// When the one in force was read, in seconds since the Unix epoch.
    pub last_good: f64,
}

/// What was logged since the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogEvents {
    /// Lines of class error.
    pub error: u64,
    /// Lines of class warn.
    pub warn: u64,
    /// Lines of class info.
    pub info: u64,
    /// Lines, of any class, that nobody got.
    pub dropped: u64,
}

/// What pgvigil knows of its own process. `None`: this system does not tell.
#[derive(Clone, Debug, Default)]
pub struct Own {
    /// When it started, in seconds since the Unix epoch.
    pub start_time: f64,
    /// Resident memory in bytes.
    pub resident_bytes: Option<u64>,
    /// User and system time in seconds.
    pub cpu_seconds: Option<f64>,
    /// Open file descriptors.
    pub open_fds: Option<u64>,
    /// Whether each cluster's history was kept when it was last tried.
    pub state_saved: Vec<(String, bool)>,
    /// How the last reading of the config went.
    pub config: ConfigReload,
    /// What came of asking each observer.
    pub observers: Vec<(String, ObserverState)>,
    /// What was logged.
    pub log: LogEvents,
    /// How well the loops keep up.
    pub load: Load,
    /// What was handed in.
    pub webhook: Webhook,
    /// What came of it.
    pub runbooks: Runbooks,
}

/// Adds the samples of our own process.
pub fn own_samples(own: &Own, samples: &mut Samples) {
    samples.number(&BUILD_INFO, &[env!("CARGO_PKG_VERSION")], 1.0);
    samples.number(&START_TIME, &[], own.start_time);
    samples.known(&RESIDENT, &[], own.resident_bytes.map(|bytes| bytes as f64));
    samples.known(&CPU, &[], own.cpu_seconds);
    samples.known(&OPEN_FDS, &[], own.open_fds.map(|fds| fds as f64));
    for (cluster, saved) in &own.state_saved {
        samples.flag(&STATE_SAVED, &[cluster], *saved);
    }
    samples.flag(&RELOAD_OK, &[], own.config.ok);
    samples.number(&RELOAD_TIME, &[], own.config.last_good);
    for (observer, state) in &own.observers {
        samples.flag(&OBSERVER_UP, &[observer], *state == ObserverState::Up);
        samples.states(&OBSERVER_STATE, &[observer], &ObserverState::ALL, state.as_str());
    }
    for (class, count) in [("error", own.log.error), ("warn", own.log.warn), ("info", own.log.info)] {
        samples.number(&LOG_EVENTS, &[class], count as f64);
    }
    samples.number(&LOG_DROPPED, &[], own.log.dropped as f64);
    load_samples(&own.load, samples);
    webhook_samples(&own.webhook, samples);
    runbook_samples(&own.runbooks, samples);
}
