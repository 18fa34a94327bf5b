//! The page of a healthy cluster: true, for everybody, on every screen.

use std::collections::BTreeMap;

use pgvigil::lab::{LabError, wait_until};
use serde_json::Value;

use super::Outcome;
use super::audit::{assert_accessible, assert_fits_a_telephone, assert_keyboard_reaches_all};
use super::chromium::Browser;
use super::view::{Cluster, Shown, View};
use crate::live::client::get;
use crate::live::watch::{Page, SOON};

const SECTIONS: [&str; 7] = ["topology", "lag", "verdict", "archive", "slots", "runs", "checks"];

/// Holds what the page shows to what the API and the metrics say. A moment at which a busy machine knows less may lie between
/// them, so they agree within a while, or never.
async fn assert_true(browser: &Browser, cluster: &Cluster, reload: Option<&str>) -> Result<View, LabError> {
    wait_until("a page that says what the API says", SOON, async || {
        if let Some(address) = reload {
            browser.goto(address).await;
        }
        let view = browser.view().await;
        let told = get(cluster.vigil.port(), "/api/v1/clusters/lab", "").await.json();
        agrees(&view, &told, &cluster.vigil.page().await)?;
        Ok(view)
    })
    .await
}

fn agrees(view: &View, told: &Value, page: &Page) -> Result<(), String> {
    let nodes = told["nodes"].as_array().cloned().unwrap_or_default();
    let names: Vec<&str> = nodes.iter().filter_map(|node| node["verdicts"]["name"].as_str()).collect();
    let shown = |nodes: &BTreeMap<String, Shown>| nodes.keys().cloned().collect::<Vec<_>>();
    if names != ["a", "b", "c"] || shown(&view.drawn) != names || shown(&view.rows) != names {
        return Err(format!("nodes {names:?}, drawn {:?}, in the table {:?}", view.drawn.keys(), view.rows.keys()));
    }
    if told["split_brain"] != "no" || view.split_brain.is_some() {
        return Err(format!("split brain {}, shown {:?}", told["split_brain"], view.split_brain));
    }
    for node in &nodes {
        let name = node["verdicts"]["name"].as_str().unwrap_or_default();
        let (state, role) = (node["verdicts"]["state"].as_str().unwrap(), node["role"].as_str().unwrap());
        for shown in [&view.drawn[name], &view.rows[name]] {
            let words = shown.text().to_lowercase();
            let is_said = words.contains(name) && words.contains(role) && words.contains(state);
            if (shown.state.as_str(), shown.role.as_str()) != (state, role) || !is_said {
                return Err(format!("{name} is a {role}, {state}: {shown:?}"));
            }
        }
        let replay = page.one_of("replay_state", &format!("node=\"{name}\""));
        let row = &view.rows[name];
        if role == "standby" && row.replay.as_ref() != Some(&replay) {
            return Err(format!("{name}'s replay is {replay}: {row:?}"));
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn is_true_and_for_every_reader_and_screen() -> Outcome {
    let cluster = Cluster::open().await?;
    let browser = Browser::open(&cluster.lab, "browser").await?;
    browser.goto_live(&cluster.at("/clusters/lab")).await?;
    assert_eq!(browser.title().await, "pgvigil: lab");
    let view = assert_true(&browser, &cluster, None).await?;
    assert_eq!(view.drawn["a"].role, "primary");
    assert_eq!((view.drawn["b"].role.as_str(), view.drawn["c"].role.as_str()), ("standby", "standby"));
    for section in SECTIONS {
        assert!(view.sections.iter().any(|found| found == section), "no section {section}: {:?}", view.sections);
    }
    browser.assert_no_error().await;

    for path in ["/clusters/lab", "/"] {
        browser.goto_live(&cluster.at(path)).await?;
        assert_true(&browser, &cluster, None).await?;
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
    let view = assert_true(&browser, &cluster, Some(&cluster.at("/clusters/lab"))).await?;
    // What no script keeps up to date must not say that it is.
    assert_ne!(view.live.as_deref(), Some("yes"), "{:?}", view.live_text);
    browser.picture("without-scripts").await;
    browser.assert_no_error().await;
    cluster.lab.stop().await;
    Ok(())
}
