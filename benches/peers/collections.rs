//! What a full collection costs the server, and which collector is dear.

use std::fs;
use std::time::Duration;

use anyhow::Context;
use pgvigil::collector::{COLLECTORS, Collector, Pace};
use pgvigil::lab::Role;
use pgvigil::pg::dsn::Target;
use pgvigil::pg::session::Session;
use pgvigil::pg::trail::Trail;
use tokio::time::interval;
use tokio_postgres::{Client as Sql, Statement};

use super::figures::{Spread, short};
use super::report::{Bar, Report};
use super::scene::{SOON, Scene};
use super::{Effort, process};

/// Between two readings: no backend finds warm caches.
const APART: Duration = Duration::from_millis(10);
/// Files in `archive_status` that wait for an archiver.
const READY: usize = 30_000;

/// A backend, and what each of its readings cost.
struct Reader {
    session: Session,
    backend: i32,
    costs: Vec<f64>,
}

impl Reader {
    async fn connect(scene: &Scene, collectors: &[&'static dyn Collector]) -> anyhow::Result<Self> {
        let target = Target::parse(&scene.a.dsn(Role::Monitor), &|_| None, &Trail::default())?;
        let before = backends(scene).await?;
        let mut session = Session::connect(&target, &target.connector(&Trail::default())?, SOON, SOON)
            .await
            .map_err(|failure| anyhow::anyhow!("{failure:?}"))?;
        let backend = backends(scene).await?.into_iter().find(|pid| !before.contains(pid));
        session.prepare(collectors).await.map_err(|failure| anyhow::anyhow!("{failure:?}"))?;
        Ok(Self { session, backend: backend.context("no backend of a session that stands")?, costs: Vec::new() })
    }

    async fn read(&mut self) -> anyhow::Result<()> {
        let before = process::precise_cpu_ms(self.backend);
        let answers = self.session.read().await.map_err(|failure| anyhow::anyhow!("{failure:?}"))?;
        for (collector, answer) in answers {
            answer.map_err(|refusal| anyhow::anyhow!("{}: {refusal}", collector.name()))?;
        }
        self.costs.push(process::precise_cpu_ms(self.backend) - before);
        Ok(())
    }

    /// In ms a reading. The first ones fill the backend's caches.
    fn mean(&self) -> f64 {
        let warm = self.costs.get(3..).unwrap_or_default();
        warm.iter().sum::<f64>() / warm.len() as f64
    }
}

/// Server CPU of a fast and a slow reading, in a small cluster and in a large one, and of each collector alone.
pub async fn cost(scene: &Scene, effort: Effort, report: &mut Report) -> anyhow::Result<()> {
    report.section("CPU of the primary for one full collection");
    scene.slots(1).await?;
    collect(scene, effort, "2 standbys", 5.0, report).await?;
    scene.slots(200).await?;
    let waiting = make_ready(scene)?;
    collect(scene, effort, "200 slots, 30,000 .ready", 15.0, report).await?;
    for path in waiting {
        fs::remove_file(path)?;
    }
    scene.slots(1).await
}

async fn collect(scene: &Scene, effort: Effort, place: &str, bar: f64, report: &mut Report) -> anyhow::Result<()> {
    let of = |pace| COLLECTORS.iter().copied().filter(move |collector| collector.pace() == pace).collect::<Vec<_>>();
    let mut whole = [Reader::connect(scene, &of(Pace::Fast)).await?, Reader::connect(scene, &of(Pace::Slow)).await?];
    let mut alone = Vec::new();
    for collector in COLLECTORS {
        alone.push((collector.name(), Reader::connect(scene, &[*collector]).await?));
    }
    let least = scene.a.connect_as(Role::Monitor).await?;
    let statement = least.prepare("SELECT 1").await?;
    let (pid, mut one) = (least.query_one("SELECT pg_backend_pid()", &[]).await?.get(0), Vec::new());
    let mut ticks = interval(APART);
    for _ in 0..effort.rounds() * 20 {
        for reader in whole.iter_mut().chain(alone.iter_mut().map(|(_, reader)| reader)) {
            ticks.tick().await;
            reader.read().await?;
        }
        ticks.tick().await;
        one.push(select_one(&least, &statement, pid).await?);
    }
    let one = one.iter().sum::<f64>() / one.len() as f64;
    let [fast, slow] = whole.each_ref().map(Reader::mean);
    let name = |what: &str| format!("{place}: {what}");
    report.figures(&name("ms, fast and slow together"), Spread::of(&[fast + slow]), None, &Bar::Most(bar));
    report.figures(&name("ms, all fast collectors in one statement"), Spread::of(&[fast]), None, &Bar::None);
    report.figures(&name("ms, all slow collectors"), Spread::of(&[slow]), None, &Bar::None);
    report.figures(&name("ms, SELECT 1"), Spread::of(&[one]), None, &Bar::None);
    alone.sort_by(|(_, one), (_, other)| other.mean().total_cmp(&one.mean()));
    for (collector, reader) in &alone {
        let cost = reader.mean();
        let words = format!("{} ms, {} × SELECT 1", short(cost), short(cost / one));
        report.words(&name(&format!("{collector} alone")), &words, "–", "", None);
    }
    Ok(())
}

async fn select_one(client: &Sql, statement: &Statement, pid: i32) -> anyhow::Result<f64> {
    let before = process::precise_cpu_ms(pid);
    client.query(statement, &[]).await?;
    Ok(process::precise_cpu_ms(pid) - before)
}

async fn backends(scene: &Scene) -> anyhow::Result<Vec<i32>> {
    let rows = scene.a.query("SELECT pid FROM pg_stat_activity WHERE usename = 'pgvigil'").await?;
    Ok(rows.iter().filter_map(|row| row.first()?.as_ref()?.parse().ok()).collect())
}

/// Segments that look as if they waited for an archiver; there is none that could take them away.
fn make_ready(scene: &Scene) -> anyhow::Result<Vec<std::path::PathBuf>> {
    let directory = scene.a.data_dir().join("pg_wal/archive_status");
    let segments = (1..=READY).map(|number| format!("00000001{:08X}{:08X}.ready", number / 4096, number % 4096));
    segments.map(|name| directory.join(name)).map(|path| Ok(fs::write(&path, "").map(|()| path)?)).collect()
}
