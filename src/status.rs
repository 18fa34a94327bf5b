//! `pgvigil status`: what a running pgvigil sees, as a table.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use anyhow::Context;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Deserialize;
use serde_json::Value;

use crate::clock::Wall;
use crate::peer::{Address, Peer};

/// How long one answer may take.
const DEADLINE: Duration = Duration::from_secs(5);
/// Between two looks with `--watch`.
const WATCH_EACH: Duration = Duration::from_secs(2);
/// Clears the terminal and goes to its first line.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// How it is shown.
#[derive(Clone, Copy, Debug)]
pub struct Show {
    /// The API's own answers, in one array.
    pub json: bool,
    /// Again and again until the process is stopped.
    pub watch: bool,
}

#[derive(Deserialize)]
struct Clusters {
    clusters: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

/// What the table needs of `/api/v1/clusters/{cluster}`.
#[derive(Deserialize)]
struct Cluster {
    name: String,
    primary: Option<String>,
    split_brain: String,
    failover_loss: Option<Loss>,
    maintenance: Option<Maintenance>,
    standbys: Vec<Standby>,
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Loss {
    seen_bytes: u64,
    estimated_bytes: u64,
}

#[derive(Deserialize)]
struct Maintenance {
    until: Wall,
    by: String,
    reason: Option<String>,
}

#[derive(Deserialize)]
struct Standby {
    standby: String,
    expected: bool,
    connected: bool,
}

#[derive(Deserialize)]
struct Node {
    role: String,
    verdicts: Verdicts,
    failure: Option<Failure>,
}

#[derive(Deserialize)]
struct Verdicts {
    name: String,
    state: String,
    lag: Option<Lags>,
}

#[derive(Deserialize)]
struct Lags {
    received: Lag,
    replayed: Lag,
}

#[derive(Deserialize)]
struct Lag {
    seconds: Option<f64>,
    bytes: Option<u64>,
    unknown: Option<String>,
}

#[derive(Deserialize)]
struct Failure {
    value: Message,
}

#[derive(Deserialize)]
struct Message {
    message: String,
}

/// Prints what the pgvigil at `address` sees.
pub async fn run(address: Address, show: Show) -> anyhow::Result<()> {
    let mut peer = Peer::new(address, DEADLINE);
    loop {
        let text = look(&mut peer, show).await?;
        let mut out = std::io::stdout().lock();
        let clear = if show.watch && out.is_terminal() { CLEAR } else { "" };
        match write!(out, "{clear}{text}").and_then(|()| out.flush()) {
            Ok(()) => {}
            // Whoever reads has enough.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(error).context("cannot write the status"),
        }
        drop(out);
        if !show.watch {
            return Ok(());
        }
        tokio::time::sleep(WATCH_EACH).await;
    }
}

async fn look(peer: &mut Peer, show: Show) -> anyhow::Result<String> {
    let all: Clusters = peer.get("/api/v1/clusters").await?;
    let mut answers = Vec::new();
    for named in all.clusters {
        answers.push(peer.get::<Value>(&format!("/api/v1/clusters/{}", named.name)).await?);
    }
    if show.json {
        return Ok(format!("{:#}\n", Value::Array(answers)));
    }
    let is_terminal = std::io::stdout().is_terminal();
    let clusters = answers.into_iter().map(|answer| {
        let cluster = serde_json::from_value(answer).context("this is another version of pgvigil's API")?;
        Ok(table(&cluster, is_terminal))
    });
    Ok(clusters.collect::<anyhow::Result<Vec<_>>>()?.join("\n"))
}

fn table(cluster: &Cluster, is_terminal: bool) -> String {
    let primary = cluster.primary.as_deref().unwrap_or("unknown");
    let loss = cluster.failover_loss.as_ref().map_or("unknown".to_owned(), |loss| {
        format!("{} seen, {} estimated", bytes(loss.seen_bytes), bytes(loss.estimated_bytes))
    });
    let head = format!(
        "cluster {}: primary {primary}; split brain {}; a failover now would lose {loss}\n",
        cluster.name, cluster.split_brain
    );
    let maintenance = cluster.maintenance.as_ref().map_or(String::new(), |maintenance| {
        let reason = maintenance.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
        format!("in maintenance until {}, by {}{reason}\n", maintenance.until, maintenance.by)
    });
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header([
        "NODE",
        "STATE",
        "ROLE",
        "RECEIVED",
        "REPLAYED",
        "CONNECTED",
        "WHY",
    ]);
    // A pipe gets every line whole.
    if is_terminal {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    for node in &cluster.nodes {
        let verdicts = &node.verdicts;
        let lag = |stage: fn(&Lags) -> &Lag| verdicts.lag.as_ref().map_or("-".to_owned(), |lags| behind(stage(lags)));
        table.add_row([
            verdicts.name.clone(),
            verdicts.state.clone(),
            node.role.clone(),
            lag(|lags| &lags.received),
            lag(|lags| &lags.replayed),
            connected(cluster, &verdicts.name).to_owned(),
            node.failure.as_ref().map_or(String::new(), |failure| failure.value.message.clone()),
        ]);
    }
    let others =
        cluster.standbys.iter().filter(|standby| !cluster.nodes.iter().any(|it| it.verdicts.name == standby.standby));
    let others: Vec<_> = others.map(|standby| standby.standby.as_str()).collect();
    let others = match others.as_slice() {
        [] => String::new(),
        names => format!("standbys that the config does not name: {}\n", names.join(", ")),
    };
    let lines: String = table.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    format!("{head}{maintenance}{lines}{others}")
}

fn connected(cluster: &Cluster, name: &str) -> &'static str {
    match cluster.standbys.iter().find(|standby| standby.standby == name) {
        None => "-",
        Some(Standby { connected: true, .. }) => "yes",
        Some(Standby { expected: true, .. }) => "no, expected",
        Some(_) => "no",
    }
}

fn behind(lag: &Lag) -> String {
    match (lag.seconds, lag.bytes, &lag.unknown) {
        (Some(seconds), Some(amount), _) => format!("{seconds:.1} s, {}", bytes(amount)),
        (Some(seconds), None, _) => format!("{seconds:.1} s"),
        (None, _, Some(why)) => format!("unknown: {}", why.replace('_', " ")),
        (None, _, None) => "unknown".to_owned(),
    }
}

/// Bytes for people.
fn bytes(amount: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (amount as f64, 0);
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{amount} B"),
        unit => format!("{value:.1} {}", units.get(unit).unwrap_or(&"B")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_in_their_unit() {
        for (amount, shown) in
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (16 << 20, "16.0 MiB"), (u64::MAX, "16777216.0 TiB")]
        {
            assert_eq!(bytes(amount), shown);
        }
    }

    #[test]
    fn unknown_is_never_shown_as_a_number() {
        let lag = Lag { seconds: None, bytes: Some(0), unknown: Some("primary_unseen".to_owned()) };
        assert_eq!(behind(&lag), "unknown: primary unseen");
    }
}
