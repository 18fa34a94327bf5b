//! Another config while pgvigil runs: by the file alone, by SIGHUP, and not at all if it is wrong.

use std::path::Path;
use std::time::Duration;

use pgvigil::lab::{Lab, LabError, Role, Server, ServerOptions, StandbyOptions, wait_until};
use rustix::process::Signal;

use super::watch::{Node, Page, SOON, Vigil};

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
    let kept = wait_until("two kept sessions", SOON, async || match sessions(&a).await? {
        kept if kept.len() == 2 => Ok(kept),
        other => Err(format!("{other:?}")),
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
