//! `pgvigil status`: what a running pgvigil sees, as a table, or live in a terminal.

mod answer;
mod detail;
mod draw;
mod table;
mod terminal;
pub mod text;
mod view;
mod watch;

#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;

use crate::peer::{Address, Peer, PeerError};
use answer::Clusters;
use table::table;

/// How long one look may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// How it is shown.
#[derive(Clone, Copy, Debug)]
pub enum Show {
    /// Once, as a table.
    Table,
    /// Once: the API's own answers, in one array.
    Json,
    /// Again and again.
    Watch {
        /// Between two looks.
        interval: Duration,
        /// Whether colour is wanted.
        colour: bool,
    },
}

/// Prints what the pgvigil at `address` sees.
pub async fn run(address: Address, show: Show) -> anyhow::Result<()> {
    let mut peer = Peer::new(address.clone(), DEADLINE);
    let is_terminal = io::stdout().is_terminal();
    match show {
        Show::Json => {
            let answers = answers(&mut peer).await?;
            print(&format!("{:#}\n", Value::Array(answers))).map(drop)
        }
        Show::Table => print(&tables(answers(&mut peer).await?, is_terminal)?).map(drop),
        Show::Watch { interval, colour } if is_terminal => watch::run(address, interval, colour).await,
        Show::Watch { interval, .. } => watch::lines(peer, interval).await,
    }
}

/// What is known of every cluster.
async fn answers(peer: &mut Peer) -> Result<Vec<Value>, PeerError> {
    let all: Clusters = peer.get("/api/v1/clusters").await?;
    let mut answers = Vec::new();
    for brief in all.clusters {
        answers.push(peer.get::<Value>(&format!("/api/v1/clusters/{}", brief.name)).await?);
    }
    Ok(answers)
}

fn tables(answers: Vec<Value>, is_terminal: bool) -> anyhow::Result<String> {
    let clusters = answers.into_iter().map(|answer| {
        let cluster = serde_json::from_value(answer).context("this is another version of pgvigil's API")?;
        Ok(table(&cluster, is_terminal))
    });
    Ok(clusters.collect::<anyhow::Result<Vec<_>>>()?.join("\n"))
}

/// Writes to standard output; `false`: whoever reads has enough.
fn print(text: &str) -> anyhow::Result<bool> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error).context("cannot write the status"),
    }
}
