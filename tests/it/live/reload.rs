//! Another config while pgvigil runs: by the file alone, by SIGHUP, by request, and not at all if it is wrong.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use pgvigil::lab::{Lab, LabError, Role, Server, ServerOptions, StandbyOptions, wait_until};
use rustix::process::Signal;

use super::api::OPENAPI;
use super::client::request;
use super::failures::until_logged;
use super::watch::{Node, Page, SOON, Vigil};
use crate::pki::Authority;

/// A login probe is over within this.
const PROBED: Duration = Duration::from_secs(1);

/// When each of pgvigil's kept sessions on `server` began.
async fn sessions(server: &Server) -> Result<Vec<Option<String>>, LabError> {
    let sql = "SELECT pid || ' ' || backend_start FROM pg_stat_activity \
               WHERE application_name = 'pgvigil' AND query NOT IN ('', 'SELECT 1') ORDER BY 1";
    Ok(server.query(sql).await?.into_iter().flatten().collect())
}

/// How many ticks of the standby's lag were counted.
fn ticks(page: &Page, standby: &str) -> f64 {
    let counts = page.matching(&["pgvigil_standby_lag_ticks_total", &format!("node=\"{standby}\"")]);
    counts.iter().map(|(_, ticks)| ticks).sum()
}

fn reloaded(page: &Page) -> (f64, f64) {
    let value = |name| page.matching(&[name]).first().map_or(f64::NAN, |(_, value)| *value);
    (value("pgvigil_config_last_reload_successful"), value("pgvigil_config_last_reload_success_timestamp_seconds"))
}

async fn until_reload_was(vigil: &Vigil, ok: f64) {
    vigil
        .until("the outcome of the reload", |page| match reloaded(page).0 {
            seen if seen == ok => Ok(()),
            seen => Err(format!("config_last_reload_successful is {seen}")),
        })
        .await;
}

#[tokio::test]
async fn a_node_comes_and_goes_and_the_others_do_not_notice() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions::default()).await?;
    let c = lab.standby_of(&a, "c", StandbyOptions::default()).await?;
    let vigil = Vigil::start(&lab, &[Node::of(&a), Node::of(&b)]).await?;
    vigil.until_healthy(&["a", "b"], &["b"]).await;
    // A login probe comes and goes, and may be there while one of them is not yet.
    let seen = tokio::sync::Mutex::new((Vec::new(), Instant::now()));
    let kept = wait_until("two kept sessions", SOON, async || {
        let (now, mut seen) = (sessions(&a).await?, seen.lock().await);
        if seen.0 != now {
            *seen = (now, Instant::now());
        }
        let is_kept = seen.0.len() == 2 && seen.1.elapsed() > PROBED;
        if is_kept { Ok(seen.0.clone()) } else { Err(format!("{:?}", seen.0)) }
    })
    .await?;
    let before = ticks(&vigil.page().await, "b");

    // First in the list, so that everybody else has another place in it.
    let three = [Node::of(&c), Node::of(&a), Node::of(&b)];
    vigil.replace_config(&Vigil::config_text(&lab, vigil.port(), &three, ""));
    vigil
        .until("the new node is read, and the others were never unknown meanwhile", |page| {
            assert!(ticks(page, "b") >= before, "the counter of b fell");
            assert_eq!(page.state("a"), "up");
            page.expect_known("b", "replayed", true).unwrap();
            page.of_node("node_up", "c").filter(|up| *up == 1.0).map(|_| ()).ok_or_else(|| "c is not up".to_owned())
        })
        .await;
    vigil.until_healthy(&["a", "b", "c"], &["b", "c"]).await;
    assert_eq!(sessions(&a).await?, kept, "the connections of a node that did not change are not touched");

    let two = [Node::of(&a), Node::of(&c)];
    vigil.replace_config(&Vigil::config_text(&lab, vigil.port(), &two, ""));
    vigil
        .until("nothing of b but what its upstream shows", |page| match page.matching(&["node=\"b\""]) {
            series if series.is_empty() => Ok(()),
            series => Err(format!("{} series, {:?}…", series.len(), series[0])),
        })
        .await;
    assert_eq!(vigil.page().await.of_node("node_up", "c"), Some(1.0));
    wait_until("no session on b", SOON, async || match sessions(&b).await? {
        none if none.is_empty() => Ok(()),
        some => Err(format!("{some:?}")),
    })
    .await?;
    assert_eq!(sessions(&a).await?, kept);
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn another_timing_is_followed_at_once_over_the_same_connections() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions::default()).await?;
    a.alter(&[("log_statement", "all")]).await?;
    let nodes = [Node::of(&a), Node::of(&b)];
    let port = lab.free_port()?;
    let text = |sample: &str, others: &str| {
        let text = Vigil::config_text(&lab, port, &nodes, "timeouts: {query: QUERY}\n");
        let text = text.replace("_interval: 1s", &format!("_interval: {others}"));
        text.replace("sample_interval: 500ms", &format!("sample_interval: {sample}"))
    };
    lab.own_dir("state")?;
    let config = lab.path().join("timing.yml");
    std::fs::write(&config, text("1s", "1h").replace("QUERY", "3s")).unwrap();
    let vigil = Vigil::start_at(&lab, config, port).await?;
    vigil.until_healthy(&["a", "b"], &["b"]).await;
    let kept = wait_until("two kept sessions", SOON, async || match sessions(&a).await? {
        kept if kept.len() == 2 => Ok(kept),
        other => Err(format!("{other:?}")),
    })
    .await?;
    let before = ticks(&vigil.page().await, "b");
    let nobody_is_unknown = |page: &Page| {
        assert_eq!((page.state("a"), page.state("b")), ("up".to_owned(), "up".to_owned()));
        assert!(ticks(page, "b") >= before, "the counter of b fell");
    };

    // A second until the last of the old ticks, and an hour until the slow readings and the logins: nobody waits for them.
    vigil.replace_config(&text("100ms", "1s").replace("QUERY", "1500ms"));
    wait_until("the new bound of a statement", SOON, async || {
        nobody_is_unknown(&vigil.page().await);
        match a.log().matches("SET statement_timeout = 1500").count() {
            2 => Ok(()),
            other => Err(format!("{other} sessions have it")),
        }
    })
    .await?;
    let mut readings = BTreeSet::new();
    let (began, ticked) = (std::time::Instant::now(), ticks(&vigil.page().await, "b"));
    while began.elapsed() < Duration::from_secs(2) {
        let page = vigil.page().await;
        nobody_is_unknown(&page);
        readings.insert(page.of_node("node_last_observation_timestamp_seconds", "a").map(f64::to_bits));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let ticked = (ticks(&vigil.page().await, "b") - ticked) / 2.0;
    println!("in two seconds {} readings and {ticked} ticks", readings.len());
    assert!(readings.len() >= 8 && ticked >= 8.0, "{} readings, {ticked} ticks", readings.len());
    wait_until("a slow reading and a login", SOON, async || {
        nobody_is_unknown(&vigil.page().await);
        let answer = request(vigil.port(), "GET", "/api/v1/clusters/lab", "").await.json();
        let node = &answer["nodes"][0];
        let ages = [&node["facts"]["archiver"]["age_seconds"], &node["login"]["age_seconds"]];
        if ages.iter().all(|age| age.as_f64().is_some_and(|age| age < 1.5)) { Ok(()) } else { Err(format!("{ages:?}")) }
    })
    .await?;
    assert_eq!(sessions(&a).await?, kept, "another timing costs no connection");
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_bad_config_changes_nothing_and_says_why() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let vigil = Vigil::start(&lab, &[Node::of(&a)]).await?;
    vigil.until_state("a", "up").await;
    let (ok, first) = reloaded(&vigil.page().await);
    assert_eq!(ok, 1.0);
    let good = Vigil::config_text(&lab, vigil.port(), &[Node::of(&a)], "");
    let empty = Vigil::config_text(&lab, vigil.port(), &[], "");
    let (other_port, mut in_force) = (lab.free_port()?, first);
    for (text, why) in [
        (good.replace("sample_interval", "sample_intervall"), "did you mean sample_interval"),
        (empty.replace("nodes:", "nodes: []"), "cluster lab has no nodes"),
        (good.replace(&vigil.port().to_string(), &other_port.to_string()), "listen cannot change"),
        (good.replace("/state", "/elsewhere"), "state_dir cannot change"),
        (String::new(), "no cluster is named"),
    ] {
        vigil.replace_config(&text);
        wait_until(&format!("the log says {why}"), SOON, async || match vigil.log().contains(why) {
            true => Ok(()),
            false => Err(vigil.log().lines().last().unwrap_or_default().to_owned()),
        })
        .await?;
        until_reload_was(&vigil, 0.0).await;
        let page = vigil.page().await;
        assert_eq!(page.state("a"), "up");
        assert_eq!(reloaded(&page).1, in_force, "the config in force is the one before");
        vigil.replace_config(&good);
        until_reload_was(&vigil, 1.0).await;
        in_force = reloaded(&vigil.page().await).1;
    }
    let (_, last) = reloaded(&vigil.page().await);
    assert!(last > first);
    vigil.process().signal(Signal::HUP)?;
    vigil
        .until("a reload by the signal", |page| match reloaded(page) {
            (1.0, again) if again > last => Ok(()),
            seen => Err(format!("{seen:?}")),
        })
        .await;
    lab.stop().await;
    Ok(())
}

/// The status of a request with this token, and its answer.
async fn ask(vigil: &Vigil, method: &str, path: &str, token: &str, more: &str) -> (u16, String) {
    let credential = if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
    let answer = request(vigil.port(), method, path, &format!("{credential}{more}")).await;
    (answer.status, answer.text())
}

#[tokio::test]
async fn an_admin_asks_for_a_reload_and_is_told_how_it_went() -> Result<(), LabError> {
    const ROOT: &str = "root-token-0123456789";
    const OPS: &str = "ops-token-0123456789";
    const DEV: &str = "dev-token-0123456789";
    let lab = Lab::new()?;
    let write = |file: &str, text: &str| std::fs::write(lab.path().join(file), text).unwrap();
    for (file, token) in [("root", ROOT), ("ops", OPS), ("dev", DEV)] {
        write(file, token);
    }
    let pair = Authority::new().issue(&["127.0.0.1"]);
    write("server.crt", &pair.cert);
    write("server.key", &pair.key);
    write("tls.yml", "tls_server_config: {cert_file: server.crt, key_file: server.key}\n");
    let node = |name: &str| {
        let dsn = format!("host=127.0.0.1 port={} user=nobody dbname=postgres", name.len());
        Node::with(name, &dsn, "")
    };
    let two =
        "access:\n  - {name: root, role: admin, token_file: root}\n  - {name: ops, role: approver, token_file: ops}\n";
    let three = format!("{two}  - {{name: dev, role: viewer, token_file: dev}}\n");
    let vigil = Vigil::start_with(&lab, &[node("a")], two).await?;
    let text = |nodes: &[Node], more: &str| Vigil::config_text(&lab, vigil.port(), nodes, more);
    let reload = async |token: &str, more: &str| ask(&vigil, "POST", "/-/reload", token, more).await;
    let mut statuses = BTreeSet::new();
    for (token, more, status) in [
        ("", "", 403),
        ("wrong-token-0123456789", "", 403),
        (OPS, "", 403),
        (ROOT, "Sec-Fetch-Site: cross-site\r\n", 403),
        (ROOT, "", 200),
    ] {
        let answer = reload(token, more).await;
        assert_eq!(answer.0, status, "{token} {more} {}", answer.1);
        statuses.insert(status.to_string());
    }
    assert_eq!(ask(&vigil, "GET", "/-/reload", ROOT, "").await.0, 405, "nothing changes by GET");
    until_logged(&vigil, "request of root").await?;
    assert!(!vigil.log().contains("request of ops"), "{}", vigil.log());

    // Who may look, and what is watched, come together; they are in force when the answer comes.
    let three_and_bb = text(&[node("a"), node("bb")], &three);
    vigil.replace_config(&three_and_bb);
    assert_eq!(reload(ROOT, "").await, (200, "The config was read again and is in force.\n".to_owned()));
    let hold = async |what: &str| {
        assert_eq!(ask(&vigil, "GET", "/api/v1/clusters", "", "").await.0, 401, "{what}");
        assert_eq!(ask(&vigil, "GET", "/api/v1/clusters", OPS, "").await.0, 200, "{what}");
        let (status, body) = ask(&vigil, "GET", "/api/v1/clusters", DEV, "").await;
        assert!(status == 200 && body.contains("\"bb\"") && !body.contains("\"ccc\""), "{what}: {body}");
    };
    hold("the new config").await;
    assert_eq!(reload(DEV, "").await.0, 403, "a viewer");

    let other_port = lab.free_port()?.to_string();
    let three_nodes = || text(&[node("a"), node("bb"), node("ccc")], two);
    for (text, why) in [
        (three_nodes().replace("sample_interval", "sample_intervall"), "did you mean sample_interval"),
        (three_nodes().replace("token_file: ops", "token_file: nowhere"), "nowhere does not exist"),
        (format!("web_config: tls.yml\n{}", three_nodes()), "tls_server_config came or went"),
        (three_nodes().replace(&vigil.port().to_string(), &other_port), "listen cannot change"),
    ] {
        vigil.replace_config(&text);
        let (status, sentence) = reload(ROOT, "").await;
        statuses.insert(status.to_string());
        let begins = "the config was not taken in, the old one stays in force: ";
        assert!(status == 500 && sentence.starts_with(begins) && sentence.contains(why), "{status}: {sentence}");
        // The log is written by a thread of its own, which may come after the answer.
        until_logged(&vigil, sentence.trim_end()).await?;
        hold(why).await;
    }
    // A rotated token counts even if the config beside it is bad, and it alone mends nothing.
    write("dev", "rotated-token-0123456789");
    wait_until("the rotated token", SOON, async || {
        match ask(&vigil, "GET", "/-/ready", "rotated-token-0123456789", "").await {
            (200, _) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await?;
    let metrics = ask(&vigil, "GET", "/metrics", OPS, "").await.1;
    assert!(metrics.contains("pgvigil_config_last_reload_successful 0"));
    vigil.replace_config(&three_and_bb);
    assert_eq!(reload(ROOT, "").await.0, 200);

    let description: serde_json::Value = serde_saphyr::from_str(OPENAPI).expect("YAML");
    let described = description["paths"]["/-/reload"]["post"]["responses"].as_object().expect("responses");
    assert_eq!(described.keys().cloned().collect::<BTreeSet<_>>(), statuses);
    lab.stop().await;
    Ok(())
}

/// A ConfigMap as the kubelet writes it: the file is a link into `..data`, which is itself swapped.
fn swap(dir: &Path, version: &str, text: &str) {
    let data = dir.join(version);
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("pgvigil.yml"), text).unwrap();
    let link = dir.join("..data_tmp");
    std::os::unix::fs::symlink(version, &link).unwrap();
    std::fs::rename(&link, dir.join("..data")).unwrap();
}

#[tokio::test]
async fn a_config_map_that_is_swapped_is_read() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let port = lab.free_port()?;
    let (dir, _) = (lab.own_dir("config")?, lab.own_dir("state")?);
    let named = |name: &str| {
        let node = Node::with(name, &a.dsn(Role::Monitor), "");
        Vigil::config_text(&lab, port, &[node], "")
    };
    swap(&dir, "..1", &named("first"));
    std::os::unix::fs::symlink("..data/pgvigil.yml", dir.join("pgvigil.yml")).unwrap();
    let vigil = Vigil::start_at(&lab, dir.join("pgvigil.yml"), port).await?;
    vigil.until_state("first", "up").await;
    // Twice: the second swap must find a watch as the first did.
    for (version, name, gone) in [("..2", "second", "..1"), ("..3", "third", "..2")] {
        swap(&dir, version, &named(name));
        std::fs::remove_dir_all(dir.join(gone)).unwrap();
        vigil
            .until_within("the new name", Duration::from_secs(10), |page| match page.of_node("node_up", name) {
                Some(1.0) => Ok(()),
                other => Err(format!("{name}: {other:?}")),
            })
            .await;
    }
    lab.stop().await;
    Ok(())
}
