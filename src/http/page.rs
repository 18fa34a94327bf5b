//! `/metrics` as it is kept in memory: made when somebody asks, each cluster at most once a sample interval (or when a node's state
//! changed since), one page at a time, with all ages computed then. Each [`Scope`] is a page of its own, put together from what was
//! written of each cluster: of one that changed and a hundred that did not, one is written anew.

mod part;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use axum::body::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::sync::{mpsc, oneshot, watch};

use crate::clock::Mono;
use crate::config::NativeHistograms;
use crate::metric::catalog;
use crate::metric::exposition::{Format, Fragment, RenderError, assemble};
use crate::metric::family::Family;
use crate::metric::own::{self, Own};
use crate::observe::Hub;
use crate::observe::fleet::Hubs;
use crate::observe::voice::Voice;
use part::Parts;

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

impl Scope {
    fn shows(&self, cluster: &str) -> bool {
        match self {
            Self::All => true,
            Self::Cluster(name) | Self::ClusterAndOwn(name) => name == cluster,
            Self::Own => false,
        }
    }

    /// Its families, all of which print their comments.
    fn families(&self) -> Vec<&'static Family> {
        let of_process = |family: &Family| own::FAMILIES.iter().any(|own| own.name == family.name);
        let in_scope = |family: &&'static Family| match self {
            Self::All | Self::ClusterAndOwn(_) => true,
            Self::Cluster(_) => !of_process(family),
            Self::Own => of_process(family),
        };
        catalog::families().into_iter().filter(in_scope).collect()
    }
}

/// The pages, by scope and format.
pub(super) struct Pages {
    hubs: Hubs,
    native: watch::Receiver<NativeHistograms>,
    orders: mpsc::Sender<Order>,
    voice: Mutex<Voice>,
}

/// A page that somebody waits for.
struct Order {
    hubs: Arc<[Arc<Hub>]>,
    scope: Scope,
    format: Format,
    gzip: bool,
    done: oneshot::Sender<Result<Bytes, PageError>>,
}

#[derive(Default)]
struct Kept {
    parts: Parts,
    pages: BTreeMap<(Scope, Format), Made>,
}

struct Made {
    /// What it was put together from.
    of: Vec<Arc<Fragment>>,
    /// As it was asked for: Prometheus asks for compressed pages alone, and of a thousand nodes the other is 40 MB.
    plain: Option<Bytes>,
    gzip: Option<Bytes>,
}

impl Made {
    /// Whether the same would come out again.
    fn is_of(&self, fragments: &[Arc<Fragment>]) -> bool {
        self.of.len() == fragments.len() && self.of.iter().zip(fragments).all(|(old, new)| Arc::ptr_eq(old, new))
    }

    /// Put together, and compressed if it is to be, at the first time.
    fn page(&mut self, (scope, format): &(Scope, Format), gzip: bool) -> Result<Bytes, PageError> {
        if let Some(page) = if gzip { &self.gzip } else { &self.plain } {
            return Ok(page.clone());
        }
        let plain = match &self.plain {
            Some(plain) => plain.clone(),
            None => assemble(&scope.families(), self.of.iter().map(|fragment| &**fragment), *format)?.into(),
        };
        let (kept, page) = if gzip { (&mut self.gzip, compress(&plain)?) } else { (&mut self.plain, plain) };
        Ok(kept.insert(page).clone())
    }
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub(super) enum PageError {
    #[error("there is no cluster of this name; /api/v1/clusters lists them")]
    NoCluster,
    #[error(transparent)]
    Render(#[from] RenderError),
    #[error("the metrics could not be compressed: {0}")]
    Compress(#[from] io::Error),
    #[error("making the metrics failed unexpectedly; the log says why")]
    Panicked,
}

impl Pages {
    /// Pages are made in a thread of their own, one at a time: a page of a thousand nodes takes long enough to make their readings late, and
    /// the runtime's threads may all be held by files that hang.
    pub(super) fn new(hubs: Hubs, own: OwnSource, native: watch::Receiver<NativeHistograms>) -> io::Result<Self> {
        let (orders, ordered) = mpsc::channel(1);
        thread::Builder::new().name("pages".to_owned()).spawn(move || make(ordered, &own))?;
        Ok(Self { hubs, native, orders, voice: Mutex::default() })
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
        let (done, made) = oneshot::channel();
        let order = Order { hubs: self.hubs(), scope, format, gzip, done };
        self.orders.send(order).await.map_err(|_| PageError::Panicked)?;
        made.await.map_err(|_| PageError::Panicked)?
    }

    /// Logs that a page could not be made, which may come with each scrape.
    pub(super) fn tell(&self, error: &PageError) {
        let mut voice = self.voice.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(left_out) = voice.happens("page", Mono::now()) {
            tracing::error!(left_out = (left_out > 0).then_some(left_out), "{error}");
        }
    }
}

/// Makes what is ordered, until nobody orders any more.
fn make(mut orders: mpsc::Receiver<Order>, own: &OwnSource) {
    let mut kept = Kept::default();
    while let Some(order) = orders.blocking_recv() {
        let Order { hubs, scope, format, gzip, done } = order;
        if done.is_closed() {
            continue;
        }
        // A mistake of ours in one page is not the end of all: what is kept is made anew.
        let made = catch_unwind(AssertUnwindSafe(|| kept.page(&hubs, own, scope, format, gzip)));
        let made = made.unwrap_or_else(|_| {
            kept = Kept::default();
            Err(PageError::Panicked)
        });
        // Who asked may have gone.
        let _ = done.send(made);
    }
}

impl Kept {
    fn page(
        &mut self,
        hubs: &[Arc<Hub>],
        own: &OwnSource,
        scope: Scope,
        format: Format,
        gzip: bool,
    ) -> Result<Bytes, PageError> {
        // Before anything new is made: a page of a thousand nodes is large.
        self.parts.drop_old(hubs);
        let current = self.parts.current();
        self.pages.retain(|_, made| made.of.iter().all(|fragment| current.contains(&Arc::as_ptr(fragment))));
        let shown: Vec<_> = hubs.iter().filter(|hub| scope.shows(hub.name())).collect();
        if shown.is_empty() && matches!(scope, Scope::Cluster(_) | Scope::ClusterAndOwn(_)) {
            return Err(PageError::NoCluster);
        }
        let mut fragments = Vec::with_capacity(shown.len() + 1);
        for hub in shown {
            fragments.push(self.parts.of_cluster(hub, format)?);
        }
        if !matches!(scope, Scope::Cluster(_)) {
            fragments.push(self.parts.of_process(hubs, own, format)?);
        }
        let key = (scope, format);
        let kept = self.pages.remove(&key).filter(|made| made.is_of(&fragments));
        let mut made = kept.unwrap_or_else(|| Made { of: fragments, plain: None, gzip: None });
        let page = made.page(&key, gzip);
        self.pages.insert(key, made);
        page
    }
}

/// Fast rather than small: the page is made anew each interval.
fn compress(page: &[u8]) -> io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(page.len() / 8), Compression::fast());
    encoder.write_all(page)?;
    Ok(encoder.finish()?.into())
}
