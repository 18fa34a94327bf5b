//! `pgvigil status --watch`: asks again and again. What is asked and what is drawn do not wait for each other.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::answer::Clusters;
use super::terminal::{Heard, Terminal};
use super::view::Picture;
use super::{DEADLINE, answers, print, tables};
use crate::clock::{Mono, Wall};
use crate::peer::{Address, Peer};

/// Live in a terminal, until a person or a signal ends it.
pub(super) async fn run(address: Address, interval: Duration, colour: bool) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let (choose, chosen) = watch::channel(None);
    let host = address.url.host_str().unwrap_or_default();
    let port = address.url.port().map_or(String::new(), |port| format!(":{port}"));
    // Not the URL as it was written, which may hold a password.
    let server = format!("{}://{host}{port}", address.url.scheme());
    let mut terminal = Terminal::start(server, interval, colour, choose).context("cannot take over the terminal")?;
    let ended = tokio::select! {
        // How it ended is heard before that it did.
        biased;
        ended = &mut terminal.ended => ended.unwrap_or_else(|_| anyhow::bail!("drawing failed unexpectedly")),
        () = signals.any() => Ok(()),
        () = ask(address, interval, chosen, &terminal.heard) => Ok(()),
    };
    terminal.stop();
    ended
}

async fn ask(
    address: Address,
    interval: Duration,
    mut chosen: watch::Receiver<Option<String>>,
    heard: &watch::Sender<Heard>,
) {
    let mut peer = Peer::new(address, DEADLINE);
    loop {
        let name = chosen.borrow_and_update().clone();
        let looked = timeout(DEADLINE, look(&mut peer, name)).await;
        heard.send_modify(|heard| match looked {
            Ok(Ok(picture)) => *heard = Heard { picture: Some((Arc::new(picture), Mono::now())), trouble: None },
            Ok(Err(error)) => heard.trouble = Some(error),
            Err(_) => heard.trouble = Some(format!("no answer within {} s", DEADLINE.as_secs())),
        });
        tokio::select! {
            () = sleep(interval) => {}
            // Another cluster is shown at once.
            changed = chosen.changed() => if changed.is_err() { return },
        }
    }
}

/// One look: all clusters in short, the chosen one or else the first in full, and the runs.
async fn look(peer: &mut Peer, chosen: Option<String>) -> Result<Picture, String> {
    let all: Clusters = peer.get("/api/v1/clusters").await.map_err(|error| error.to_string())?;
    let known = chosen.filter(|name| all.clusters.iter().any(|brief| brief.name == *name));
    let cluster = match known.or_else(|| all.clusters.first().map(|brief| brief.name.clone())) {
        Some(name) => {
            let path = format!("/api/v1/clusters/{name}");
            Some(peer.get(&path).await.map_err(|error| error.to_string())?)
        }
        None => None,
    };
    let runs = peer.get("/api/v1/runs").await.map_err(|error| error.to_string())?;
    Ok(Picture { all, cluster, runs })
}

/// Without a terminal: tables, each under its time, until nobody reads them or a signal ends it.
pub(super) async fn lines(mut peer: Peer, interval: Duration) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    loop {
        let looked = tokio::select! {
            looked = timeout(DEADLINE, answers(&mut peer)) => looked,
            () = signals.any() => return Ok(()),
        };
        let text = match looked {
            Ok(Ok(answers)) => tables(answers, false)?,
            Ok(Err(error)) => format!("{error}\n"),
            Err(_) => format!("no answer within {} s\n", DEADLINE.as_secs()),
        };
        if !print(&format!("--- {}\n{text}", Wall::now()))? {
            return Ok(());
        }
        tokio::select! {
            () = sleep(interval) => {}
            () = signals.any() => return Ok(()),
        }
    }
}

/// The signals that end it in order.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen to signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}
