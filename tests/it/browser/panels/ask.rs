//! What Grafana sends to Prometheus, and what comes back.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::dashboards::board::{Filled, Query, filled, items, text};
use crate::live::client::try_get;

/// One series: its labels, and its samples that are numbers.
#[derive(Debug)]
pub struct Series {
    pub labels: BTreeMap<String, String>,
    pub values: Vec<f64>,
}

/// A Prometheus, and the time from which a board looks.
pub struct Ask {
    pub port: u16,
    pub from: f64,
}

/// The cluster of the test.
pub const CLUSTER: &str = "lab";

/// Seconds since the epoch.
pub fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

impl Ask {
    /// What a query gives: at one moment, or in the range of the board with a step of one scrape. Every node is chosen, one by one,
    /// as a list that Grafana makes of several.
    pub async fn series(&self, query: &Query) -> Result<Vec<Series>, String> {
        // Four scrapes are the shortest window that Grafana takes.
        let range = format!("{}s", (now() - self.from).ceil());
        let by = Filled { cluster: CLUSTER, node: "(a|b|c)", rate_interval: "4s", range: &range };
        self.expr(&filled(&query.expr, &by), query.is_instant).await
    }

    pub async fn expr(&self, expr: &str, is_instant: bool) -> Result<Vec<Series>, String> {
        let now = now().to_string();
        let mut parameters = url::form_urlencoded::Serializer::new(String::new());
        parameters.append_pair("query", expr);
        let path = if is_instant {
            parameters.append_pair("time", &now);
            "query"
        } else {
            parameters.extend_pairs([("start", self.from.to_string().as_str()), ("end", &now), ("step", "1")]);
            "query_range"
        };
        let answer = self.get(&format!("/api/v1/{path}?{}", parameters.finish())).await?;
        Ok(items(&answer["data"]["result"]).map(series).collect())
    }

    /// Whether a variable has values: `label_values(selector, label)`.
    pub async fn variable(&self, query: &str) -> Result<(), String> {
        let inside = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
        let (selector, label) = inside.and_then(|inside| inside.rsplit_once(", ")).ok_or(query)?;
        let selector = selector.replace("$cluster", CLUSTER);
        let mut parameters = url::form_urlencoded::Serializer::new(String::new());
        parameters.append_pair("match[]", &selector);
        let answer = self.get(&format!("/api/v1/label/{label}/values?{}", parameters.finish())).await?;
        let values: Vec<_> = items(&answer["data"]).map(text).collect();
        let wanted: &[&str] = if label == "cluster" { &[CLUSTER] } else { &["a", "b", "c"] };
        if values == wanted { Ok(()) } else { Err(format!("{values:?}")) }
    }

    async fn get(&self, path: &str) -> Result<Value, String> {
        let answer = try_get(self.port, path).await?;
        if answer.status == 200 { Ok(answer.json()) } else { Err(answer.text()) }
    }
}

fn series(of: &Value) -> Series {
    let labels = of["metric"].as_object().into_iter().flatten();
    let labels = labels.map(|(name, value)| (name.clone(), text(value).to_owned())).collect();
    let pairs: Vec<&Value> =
        if of["values"].is_array() { items(&of["values"]).collect() } else { Vec::from([&of["value"]]) };
    let number = |pair: &&Value| text(&pair[1]).parse::<f64>().ok().filter(|value| value.is_finite());
    Series { labels, values: pairs.iter().filter_map(number).collect() }
}
