//! What looks like a primary that is gone, and is none.

use pgvigil::lab::{Role, Server, StopMode, wait_until};

use super::Outcome;
use super::partition::reason;
use super::stage::{Play, SOON_AFTER, Stage};
use super::writable::Writable;

#[tokio::test(flavor = "multi_thread")]
async fn a_full_primary_is_left_alone() -> Outcome {
    let stage = Stage::open(Play { settings: &[("max_connections", "20")], ..Play::default() }).await?;
    let client = stage.written().await?;
    let writable = Writable::watch(&stage.servers()).await?;
    let first = stage.a.connect().await?;
    let taken = tokio::sync::Mutex::new(Vec::new());
    wait_until("no login on a", SOON_AFTER, async || {
        stage.a.query_on(&first, END_OURS).await?;
        while let Ok(session) = stage.a.connect().await {
            taken.lock().await.push(session);
        }
        // A session of pgvigil's that still ends would leave its place to pgvigil's next one.
        if stage.a.query_on(&first, ALL_TAKEN).await?.first().and_then(|row| row[0].clone()).as_deref() != Some("t") {
            return Err("a place is free, or pgvigil's".to_owned());
        }
        match stage.vigil.page().await.state("a") {
            state if state == "rejecting" => Ok(()),
            state => Err(state),
        }
    })
    .await?;
    assert_eq!(stage.alert().await.status, 202);
    left_alone(&stage, "it answers, so it runs").await?;
    client.wait_more(100).await?;
    drop((first, taken));
    over(&stage).await?;
    assert_eq!(writable.never_two(), ["a"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_does_not_know_our_password_is_left_alone() -> Outcome {
    let stage = Stage::open(Play::default()).await?;
    let client = stage.written().await?;
    let writable = Writable::watch(&stage.servers()).await?;
    let password = async |password: &str| {
        for role in [Role::Monitor, Role::Superuser] {
            stage.a.sql(&format!("ALTER ROLE {} PASSWORD '{password}'", role.name())).await?;
        }
        stage.a.sql(END_OURS).await
    };
    password("another").await?;
    stage.vigil.until_state("a", "auth_failed").await;
    assert_eq!(stage.alert().await.status, 202);
    left_alone(&stage, "it answers, so it runs").await?;
    client.wait_more(100).await?;
    password(Role::Monitor.password()).await?;
    over(&stage).await?;
    assert_eq!(writable.never_two(), ["a"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_is_waited_for() -> Outcome {
    let stage = Stage::open(Play { trigger: "[observation]", ..Play::default() }).await?;
    let _client = stage.written().await?;
    let writable = Writable::watch(&stage.servers()).await?;
    stage.a.stop(StopMode::Fast).await?;
    left_alone(&stage, "was stopped on purpose").await?;
    stage.a.start().await?;
    over(&stage).await?;
    assert_eq!(writable.never_two(), ["a"]);
    Ok(())
}

/// Ends what pgvigil keeps open.
const END_OURS: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'pgvigil'";

/// Whether every place for a client is taken, and none by pgvigil.
const ALL_TAKEN: &str = "SELECT count(*) = current_setting('max_connections')::int FROM pg_stat_activity \
                         WHERE backend_type = 'client backend' AND usename <> 'pgvigil'";

/// Waits until the run says why nothing is done.
async fn left_alone(stage: &Stage, why: &str) -> Outcome {
    let run = stage.until_run("blocked").await?;
    println!("{}", reason(&run));
    assert!(reason(&run).contains(why), "{run:#}");
    Ok(())
}

/// Waits until the run is over, and nothing was done.
async fn over(stage: &Stage) -> Outcome {
    let run = stage.until_run("recovered").await?;
    assert_eq!((&run["steps_done"], &run["fenced"]), (&0.into(), &false.into()), "{run:#}");
    assert_eq!(stage.fenced(), [""; 0]);
    assert!(stage.servers().into_iter().all(Server::running));
    Ok(())
}
