//! `/metrics` as it is kept in memory: made when somebody asks, at most once a sample interval (or when a node's state changed
//! since), one at a time, with all ages computed then. Each [`Scope`] is a page of its own.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::sync::{Mutex, watch};

use crate::clock::{Moment, Mono};
use crate::cluster::cluster_samples;
use crate::config::NativeHistograms;
use crate::doctor::{self, patient::Patient};
use crate::metric::catalog;
use crate::metric::exposition::{Format, RenderError, render};
use crate::metric::family::Family;
use crate::metric::own::{self, Own, own_samples};
use crate::metric::sample::Samples;
use crate::observe::Hub;
use crate::observe::fleet::Hubs;
use crate::observe::voice::Voice;

/// Tells about our own process.
pub type OwnSource = Arc<dyn Fn() -> Own + Send + Sync>;

/// What a page shows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    /// Every cluster, and pgvigil's own process.
    All,
    /// One cluster.
    Cluster(String),
    /// One cluster, and pgvigil's own process.
    ClusterAndOwn(String),
    /// pgvigil's own process.
    Own,
}

/// The pages, by scope and format.
pub(super) struct Pages {
    hubs: Hubs,
    own: OwnSource,
    native: watch::Receiver<NativeHistograms>,
    /// Whoever makes a page holds the lock: one at a time.
    made: Mutex<BTreeMap<(Scope, Format), Made>>,
    voice: StdMutex<Voice>,
}

struct Made {
    at: Mono,
    /// Whom it shows, at which revision.
    hubs: Arc<[Arc<Hub>]>,
    revision: u64,
    plain: Bytes,
    gzip: Option<Bytes>,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub(super) enum PageError {
    #[error("there is no cluster of this name; /api/v1/clusters lists them")]
    NoCluster,
    #[error(transparent)]
    Render(#[from] RenderError),
    #[error("the metrics could not be compressed: {0}")]
    Compress(#[from] std::io::Error),
}

impl Pages {
    pub(super) fn new(hubs: Hubs, own: OwnSource, native: watch::Receiver<NativeHistograms>) -> Self {
        Self { hubs, own, native, made: Mutex::default(), voice: StdMutex::default() }
    }

    /// The clusters of this moment.
    pub(super) fn hubs(&self) -> Arc<[Arc<Hub>]> {
        self.hubs.now()
    }

    /// The name of this process.
    pub(super) fn instance(&self) -> &str {
        self.hubs.instance()
    }

    /// Whether native histograms are there for those who ask for them.
    pub(super) fn native_histograms(&self) -> NativeHistograms {
        *self.native.borrow()
    }

    /// The page of `scope` in `format`, compressed if `gzip`.
    pub(super) async fn get(&self, scope: Scope, format: Format, gzip: bool) -> Result<Bytes, PageError> {
        let mut pages = self.made.lock().await;
        let hubs = self.hubs();
        // Pages of clusters that are gone go too.
        pages.retain(|_, made| Arc::ptr_eq(&made.hubs, &hubs));
        let revision = hubs.iter().map(|hub| hub.cluster().revision()).sum();
        let intervals = hubs.iter().map(|hub| hub.cluster().layout().timing.sample_interval);
        let max_age = intervals.min().unwrap_or(Duration::from_secs(1));
        let current = |made: &Made| made.revision == revision && Mono::now().since(made.at) < max_age;
        let key = (scope, format);
        let made = match pages.remove(&key).filter(current) {
            Some(made) => made,
            None => Made { at: Mono::now(), plain: self.make(&hubs, &key.0, format)?, hubs, revision, gzip: None },
        };
        let made = pages.entry(key).or_insert(made);
        if !gzip {
            return Ok(made.plain.clone());
        }
        let compressed = match made.gzip.take() {
            Some(compressed) => compressed,
            None => compress(&made.plain)?,
        };
        Ok(made.gzip.insert(compressed).clone())
    }

    /// Logs that a page could not be made, which may come with each scrape.
    pub(super) fn tell(&self, error: &PageError) {
        let mut voice = self.voice.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(left_out) = voice.happens("page", Mono::now()) {
            tracing::error!(left_out = (left_out > 0).then_some(left_out), "{error}");
        }
    }

    fn make(&self, hubs: &[Arc<Hub>], scope: &Scope, format: Format) -> Result<Bytes, PageError> {
        let mut samples = Samples::default();
        let mut shown = 0;
        for hub in hubs {
            let cluster = hub.cluster();
            let is_shown = match scope {
                Scope::All => true,
                Scope::Cluster(name) | Scope::ClusterAndOwn(name) => cluster.layout().name == *name,
                Scope::Own => false,
            };
            if is_shown {
                let now = Moment::now();
                cluster_samples(&cluster, now, &mut samples);
                doctor::samples(&Patient::new(&cluster, None, now), &mut samples);
                shown += 1;
            }
        }
        match scope {
            Scope::Cluster(_) | Scope::ClusterAndOwn(_) if shown == 0 => return Err(PageError::NoCluster),
            Scope::Cluster(_) => {}
            Scope::All | Scope::ClusterAndOwn(_) | Scope::Own => own_samples(&(self.own)(), &mut samples),
        }
        let of_process = |family: &Family| own::FAMILIES.iter().any(|own| own.name == family.name);
        let in_scope = |family: &&'static Family| match scope {
            Scope::All | Scope::ClusterAndOwn(_) => true,
            Scope::Cluster(_) => !of_process(family),
            Scope::Own => of_process(family),
        };
        let families: Vec<_> = catalog::families().into_iter().filter(in_scope).collect();
        Ok(render(&families, samples, format)?.into())
    }
}

/// Fast rather than small: the page is made anew each interval.
fn compress(page: &[u8]) -> std::io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(page.len() / 8), Compression::fast());
    encoder.write_all(page)?;
    Ok(encoder.finish()?.into())
}
