//! A row of the fault matrix: a fault, what it raises, and that all of it resolves.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pgvigil::lab::{LabError, wait_until};
use tokio::time::Instant;

use super::alert::{Alert, Alerts, name};
use super::bound;
use super::cast::{Cast, Topology};
use super::prometheus::{Labels, Series};
use super::recording::Recording;
use super::stage::{Scraped, Stage};
use super::table;
use crate::scaled::LAG_OBJECTIVE;

/// Of this alert the lab's servers have several at all times, rightly: they do without fsync, and most without an archive.
const OF_THE_LAB: &str = "PostgresCheckFailed";
/// Nothing may be pending or firing for as long, before a fault and in the end.
const QUIET_FOR: Duration = Duration::from_secs(4);
const QUIET_WITHIN: Duration = Duration::from_secs(60);
/// After the last alert that is expected, another has this long to show that it is on its way.
const SETTLING: Duration = Duration::from_secs(8);
/// What is pending fires or is gone within this: the longest `for`, 30 m, is 90 s.
const SETTLED_WITHIN: Duration = Duration::from_secs(110);
const RESOLVED_WITHIN: Duration = Duration::from_secs(90);

/// A fault and what it must raise.
#[derive(Clone)]
pub struct Row {
    /// Its number in the matrix.
    pub fault: u32,
    /// The name of its cluster.
    pub name: &'static str,
    /// How it is made, as the table tells it.
    pub how: &'static str,
    pub topology: Topology,
    /// All that must come to the webhook, and nothing else may.
    pub alerts: &'static [&'static str],
    /// What no factor divides and passes before the fault is to be seen: PostgreSQL's own waits, deadlines of pgvigil, thresholds in
    /// seconds, windows that must be full. Alerts that wake somebody may come so much later than [`bound::of`].
    pub unseen: Duration,
    /// Names of alerts that the healing itself may raise.
    pub healing: &'static [&'static str],
    /// For as long the alerts may take to come.
    pub within: Duration,
    /// For as long at least nothing else may come.
    pub settling: Duration,
    /// For as long the alerts may take to resolve.
    pub resolving: Duration,
    /// Whether [`LAG_OBJECTIVE`] counts as well; a row with a fault in it may raise it too.
    pub is_lag_held: bool,
}

impl Default for Row {
    fn default() -> Self {
        Self {
            fault: 0,
            name: "",
            how: "",
            topology: Topology::default(),
            alerts: &[],
            unseen: Duration::ZERO,
            healing: &[],
            within: Duration::from_secs(45),
            settling: SETTLING,
            resolving: RESOLVED_WITHIN,
            is_lag_held: false,
        }
    }
}

/// What a row did, for the table.
pub struct Measured {
    /// Seconds from the fault until each alert came to the webhook.
    pub fired: BTreeMap<String, f64>,
    /// Of each alert that wakes somebody: seconds since all of the fault was there, and how many it may take.
    pub waking: BTreeMap<String, (f64, f64)>,
    /// Seconds from the healing until the last was told to be resolved.
    pub resolved: f64,
}

impl Row {
    /// Plays the row: waits until all is quiet, does `inject`, waits for the alerts and that no other comes, does `heal`,
    /// and waits until they are told to be resolved.
    pub async fn run(
        self,
        inject: impl AsyncFnOnce(&Cast) -> Result<(), LabError>,
        heal: impl AsyncFnOnce(&Cast) -> Result<(), LabError>,
    ) -> Result<(), LabError> {
        let stage = Stage::shared().await?;
        let cast = Cast::start(self.name, &self.topology).await?;
        let watched = Watched::start(stage, &cast);
        // Here, so that the cast still knows what pgvigil saw.
        self.play(&cast, &watched, inject, heal).await.unwrap_or_else(|error| panic!("{}: {error}", self.name));
        drop(watched);
        cast.lab.clone().stop().await;
        Ok(())
    }

    async fn play(
        &self,
        cast: &Cast,
        watched: &Watched,
        inject: impl AsyncFnOnce(&Cast) -> Result<(), LabError>,
        heal: impl AsyncFnOnce(&Cast) -> Result<(), LabError>,
    ) -> Result<(), LabError> {
        watched.until_quiet(self.name).await?;
        self.refuse_others(&watched.raised(), &Alerts::new());
        let mut recording = Recording::default();
        recording.check(watched.now().await, epoch());

        let injected = Instant::now();
        inject(cast).await?;
        let made = Instant::now();
        self.until_raised(watched).await?;
        let waking = self.waking(watched, made);
        recording.check(watched.now().await, epoch());

        let healed = Instant::now();
        heal(cast).await?;
        self.until_resolved(watched).await?;
        watched.until_settled(self.name).await?;
        recording.check(watched.now().await, epoch());

        let since = |at: Option<Instant>, from: Instant| at.map_or(0.0, |at| (at - from).as_secs_f64());
        let heard = |alert: &&str| ((*alert).to_owned(), since(watched.times(alert).0, injected));
        let fired = self.alerts.iter().map(heard);
        let resolved = self.alerts.iter().map(|alert| since(watched.times(alert).1, healed)).fold(0.0, f64::max);
        table::note(self, &Measured { fired: fired.collect(), waking, resolved });
        recording.write(self, watched).await;
        Ok(())
    }

    /// Holds the alerts that wake somebody to their bounds where every row is played (`make prove-faults`, alone on its machine), and
    /// to twice as much in the tier: there a scrape or an evaluation, each a whole second of these bounds, may come late.
    fn waking(&self, watched: &Watched, made: Instant) -> BTreeMap<String, (f64, f64)> {
        let slack = if std::env::var_os("LAB_ALL").is_some() { 1 } else { 2 };
        let bounds = self.alerts.iter().filter_map(|alert| Some((*alert, bound::of(alert)? + self.unseen)));
        let heard = bounds.map(|(alert, bound)| {
            let heard = watched.times(alert).0.map_or(Duration::MAX, |at| at.saturating_duration_since(made));
            assert!(heard <= slack * bound, "{}: {alert} came after {heard:?}, {slack} × {bound:?} at most", self.name);
            (alert.to_owned(), (heard.as_secs_f64(), bound.as_secs_f64()))
        });
        heard.collect()
    }

    /// Waits for the alerts, and then until no other can be on its way.
    async fn until_raised(&self, watched: &Watched) -> Result<(), LabError> {
        let expected: Alerts = self.alerts.iter().map(|alert| (*alert).to_owned()).collect();
        wait_until(format!("{} to raise all of its alerts", self.name), self.within, async || {
            let raised = watched.raised();
            self.refuse_others(&raised, &expected);
            let missing: Vec<_> = expected.difference(&raised).collect();
            if missing.is_empty() { Ok(()) } else { Err(format!("missing {missing:?}; {:?}", watched.now().await)) }
        })
        .await?;
        let since = Instant::now();
        // What Alertmanager mutes fires too, and is recorded.
        let last = RefCell::new((Vec::new(), since));
        wait_until(format!("{} to raise nothing else", self.name), self.settling + SETTLED_WITHIN, async || {
            self.refuse_others(&watched.raised(), &expected);
            let Now { pending, firing } = watched.now().await;
            let mut last = last.borrow_mut();
            if !last.0.iter().eq(firing.keys()) {
                *last = (firing.keys().cloned().collect(), Instant::now());
            }
            // The next severity of what fires already is no other alert.
            let names: BTreeSet<_> = expected.iter().map(|alert| name(alert)).collect();
            let others = pending.iter().filter(|alert| !names.contains(name(alert)) && self.counts(alert));
            let others: Vec<_> = others.collect();
            if since.elapsed() >= self.settling && others.is_empty() && last.1.elapsed() >= QUIET_FOR {
                Ok(())
            } else {
                Err(format!("pending {others:?}"))
            }
        })
        .await
    }

    /// Whether an alert that is not expected is one too many.
    fn counts(&self, alert: &str) -> bool {
        self.is_lag_held || name(alert) != LAG_OBJECTIVE
    }

    fn refuse_others(&self, raised: &Alerts, expected: &Alerts) {
        let others: Vec<_> = raised.difference(expected).filter(|alert| self.counts(alert)).collect();
        assert!(others.is_empty(), "{}: raised {others:?}; all of them: {raised:#?}", self.name);
    }

    /// Waits until each alert is told to be resolved, and nothing fires but what the healing may raise.
    async fn until_resolved(&self, watched: &Watched) -> Result<(), LabError> {
        wait_until(format!("all of {} to resolve", self.name), self.resolving, async || {
            let healing = |alert: &String| self.healing.contains(&name(alert)) || name(alert) == LAG_OBJECTIVE;
            let raised = watched.raised();
            let others = raised.iter().filter(|alert| !self.alerts.contains(&alert.as_str()) && !healing(alert));
            let others: Vec<_> = others.collect();
            assert!(others.is_empty(), "{}: healing raised {others:?}", self.name);
            let left: Vec<_> = self.alerts.iter().filter(|alert| watched.times(alert).1.is_none()).collect();
            let firing = watched.now().await.firing;
            let firing: Vec<_> = firing.keys().filter(|alert| !healing(alert)).collect();
            if left.is_empty() && firing.is_empty() { Ok(()) } else { Err(format!("left {left:?}, firing {firing:?}")) }
        })
        .await
    }
}

/// What Prometheus has of a cluster at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Now {
    pub pending: Alerts,
    /// With all labels.
    pub firing: BTreeMap<String, Labels>,
}

/// A cluster that the stage watches.
pub struct Watched {
    pub stage: Arc<Stage>,
    cluster: &'static str,
    ports: Vec<u16>,
    since: Instant,
    _scraped: Scraped,
}

impl Watched {
    pub fn start(stage: Arc<Stage>, cast: &Cast) -> Self {
        let (cluster, ports) = (cast.name, cast.ports());
        let scraped = stage.scrape(cluster, &ports);
        Self { stage, cluster, ports, since: Instant::now(), _scraped: scraped }
    }

    /// The alert as rows name it, if it is of this cluster: by its cluster, or by the pgvigil that it is about.
    pub fn mine(&self, labels: &Labels) -> Option<String> {
        if labels.get("alertname").is_some_and(|name| name == OF_THE_LAB) {
            return None;
        }
        let labels = self.stable(labels);
        let is_observer = labels.get("instance").is_some_and(|instance| instance.starts_with("pgvigil-"));
        let alert = Alert::of(labels);
        let is_mine = alert.cluster == self.cluster || alert.cluster.is_empty() && is_observer;
        is_mine.then(|| alert.to_string())
    }

    /// With the name of each pgvigil in place of its address.
    pub fn stable(&self, labels: &Labels) -> Labels {
        let mut labels = labels.clone();
        for (number, port) in self.ports.iter().enumerate() {
            if labels.get("instance") == Some(&format!("127.0.0.1:{port}")) {
                labels.insert("instance".to_owned(), format!("pgvigil-{number}"));
            }
        }
        labels
    }

    /// Samples of these names as they were scraped for this cluster, since it is watched.
    pub async fn samples(&self, names: &str) -> Vec<Series> {
        let range = self.since.elapsed().as_secs() + 1;
        self.stage.api.query(&format!("{}[{range}s]", self.selector(names))).await.expect("Prometheus answers")
    }

    fn selector(&self, names: &str) -> String {
        let ports: Vec<_> = self.ports.iter().map(u16::to_string).collect();
        format!("{{__name__=~\"{names}\",instance=~\"127.0.0.1:({})\"}}", ports.join("|"))
    }

    /// When the webhook heard first of the alert, and last that it is resolved.
    fn times(&self, alert: &str) -> (Option<Instant>, Option<Instant>) {
        let (mut fired, mut resolved) = (None, None);
        for heard in self.stage.heard().into_iter().filter(|heard| heard.at >= self.since) {
            if self.mine(&heard.labels).as_deref() == Some(alert) {
                match heard.is_firing {
                    true if fired.is_none() => fired = Some(heard.at),
                    true => resolved = None,
                    false => resolved = resolved.or(Some(heard.at)),
                }
            }
        }
        (fired, resolved)
    }

    /// When the webhook heard of the alert first since then.
    pub fn first_since(&self, alert: &str, since: Instant) -> Option<Instant> {
        let heard = self.stage.heard().into_iter().filter(|heard| heard.at >= since && heard.is_firing);
        heard.filter(|heard| self.mine(&heard.labels).as_deref() == Some(alert)).map(|heard| heard.at).next()
    }

    /// All that came to the webhook so far.
    pub fn raised(&self) -> Alerts {
        let heard = self.stage.heard().into_iter().filter(|heard| heard.at >= self.since && heard.is_firing);
        heard.filter_map(|heard| self.mine(&heard.labels)).collect()
    }

    /// What Prometheus has now.
    pub async fn now(&self) -> Now {
        let mut now = Now::default();
        for (labels, _) in self.stage.api.query("ALERTS").await.expect("Prometheus answers") {
            let Some(alert) = self.mine(&labels) else { continue };
            if labels["alertstate"] == "firing" {
                now.firing.insert(alert, self.stable(&labels));
            } else {
                now.pending.insert(alert);
            }
        }
        now
    }

    /// Whether each pgvigil of the cluster was there at its last scrape.
    pub async fn is_scraped(&self) -> bool {
        let up = self.stage.api.query(&format!("{} == 1", self.selector("up"))).await;
        up.is_ok_and(|up| up.len() == self.ports.len())
    }

    /// Waits until all is scraped and nothing is pending or firing, for a while.
    pub async fn until_quiet(&self, what: &str) -> Result<(), LabError> {
        wait_until(format!("{what} to be quiet"), QUIET_WITHIN, async || {
            let (is_scraped, now) = (self.is_scraped().await, self.now().await);
            if is_scraped && now == Now::default() { Ok(()) } else { Err(format!("scraped: {is_scraped}, {now:?}")) }
        })
        .await?;
        self.until_settled(what).await
    }

    /// Waits until what Prometheus has stays the same for a while.
    async fn until_settled(&self, what: &str) -> Result<(), LabError> {
        let last = RefCell::new((self.now().await, Instant::now()));
        wait_until(format!("{what} to settle"), QUIET_WITHIN, async || {
            let now = self.now().await;
            let mut last = last.borrow_mut();
            if last.0 != now {
                *last = (now, Instant::now());
            }
            let (now, since) = &*last;
            if since.elapsed() >= QUIET_FOR && now.pending.is_empty() { Ok(()) } else { Err(format!("{now:?}")) }
        })
        .await
    }
}

fn epoch() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs_f64()
}
