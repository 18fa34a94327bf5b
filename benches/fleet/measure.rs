//! What is measured of one fleet.

use std::time::{Duration, Instant};

use anyhow::Context;
use pgvigil::lab::{ProcessId, wait_until};
use tokio::time::sleep;

use super::figures::{ms, percentile};
use super::process::{connections_to, cpu_ms, memory_mb, precise_cpu_ms};
use super::scene::{SOON, Scene, Vigil, cluster_name};
use super::scraper::{get, maintain};

/// What is still to be prepared and read for the first time when the last node is up.
const SETTLED_AFTER: Duration = Duration::from_secs(20);
/// Of each of both measurements of the processor.
const WINDOW: Duration = Duration::from_secs(30);
/// As Prometheus comes by default.
const SCRAPED_EACH: Duration = Duration::from_secs(15);
/// Longer than a page is kept.
const FRESH_AFTER: Duration = Duration::from_millis(1100);
/// Of each kind.
const SCRAPES: usize = 20;

/// Of one kind of scrape, in milliseconds: the time that it took, and the processor time of pgvigil meanwhile.
pub struct Times {
    pub median: f64,
    pub p99: f64,
    pub processor: f64,
}

/// Times as they come.
#[derive(Default)]
struct Taken {
    times: Vec<f64>,
    processor: Vec<f64>,
}

impl Taken {
    fn scrape(&mut self, vigil: &Vigil, path: &str, gzip: bool) -> anyhow::Result<()> {
        let before = thread_cpu_ms(vigil.process.id());
        self.times.push(ms(get(vigil.port, path, gzip)?.took));
        self.processor.push(thread_cpu_ms(vigil.process.id()) - before);
        Ok(())
    }

    fn times(&self) -> Times {
        Times {
            median: percentile(&self.times, 0.5),
            p99: percentile(&self.times, 0.99),
            processor: percentile(&self.processor, 0.5),
        }
    }
}

/// Processor time of all threads, to the nanosecond, but for those that have ended.
fn thread_cpu_ms(id: ProcessId) -> f64 {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", id.pid)).into_iter().flatten().flatten();
    tasks.filter_map(|task| task.file_name().to_str()?.parse().ok()).map(precise_cpu_ms).sum()
}

/// Of one fleet.
pub struct Figures {
    /// From the start until every node was up, in seconds.
    pub up_after: f64,
    /// Processor in % of a core: watching alone, and with a compressed scrape each 15 s.
    pub watching: f64,
    pub scraped: f64,
    /// In MB: after a while of such scrapes, and the most there was, with pages of every kind beside each other.
    pub resident: f64,
    pub most_resident: f64,
    /// Readings made in a second.
    pub readings: f64,
    /// The bound that 99 of 100 readings kept, in seconds, and the share that was later than a tenth of the interval.
    pub late_p99: f64,
    pub late_share: f64,
    /// In bytes.
    pub page: usize,
    pub page_gzip: usize,
    pub cluster_page: usize,
    pub whole: Times,
    pub whole_gzip: Times,
    pub one_changed: Times,
    pub one_cluster: Times,
    pub descriptors: usize,
    pub connections: usize,
    /// The load average at the end.
    pub load: String,
}

/// Starts pgvigil on so many nodes, and measures.
pub async fn fleet(scene: &Scene, nodes: usize) -> anyhow::Result<Figures> {
    let began = Instant::now();
    let vigil = scene.pgvigil(nodes)?;
    let id = vigil.process.id();
    wait_until("all nodes to be up", SOON, async || match get(vigil.port, "/metrics", true) {
        Ok(_) => {
            let page = get(vigil.port, "/metrics", false).map_err(|error| error.to_string())?;
            let text = page.text().map_err(|error| error.to_string())?;
            let up = text.lines().filter(|line| line.starts_with("pgvigil_node_up{") && line.ends_with(" 1")).count();
            if up == nodes { Ok(()) } else { Err(format!("{up} of {nodes} are")) }
        }
        Err(error) => Err(error.to_string()),
    })
    .await
    .with_context(|| vigil.process.log_tail(20))?;
    let up_after = began.elapsed().as_secs_f64();
    sleep(SETTLED_AFTER).await;

    let before = Lateness::of(&vigil)?;
    let watching = processor(id, WINDOW, || Ok(())).await?;
    let late = Lateness::of(&vigil)?.since(&before);
    let scraped = processor(id, WINDOW, || get(vigil.port, "/metrics", true).map(|_| ()).map_err(Into::into)).await?;
    let resident = memory_mb(id, "VmRSS");

    let page = get(vigil.port, "/metrics", false)?.size;
    let page_gzip = get(vigil.port, "/metrics", true)?.size;
    let whole = times(&vigil, "/metrics", false).await?;
    let whole_gzip = times(&vigil, "/metrics", true).await?;
    let first = cluster_name(0);
    let path = format!("/metrics?cluster={first}");
    let cluster_page = get(vigil.port, &path, false)?.size;
    let one_cluster = times(&vigil, &path, false).await?;
    let one_changed = changed(&vigil, &first).await?;
    let figures = Figures {
        up_after,
        watching,
        scraped,
        resident,
        most_resident: memory_mb(id, "VmHWM"),
        readings: late.count() / WINDOW.as_secs_f64(),
        late_p99: late.quantile(0.99),
        late_share: late.later_than(0.1),
        page,
        page_gzip,
        cluster_page,
        whole,
        whole_gzip,
        one_changed,
        one_cluster,
        descriptors: std::fs::read_dir(format!("/proc/{}/fd", id.pid))?.count(),
        connections: scene.ports().map(|port| connections_to(id, port)).sum(),
        load: super::process::load(),
    };
    vigil.process.terminate(SOON).await?;
    Ok(figures)
}

/// Processor time over a window in which `scrape` is called now and then, in % of a core.
async fn processor(id: ProcessId, window: Duration, scrape: impl Fn() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let (began, before) = (Instant::now(), cpu_ms(id));
    while began.elapsed() < window {
        sleep(SCRAPED_EACH).await;
        scrape()?;
    }
    Ok((cpu_ms(id) - before) / ms(began.elapsed()) * 100.0)
}

/// Of pages that are made anew.
async fn times(vigil: &Vigil, path: &str, gzip: bool) -> anyhow::Result<Times> {
    let mut taken = Taken::default();
    for _ in 0..SCRAPES {
        sleep(FRESH_AFTER).await;
        taken.scrape(vigil, path, gzip)?;
    }
    Ok(taken.times())
}

/// Of the whole page, right after it was made and one cluster changed.
async fn changed(vigil: &Vigil, cluster: &str) -> anyhow::Result<Times> {
    let mut taken = Taken::default();
    for number in 0..SCRAPES {
        sleep(FRESH_AFTER).await;
        get(vigil.port, "/metrics", false)?;
        maintain(vigil.port, cluster, number % 2 == 0)?;
        taken.scrape(vigil, "/metrics", false)?;
    }
    Ok(taken.times())
}

/// How many readings were no later than each bound.
struct Lateness(Vec<(f64, f64)>);

impl Lateness {
    fn of(vigil: &Vigil) -> anyhow::Result<Self> {
        let page = get(vigil.port, "/metrics?self=1", false)?;
        let bucket = |line: &str| {
            let (bound, count) = line.strip_prefix("pgvigil_reading_late_seconds_bucket{le=\"")?.split_once("\"} ")?;
            Some((bound.replace("+Inf", "inf").parse().ok()?, count.parse().ok()?))
        };
        Ok(Self(page.text()?.lines().filter_map(bucket).collect()))
    }

    fn since(&self, before: &Self) -> Self {
        Self(self.0.iter().zip(&before.0).map(|((bound, now), (_, then))| (*bound, now - then)).collect())
    }

    fn count(&self) -> f64 {
        self.0.last().map_or(f64::NAN, |(_, count)| *count)
    }

    fn quantile(&self, share: f64) -> f64 {
        let wanted = share * self.count();
        self.0.iter().find(|(_, count)| *count >= wanted).map_or(f64::NAN, |(bound, _)| *bound)
    }

    fn later_than(&self, seconds: f64) -> f64 {
        let within = self.0.iter().find(|(bound, _)| *bound >= seconds).map_or(f64::NAN, |(_, count)| *count);
        1.0 - within / self.count()
    }
}
