//! How a second terminal reaches the demo: a file in its directory says where, a socket beside it listens.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::Fault;
use crate::lab::{self, Lab};

const STATE: &str = "demo.json";
const SOCKET: &str = "demo.sock";
const REQUEST_WITHIN: Duration = Duration::from_secs(2);
const ANSWER_WITHIN: Duration = Duration::from_secs(120);
const LONGEST_REQUEST: u64 = 100;

/// What the state file holds.
#[derive(Serialize, Deserialize)]
struct State {
    socket: PathBuf,
}

/// The demo's end.
pub(super) struct Control {
    requests: mpsc::Receiver<Request>,
    // A task of its own: a request that is half read must not be lost to whatever else the demo waits for.
    task: JoinHandle<()>,
}

impl Control {
    /// Listens, and then lets itself be found.
    pub(super) fn open(lab: &Lab) -> anyhow::Result<Self> {
        let socket = lab.path().join(SOCKET);
        let listener = UnixListener::bind(&socket).with_context(|| format!("cannot listen on {}", socket.display()))?;
        // Whoever may connect may stop servers.
        std::fs::set_permissions(&socket, Permissions::from_mode(0o600))
            .with_context(|| format!("cannot protect {}", socket.display()))?;
        let (send, requests) = mpsc::channel(1);
        let control = Self { requests, task: tokio::spawn(listen(listener, send)) };
        let state = lab.path().join(STATE);
        let text = serde_json::to_string(&State { socket })?;
        std::fs::write(&state, text).with_context(|| format!("cannot write {}", state.display()))?;
        Ok(control)
    }

    /// Waits for the next request. Nothing is lost when the wait is given up.
    pub(super) async fn next(&mut self) -> Option<Request> {
        self.requests.recv().await
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Takes one request after the other; what says nothing in time is none.
async fn listen(listener: UnixListener, requests: mpsc::Sender<Request>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, most likely; they come back.
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        if let Ok(Some(request)) = timeout(REQUEST_WITHIN, Request::read(stream)).await
            && requests.send(request).await.is_err()
        {
            return;
        }
    }
}

/// A fault that somebody asked for.
pub(super) struct Request {
    pub(super) fault: Result<Fault, String>,
    stream: UnixStream,
}

impl Request {
    async fn read(mut stream: UnixStream) -> Option<Self> {
        let mut line = String::new();
        let length = BufReader::new((&mut stream).take(LONGEST_REQUEST)).read_line(&mut line).await.ok()?;
        let fault = clap::ValueEnum::from_str(line.trim_end(), false);
        (length > 0).then_some(Self { fault, stream })
    }

    /// Says what came of it. Whoever asked may be gone.
    pub(super) async fn answer(mut self, answer: anyhow::Result<String>) {
        let text = match answer {
            Ok(text) => format!("ok {text}"),
            Err(error) => format!("error {error:#}"),
        };
        let _ = timeout(REQUEST_WITHIN, self.stream.write_all(text.as_bytes())).await;
    }
}

/// Asks the demo that runs and returns what it says.
pub(super) async fn ask(fault: Fault) -> anyhow::Result<String> {
    let lab = find()?;
    let state = lab.join(STATE);
    let text = std::fs::read_to_string(&state).with_context(|| format!("cannot read {}", state.display()))?;
    let State { socket } = serde_json::from_str(&text).with_context(|| format!("cannot read {}", state.display()))?;
    let exchange = async {
        let mut stream = UnixStream::connect(&socket).await?;
        stream.write_all(format!("{}\n", fault.name()).as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.map(|_| answer)
    };
    let answer = match timeout(ANSWER_WITHIN, exchange).await {
        Ok(answer) => answer.with_context(|| format!("cannot reach the demo in {}", lab.display()))?,
        Err(_) => bail!("the demo in {} did not answer within {} s", lab.display(), ANSWER_WITHIN.as_secs()),
    };
    match answer.split_once(' ') {
        Some(("ok", text)) => Ok(text.to_owned()),
        Some(("error", text)) => bail!("{text}"),
        _ => bail!("the demo in {} ended before it answered", lab.display()),
    }
}

/// The directory of the demo that `LAB_DEMO` names, or else of the youngest that runs.
fn find() -> anyhow::Result<PathBuf> {
    if let Some(lab) = std::env::var_os("LAB_DEMO") {
        return Ok(PathBuf::from(lab));
    }
    let written = |lab: &PathBuf| std::fs::metadata(lab.join(STATE)).and_then(|meta| meta.modified()).ok();
    let demos = lab::running().into_iter().filter_map(|lab| Some((written(&lab)?, lab)));
    match demos.max() {
        Some((_, lab)) => Ok(lab),
        None => bail!("no demo of yours is running: start one with `pgvigil demo` in another terminal"),
    }
}
