//! pgvigil alone, on more and more nodes: what they cost it, and whether it keeps up.
//!
//! `cargo bench --bench fleet -- [--write] [NODES …]`, 1, 10, 100 and 1,000 unless sizes are named.
//! `LAB_PGVIGIL` names another pgvigil to measure in place of this build.

#![allow(missing_docs)]

#[path = "../peers/figures.rs"]
#[expect(dead_code, reason = "the other bench's")]
mod figures;
mod measure;
#[path = "../peers/process.rs"]
#[expect(dead_code, reason = "the other bench's")]
mod process;
mod report;
mod scene;
mod scraper;

use report::Report;
use scene::Scene;

const SIZES: [usize; 4] = [1, 10, 100, 1000];

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(run())
}

async fn run() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let named: Vec<usize> = args.iter().filter_map(|arg| arg.parse().ok()).collect();
    let sizes = if named.is_empty() { SIZES.to_vec() } else { named };
    let most = sizes.iter().copied().max().unwrap_or(1);
    let scene = Scene::set(most).await?;
    let mut report = Report::new(scene.lab.binaries().version());
    for nodes in sizes {
        let figures = measure::fleet(&scene, nodes).await?;
        report.add(nodes, figures);
    }
    report.finish(args.iter().any(|arg| arg == "--write"))?;
    scene.lab.stop().await;
    Ok(())
}
