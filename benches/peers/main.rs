//! pgvigil beside Debian's prometheus-postgres-exporter, on the same servers in one run.
//!
//! `cargo bench --bench peers -- [--write] [--quick] [SECTION …]` with the sections scrapes, troubled, cpu, collections, page, connections, memory,
//! events, lag.
//! `LAB_PGVIGIL` names another pgvigil to measure in place of this build.

#![allow(missing_docs)]

mod client;
mod collections;
mod costs;
mod events;
mod figures;
mod lag;
mod page;
mod process;
mod report;
mod scene;
mod scrapes;

use std::time::Duration;

use report::Report;
use scene::Scene;

/// How long it may take.
#[derive(Clone, Copy)]
pub enum Effort {
    /// Figures to keep.
    Full,
    /// A look while working on something.
    Quick,
}

impl Effort {
    fn rounds(self) -> usize {
        match self {
            Self::Full => 5,
            Self::Quick => 2,
        }
    }

    fn events(self) -> u32 {
        match self {
            Self::Full => 10,
            Self::Quick => 3,
        }
    }

    fn window(self, full: Duration) -> Duration {
        match self {
            Self::Full => full,
            Self::Quick => full / 3,
        }
    }
}

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(run())
}

async fn run() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    let sections: Vec<&str> = args.iter().map(String::as_str).filter(|arg| !arg.starts_with("--")).collect();
    let wanted = |section: &str| sections.is_empty() || sections.contains(&section);
    let effort = if has("--quick") { Effort::Quick } else { Effort::Full };
    let mut report = Report::new();
    let scene = Scene::set().await?;
    let servers = format!("PostgreSQL {}, a primary and two standbys", scene.lab.binaries().version());
    if wanted("scrapes") {
        scrapes::healthy(&scene, effort, &mut report).await?;
    }
    if wanted("troubled") {
        scrapes::troubled(&scene, effort, &mut report).await?;
    }
    if wanted("cpu") {
        costs::cpu(&scene, effort, &mut report).await?;
    }
    if wanted("collections") {
        collections::cost(&scene, effort, &mut report).await?;
    }
    if wanted("page") {
        page::fresh(&scene, effort, &mut report).await?;
    }
    if wanted("connections") {
        costs::connected(&scene, effort, &mut report).await?;
    }
    if wanted("memory") {
        costs::memory(&scene, effort, &mut report).await?;
    }
    if wanted("events") {
        events::seen(&scene, effort, &mut report).await?;
    }
    if wanted("lag") {
        lag::against_truth(&scene, effort, &mut report).await?;
    }
    report.finish(&servers, has("--write"))?;
    scene.lab.stop().await;
    Ok(())
}
