//! A cluster that is used hard and has no fault raises no alert: `make prove-quiet`, the shipped rules as they are, at 15 s.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pgvigil::lab::{LabError, Scale, Server, Spawn};
use tokio::time::{Instant, sleep};

use crate::faults::alert::{Alert, Alerts};
use crate::faults::cast::{Archiving, Cast, Topology};
use crate::faults::cluster::switch;
use crate::faults::row::Watched;
use crate::faults::stage::Stage;
use crate::faults::table::build;
use crate::fixture::{ROOT, update};
use crate::scaled::shipped;

const INTERVAL: Duration = Duration::from_secs(15);
/// The shipped rules as they are.
const UNSCALED: Scale = Scale { factor: 1, scrape: INTERVAL };
/// A program that takes longer is stuck.
const WITHIN: Duration = Duration::from_secs(300);
const MINUTE: Duration = Duration::from_secs(60);

/// Three promotions within an hour are flapping (PostgresFailoverFlapping), planned or not: one there and one back.
const MOST_SWITCHOVERS: u32 = 2;
const SWITCHOVER: &str = "planned switchover in maintenance";

/// What is done in turn, until the time is over.
const PHASES: [&str; 7] = ["burst", "idle", "base backup", "burst", "vacuum", "checkpoint storm", SWITCHOVER];

struct Soak {
    cast: Cast,
    /// Whether `b` is the primary.
    is_switched: bool,
}

impl Soak {
    fn primary(&self) -> &Server {
        if self.is_switched { self.cast.b() } else { &self.cast.a }
    }

    /// Runs one of PostgreSQL's own programs against the primary.
    async fn run(&self, program: &str, arguments: &[&str]) -> Result<(), LabError> {
        let (lab, primary) = (&self.cast.lab, self.primary());
        let spawn = Spawn::new(program, lab.binaries().dir().join(program)).arg("-h").arg(primary.socket_dir());
        let spawn = spawn.arg("-p").arg(primary.port().to_string()).arg("-U").arg("postgres");
        let process = lab.spawn(arguments.iter().fold(spawn, |spawn, argument| spawn.arg(*argument)))?;
        let status = process.wait(WITHIN).await?;
        assert!(status.success(), "{program} {arguments:?}: {}", process.log_tail(5));
        Ok(())
    }

    async fn play(&mut self, phase: &str) -> Result<(), LabError> {
        match phase {
            "burst" => self.run("pgbench", &["-n", "-c", "4", "-T", "60", "-R", "200", "postgres"]).await?,
            "idle" => sleep(2 * MINUTE).await,
            "base backup" => {
                let to = self.cast.lab.own_dir("backup")?.join("copy");
                let to = to.to_string_lossy();
                self.run("pg_basebackup", &["-D", &to, "-X", "stream", "-c", "fast", "-r", "2M"]).await?;
                let _ = std::fs::remove_dir_all(&*to);
            }
            "vacuum" => {
                self.primary().sql("VACUUM FREEZE").await?;
                self.primary().sql("VACUUM FULL pgbench_accounts").await?;
            }
            "checkpoint storm" => {
                for _ in 0..30 {
                    self.primary().sql("CHECKPOINT").await?;
                    sleep(Duration::from_secs(1)).await;
                }
            }
            _ => {
                self.cast.maintain("start", &["--for", "5m"]).await?;
                // Until Prometheus knows.
                sleep(2 * INTERVAL).await;
                let (from, to) =
                    if self.is_switched { (self.cast.b(), &self.cast.a) } else { (&self.cast.a, self.cast.b()) };
                switch(&self.cast, from, to).await?;
                self.is_switched = !self.is_switched;
                self.cast.maintain("end", &[]).await?;
            }
        }
        Ok(())
    }
}

/// All that came to the webhook but the dead man's switch.
fn raised(stage: &Stage) -> Alerts {
    let heard = stage.heard().into_iter().filter(|heard| heard.is_firing && heard.labels["severity"] != "none");
    heard.map(|heard| Alert::of(heard.labels).to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_cluster_without_a_fault_raises_nothing() -> Result<(), LabError> {
    let minutes =
        std::env::var("LAB_MINUTES").ok().map_or(30, |minutes| minutes.parse().expect("LAB_MINUTES: a number"));
    let stage = Arc::new(Stage::open(INTERVAL, &shipped(UNSCALED), UNSCALED).await?);
    let topology = Topology {
        standbys: &[("b", "a"), ("c", "a")],
        // The servers' own defaults, which rows of the matrix shorten.
        settings: &[
            ("wal_sender_timeout", "60s"),
            ("wal_receiver_timeout", "60s"),
            ("wal_receiver_status_interval", "10s"),
        ],
        archive: Archiving::Watched,
        commits: 0,
        ..Topology::DEFAULT
    };
    let cast = Cast::start("soak", &topology).await?;
    let watched = Watched::start(stage, &cast);
    let mut soak = Soak { cast, is_switched: false };
    soak.run("pgbench", &["-i", "-q", "-s", "5", "postgres"]).await?;

    let (began, mut pending, mut played) = (Instant::now(), Alerts::new(), BTreeMap::<&str, u32>::new());
    let is_over = || began.elapsed() >= minutes * MINUTE;
    for phase in PHASES.iter().cycle().take_while(|_| !is_over()) {
        if *phase == SWITCHOVER && played.get(phase).is_some_and(|times| *times >= MOST_SWITCHOVERS) {
            continue;
        }
        soak.play(phase).await?;
        *played.entry(phase).or_default() += 1;
        pending.extend(watched.now().await.pending);
        assert_eq!(raised(&watched.stage), Alerts::new(), "after {played:?}");
    }
    // What began in the last phase still has time to fire.
    sleep(5 * MINUTE).await;
    assert_eq!(raised(&watched.stage), Alerts::new(), "after all of {played:?}");
    assert!(watched.is_scraped().await, "pgvigil was there to the end");

    let mut page = format!(
        "# Quiet\n\nWritten by `UPDATE=1 make prove-quiet` (`tests/it/soak.rs`), {}. A primary and two standbys with an archive, \
         the rules of `alerts/rules` as they are, scraped and evaluated each {} s.\n\n| what | value |\n|---|---|\n",
        build(),
        INTERVAL.as_secs(),
    );
    for (phase, times) in &played {
        let _ = writeln!(page, "| {phase} | {times} times |");
    }
    let _ = writeln!(page, "| time | {:.0} min |", began.elapsed().as_secs_f64() / 60.0);
    let seen = if pending.is_empty() { "none".to_owned() } else { pending.into_iter().collect::<Vec<_>>().join(", ") };
    let _ = writeln!(page, "| alerts that were pending after a phase | {seen} |");
    let _ = writeln!(page, "| alerts that came to the webhook | none |");
    println!("{page}");
    if update() {
        std::fs::write(Path::new(ROOT).join("docs/measured/quiet.md"), page).expect("a file in docs");
    }
    drop(watched);
    soak.cast.lab.clone().stop().await;
    Ok(())
}
