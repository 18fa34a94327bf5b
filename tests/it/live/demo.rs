//! `pgvigil demo` as a newcomer sees it: it starts, each fault shows where it says, and nothing is left.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use pgvigil::lab::{Lab, LabError, Spawn, Spawned, wait_until};
use rustix::process::Signal;

use super::watch::Vigil;

const STARTS_WITHIN: Duration = Duration::from_secs(60);
const SHOWS_WITHIN: Duration = Duration::from_secs(40);
const PROGRAM: &str = env!("CARGO_BIN_EXE_pgvigil");

/// A demo that is ready.
struct Demo {
    process: Arc<Spawned>,
    dir: PathBuf,
    vigil: Vigil,
}

impl Demo {
    async fn start(lab: &Lab, mode: &str) -> Result<Self, LabError> {
        let process = lab.spawn(Spawn::new("demo", PROGRAM).arg("demo").arg("--mode").arg(mode))?;
        let printed = wait_until("the demo to be ready", STARTS_WITHIN, async || {
            let printed = process.log();
            if process.ended().is_some() || printed.contains("Ctrl-C ends") { Ok(printed) } else { Err(printed) }
        })
        .await?;
        let after = |mark: &str| printed.split(mark).nth(1).and_then(|rest| rest.split_whitespace().next());
        let dir = after(" in ").unwrap_or_else(|| panic!("no directory in:\n{printed}")).into();
        let port = after("pgvigil serve").and_then(|address| address.rsplit(':').next()?.parse().ok());
        let port = port.unwrap_or_else(|| panic!("no port in:\n{printed}"));
        Ok(Self { vigil: Vigil::of(Arc::clone(&process), port), process, dir })
    }

    /// Waits until the demo's terminal tells of an alert.
    async fn tells(&self, alert: &str) -> Result<(), LabError> {
        self.tells_that(alert, |line| line == alert).await.map(drop)
    }

    /// Waits until a line of the demo's terminal is such, and says which.
    async fn tells_that(&self, what: &str, is_such: impl Fn(&str) -> bool) -> Result<String, LabError> {
        wait_until(format!("the demo to tell: {what}"), SHOWS_WITHIN, async || {
            let printed = self.process.log();
            printed.lines().find(|line| is_such(line)).map(str::to_owned).ok_or(printed)
        })
        .await
    }

    async fn healthy(&self) {
        self.vigil
            .until("the demo to be healthy", |page| {
                let up = page.matching(&["pgvigil_node_up{"]);
                let known = page.matching(&["pgvigil_standby_lag_known{", "stage=\"replayed\""]);
                let all =
                    |series: &[(&str, f64)], count| series.iter().filter(|(_, value)| *value == 1.0).count() == count;
                // Without it no failover begins.
                let loss = page.matching(&["pgvigil_cluster_failover_loss_bytes{", "bound=\"estimated\""]);
                let healthy = all(&up, 3) && all(&known, 2) && !loss.is_empty();
                if healthy { Ok(()) } else { Err(format!("{up:?} {known:?} {loss:?}")) }
            })
            .await;
    }

    async fn fault(&self, name: &str) -> (bool, String) {
        fault(&self.dir, name).await
    }

    /// Breaks or mends, and waits until each series that the answer names is there and a value of it satisfies `shows`.
    async fn shows(&self, name: &str, series: &[&str], shows: fn(f64) -> bool) {
        let (done, said) = self.fault(name).await;
        assert!(done, "{name}: {said}");
        self.vigil
            .until_within(&format!("{series:?} after {name} ({})", said.trim()), SHOWS_WITHIN, |page| {
                let values = page.matching(series);
                if values.iter().any(|(_, value)| shows(*value)) { Ok(()) } else { Err(format!("{values:?}")) }
            })
            .await;
    }
}

async fn fault(dir: &Path, name: &str) -> (bool, String) {
    let mut command = tokio::process::Command::new(PROGRAM);
    command.args(["demo", "fault", name]).env("LAB_DEMO", dir).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(STARTS_WITHIN, command.output()).await.unwrap().unwrap();
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[tokio::test]
async fn every_fault_shows_where_it_says_and_ctrl_c_leaves_nothing() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let demo = Demo::start(&lab, "dry-run").await?;
    demo.healthy().await;
    let one: fn(f64) -> bool = |value| value == 1.0;
    let none: fn(f64) -> bool = |value| value == 0.0;
    let grows: fn(f64) -> bool = |value| value > 1.0;

    let up = ["pgvigil_node_up{", "node=\"a\""];
    demo.shows("kill-primary", &up, none).await;
    // By Prometheus with the shipped rules, Alertmanager with the shipped routes, and a webhook.
    demo.tells("alert PostgresPrimaryUnreachable firing (engine, cluster demo)").await?;
    demo.tells("alert PostgresPrimaryDown firing (critical, cluster demo)").await?;
    demo.tells_that("a run that does nothing", |line| line.contains(" dry_run: ")).await?;
    let (done, said) = demo.fault("freeze-primary").await;
    assert!(!done && said.contains("start-primary"), "{said}");
    demo.shows("start-primary", &up, one).await;
    demo.shows("freeze-primary", &["pgvigil_node_state{", "node=\"a\"", "state=\"timeout\""], one).await;
    demo.shows("thaw-primary", &["pgvigil_node_state{", "node=\"a\"", "state=\"up\""], one).await;

    let replayed = ["pgvigil_standby_lag_seconds{", "node=\"b\"", "stage=\"replayed\""];
    demo.shows("pause-replay", &replayed, grows).await;
    demo.shows("resume-replay", &replayed, |value| value < 1.0).await;
    demo.shows("cut-standby", &["pgvigil_standby_lag_seconds{", "node=\"b\"", "stage=\"received\""], grows).await;
    demo.shows("cut-standby", &["pgvigil_slot_retained_bytes{", "slot=\"b\""], grows).await;
    demo.shows("mend-standby", &replayed, |value| value < 1.0).await;

    let archive = |state| ["pgvigil_archive_state{", "node=\"a\"", state];
    demo.shows("break-archive", &archive("state=\"failing\""), one).await;
    // From ok: after a failure the archiver rests for a minute, and a hang cannot be told from that.
    demo.shows("mend-archive", &archive("state=\"ok\""), one).await;
    demo.shows("hang-archive", &archive("state=\"hung\""), one).await;
    demo.shows("mend-archive", &archive("state=\"ok\""), one).await;

    demo.shows("promote-standby", &["pgvigil_cluster_split_brain{", "state=\"yes\""], one).await;
    demo.shows("rejoin-primary", &["pgvigil_cluster_split_brain{", "state=\"no\""], one).await;
    demo.tells("alert PostgresPrimaryDown resolved (critical, cluster demo)").await?;

    demo.process.signal(Signal::INT)?;
    let status = demo.process.wait(SHOWS_WITHIN).await?;
    assert!(status.success(), "{status}\n{}", demo.process.log_tail(5));
    assert!(!demo.dir.exists());
    let (done, said) = demo.fault("kill-primary").await;
    assert!(!done, "a demo that ended answered: {said}");
    Ok(())
}

#[tokio::test]
async fn a_primary_that_is_killed_is_replaced_by_itself_on_request() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let demo = Demo::start(&lab, "automatic").await?;
    demo.healthy().await;
    let (done, said) = demo.fault("kill-primary").await;
    assert!(done, "{said}");
    demo.tells("alert PostgresPrimaryUnreachable firing (engine, cluster demo)").await?;
    let planned = demo.tells_that("a plan", |line| line.contains(" planned (automatic): ")).await?;
    let candidate = planned.split("candidate ").nth(1).and_then(|rest| rest.split(',').next()).unwrap().to_owned();
    demo.tells_that("its success", |line| line.contains(" succeeded: ")).await?;
    demo.tells(&format!("the writes go to {candidate}")).await?;
    let standby = ["pgvigil_node_in_recovery{", &format!("node=\"{candidate}\"")];
    demo.vigil
        .until(&format!("{candidate} to be the primary"), |page| match page.matching(&standby)[..] {
            [(_, 0.0)] => Ok(()),
            ref found => Err(format!("{found:?}")),
        })
        .await;
    let printed = demo.process.log();
    for step in ["fence", "promote", "repoint", "verify"] {
        assert!(printed.contains(&format!(" {step} done after ")), "{step} in:\n{printed}");
    }
    let (done, said) = demo.fault("rejoin-primary").await;
    assert!(done && said.contains(&format!("follow {candidate} now")), "{said}");
    Ok(())
}

/// Starts a demo without one program, and returns when it has ended well.
async fn starts_without(variable: &str, expected: &str) -> Result<(), LabError> {
    let lab = Lab::new()?;
    let process = lab.spawn(Spawn::new("demo", PROGRAM).arg("demo").env(variable, "/nonexistent"))?;
    wait_until("the demo to be ready", STARTS_WITHIN, async || {
        let printed = process.log();
        if printed.contains("Ctrl-C ends") { Ok(()) } else { Err(printed) }
    })
    .await?;
    assert!(process.log().contains(expected), "{}", process.log());
    let status = process.terminate(SHOWS_WITHIN).await?;
    assert!(status.success(), "{status}");
    Ok(())
}

#[tokio::test]
async fn goes_on_without_prometheus_and_says_how_to_get_it() -> Result<(), LabError> {
    starts_without("LAB_PROMETHEUS", "going on without Prometheus: prometheus not found").await
}

#[tokio::test]
async fn goes_on_without_alertmanager_and_says_how_to_get_it() -> Result<(), LabError> {
    starts_without("LAB_ALERTMANAGER", "going on without Alertmanager: alertmanager not found").await
}

#[tokio::test]
async fn a_fault_without_a_demo_says_so() {
    let (done, said) = fault(Path::new("/nonexistent"), "kill-primary").await;
    assert!(!done && said.contains("/nonexistent"), "{said}");
    let (done, said) = fault(Path::new("/nonexistent"), "kill-everything").await;
    assert!(!done && said.contains("possible values: kill-primary"), "{said}");
}
