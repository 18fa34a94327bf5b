//! What Prometheus says of alerts and samples.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::live::client::exchange;

/// Labels.
pub type Labels = BTreeMap<String, String>;

/// One series: its labels, and its samples by seconds since the epoch, as they are written.
pub type Series = (Labels, Vec<(f64, String)>);

/// The API of a Prometheus on this machine.
#[derive(Clone, Copy)]
pub struct Api {
    pub port: u16,
}

impl Api {
    /// What an expression is now; a range in brackets gives the samples as they were scraped.
    pub async fn query(self, expression: &str) -> Result<Vec<Series>, String> {
        let body = url::form_urlencoded::Serializer::new(String::new()).append_pair("query", expression).finish();
        let request = format!(
            "POST /api/v1/query HTTP/1.0\r\nHost: lab\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = exchange(self.port, request.as_bytes()).await?;
        if answer.status != 200 {
            return Err(format!("{expression}: {}", answer.text()));
        }
        let mut answer = answer.json();
        let series = answer["data"]["result"].as_array_mut().ok_or("no result")?;
        Ok(series.iter_mut().map(series_of).collect())
    }
}

fn series_of(series: &mut Value) -> Series {
    let labels = series["metric"].as_object().into_iter().flatten();
    let labels = labels.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect();
    let samples = series["values"].as_array().cloned().unwrap_or_else(|| Vec::from([series["value"].take()]));
    let sample = |pair: &Value| Some((pair[0].as_f64()?, pair[1].as_str()?.to_owned()));
    (labels, samples.iter().filter_map(sample).collect())
}
