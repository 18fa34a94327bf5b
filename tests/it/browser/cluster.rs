//! The page of a healthy cluster: true, for everybody, on every screen.

use serde_json::Value;

use super::Outcome;
use super::audit::{assert_accessible, assert_fits_a_telephone, assert_keyboard_reaches_all};
use super::chromium::Browser;
use super::view::{Cluster, View};
use crate::live::client::get;

const SECTIONS: [&str; 6] = ["topology", "lag", "verdict", "archive", "slots", "runs"];

/// Holds what the page shows to what the API and the metrics say.
async fn assert_true(view: &View, cluster: &Cluster) {
    let told = get(cluster.vigil.port(), "/api/v1/clusters/lab", "").await.json();
    let nodes = told["nodes"].as_array().cloned().unwrap_or_default();
    let names: Vec<&str> = nodes.iter().filter_map(|node| node["verdicts"]["name"].as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(view.drawn.keys().collect::<Vec<_>>(), names, "the drawing");
    assert_eq!(view.rows.keys().collect::<Vec<_>>(), names, "the table");
    let page = cluster.vigil.page().await;
    for node in &nodes {
        let name = node["verdicts"]["name"].as_str().unwrap_or_default();
        let said = (node["verdicts"]["state"].as_str().unwrap(), node["role"].as_str().unwrap());
        for shown in [&view.drawn[name], &view.rows[name]] {
            assert_eq!((shown.state.as_str(), shown.role.as_str()), said, "{name}");
            let words = shown.text().to_lowercase();
            assert!(words.contains(name) && words.contains(said.1), "{name} is a {}: {words}", said.1);
        }
        if said.1 == "standby" {
            let replay = page.one_of("replay_state", &format!("node=\"{name}\""));
            assert_eq!(view.rows[name].replay, Some(replay), "{name}");
        }
    }
    assert_eq!(told["split_brain"], Value::from("no"));
    assert_eq!(view.split_brain, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn is_true_and_for_every_reader_and_screen() -> Outcome {
    let cluster = Cluster::open().await?;
    let browser = Browser::open(&cluster.lab, "browser").await?;
    browser.goto_live(&cluster.at("/clusters/lab")).await?;
    assert_eq!(browser.title().await, "pgvigil: lab");
    let view = browser.view().await;
    assert_true(&view, &cluster).await;
    assert_eq!(view.drawn["a"].role, "primary");
    assert_eq!((view.drawn["b"].role.as_str(), view.drawn["c"].role.as_str()), ("standby", "standby"));
    for section in SECTIONS {
        assert!(view.sections.iter().any(|found| found == section), "no section {section}: {:?}", view.sections);
    }
    browser.assert_no_error().await;

    for path in ["/clusters/lab", "/"] {
        browser.goto_live(&cluster.at(path)).await?;
        assert_true(&browser.view().await, &cluster).await;
        assert_accessible(&browser).await;
        assert_keyboard_reaches_all(&browser).await;
    }
    browser.picture("light").await;
    browser.prefer("dark").await;
    browser.picture("dark").await;
    browser.prefer("light").await;
    browser.be_a_telephone().await;
    for path in ["/", "/clusters/lab"] {
        browser.goto_live(&cluster.at(path)).await?;
        assert_fits_a_telephone(&browser).await;
    }
    browser.picture("phone").await;
    browser.assert_no_error().await;
    cluster.lab.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn is_read_without_scripts() -> Outcome {
    let cluster = Cluster::open().await?;
    let browser = Browser::open(&cluster.lab, "browser").await?;
    browser.run_no_scripts().await;
    browser.goto(&cluster.at("/clusters/lab")).await;
    let view = browser.view().await;
    assert_true(&view, &cluster).await;
    // What no script keeps up to date must not say that it is.
    assert_ne!(view.live.as_deref(), Some("yes"), "{:?}", view.live_text);
    browser.picture("without-scripts").await;
    browser.assert_no_error().await;
    cluster.lab.stop().await;
    Ok(())
}
