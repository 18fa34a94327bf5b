//! pgvigil as its users see it: the binary with a config file, and its pages.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pgvigil::lab::{Lab, LabError, Role, Server, Spawn, Spawned, wait_until};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::pages::accepted;

/// Within this a change that pgvigil can see at its next reading is on its page.
pub const SOON: Duration = Duration::from_secs(15);
/// The sample interval of the tests' configuration.
pub const INTERVAL: Duration = Duration::from_millis(500);

/// So often a page of any test is held to what Prometheus accepts.
const JUDGED_EACH: Duration = Duration::from_secs(2);

/// One node of the configuration.
pub struct Node {
    pub yaml: String,
}

impl Node {
    /// A node whose connection string is in a file.
    pub fn in_file(name: &str, dsn_file: &std::path::Path) -> Self {
        Self { yaml: format!("      - {{name: {name}, dsn_file: {}}}\n", dsn_file.display()) }
    }

    /// The server under its own name, as the role that should watch it.
    pub fn of(server: &Server) -> Self {
        Self::with(server.name(), &server.dsn(Role::Monitor), "")
    }

    /// A node by name and connection string, with more keys (`, key: value`).
    pub fn with(name: &str, dsn: &str, more: &str) -> Self {
        Self { yaml: format!("      - {{name: {name}, dsn: \"{dsn}\"{more}}}\n") }
    }
}

/// A running pgvigil.
pub struct Vigil {
    process: Arc<Spawned>,
    config: PathBuf,
    port: u16,
    /// When a page was last held to what Prometheus accepts.
    judged: Mutex<Option<Instant>>,
}

impl Vigil {
    /// Starts pgvigil on `nodes`, as cluster `lab`, with a state directory, and waits until it answers.
    pub async fn start(lab: &Lab, nodes: &[Node]) -> Result<Self, LabError> {
        Self::start_with(lab, nodes, "").await
    }

    /// The same with more top-level configuration (whole lines).
    pub async fn start_with(lab: &Lab, nodes: &[Node], more: &str) -> Result<Self, LabError> {
        let port = lab.free_port()?;
        lab.own_dir("state")?;
        let config = lab.path().join("pgvigil.yml");
        std::fs::write(&config, Self::config_text(lab, port, nodes, more)).expect("a config file in the lab");
        let process = Self::spawn(lab, &config)?;
        let vigil = Self { process, config, port, judged: Mutex::default() };
        vigil.wait_ready().await?;
        Ok(vigil)
    }

    /// The configuration that [`Self::start_with`] writes.
    pub fn config_text(lab: &Lab, port: u16, nodes: &[Node], more: &str) -> String {
        let nodes: String = nodes.iter().map(|node| node.yaml.as_str()).collect();
        format!(
            "listen: 127.0.0.1:{port}\nstate_dir: {}\nsample_interval: {}ms\ncollect_interval: 1s\nlogin_interval: 1s\n{more}\
             clusters:\n  - name: lab\n    nodes:\n{nodes}",
            lab.path().join("state").display(),
            INTERVAL.as_millis(),
        )
    }

    /// Puts another config file into the place of the present one, in one step as an editor does.
    pub fn replace_config(&self, text: &str) {
        let new = self.config.with_extension("new");
        std::fs::write(&new, text).expect("a file in the lab");
        std::fs::rename(&new, &self.config).expect("a config file in the lab");
    }

    /// One that reads the config file at `config`, which listens on `port`.
    pub async fn start_at(lab: &Lab, config: PathBuf, port: u16) -> Result<Self, LabError> {
        let vigil = Self { process: Self::spawn(lab, &config)?, config, port, judged: Mutex::default() };
        vigil.wait_ready().await?;
        Ok(vigil)
    }

    /// One that somebody else started; `process` is the one whose log says more when something is wrong.
    pub fn of(process: Arc<Spawned>, port: u16) -> Self {
        Self { process, config: PathBuf::new(), port, judged: Mutex::default() }
    }

    fn spawn(lab: &Lab, config: &PathBuf) -> Result<Arc<Spawned>, LabError> {
        // Each config has a log of its own.
        let name = config.file_stem().map_or_else(|| "pgvigil".into(), |stem| stem.to_string_lossy());
        lab.spawn(Spawn::new(name, env!("CARGO_BIN_EXE_pgvigil")).arg("serve").arg("--config").arg(config))
    }

    async fn wait_ready(&self) -> Result<(), LabError> {
        wait_until("pgvigil's /-/ready", SOON, async || match self.get("/-/ready", "").await {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("{error}\n{}", self.process.log_tail(5))),
        })
        .await
    }

    /// Ends pgvigil by SIGTERM and starts it again with the same configuration and state.
    pub async fn restart(&mut self, lab: &Lab) -> Result<(), LabError> {
        self.process.terminate(SOON).await?;
        self.process = Self::spawn(lab, &self.config)?;
        self.wait_ready().await
    }

    /// Kills pgvigil alone (SIGKILL): what it began goes on.
    pub async fn crash(&self) -> Result<(), LabError> {
        self.process.signal(Signal::KILL)?;
        self.process.wait(SOON).await.map(drop)
    }

    /// Starts it again after a crash.
    pub async fn start_again(&mut self, lab: &Lab) -> Result<(), LabError> {
        self.process = Self::spawn(lab, &self.config)?;
        self.wait_ready().await
    }

    pub fn process(&self) -> &Spawned {
        &self.process
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The body of `path`, if it is answered with 200.
    pub async fn get(&self, path: &str, headers: &str) -> Result<String, String> {
        let exchange = async {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
            let request = format!("GET {path} HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n{headers}\r\n");
            stream.write_all(request.as_bytes()).await?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await?;
            Ok::<_, std::io::Error>(String::from_utf8_lossy(&answer).into_owned())
        };
        let answer = timeout(SOON, exchange).await.map_err(|_| "no answer".to_owned())?.map_err(|e| e.to_string())?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or("no end of the head")?;
        let status = head.lines().next().unwrap_or_default();
        if !status.contains(" 200 ") {
            return Err(format!("{status}: {body}"));
        }
        Ok(match head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
            true => unchunk(body),
            false => body.to_owned(),
        })
    }

    /// `/metrics`, parsed.
    pub async fn page(&self) -> Page {
        let text = self.metrics("").await;
        if self.is_to_be_judged() {
            accepted(&text, false);
            accepted(&self.metrics("Accept: application/openmetrics-text;version=1.0.0\r\n").await, true);
        }
        Page::parse(&text)
    }

    async fn metrics(&self, headers: &str) -> String {
        match self.get("/metrics", headers).await {
            Ok(text) => text,
            Err(error) => panic!("no /metrics: {error}\n{}", self.process.log_tail(20)),
        }
    }

    /// Now and then, so that every state that a test makes is looked at.
    fn is_to_be_judged(&self) -> bool {
        let mut judged = self.judged.lock().unwrap();
        let is_due = judged.is_none_or(|at| at.elapsed() >= JUDGED_EACH);
        if is_due {
            *judged = Some(Instant::now());
        }
        is_due
    }

    /// Waits until the page satisfies `condition`, which otherwise says what it sees.
    pub async fn until<T>(&self, what: &str, condition: impl Fn(&Page) -> Result<T, String>) -> T {
        self.until_within(what, SOON, condition).await
    }

    pub async fn until_within<T>(
        &self,
        what: &str,
        within: Duration,
        condition: impl Fn(&Page) -> Result<T, String>,
    ) -> T {
        match wait_until(what, within, async || condition(&self.page().await)).await {
            Ok(value) => value,
            Err(error) => panic!("{error}\npgvigil's log ends with:\n{}", self.process.log_tail(20)),
        }
    }

    /// Waits until every node is up and every standby's lag is known.
    pub async fn until_healthy(&self, nodes: &[&str], standbys: &[&str]) {
        for node in nodes {
            self.until_state(node, "up").await;
        }
        for standby in standbys {
            self.until(&format!("lag of {standby} known"), |page| page.expect_known(standby, "replayed", true)).await;
        }
    }

    pub async fn until_state(&self, node: &str, state: &str) {
        self.until(&format!("node {node} {state}"), |page| {
            let seen = page.state(node);
            if seen == state { Ok(()) } else { Err(format!("{node} is {seen}")) }
        })
        .await;
    }
}

fn unchunk(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 {
            break;
        }
        whole.push_str(&rest[..size]);
        body = &rest[size + 2..];
    }
    whole
}

/// A page of metrics.
pub struct Page {
    series: BTreeMap<String, f64>,
}

impl Page {
    fn parse(text: &str) -> Self {
        let series = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            Some((series.to_owned(), value.parse().ok()?))
        });
        Self { series: series.collect() }
    }

    /// A series as it is written, without the prefix and the label `cluster="lab"`.
    pub fn get(&self, name: &str, labels: &str) -> Option<f64> {
        let labels = if labels.is_empty() { String::new() } else { format!(",{labels}") };
        self.series.get(&format!("pgvigil_{name}{{cluster=\"lab\"{labels}}}")).copied()
    }

    pub fn of_node(&self, name: &str, node: &str) -> Option<f64> {
        self.get(name, &format!("node=\"{node}\""))
    }

    pub fn lag(&self, node: &str, stage: &str) -> Option<f64> {
        self.get("standby_lag_seconds", &format!("node=\"{node}\",stage=\"{stage}\""))
    }

    pub fn known(&self, node: &str, stage: &str) -> Option<f64> {
        self.get("standby_lag_known", &format!("node=\"{node}\",stage=\"{stage}\""))
    }

    /// `Ok` if the lag is known or not as expected, and present or absent accordingly.
    pub fn expect_known(&self, node: &str, stage: &str, known: bool) -> Result<(), String> {
        let seen = (self.known(node, stage), self.lag(node, stage).is_some());
        let expected = (Some(f64::from(u8::from(known))), known);
        if seen == expected { Ok(()) } else { Err(format!("{node} {stage}: (known, present) is {seen:?}")) }
    }

    /// The one state whose series is 1.
    pub fn state(&self, node: &str) -> String {
        self.one_of("node_state", &format!("node=\"{node}\""))
    }

    /// The value of the label `state` whose series is 1; panics unless exactly one is.
    pub fn one_of(&self, name: &str, labels: &str) -> String {
        let labels = if labels.is_empty() { String::new() } else { format!(",{labels}") };
        let prefix = format!("pgvigil_{name}{{cluster=\"lab\"{labels},state=\"");
        let set: Vec<_> =
            self.series.iter().filter(|(series, value)| series.starts_with(&prefix) && **value == 1.0).collect();
        match set.as_slice() {
            [(series, _)] => series[prefix.len()..].trim_end_matches("\"}").to_owned(),
            other => panic!("{prefix}: {} states are 1", other.len()),
        }
    }

    /// Every series with its value.
    pub fn series(&self) -> &BTreeMap<String, f64> {
        &self.series
    }

    /// Every series whose name and labels contain all of `parts`.
    pub fn matching(&self, parts: &[&str]) -> Vec<(&str, f64)> {
        let all = self.series.iter().map(|(series, value)| (series.as_str(), *value));
        all.filter(|(series, _)| parts.iter().all(|part| series.contains(part))).collect()
    }
}
