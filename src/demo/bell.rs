//! Where the demo's Alertmanager tells of alerts: a webhook on a port of its own that prints a line for each change.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// More alerts than this at a time are told again and again.
const MOST: usize = 1_000;

/// What Alertmanager sends; the rest of it is not read.
#[derive(Deserialize)]
struct Notification {
    alerts: Vec<Alert>,
}

#[derive(Deserialize)]
struct Alert {
    status: String,
    fingerprint: String,
    labels: BTreeMap<String, String>,
}

impl Alert {
    /// One line: what, and where.
    fn line(&self) -> String {
        let label = |name: &str| self.labels.get(name).map(String::as_str);
        let place = ["cluster", "node", "slot", "instance"].into_iter();
        let place = place.filter_map(|name| Some(format!("{name} {}", label(name)?)));
        let inside: Vec<String> = label("severity").map(str::to_owned).into_iter().chain(place).collect();
        let line = format!("alert {} {} ({})", label("alertname").unwrap_or_default(), self.status, inside.join(", "));
        // What a server or a person named may hold anything, and this is a terminal.
        line.chars().filter(|c| !c.is_control()).collect()
    }
}

/// The listener. Dropping it closes the port.
pub(super) struct Bell {
    port: u16,
    task: JoinHandle<()>,
}

struct Listening {
    authorization: String,
    /// Fingerprints of what fires, as far as it was told.
    firing: Mutex<BTreeSet<String>>,
    tell: fn(&str),
}

impl Bell {
    /// Listens, for whoever has the token; `tell` hears of each alert that begins or ends to fire.
    pub(super) async fn open(token: &str, tell: fn(&str)) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("cannot listen for alerts")?;
        let port = listener.local_addr().context("cannot listen for alerts")?.port();
        let listening = Listening { authorization: format!("Bearer {token}"), firing: Mutex::default(), tell };
        let routes = Router::new().route("/", post(take)).with_state(Arc::new(listening));
        let task = tokio::spawn(async move {
            // It ends with the demo alone.
            let _ = axum::serve(listener, routes).await;
        });
        Ok(Self { port, task })
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn take(State(listening): State<Arc<Listening>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    if headers.get(AUTHORIZATION).is_none_or(|sent| sent.as_bytes() != listening.authorization.as_bytes()) {
        return StatusCode::UNAUTHORIZED;
    }
    let Ok(notification) = serde_json::from_slice::<Notification>(&body) else { return StatusCode::BAD_REQUEST };
    listening.hear(&notification);
    StatusCode::OK
}

impl Listening {
    /// Tells what is new: each notification holds all alerts of a group.
    fn hear(&self, notification: &Notification) {
        let mut firing = self.firing.lock().unwrap_or_else(PoisonError::into_inner);
        for alert in &notification.alerts {
            let is_new = match alert.status.as_str() {
                "firing" if firing.len() >= MOST => true,
                "firing" => firing.insert(alert.fingerprint.clone()),
                _ => firing.remove(&alert.fingerprint),
            };
            if is_new {
                (self.tell)(&alert.line());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    thread_local! {
        static TOLD: RefCell<Vec<String>> = RefCell::default();
    }

    fn told(listening: &Listening, alerts: &[(&str, &str)]) -> Vec<String> {
        let alert = |(node, status): &(&str, &str)| {
            let labels = [("alertname", "A"), ("cluster", "demo"), ("severity", "warning"), ("node", node)];
            let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
            Alert { status: (*status).to_owned(), fingerprint: (*node).to_owned(), labels }
        };
        listening.hear(&Notification { alerts: alerts.iter().map(alert).collect() });
        TOLD.take()
    }

    #[test]
    fn each_change_is_told_once_though_notifications_repeat() {
        let tell = |line: &str| TOLD.with_borrow_mut(|told| told.push(line.to_owned()));
        let listening = Listening { authorization: String::new(), firing: Mutex::default(), tell };
        let b = ["alert A firing (warning, cluster demo, node b)", "alert A resolved (warning, cluster demo, node b)"];
        assert_eq!(told(&listening, &[("b", "firing")]), [b[0]]);
        let c = "alert A firing (warning, cluster demo, node c)";
        assert_eq!(told(&listening, &[("b", "firing"), ("c", "firing")]), [c]);
        assert_eq!(told(&listening, &[("b", "resolved"), ("c", "firing")]), [b[1]]);
        assert_eq!(told(&listening, &[("b", "resolved")]), [""; 0]);
        assert_eq!(told(&listening, &[("b", "firing")]), [b[0]]);
    }

    #[test]
    fn what_a_name_holds_does_not_reach_the_terminal() {
        let labels =
            BTreeMap::from([("alertname".to_owned(), "A".to_owned()), ("slot".to_owned(), "\x1b[2J".to_owned())]);
        let alert = Alert { status: "firing".to_owned(), fingerprint: String::new(), labels };
        assert_eq!(alert.line(), "alert A firing (slot [2J)");
    }
}
