//! The page of a cluster, read as a whole at one moment.

use std::collections::BTreeMap;
use std::time::Duration;

use pgvigil::lab::{Lab, LabError, Server, ServerOptions, StandbyOptions};
use serde::Deserialize;

use super::chromium::Browser;
use crate::live::watch::{Node, SOON, Vigil};

/// What a page needs to be loaded and live.
const LOADED: Duration = Duration::from_secs(10);

/// What the page shows.
const LOOK: &str = "
    const text = element => element ? (element.innerText ?? element.textContent).replace(/\\s+/g, ' ').trim() : null;
    const node = element => ({ ...element.dataset, text: text(element) });
    const of = selector => Object.fromEntries([...document.querySelectorAll(selector)].map(
        element => [element.dataset.node, node(element)]));
    const live = document.getElementById('live');
    return {
        drawn: of('#topology svg [data-node]'),
        rows: of('tr[data-node]'),
        split_brain: text(document.querySelector('#split-brain[role=alert]')),
        live: live && live.dataset.live,
        live_text: text(live),
        sections: [...document.querySelectorAll('section[id]')].map(section => section.id),
        same: window.same === true,
    }";

/// A node as it is drawn, or its row.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Shown {
    pub state: String,
    pub role: String,
    #[serde(default)]
    pub replay: Option<String>,
    /// All that is written there.
    #[serde(default)]
    pub text: Option<String>,
}

impl Shown {
    pub fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }
}

/// The page at one moment.
#[derive(Debug, Deserialize)]
pub struct View {
    /// By node, in the drawing.
    pub drawn: BTreeMap<String, Shown>,
    /// By node, in the table.
    pub rows: BTreeMap<String, Shown>,
    /// The alert of a split brain.
    pub split_brain: Option<String>,
    /// Whether the page says that it is live: `yes` or `no`.
    pub live: Option<String>,
    pub live_text: Option<String>,
    /// The sections there are.
    pub sections: Vec<String>,
    /// Whether it is the page that [`Browser::keep`] marked, and not one that was loaded since.
    pub same: bool,
}

impl Browser {
    /// What the page shows now.
    pub async fn view(&self) -> View {
        serde_json::from_value(self.read(LOOK).await).expect("a view")
    }

    /// Marks the page as it is, so that a reload would be seen.
    pub async fn keep(&self) {
        self.read("window.same = true").await;
    }

    /// Goes to a page that is live, and waits until it says so.
    pub async fn goto_live(&self, address: &str) -> Result<(), LabError> {
        self.goto(address).await;
        self.until(
            "the page to be live",
            LOADED,
            "return document.querySelector('#live[data-live=yes]') && true",
            "return document.body.innerText.slice(0, 300)",
        )
        .await?;
        self.keep().await;
        Ok(())
    }

    /// Waits until both the drawing and the row of a node have this state, with no reload.
    pub async fn until_state(&self, node: &str, within: Duration, state: &str) -> Result<(), LabError> {
        let script = format!(
            "const shown = [...document.querySelectorAll('[data-node=\"{node}\"]')];
             return shown.length > 1 && shown.every(one => one.dataset.state === '{state}') && window.same || null"
        );
        let else_shows = format!(
            "return [...document.querySelectorAll('[data-node=\"{node}\"]')].map(one => one.outerHTML.slice(0, 200))"
        );
        self.until(&format!("{node} to be {state}"), within, &script, &else_shows).await.map(drop)
    }
}

/// A primary `a`, its standby `b`, and `c` that follows `b`, watched at the interval that the product has by default.
pub struct Cluster {
    pub lab: Lab,
    pub a: Server,
    pub b: Server,
    pub c: Server,
    pub vigil: Vigil,
}

impl Cluster {
    pub async fn open() -> Result<Self, LabError> {
        let lab = Lab::new()?;
        let a = lab.primary("a", ServerOptions::default()).await?;
        let standby = |slot: &str| StandbyOptions { slot: Some(slot.to_owned()), ..Default::default() };
        let b = lab.standby_of(&a, "b", standby("b")).await?;
        let c = lab.standby_of(&b, "c", standby("c")).await?;
        a.wait_streaming("b", SOON).await?;
        b.wait_streaming("c", SOON).await?;
        let nodes = [&a, &b, &c].map(Node::of);
        let port = lab.free_port()?;
        lab.own_dir("state")?;
        let config = lab.path().join("pgvigil.yml");
        let text = Vigil::config_text(&lab, port, &nodes, "").replace("sample_interval: 500ms", "sample_interval: 1s");
        std::fs::write(&config, text).map_err(|source| LabError::Io {
            action: "write",
            path: config.clone(),
            source,
        })?;
        let vigil = Vigil::start_at(&lab, config, port).await?;
        vigil.until_healthy(&["a", "b", "c"], &["b", "c"]).await;
        Ok(Self { lab, a, b, c, vigil })
    }

    /// The address of a page.
    pub fn at(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.vigil.port())
    }
}
