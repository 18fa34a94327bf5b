//! `/metrics` as it is kept in memory: made when somebody asks, at most once a sample interval (or when a node's state changed
//! since), one at a time, with all ages computed then.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::sync::Mutex;

use crate::clock::{Moment, Mono};
use crate::cluster::cluster_samples;
use crate::metric::catalog;
use crate::metric::exposition::{Format, RenderError, render};
use crate::metric::own::{Own, own_samples};
use crate::metric::sample::Samples;
use crate::observe::Hub;

/// Tells about our own process.
pub type OwnSource = Arc<dyn Fn() -> Own + Send + Sync>;

/// The pages, by format.
pub(super) struct Pages {
    hubs: Arc<[Arc<Hub>]>,
    own: OwnSource,
    max_age: Duration,
    open_metrics: Mutex<Option<Made>>,
    prometheus: Mutex<Option<Made>>,
}

struct Made {
    at: Mono,
    revision: u64,
    plain: Bytes,
    gzip: Option<Bytes>,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub(super) enum PageError {
    #[error(transparent)]
    Render(#[from] RenderError),
    #[error("the metrics could not be compressed: {0}")]
    Compress(#[from] std::io::Error),
}

impl Pages {
    pub(super) fn new(hubs: Arc<[Arc<Hub>]>, own: OwnSource) -> Self {
        let intervals = hubs.iter().map(|hub| hub.cluster().layout().timing.sample_interval);
        let max_age = intervals.min().unwrap_or(Duration::from_secs(1));
        Self { hubs, own, max_age, open_metrics: Mutex::default(), prometheus: Mutex::default() }
    }

    /// The clusters.
    pub(super) fn hubs(&self) -> &[Arc<Hub>] {
        &self.hubs
    }

    /// The page in `format`, compressed if `gzip`.
    pub(super) async fn get(&self, format: Format, gzip: bool) -> Result<Bytes, PageError> {
        let mut slot = match format {
            Format::OpenMetrics => self.open_metrics.lock().await,
            Format::PrometheusText => self.prometheus.lock().await,
        };
        let revision = self.hubs.iter().map(|hub| hub.cluster().revision()).sum();
        let current = |made: &Made| made.revision == revision && Mono::now().since(made.at) < self.max_age;
        let made = match slot.take().filter(current) {
            Some(made) => made,
            None => Made { at: Mono::now(), revision, plain: self.make(format)?, gzip: None },
        };
        let made = slot.insert(made);
        if !gzip {
            return Ok(made.plain.clone());
        }
        let compressed = match made.gzip.take() {
            Some(compressed) => compressed,
            None => compress(&made.plain)?,
        };
        Ok(made.gzip.insert(compressed).clone())
    }

    fn make(&self, format: Format) -> Result<Bytes, PageError> {
        let mut samples = Samples::default();
        for hub in self.hubs.iter() {
            let cluster = hub.cluster();
            cluster_samples(&cluster, Moment::now(), &mut samples);
        }
        own_samples(&(self.own)(), &mut samples);
        Ok(render(&catalog::families(), samples, format)?.into())
    }
}

/// Fast rather than small: the page is made anew each interval.
fn compress(page: &[u8]) -> std::io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(page.len() / 8), Compression::fast());
    encoder.write_all(page)?;
    Ok(encoder.finish()?.into())
}
