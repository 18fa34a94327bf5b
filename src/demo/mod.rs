//! `pgvigil demo`: a private cluster to look at and to break.
//!
//! A primary `a`, a standby `b` with a slot, a standby `c` without, WAL archiving, a write load, `pgvigil serve`,
//! Prometheus with the shipped alert rules and Alertmanager, all on free ports of 127.0.0.1 and in one temporary
//! directory. A second terminal breaks and mends it with [`fault`], and the first tells which alerts fire and what the
//! runbook that they start does; Ctrl-C removes everything.

mod acting;
mod alerting;
mod bell;
mod cast;
mod control;
mod fault;
mod generated;
mod http;
mod rules;
mod runs;

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use crate::lab::{self, Lab};
use crate::runbook::book::Mode;
use cast::Cast;

pub use fault::Fault;

/// How often the programs are looked at.
const LOOK: Duration = Duration::from_millis(200);
const PRUNE: Duration = Duration::from_secs(30);

/// What the demo starts with.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Transactions a second of the write load.
    pub write_rate: u32,
    /// What the runbook may do when the primary is not seen.
    pub mode: Mode,
}

impl Default for Options {
    fn default() -> Self {
        Self { write_rate: 20, mode: Mode::DryRun }
    }
}

/// Runs the demo until it is interrupted, or until a program beside the servers ends.
pub async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let mut interrupts = Interrupts::watch()?;
    for left in lab::reap_leftovers() {
        say(&format!("removed what a killed run left in {}", left.display()));
    }
    let lab = Lab::new()?;
    say(&format!("pgvigil demo with PostgreSQL {} in {}", lab.binaries().version(), lab.path().display()));
    let outcome = tokio::select! {
        outcome = play(&lab, options) => outcome.map(|never| match never {}),
        () = interrupts.next() => Ok(()),
    };
    say("removing everything");
    lab.stop().await;
    outcome.map(|()| ExitCode::SUCCESS)
}

/// Breaks or mends something in the demo that runs; exit status 1 says that it could not.
pub async fn fault(fault: Fault) -> anyhow::Result<ExitCode> {
    let answer = control::ask(fault).await?;
    say(&answer);
    Ok(ExitCode::SUCCESS)
}

/// Starts everything and then serves faults. Ends by an error alone; dropping it ends what it started.
async fn play(lab: &Lab, options: Options) -> anyhow::Result<std::convert::Infallible> {
    let started = Instant::now();
    let mut cast = Cast::start(lab, options, step).await?;
    let mut control = control::Control::open(lab)?;
    introduce(&cast, options.mode, started.elapsed());
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut prune = interval(PRUNE);
    loop {
        tokio::select! {
            Some(request) = control.next() => {
                let answer = match &request.fault {
                    Ok(fault) => fault::apply(*fault, &mut cast).await,
                    Err(unknown) => Err(anyhow::anyhow!("{unknown}")),
                };
                request.answer(answer).await;
            }
            Some(name) = cast.runs.promoted() => match cast.write_to(&name).await {
                Ok(()) => say(&format!("the writes go to {name}")),
                Err(error) => say(&format!("the writes do not go to {name}: {error}")),
            },
            _ = prune.tick() => cast.prune_archive(),
            _ = look.tick() => for program in cast.programs() {
                if let Some(status) = program.ended() {
                    bail!("{} ended ({status}); the end of its log:\n{}", program.name(), program.log_tail(20));
                }
            }
        }
    }
}

/// Says what to open and what to try.
fn introduce(cast: &Cast, mode: Mode, took: Duration) {
    let me = me();
    let mut text = format!("ready after {:.1} s\n\nopen\n", took.as_secs_f64());
    let rows = [
        (format!("http://127.0.0.1:{}/", cast.pgvigil_port), "status page"),
        (format!("http://127.0.0.1:{}/metrics", cast.pgvigil_port), "metrics"),
    ];
    let prometheus = cast.prometheus_port.map(|port| {
        let lag = "graph?g0.expr=pgvigil_standby_lag_seconds&g0.tab=0&g0.range_input=5m";
        let at = format!("http://127.0.0.1:{port}");
        [(format!("{at}/{lag}"), "lag in Prometheus"), (format!("{at}/alerts"), "alerts, all rules")]
    });
    let firing = cast.alerting.as_ref();
    let firing = firing.map(|alerting| (format!("http://127.0.0.1:{}/#/alerts", alerting.port), "alerts that fire"));
    for (url, what) in rows.iter().chain(prometheus.iter().flatten()).chain(&firing) {
        text += &format!("  {what:<18} {url}\n");
    }
    if prometheus.is_some() {
        let factor = rules::SCALE.factor;
        let minute = 60.0 / f64::from(factor);
        text += &format!("\nalerts wait 1/{factor} of what the shipped rules say: {minute} s for a minute\n");
    }
    text += "\ntry, in a second terminal\n";
    for (break_it, mend_it) in Fault::PAIRS {
        text += &format!("  {me} demo fault {:<18} then {}\n", break_it.name(), mend_it.name());
    }
    text += &format!("\nkill-primary starts runbook {} in mode {}\n", acting::BOOK, mode.as_str());
    let plan = format!("plan {} --cluster demo", acting::BOOK);
    text += &format!("{}\n{}\n", cast.person.command(&plan), cast.person.command("show"));
    text += &format!("\n  {}\n\nCtrl-C ends the demo and removes everything", cast.psql());
    say(&text);
}

/// How this program was called.
fn me() -> String {
    std::env::args().next().unwrap_or_else(|| "pgvigil".to_owned())
}

/// One line of progress.
fn step(what: &str, place: &str, took: Duration) {
    say(&format!("  {what:<28} {place:<18} {:>5.1} s", took.as_secs_f64()));
}

/// Prints a line; a closed terminal is no reason to leave servers behind.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Ctrl-C, a polite kill, and the terminal's end.
struct Interrupts([Signal; 3]);

impl Interrupts {
    fn watch() -> anyhow::Result<Self> {
        let watch = |kind| signal(kind).context("cannot watch for Ctrl-C");
        Ok(Self([watch(SignalKind::interrupt())?, watch(SignalKind::terminate())?, watch(SignalKind::hangup())?]))
    }

    async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
