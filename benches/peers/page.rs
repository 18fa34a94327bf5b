//! What a page costs that is made anew, as each is for a scraper that comes less often than the sample interval.

use std::time::{Duration, Instant};

use pgvigil::clock::Moment;
use pgvigil::cluster::facts::Report as Told;
use pgvigil::cluster::layout::{Layout, Member, Timing};
use pgvigil::cluster::memory::Memory;
use pgvigil::cluster::{Cluster, cluster_samples};
use pgvigil::collector::snapshot::Exchange;
use pgvigil::collector::{COLLECTORS, Pace as CollectorPace};
use pgvigil::lab::{Role, Server};
use pgvigil::metric::catalog;
use pgvigil::metric::exposition::{Format, render};
use pgvigil::metric::sample::Samples;
use pgvigil::pg::dsn::Target;
use pgvigil::pg::session::Session;
use pgvigil::pg::trail::Trail;

use rustix::time::{ClockId, clock_gettime};

use super::Effort;
use super::costs::fresh_pages;
use super::figures::{Spread, ms, percentile};
use super::report::{Bar, Report};
use super::scene::{Pace, SOON, Scene};

/// Times of a page in this process, and of a scrape.
pub async fn fresh(scene: &Scene, effort: Effort, report: &mut Report) -> anyhow::Result<()> {
    report.section("A page made anew");
    for (slots, bar) in [(1, Bar::None), (200, Bar::Most(1.0))] {
        scene.slots(slots).await?;
        let cluster = known(scene).await?;
        let name = |what: &str| format!("2 standbys, {slots} slots: {what}");
        let (mut gathered, mut made, mut worked, mut size) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for _ in 0..effort.rounds() * 200 {
            let (started, cpu) = (Instant::now(), thread_cpu_ms());
            let mut samples = Samples::default();
            cluster_samples(&cluster, cluster.facts(0).read.unwrap_or_default(), &mut samples);
            gathered.push(ms(started.elapsed()));
            size = render(&catalog::families(), samples, Format::PrometheusText)?.len();
            made.push(ms(started.elapsed()));
            worked.push(thread_cpu_ms() - cpu);
        }
        report.figures(&name("kB"), Spread::of(&[size as f64 / 1e3]), None, &Bar::None);
        report.figures(&name("samples gathered, p50 ms"), Spread::of(&[percentile(&gathered, 0.5)]), None, &Bar::None);
        report.figures(&name("in this process, p50 ms"), Spread::of(&[percentile(&made, 0.5)]), None, &Bar::None);
        report.figures(&name("in this process, p99 ms"), Spread::of(&[percentile(&made, 0.99)]), None, &bar);
        // On a busy machine the time is mostly that of others; this is ours.
        report.figures(&name("in this process, p99 ms of CPU"), Spread::of(&[percentile(&worked, 0.99)]), None, &bar);
        let pgvigil = scene.pgvigil(Pace::ReadingsAlone).await?;
        let scraped = fresh_pages(&pgvigil, effort.rounds() * 60).await?;
        pgvigil.stop().await?;
        report.figures(&name("scraped, p50 ms"), Spread::of(&[percentile(&scraped, 0.5)]), None, &Bar::None);
        report.figures(&name("scraped, p99 ms"), Spread::of(&[percentile(&scraped, 0.99)]), None, &bar);
    }
    scene.slots(1).await
}

/// CPU time of this thread.
fn thread_cpu_ms() -> f64 {
    let spent = clock_gettime(ClockId::ThreadCPUTime);
    spent.tv_sec as f64 * 1e3 + spent.tv_nsec as f64 / 1e6
}

/// The scene's cluster after one reading of each node.
async fn known(scene: &Scene) -> anyhow::Result<Cluster> {
    let servers = [&scene.a, &scene.b, &scene.c];
    let member = |server: &&Server| {
        let name = server.name().to_owned();
        Member { slot: name.clone(), application_name: name.clone(), name, expected: true, address: None }
    };
    let timing = Timing {
        sample_interval: Duration::from_secs(1),
        collect_interval: Duration::from_secs(10),
        login_interval: Duration::from_secs(15),
        connect_timeout: SOON,
        query_timeout: SOON,
        archive_hung_after: SOON,
    };
    let layout = Layout {
        name: "bench".to_owned(),
        members: servers.iter().map(member).collect(),
        observers: Vec::new(),
        manager: None,
        timing,
    };
    let mut cluster = Cluster::new(layout, Memory::default(), Moment::now());
    for (node, server) in servers.into_iter().enumerate() {
        let target = Target::parse(&server.dsn(Role::Monitor), &|_| None, &Trail::default())?;
        for pace in [CollectorPace::Slow, CollectorPace::Fast] {
            let failed = |failure| anyhow::anyhow!("{failure:?}");
            let collectors: Vec<_> = COLLECTORS.iter().copied().filter(|collector| collector.pace() == pace).collect();
            let mut session =
                Session::connect(&target, &target.connector(&Trail::default())?, SOON, SOON).await.map_err(failed)?;
            session.prepare(&collectors).await.map_err(failed)?;
            cluster.report(node, Told::Connected { version: session.version() }, Moment::now());
            let sent = Moment::now();
            let answers = session.read().await.map_err(failed)?;
            let exchange = Exchange { sent, received: Moment::now() };
            cluster.report(node, Told::Read { pace, exchange, answers }, exchange.received);
        }
    }
    cluster.tick(Moment::now());
    Ok(cluster)
}
