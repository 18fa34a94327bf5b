//! What looks like a primary that is gone, and is none.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use pgvigil::lab::{LabError, Role, Server, Spawn, StopMode, wait_until};
use rcgen::{CertificateParams, KeyPair};
use serde_json::json;
use tokio::time::sleep;

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

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_nobody_knows_is_no_failure_of_the_primary() -> Outcome {
    let stage = Stage::open(Play::default()).await?;
    let client = stage.written().await?;
    let writable = Writable::watch(&stage.servers()).await?;
    let port = stage.a.port();
    let by = |host: &str| (format!("host=127.0.0.1 port={port} "), format!("host={host} port={port} "));
    let text = std::fs::read_to_string(&stage.config).unwrap();
    let (address, nowhere) = by("no-such-host.invalid");
    reload(&stage, &text.replace(&address, &nowhere)).await;
    wait_until("a primary that is not seen", SOON_AFTER, async || match stage.vigil.page().await.state("a") {
        state if state == "up" || state == "unknown" => Err(state),
        _ => Ok(()),
    })
    .await?;
    assert_eq!(stage.alert().await.status, 202);
    left_alone(&stage, "").await?;
    client.wait_more(200).await?;
    left_alone(&stage, "").await?;
    reload(&stage, &text).await;
    over(&stage).await?;
    assert_eq!(writable.never_two(), ["a"]);
    assert_eq!(client.lost_on(&stage.a).await, []);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_is_no_failure_of_the_primary() -> Outcome {
    let stage = Stage::open(Play::default()).await?;
    let dir = stage.lab.server_dir("tls")?;
    let (certificate, key) = (dir.join("server.crt"), dir.join("server.key"));
    let pair = KeyPair::generate().unwrap();
    let made = |until: Option<i32>| {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        if let Some(year) = until {
            params.not_after = rcgen::date_time_ymd(year, 1, 1);
        }
        params.self_signed(&pair).unwrap().pem()
    };
    // A server takes no key that is not its own.
    let install = async |text: &str, path: &Path| {
        let ours = stage.lab.path().join("ours.pem");
        std::fs::write(&ours, text).unwrap();
        std::fs::set_permissions(&ours, std::fs::Permissions::from_mode(0o644)).unwrap();
        let install = Spawn::new("install", "install").as_server().arg("-m").arg("600").arg(&ours).arg(path);
        let ended = stage.lab.spawn(install.cwd(&dir))?.wait(SOON_AFTER).await?;
        assert_eq!(ended.code(), Some(0));
        Ok::<_, LabError>(())
    };
    let valid = made(None);
    let root = stage.lab.path().join("root.crt");
    std::fs::write(&root, &valid).unwrap();
    install(&valid, &certificate).await?;
    install(&pair.serialize_pem(), &key).await?;
    let (cert_file, key_file) = (certificate.display().to_string(), key.display().to_string());
    stage.a.alter(&[("ssl_cert_file", &cert_file), ("ssl_key_file", &key_file), ("ssl", "on")]).await?;
    let port = stage.a.port();
    let text = std::fs::read_to_string(&stage.config).unwrap();
    let verified = format!("host=localhost port={port} sslmode=verify-full sslrootcert={} ", root.display());
    let text = text.replace(&format!("host=127.0.0.1 port={port} "), &verified);
    reload(&stage, &text).await;
    stage.vigil.until_healthy(&["a", "b", "c"], &["b", "c"]).await;
    let client = stage.written().await?;
    let writable = Writable::watch(&stage.servers()).await?;

    install(&made(Some(2020)), &certificate).await?;
    stage.a.sql("SELECT pg_reload_conf()").await?;
    wait_until("no connection over TLS", SOON_AFTER, async || {
        stage.a.sql(END_OURS).await?;
        let page = stage.vigil.page().await;
        let reason = page.get("node_connect_failure", "node=\"a\",reason=\"tls\"");
        if reason == Some(1.0) { Ok(()) } else { Err(page.state("a")) }
    })
    .await?;
    assert_eq!(stage.alert().await.status, 202);
    left_alone(&stage, "").await?;
    client.wait_more(200).await?;
    left_alone(&stage, "").await?;
    install(&valid, &certificate).await?;
    stage.a.sql("SELECT pg_reload_conf()").await?;
    over(&stage).await?;
    assert_eq!(writable.never_two(), ["a"]);
    Ok(())
}

/// Half a second of nothing, again and again; a hundred times with `LAB_ALL`.
#[tokio::test(flavor = "multi_thread")]
async fn stalls_are_lived_through() -> Outcome {
    let stalls = if std::env::var_os("LAB_ALL").is_some() { 100 } else { 5 };
    let stage = Stage::open(OBSERVED).await?;
    let client = stage.written().await?;
    let mut longest = Duration::ZERO;
    for _ in 0..stalls {
        let since = Instant::now();
        stage.a.freeze()?;
        sleep(Duration::from_millis(500)).await;
        stage.a.thaw()?;
        longest = longest.max(since.elapsed());
        client.wait_more(50).await?;
    }
    println!("{stalls} stalls, the longest {longest:?}");
    nothing_was_done(&stage).await;
    assert_eq!(client.lost_on(&stage.a).await, []);
    Ok(())
}

/// More threads that never rest than there are cores, for 5 s; for 30 s with `LAB_ALL`.
#[tokio::test(flavor = "multi_thread")]
async fn a_busy_machine_is_no_failure_of_the_primary() -> Outcome {
    let lasts = Duration::from_secs(if std::env::var_os("LAB_ALL").is_some() { 30 } else { 5 });
    let stage = Stage::open(OBSERVED).await?;
    let client = stage.written().await?;
    let until = Instant::now() + lasts;
    let threads = 4 * std::thread::available_parallelism().map_or(2, usize::from);
    let hogs: Vec<_> = (0..threads)
        .map(|_| {
            std::thread::spawn(move || {
                while Instant::now() < until {
                    std::hint::spin_loop();
                }
            })
        })
        .collect();
    sleep(lasts).await;
    hogs.into_iter().for_each(|hog| hog.join().unwrap());
    client.wait_more(50).await?;
    nothing_was_done(&stage).await;
    assert_eq!(client.lost_on(&stage.a).await, []);
    Ok(())
}

/// A pgvigil that would act by itself.
const OBSERVED: Play = Play { trigger: "[observation]", sample_interval: "100ms", ..Play::DEFAULT };

/// No run did anything, whatever it was planned for.
async fn nothing_was_done(stage: &Stage) {
    for run in stage.runs().await {
        println!("{} {}", run["phase"], run["report"]);
        assert_eq!((&run["steps_done"], &run["fenced"]), (&0.into(), &false.into()), "{run:#}");
    }
    assert_eq!(stage.fenced(), [""; 0]);
    assert!(stage.servers().into_iter().all(Server::running));
}

async fn reload(stage: &Stage, text: &str) {
    std::fs::write(&stage.config, text).unwrap();
    let answer = stage.ask("/-/reload", &json!({})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
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
