//! What was written of each cluster, for as long as it may be shown.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::OwnSource;
use crate::clock::{Moment, Mono};
use crate::cluster::cluster_samples;
use crate::doctor::{self, patient::Patient};
use crate::metric::exposition::{Format, Fragment, RenderError};
use crate::metric::own::own_samples;
use crate::metric::sample::Samples;
use crate::observe::Hub;

/// The newest of each.
#[derive(Default)]
pub(super) struct Parts {
    /// By name.
    clusters: HashMap<(String, Format), Part>,
    process: HashMap<Format, Part>,
}

/// One.
struct Part {
    /// Another cluster may get its name; `None`: our own process.
    hub: Option<Arc<Hub>>,
    fragment: Arc<Fragment>,
    made: Mono,
    /// Of the cluster, or of all together.
    revision: u64,
    /// How long it may be shown, if nothing changes.
    lasts: Duration,
}

impl Part {
    fn is_of(&self, hub: &Arc<Hub>) -> bool {
        self.hub.as_ref().is_some_and(|of| Arc::ptr_eq(of, hub))
    }

    fn is_current(&self, revision: u64) -> bool {
        self.revision == revision && Mono::now().since(self.made) < self.lasts
    }
}

impl Parts {
    /// Drops what may not be shown any more, with all of clusters that are gone.
    pub(super) fn drop_old(&mut self, hubs: &[Arc<Hub>]) {
        let present: HashMap<_, _> = hubs.iter().map(|hub| (hub.name(), (hub, hub.cluster().revision()))).collect();
        self.clusters.retain(|(name, _), part| {
            let found = present.get(name.as_str());
            found.is_some_and(|(hub, revision)| part.is_of(hub) && part.is_current(*revision))
        });
        let all = present.values().map(|(_, revision)| revision).sum();
        self.process.retain(|_, part| part.is_current(all));
    }

    /// Those that may still be shown, by where they are.
    pub(super) fn current(&self) -> HashSet<*const Fragment> {
        self.clusters.values().chain(self.process.values()).map(|part| Arc::as_ptr(&part.fragment)).collect()
    }

    /// The samples of one cluster.
    pub(super) fn of_cluster(&mut self, hub: &Arc<Hub>, format: Format) -> Result<Arc<Fragment>, RenderError> {
        let key = (hub.name().to_owned(), format);
        if let Some(part) = self.clusters.get(&key) {
            return Ok(part.fragment.clone());
        }
        let mut samples = Samples::default();
        let (made, revision, lasts) = {
            let cluster = hub.cluster();
            let now = Moment::now();
            cluster_samples(&cluster, now, &mut samples);
            doctor::samples(&Patient::new(&cluster, now), &mut samples);
            (now.mono, cluster.revision(), cluster.layout().timing.sample_interval)
        };
        // Not while its loops wait for the cluster.
        let fragment = Arc::new(Fragment::of(samples, format)?);
        let part = Part { hub: Some(hub.clone()), fragment: fragment.clone(), made, revision, lasts };
        self.clusters.insert(key, part);
        Ok(fragment)
    }

    /// The samples of our own process, which tell of all clusters.
    pub(super) fn of_process(
        &mut self,
        hubs: &[Arc<Hub>],
        own: &OwnSource,
        format: Format,
    ) -> Result<Arc<Fragment>, RenderError> {
        if let Some(part) = self.process.get(&format) {
            return Ok(part.fragment.clone());
        }
        let made = Mono::now();
        let revision = hubs.iter().map(|hub| hub.cluster().revision()).sum();
        let intervals = hubs.iter().map(|hub| hub.cluster().layout().timing.sample_interval);
        let lasts = intervals.min().unwrap_or(Duration::from_secs(1));
        let mut samples = Samples::default();
        own_samples(&own(), &mut samples);
        let fragment = Arc::new(Fragment::of(samples, format)?);
        let part = Part { hub: None, fragment: fragment.clone(), made, revision, lasts };
        self.process.insert(format, part);
        Ok(fragment)
    }
}
