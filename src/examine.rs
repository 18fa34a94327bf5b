//! `pgvigil doctor`: asks every node once, judges every check, and says what was found. No running pgvigil is needed.

use std::io::Write;
use std::sync::Arc;

use anyhow::Context;
use futures_util::future::join_all;
use serde_json::Value;

use crate::app::{Visit, visits};
use crate::clock::Moment;
use crate::config::{Environment, Settings};
use crate::doctor::patient::Patient;
use crate::doctor::report::Report;
use crate::observe::Hub;
use crate::observe::keeper::Keeper;
use crate::observe::once::once;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// One JSON array with an object for each cluster.
    pub json: bool,
    /// Whether what is unknown counts too.
    pub strict: bool,
    /// This cluster alone.
    pub cluster: Option<String>,
    /// Whether a row is written on the primary, and timed until each standby shows it.
    pub write_probe: bool,
    /// Findings about this node and the cluster alone.
    pub node: Option<String>,
}

/// The clusters that `options` mean, or why there are none.
pub fn chosen(settings: &Settings, environment: &Arc<Environment>, options: &Options) -> Result<Vec<Visit>, String> {
    let mut all = visits(settings, environment);
    all.retain(|visit| options.cluster.as_ref().is_none_or(|cluster| *cluster == visit.layout.name));
    if let (true, Some(cluster)) = (all.is_empty(), &options.cluster) {
        return Err(format!("the config has no cluster {cluster:?}: `pgvigil check` lists them"));
    }
    if let Some(node) = &options.node {
        all.retain(|visit| visit.layout.index_of(node).is_some());
        if all.is_empty() {
            return Err(format!("no cluster of the config has a node {node:?}"));
        }
    }
    Ok(all)
}

/// Looks at `visits` and prints what was found; whether all is well. What a running pgvigil remembers of them is read from its
/// `state_dir`, if that can be.
pub async fn run(visits: Vec<Visit>, settings: &Settings, options: &Options) -> anyhow::Result<bool> {
    let keeper = Keeper::new(settings.state_dir.path.clone(), true);
    let reports = visits.into_iter().map(|visit| look(visit, &keeper, options));
    let reports = join_all(reports).await;
    let text = match options.json {
        true => format!("{:#}\n", Value::Array(reports.iter().map(Report::json).collect())),
        false => reports.iter().map(Report::text).collect::<Vec<_>>().join("\n"),
    };
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Whoever reads has enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
        written => written.context("cannot write what was found")?,
    }
    Ok(reports.iter().all(|report| !report.is_ill(options.strict)))
}

async fn look(visit: Visit, keeper: &Keeper, options: &Options) -> Report {
    let Visit { layout, nodes, backup, clients } = visit;
    let memory = keeper.load(&layout.name);
    let hub = Hub::new(layout, memory);
    once(&hub, &nodes, backup.as_ref(), &clients, options.write_probe).await;
    let cluster = hub.cluster();
    Report::of(&Patient::new(&cluster, Moment::now()), options.node.as_deref())
}
