//! `/events`: the sections of a page anew whenever they changed, as server-sent events. What is shown is made once a second for all who
//! look at it, and not at all while nobody does. A beat comes with each look, so that silence is never taken for calm.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::stream;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::access::Caller;
use super::connection::Activity;
use super::run_pages::{self, may_decide};
use super::status::{find, overview_of, view};
use crate::clock::Wall;
use crate::page::{Section, figures, sections};
use crate::runbook::engine::Parts;

/// Between two looks.
const EACH: Duration = Duration::from_secs(1);
/// Pages that are open at one time. They leave room for scrapes among all connections.
const MOST: usize = 224;
/// A page is asked to come again after so long, so that whoever may no longer look does not.
const LIFE: Duration = Duration::from_secs(300);

/// What somebody looks at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    /// All clusters.
    All,
    /// One cluster.
    Cluster(String),
    /// One run, and whether whoever looks may decide.
    Run(String, bool),
}

/// What a subject looks like now.
struct Look {
    /// Each section as an event, and what it was made of.
    sections: Vec<(u64, Bytes)>,
    beat: Bytes,
}

/// Who looks at what.
pub(super) struct Live {
    parts: Parts,
    looks: Mutex<BTreeMap<Subject, watch::Sender<Option<Arc<Look>>>>>,
    places: Arc<Semaphore>,
    stopping: watch::Receiver<bool>,
}

/// What is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    cluster: Option<String>,
    run: Option<String>,
}

/// The route. All streams end when `stopping` says so.
pub(super) fn routes<S: Clone + Send + Sync + 'static>(parts: Parts, stopping: watch::Receiver<bool>) -> Router<S> {
    let (looks, places) = (Mutex::default(), Arc::new(Semaphore::new(MOST)));
    let live = Arc::new(Live { parts, looks, places, stopping });
    Router::new().route("/events", get(events)).with_state(live)
}

async fn events(
    State(live): State<Arc<Live>>,
    caller: Option<Extension<Caller>>,
    activity: Option<Extension<Activity>>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    let subject = match asked {
        Ok(Query(Asked { cluster: None, run: None })) => Subject::All,
        Ok(Query(Asked { cluster: Some(name), run: None })) => Subject::Cluster(name),
        Ok(Query(Asked { cluster: None, run: Some(id) })) => Subject::Run(id, may_decide(caller.as_deref())),
        _ => {
            let usage = "ask for /events, /events?cluster=NAME or /events?run=ID\n";
            return (StatusCode::BAD_REQUEST, usage).into_response();
        }
    };
    let Ok(place) = live.places.clone().try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "Too many pages are open; reload instead.\n").into_response();
    };
    let Some(looks) = live.join(&subject) else {
        return (StatusCode::NOT_FOUND, "There is no such cluster or run.\n").into_response();
    };
    let viewer = Viewer {
        looks,
        stopping: live.stopping.clone(),
        known: Vec::new(),
        until: Instant::now() + LIFE,
        activity: activity.map(|Extension(activity)| activity),
        is_over: false,
        _place: place,
    };
    let head = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store")];
    (head, Body::from_stream(stream::unfold(viewer, Viewer::next))).into_response()
}

/// One page that is open.
struct Viewer {
    looks: watch::Receiver<Option<Arc<Look>>>,
    stopping: watch::Receiver<bool>,
    /// What was sent of each section.
    known: Vec<u64>,
    until: Instant,
    /// A page that is open is a connection in use.
    activity: Option<Activity>,
    is_over: bool,
    _place: OwnedSemaphorePermit,
}

impl Viewer {
    /// The next events, when there are any; `None`: the stream is over.
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        if self.is_over {
            return None;
        }
        tokio::select! {
            changed = self.looks.changed() => changed.ok()?,
            // Whoever looks learns that we end from the end.
            _ = self.stopping.wait_for(|stopping| *stopping) => return None,
        }
        let look = self.looks.borrow_and_update().clone()?;
        if let Some(activity) = &self.activity {
            activity.stamp();
        }
        if Instant::now() >= self.until {
            self.is_over = true;
            return Some((Ok(Bytes::from_static(b"event: again\ndata: -\n\n")), self));
        }
        let mut events = Vec::new();
        for (number, (tag, event)) in look.sections.iter().enumerate() {
            if self.known.get(number) != Some(tag) {
                events.extend_from_slice(event);
            }
        }
        self.known = look.sections.iter().map(|(tag, _)| *tag).collect();
        if events.is_empty() {
            return Some((Ok(look.beat.clone()), self));
        }
        events.extend_from_slice(&look.beat);
        Some((Ok(events.into()), self))
    }
}

impl Live {
    /// What `subject` looks like from now on; `None`: there is no such thing.
    fn join(self: &Arc<Self>, subject: &Subject) -> Option<watch::Receiver<Option<Arc<Look>>>> {
        let mut looks = self.looks();
        if let Some(known) = looks.get(subject) {
            let mut joined = known.subscribe();
            joined.mark_changed();
            return Some(joined);
        }
        let first = self.look(subject)?;
        let (sender, mut joined) = watch::channel(Some(Arc::new(first)));
        joined.mark_changed();
        looks.insert(subject.clone(), sender);
        drop(looks);
        tokio::spawn(self.clone().keep(subject.clone()));
        Some(joined)
    }

    fn looks(&self) -> MutexGuard<'_, BTreeMap<Subject, watch::Sender<Option<Arc<Look>>>>> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks again and again for as long as anybody does.
    async fn keep(self: Arc<Self>, subject: Subject) {
        let mut ticks = interval(EACH);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        let mut stopping = self.stopping.clone();
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = stopping.wait_for(|stopping| *stopping) => break,
            }
            if self.is_left(&subject) {
                return;
            }
            let look = self.look(&subject).map(Arc::new);
            let is_gone = look.is_none();
            if let Some(sender) = self.looks().get(&subject) {
                sender.send_replace(look);
            }
            if is_gone {
                break;
            }
        }
        self.looks().remove(&subject);
    }

    /// Forgets a subject that nobody looks at any more.
    fn is_left(&self, subject: &Subject) -> bool {
        let mut looks = self.looks();
        let is_left = looks.get(subject).is_none_or(|sender| sender.receiver_count() == 0);
        if is_left {
            looks.remove(subject);
        }
        is_left
    }

    fn look(&self, subject: &Subject) -> Option<Look> {
        let sections = match subject {
            Subject::All => overview_of(&self.parts),
            Subject::Cluster(name) => sections(&view(&self.parts, find(&self.parts.hubs.now(), name)?)),
            Subject::Run(id, may) => crate::page::run::sections(&run_pages::view(&self.parts, id, *may)?),
        };
        let beat = format!("event: beat\ndata: {}\n\n", figures::time(Wall::now())).into();
        Some(Look { sections: sections.iter().map(event).collect(), beat })
    }
}

/// A section as an event, and a word that is another when the section is.
fn event(section: &Section) -> (u64, Bytes) {
    let digest = ring::digest::digest(&ring::digest::SHA256, section.html.as_bytes());
    let tag = digest.as_ref().iter().take(8).fold(0, |tag, byte| tag << 8 | u64::from(*byte));
    let mut event = String::with_capacity(section.html.len() + 32);
    event.push_str("event: section\n");
    for line in section.html.lines() {
        // Writing into a string cannot fail.
        let _ = writeln!(event, "data: {line}");
    }
    event.push('\n');
    (tag, event.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_section_holds_is_one_event() {
        let section = Section { id: "a".to_owned(), html: "<p>one\nevent: beat\r\n\n</p>".to_owned() };
        let (tag, bytes) = event(&section);
        assert_eq!(bytes, "event: section\ndata: <p>one\ndata: event: beat\ndata: \ndata: </p>\n\n");
        assert_eq!(event(&section).0, tag);
        let other = Section { id: "a".to_owned(), html: "<p>two</p>".to_owned() };
        assert_ne!(event(&other).0, tag);
    }
}
