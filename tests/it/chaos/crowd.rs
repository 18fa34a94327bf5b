//! Those who ask pgvigil while everything happens: Prometheus, browsers, Alertmanager.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use pgvigil::lab::Lab;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::meter::waited;
use crate::live::client::{Answer, connect, exchange, get};

/// Status pages that are open all the time.
pub const OPEN: usize = 20;
/// So old the newest reading of a calm node may be: sample_interval and timeouts.query.
pub const CALM_WITHIN: Duration = Duration::from_secs(3);
const SCRAPES_EACH: Duration = Duration::from_millis(20);
const WEBHOOKS_EACH: Duration = Duration::from_millis(500);
const PAGES_EACH: Duration = Duration::from_secs(1);
/// An open page hears a beat each second.
const SILENT_FOR: Duration = Duration::from_secs(30);
const TOKEN: &str = "webhook-token-0123456789";
const CALM: [&str; 2] = ["x", "y"];
/// The alerts that come: one whose runbook would fail over, one whose runbook would change something, one for people alone.
const ALERTS: [&str; 3] = ["PostgresPrimaryUnreachable", "PostgresReplayPaused", "PostgresReplayLagHigh"];
const PAGES: [&str; 5] =
    ["/", "/clusters/orders", "/api/v1/clusters/orders", "/api/v1/runs", "/runbooks/PostgresReplayPaused"];

/// One scrape.
#[derive(Clone, Copy, Debug)]
pub struct Scrape {
    pub took: Duration,
    /// How long threads of pgvigil and of ours waited for a processor meanwhile.
    pub waited: Duration,
}

/// What they met.
#[derive(Debug, Default)]
pub struct Seen {
    pub scrapes: Vec<Scrape>,
    pub failures: Vec<String>,
    pub webhooks: usize,
    pub refused: Vec<String>,
    pub pages: usize,
    pub bad_pages: Vec<String>,
    pub reopened: usize,
    pub silence: Duration,
    /// What each page said of the calm nodes on which one of them was not up.
    pub not_up: Vec<String>,
    /// The oldest reading of a calm node.
    pub oldest: Duration,
    /// Fast readings of the calm nodes, from the first page to the last.
    pub readings: f64,
    /// Ticks at which the calm standby's lag was known, and not.
    pub known: f64,
    pub unknown: f64,
}

impl Seen {
    fn add(mut self, other: Self) -> Self {
        self.scrapes.extend(other.scrapes);
        self.failures.extend(other.failures);
        self.refused.extend(other.refused);
        self.bad_pages.extend(other.bad_pages);
        self.not_up.extend(other.not_up);
        Self {
            webhooks: self.webhooks + other.webhooks,
            pages: self.pages + other.pages,
            reopened: self.reopened + other.reopened,
            silence: self.silence.max(other.silence),
            oldest: self.oldest.max(other.oldest),
            readings: self.readings + other.readings,
            known: self.known + other.known,
            unknown: self.unknown + other.unknown,
            ..self
        }
    }
}

/// What the config says of who may hand in alerts.
pub fn access(lab: &Lab) -> String {
    std::fs::write(lab.path().join("webhook"), TOKEN).unwrap();
    "alertmanager: {bearer_token_file: webhook}\n".to_owned()
}

/// All of them.
pub struct Crowd {
    done: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Seen>>,
}

impl Crowd {
    pub async fn start(port: u16, pid: i32) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let mut tasks = vec![
            tokio::spawn(scrape(port, pid, done.clone())),
            tokio::spawn(tell(port, done.clone())),
            tokio::spawn(browse(port, done.clone())),
        ];
        tasks.extend((0..OPEN).map(|_| tokio::spawn(look(port, done.clone()))));
        Self { done, tasks }
    }

    pub async fn stop(self) -> Seen {
        self.done.store(true, Relaxed);
        let mut all = Seen::default();
        for task in self.tasks {
            all = all.add(task.await.expect("one of the crowd"));
        }
        all
    }
}

/// As Prometheus asks: three of four in text, one in OpenMetrics, every tenth compressed.
async fn scrape(port: u16, pid: i32, done: Arc<AtomicBool>) -> Seen {
    let (mut seen, mut under_way, mut first) = (Seen::default(), JoinSet::new(), None::<Calm>);
    let mut last = Calm::default();
    let mut ticks = interval(SCRAPES_EACH);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for number in 0_u64.. {
        ticks.tick().await;
        let is_over = done.load(Relaxed);
        if !is_over {
            under_way.spawn(scraped(port, pid, number));
        }
        while let Some(ended) = if is_over { under_way.join_next().await } else { under_way.try_join_next() } {
            match ended.expect("a scrape") {
                Ok((scrape, text)) => {
                    seen.scrapes.push(scrape);
                    let calm = Calm::of(&text);
                    seen.not_up.extend(calm.not_up.clone());
                    seen.oldest = seen.oldest.max(calm.oldest);
                    first.get_or_insert_with(|| calm.clone());
                    if calm.readings > last.readings {
                        last = calm;
                    }
                }
                Err(error) => seen.failures.push(error),
            }
        }
        if is_over {
            break;
        }
    }
    let first = first.unwrap_or_default();
    seen.readings = last.readings - first.readings;
    (seen.known, seen.unknown) = (last.known - first.known, last.unknown - first.unknown);
    seen
}

async fn scraped(port: u16, pid: i32, number: u64) -> Result<(Scrape, String), String> {
    let headers = match (number % 4, number % 10) {
        (_, 9) => "Accept: application/openmetrics-text;version=1.0.0\r\nAccept-Encoding: gzip\r\n",
        (3, _) => "Accept: application/openmetrics-text;version=1.0.0\r\n",
        _ => "",
    };
    let both = || waited(pid) + waited(i32::try_from(std::process::id()).unwrap_or_default());
    let (before, began) = (both(), Instant::now());
    let request = format!("GET /metrics HTTP/1.0\r\nHost: lab\r\n{headers}\r\n");
    let answer = exchange(port, request.as_bytes()).await?;
    let scrape = Scrape { took: began.elapsed(), waited: both().saturating_sub(before) };
    whole(&answer, !headers.is_empty()).map(|text| (scrape, text))
}

/// The text of an answer that is whole.
fn whole(answer: &Answer, has_end: bool) -> Result<String, String> {
    let announced = answer.header("content-length").and_then(|length| length.parse().ok());
    if answer.status != 200 || announced.is_some_and(|announced: usize| announced != answer.body.len()) {
        return Err(format!("{} with {} bytes", answer.head, answer.body.len()));
    }
    let text = match answer.header("content-encoding") {
        Some("gzip") => {
            let mut text = String::new();
            flate2::read::GzDecoder::new(answer.body.as_slice())
                .read_to_string(&mut text)
                .map_err(|error| error.to_string())?;
            text
        }
        _ => answer.text(),
    };
    let ends = if has_end { text.ends_with("# EOF\n") } else { announced.is_some() && text.ends_with('\n') };
    if ends && text.contains("pgvigil_build_info") { Ok(text) } else { Err(format!("no end: {}", answer.head)) }
}

/// What a page says of the cluster to which nothing happens.
#[derive(Clone, Debug, Default)]
struct Calm {
    /// The nodes' states, where one is not up.
    not_up: Option<String>,
    oldest: Duration,
    readings: f64,
    known: f64,
    unknown: f64,
}

impl Calm {
    fn of(text: &str) -> Self {
        let values = |name: &str, label: &str| -> Vec<f64> {
            let start = format!("pgvigil_{name}{{cluster=\"calm\"");
            let lines = text.lines().filter(|line| line.starts_with(&start) && line.contains(label));
            lines.filter_map(|line| line.split("} ").nth(1)?.split(' ').next()?.parse().ok()).collect()
        };
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let times = values("node_last_observation_timestamp_seconds", "");
        let states: Vec<_> = text
            .lines()
            .filter(|line| line.starts_with("pgvigil_node_state{cluster=\"calm\"") && line.ends_with(" 1"))
            .collect();
        let is_up = states.iter().filter(|line| line.contains("state=\"up\"")).count() == CALM.len();
        let ticks = |known: &str| values("standby_lag_ticks_total", known).iter().sum();
        Self {
            not_up: (!is_up).then(|| format!("{states:?}")),
            oldest: Duration::from_secs_f64(times.iter().map(|at| (now - at).max(0.0)).fold(0.0, f64::max)),
            readings: values("collector_duration_seconds_count", "collector=\"fast\"").iter().sum(),
            known: ticks("known=\"yes\""),
            unknown: ticks("known=\"no\""),
        }
    }
}

/// As Alertmanager tells: each alert begins, is told once more, and ends.
async fn tell(port: u16, done: Arc<AtomicBool>) -> Seen {
    let (mut seen, mut ticks) = (Seen::default(), interval(WEBHOOKS_EACH));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0_u64.. {
        ticks.tick().await;
        if done.load(Relaxed) {
            break;
        }
        let (incident, part) = (number / 3, number % 3);
        let (name, status) = (ALERTS[(incident % 3) as usize], if part == 2 { "resolved" } else { "firing" });
        let began = format!("2026-11-23T{:02}:{:02}:{:02}Z", incident / 3600 % 24, incident / 60 % 60, incident % 60);
        let ends = if part == 2 { began.replace("2026", "2027") } else { "0001-01-01T00:00:00Z".to_owned() };
        let labels = json!({"alertname": name, "cluster": "orders", "node": if incident % 2 == 0 { "a" } else { "b" }, "severity": "critical"});
        let alert = json!({"status": status, "labels": labels, "annotations": {"summary": "soak"}, "startsAt": began, "endsAt": ends,
            "fingerprint": format!("{name}-{}", incident % 2)});
        let body = json!({"version": "4", "receiver": "pgvigil", "groupKey": "{}", "status": status, "truncatedAlerts": 0, "alerts": [alert]})
            .to_string();
        let head = format!(
            "POST /alertmanager HTTP/1.0\r\nHost: lab\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        seen.webhooks += 1;
        match exchange(port, format!("{head}{body}").as_bytes()).await {
            Ok(answer) if [200, 202].contains(&answer.status) => {}
            Ok(answer) => seen.refused.push(format!("{} {}", answer.head, answer.text())),
            Err(error) => seen.refused.push(error),
        }
    }
    seen
}

/// As people do: one page after another.
async fn browse(port: u16, done: Arc<AtomicBool>) -> Seen {
    let (mut seen, mut ticks) = (Seen::default(), interval(PAGES_EACH));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for page in PAGES.iter().cycle() {
        ticks.tick().await;
        if done.load(Relaxed) {
            break;
        }
        let answer = get(port, page, "").await;
        seen.pages += 1;
        if answer.status != 200 {
            seen.bad_pages.push(format!("{page}: {}", answer.head));
        }
    }
    seen
}

/// A status page that stays open, and comes again when it is told to.
async fn look(port: u16, done: Arc<AtomicBool>) -> Seen {
    let mut seen = Seen::default();
    while !done.load(Relaxed) {
        let mut stream = connect(port).await;
        if stream.write_all(b"GET /events?cluster=orders HTTP/1.1\r\nHost: lab\r\n\r\n").await.is_ok() {
            let (mut piece, mut heard) = (vec![0; 65536], Instant::now());
            while let Ok(Ok(1..)) = timeout(SILENT_FOR, stream.read(&mut piece)).await {
                seen.silence = seen.silence.max(heard.elapsed());
                heard = Instant::now();
                if done.load(Relaxed) {
                    return seen;
                }
            }
            seen.silence = seen.silence.max(heard.elapsed());
        }
        seen.reopened += 1;
    }
    seen
}
