//! `pgvigil maintenance`: tells a running pgvigil that people work on a cluster, and that they are done.

use std::io::Write;
use std::time::Duration;

use anyhow::Context;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::clock::Wall;
use crate::peer::{Address, Peer};

/// How long the answer may take: it waits for a disk.
const DEADLINE: Duration = Duration::from_secs(10);

/// Which clusters; none named and not all: the only one that is watched.
#[derive(Clone, Debug)]
pub struct Which {
    /// Those of these names.
    pub clusters: Vec<String>,
    /// All.
    pub all: bool,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub enum Change {
    /// Maintenance from now on.
    Start {
        /// For how long, with its unit.
        lasts: String,
        /// Why.
        reason: Option<String>,
    },
    /// The end of it.
    End,
}

#[derive(Deserialize)]
struct Done {
    note: Option<String>,
    clusters: Vec<Cluster>,
}

#[derive(Deserialize)]
struct Cluster {
    name: String,
    maintenance: Option<Present>,
}

#[derive(Deserialize)]
struct Present {
    until: Wall,
}

/// Asks the pgvigil at `address` for it, and prints what came of it.
pub async fn run(address: Address, which: Which, change: Change) -> anyhow::Result<()> {
    let mut peer = Peer::new(address, DEADLINE);
    let done: Done = peer.post("/api/v1/maintenance", &body(which, change)).await?;
    let mut text = String::new();
    for Cluster { name, maintenance } in done.clusters {
        text += &match maintenance {
            Some(present) => format!("cluster {name}: in maintenance until {}\n", present.until),
            None => format!("cluster {name}: not in maintenance\n"),
        };
    }
    if let Some(note) = done.note {
        text += &format!("note: {note}\n");
    }
    std::io::stdout().write_all(text.as_bytes()).context("cannot write what was done")
}

fn body(which: Which, change: Change) -> Value {
    let mut body = Map::new();
    match change {
        Change::Start { lasts, reason } => {
            body.insert("action".to_owned(), json!("start"));
            body.insert("for".to_owned(), json!(lasts));
            body.insert("reason".to_owned(), json!(reason));
        }
        Change::End => {
            body.insert("action".to_owned(), json!("end"));
        }
    }
    if which.all {
        body.insert("all".to_owned(), json!(true));
    } else if !which.clusters.is_empty() {
        body.insert("clusters".to_owned(), json!(which.clusters));
    }
    Value::Object(body)
}
