//! Clients through HAProxy, each scenario once; `make prove-routing` plays them twenty times. And what the routes answer.

use pgvigil::lab::{Lab, LabError, Role, Server, ServerOptions, StandbyOptions, Wire, WireMode, wait_until};

use super::client::{exchange, get};
use super::watch::{Node, SOON, Vigil};
use crate::routing::{Measured, scenarios, stage};

type Outcome = Result<(), LabError>;

/// Beside other tests all takes longer; `make prove-routing` holds the figures to what is documented.
fn hold(measured: Vec<Measured>) {
    measured.iter().for_each(|one| one.hold(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_planned_promotion_writes_go_to_the_new_primary() -> Outcome {
    scenarios::planned().await.map(hold)
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_writes_go_to_the_new_primary() -> Outcome {
    scenarios::killed().await.map(hold)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_primaries_nobody_gets_writes_and_no_row_is_acknowledged_twice() -> Outcome {
    scenarios::split().await.map(hold)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_thaws_gets_no_write() -> Outcome {
    scenarios::frozen().await.map(hold)
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_outlive_a_restart_of_pgvigil_and_end_when_it_is_gone() -> Outcome {
    scenarios::observer().await.map(hold)
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_leave_a_standby_beyond_its_limit_and_come_back() -> Outcome {
    scenarios::reads().await.map(hold)
}

#[tokio::test]
async fn a_cut_closes_no_primary_and_what_an_observer_sees_beyond_it_does_for_good() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions::default()).await?;
    let wire = Wire::to(b.port()).await?;
    let (beside_a, beside_b) = (lab.free_port()?, lab.free_port()?);
    let through = Node::with("b", &Server::dsn_through(wire.port(), Role::Monitor), "");
    let mut va = stage::vigil(&lab, "a", beside_a, &[Node::of(&a), through], &[("b", beside_b)]).await?;
    let vb = stage::vigil(&lab, "b", beside_b, &[Node::of(&a), Node::of(&b)], &[("a", beside_a)]).await?;
    va.until_healthy(&["a", "b"], &["b"]).await;
    let until = async |expected: &str| {
        wait_until(expected, SOON, async || {
            let line = get(beside_a, "/clusters/lab/nodes/a/primary", "").await.text();
            if line.trim_end() == expected { Ok(()) } else { Err(line) }
        })
        .await
    };
    wire.set(WireMode::Cut).await?;
    va.until_state("b", "unreachable").await;
    until("a: yes").await?;
    b.promote().await?;
    let told = "a: on timeline 1, and an observer told of timeline 2";
    until(told).await?;
    // Nobody sees it any more, and it is not forgotten.
    vb.process().terminate(SOON).await?;
    b.kill();
    va.restart(&lab).await?;
    until(told).await?;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn the_routes_answer_by_every_method_that_load_balancers_send() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions::default()).await?;
    let vigil = Vigil::start(&lab, &[Node::of(&a), Node::of(&b)]).await?;
    vigil.until_healthy(&["a", "b"], &["b"]).await;
    let ask = async |method: &str, path: &str| {
        let request = format!("{method} /clusters/{path} HTTP/1.0\r\nHost: lab\r\n\r\n");
        let answer = exchange(vigil.port(), request.as_bytes()).await.expect("an answer");
        (answer.status, answer.text())
    };
    for (path, status, line) in [
        ("lab/nodes/a/primary", 200, "a: yes\n"),
        ("lab/nodes/a/primary?lag=0B", 200, "a: yes\n"),
        ("lab/nodes/a/read-only", 200, "a: yes\n"),
        ("lab/nodes/a/replica", 503, "a: not in recovery\n"),
        ("lab/nodes/b/primary", 503, "b: in recovery\n"),
        ("lab/nodes/b/replica?lag=10MB", 200, "b: yes\n"),
        ("lab/nodes/b/async?lag=1m", 200, "b: yes\n"),
        ("lab/nodes/b/sync", 503, "b: its sync_state is async\n"),
        (
            "lab/nodes/b/replica?lag=5",
            400,
            "lag=\"5\" is neither bytes such as 10MB (B, kB, MB, GB, TB) nor a time such as 5s\n",
        ),
        ("lab/nodes/b/replica?lagg=5s", 400, "the only parameter is lag, once\n"),
        ("lab/nodes/b/replica?lag=5s&lag=1s", 400, "the only parameter is lag, once\n"),
        (
            "lab/nodes/nobody/primary",
            404,
            "there is no such cluster, node or question (primary, replica, read-only, sync, async)\n",
        ),
        (
            "other/nodes/a/primary",
            404,
            "there is no such cluster, node or question (primary, replica, read-only, sync, async)\n",
        ),
        (
            "lab/nodes/a/leader",
            404,
            "there is no such cluster, node or question (primary, replica, read-only, sync, async)\n",
        ),
    ] {
        // A reading may be late once.
        wait_until(path, SOON, async || {
            let answers = [ask("GET", path).await, ask("OPTIONS", path).await, ask("HEAD", path).await];
            let expected = [line, line, ""].map(|line| (status, line.to_owned()));
            if answers == expected { Ok(()) } else { Err(format!("{answers:?}")) }
        })
        .await?;
    }
    assert_eq!(ask("POST", "lab/nodes/a/primary").await.0, 403, "nothing is changed without a credential");
    lab.stop().await;
    Ok(())
}
