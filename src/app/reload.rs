//! Taking in another config while pgvigil runs: all of it, or nothing.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::means::means;
use super::{addresses, plans};
use crate::clock::{Mono, Wall};
use crate::config::{self, Environment, NativeHistograms, Report, Settings};
use crate::http::door::Prepared;
use crate::http::{Door, Runbooks};
use crate::metric::own::ConfigReload;
use crate::observe::fleet::{Fleet, Plan};
use crate::observe::observers::Observers;
use crate::observe::voice::Voice;
use crate::runbook::engine;
use crate::runbook::shelf::Shelf;
use crate::systemd::Systemd;

/// How long reading the files may take.
const CHECK_DEADLINE: Duration = Duration::from_secs(5);

/// What another config changes.
pub(super) struct Parts {
    pub(super) native_histograms: watch::Sender<NativeHistograms>,
    pub(super) door: Arc<Door>,
    pub(super) runbooks: Arc<Runbooks>,
    pub(super) fleet: Arc<Fleet>,
    pub(super) observers: Arc<Observers>,
    pub(super) systemd: Arc<Systemd>,
    pub(super) engine: Arc<engine::Engine>,
    pub(super) desk: engine::Parts,
}

/// Who asks for a reload.
pub(super) enum Trigger {
    /// SIGHUP.
    Signal,
    /// The config file says something else. Runbooks, and what they may do, wait for a person.
    File,
    /// Whoever has this name.
    Request(Arc<str>),
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal => f.write_str("signal"),
            Self::File => f.write_str("file"),
            Self::Request(name) => write!(f, "request of {name}"),
        }
    }
}

/// Takes in other configs, one at a time.
pub(super) struct Reloader {
    path: Option<PathBuf>,
    environment: Arc<Environment>,
    parts: Parts,
    /// The config in force, and a check that did not end in time.
    state: Mutex<State>,
    outcome: StdMutex<ConfigReload>,
    /// What was said of reloads: whatever makes new config files may do so without end.
    voice: StdMutex<Voice>,
}

/// Tells systemd that a reload has ended, however it did.
struct UnderWay<'a>(&'a Systemd);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.ready();
    }
}

struct State {
    settings: Settings,
    hanging: Option<JoinHandle<anyhow::Result<Checked>>>,
}

/// A config that can be taken in, with everything that its files say, and nothing of it in force.
struct Checked {
    report: Report,
    prepared: Prepared,
    shelf: Option<Shelf>,
    plans: Vec<Plan>,
}

impl Reloader {
    /// `settings`, read from `path`, are in force.
    pub(super) fn new(
        path: Option<PathBuf>,
        settings: Settings,
        environment: Arc<Environment>,
        parts: Parts,
    ) -> Arc<Self> {
        let outcome = ConfigReload { ok: true, last_good: Wall::now().as_seconds() };
        let state = Mutex::new(State { settings, hanging: None });
        Arc::new(Self { path, environment, parts, state, outcome: StdMutex::new(outcome), voice: StdMutex::default() })
    }

    /// How the last reload went.
    pub(super) fn outcome(&self) -> ConfigReload {
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the config again. On error the old one stays; why is logged, and told in a sentence. `trigger` is who asked.
    pub(super) async fn reload(self: Arc<Self>, trigger: Trigger) -> Result<(), String> {
        let (reloader, with_runbooks) = (self.clone(), !matches!(trigger, Trigger::File));
        // In a task of its own: a client that goes away must not stop it half way.
        let result = tokio::spawn(async move { reloader.take_in(with_runbooks).await }).await;
        let result = result.unwrap_or_else(|_| Err(anyhow::anyhow!("it failed unexpectedly")));
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        outcome.ok = result.is_ok();
        match result {
            Ok(notes) => {
                outcome.last_good = Wall::now().as_seconds();
                drop(outcome);
                if let Some(left_out) = self.says("taken in") {
                    for note in notes {
                        tracing::warn!("{note}");
                    }
                    tracing::info!(%trigger, left_out, "the config was read again and is in force");
                }
                Ok(())
            }
            Err(error) => {
                drop(outcome);
                let what = format!("the config was not taken in, the old one stays in force: {error:#}");
                if let Some(left_out) = self.says("refused") {
                    tracing::error!(%trigger, left_out, "{what}");
                }
                Err(what)
            }
        }
    }

    /// See [`Voice::happens`]; a count of zero is `Some(None)`, which logs no field.
    fn says(&self, topic: &'static str) -> Option<Option<u64>> {
        let left_out = self.voice.lock().unwrap_or_else(PoisonError::into_inner).happens(topic, Mono::now())?;
        Some((left_out > 0).then_some(left_out))
    }

    async fn take_in(&self, with_runbooks: bool) -> anyhow::Result<Vec<String>> {
        let mut state = self.state.lock().await;
        self.parts.systemd.reloading();
        let _until_the_end = UnderWay(&self.parts.systemd);
        if state.hanging.as_ref().is_some_and(|hanging| !hanging.is_finished()) {
            bail!("reading the files has hung since the last try: see whether their disk answers");
        }
        let (path, environment, door) = (self.path.clone(), self.environment.clone(), self.parts.door.clone());
        // Everything that can fail, and nothing that changes anything: what comes too late is dropped.
        let mut check = tokio::task::spawn_blocking(move || {
            let mut report = config::check(path.as_deref(), &environment)?;
            let prepared = door.prepare(&report.settings)?;
            report.notes.extend(prepared.notes(&report.settings));
            let shelf = with_runbooks.then(|| Shelf::read(&report.settings.runbook_dirs)).transpose()?;
            let plans = plans(&report.settings, &environment);
            Ok(Checked { report, prepared, shelf, plans })
        });
        let Ok(checked) = timeout(CHECK_DEADLINE, &mut check).await else {
            state.hanging = Some(check);
            bail!("reading the files took longer than {} s: see whether their disk answers", CHECK_DEADLINE.as_secs());
        };
        let Checked { mut report, prepared, shelf, plans } =
            checked.context("reading the files failed unexpectedly")??;
        if !with_runbooks && report.settings.act_as(&state.settings) {
            let what = "manager, runbooks or admin_dsn are others than before: that waits for SIGHUP or POST /-/reload";
            report.notes.push(what.to_owned());
        }
        let (old, new) = (&state.settings, &report.settings);
        if new.listen != old.listen {
            bail!("listen cannot change from {} to {} while pgvigil runs: restart it", old.listen, new.listen);
        }
        if new.state_dir != old.state_dir {
            bail!("state_dir cannot change while pgvigil runs: restart it");
        }
        self.parts.native_histograms.send_replace(new.native_histograms);
        self.parts.door.take_in(prepared);
        if let Some(shelf) = shelf {
            self.parts.runbooks.take_in(shelf);
        }
        self.parts.fleet.allow_connects(new.max_connects);
        self.parts.fleet.apply(plans).await;
        self.parts.observers.apply(addresses(new)).await;
        state.settings = report.settings;
        let means = means(&state.settings, &self.environment);
        self.parts.engine.apply(&self.parts.desk, means).await;
        Ok(report.notes)
    }
}
