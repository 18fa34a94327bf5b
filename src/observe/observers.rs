//! Asks the other observers what they see, each by a loop of its own: one question in flight, with a deadline, and no growing pause.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::fleet::Hubs;
use super::voice::Voice;
use super::words;
use crate::clock::Mono;
use crate::cluster::observers::{ObserverState, Role, Sight, Told, states};
use crate::peer::{Address, Peer, PeerError};
use crate::pg::failure::NodeState;
use crate::pg::lsn::Timeline;

/// How long one answer may take. A fact is older by as much.
const DEADLINE: Duration = Duration::from_secs(2);
/// The longest from one question to the next.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// No process is called longer.
const LONGEST_INSTANCE: usize = 64;

/// The other observers. Dropping it ends the loops that ask them.
pub struct Observers {
    hubs: Hubs,
    board: Arc<Board>,
    asking: Mutex<BTreeMap<String, (Address, JoinSet<()>)>>,
}

/// What came of asking each of them.
#[derive(Default)]
struct Board(StdMutex<Answers>);

/// In the order of the config: who, and the process that answered last or why there is none.
type Answers = Vec<(String, Result<String, ObserverState>)>;

impl Board {
    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What each of them is to `own`, our process.
    fn states(&self, own: &str) -> Vec<(String, ObserverState)> {
        let (names, answers): (Vec<_>, Vec<_>) = self.answers().iter().cloned().unzip();
        names.into_iter().zip(states(own, &answers)).collect()
    }

    /// Notes what came of asking `name`, and tells what that makes of it.
    fn note(&self, name: &str, answer: Result<String, ObserverState>, own: &str) -> ObserverState {
        if let Some((_, last)) = self.answers().iter_mut().find(|(known, _)| known == name) {
            *last = answer;
        }
        let states = self.states(own);
        states.iter().find(|(known, _)| known == name).map_or(ObserverState::Unknown, |(_, state)| *state)
    }
}

impl Observers {
    /// Asks nobody yet. What they say goes to `hubs`.
    pub fn new(hubs: Hubs) -> Self {
        Self { hubs, board: Arc::default(), asking: Mutex::default() }
    }

    /// Asks these, and nobody else. Who did not change is not asked anew.
    pub async fn apply(&self, observers: Vec<(String, Address)>) {
        let mut asking = self.asking.lock().await;
        let mut before = std::mem::take(&mut *asking);
        // What was asked of an address that is another now is not known yet.
        let kept = |(name, address): &(String, Address)| before.get(name).is_some_and(|(old, _)| old == address);
        let old = std::mem::take(&mut *self.board.answers());
        *self.board.answers() = observers
            .iter()
            .map(|observer| {
                let answer = old.iter().find(|(name, _)| *name == observer.0 && kept(observer));
                (observer.0.clone(), answer.map_or(Err(ObserverState::Unknown), |(_, answer)| answer.clone()))
            })
            .collect();
        for (name, address) in observers {
            let running = match before.remove(&name) {
                Some((old, running)) if old == address => running,
                stale => {
                    if let Some((_, mut stale)) = stale {
                        stale.shutdown().await;
                    }
                    let mut running = JoinSet::new();
                    running.spawn(ask(name.clone(), address.clone(), self.hubs.clone(), self.board.clone()));
                    running
                }
            };
            asking.insert(name, (address, running));
        }
    }

    /// What came of asking each of them, in the order of the config.
    pub fn states(&self) -> Vec<(String, ObserverState)> {
        self.board.states(self.hubs.instance())
    }
}

/// Asks again and again.
async fn ask(name: String, address: Address, hubs: Hubs, board: Arc<Board>) {
    let mut voice = Voice::default();
    let mut peer = Peer::new(address.clone(), DEADLINE);
    loop {
        let (started, asked) = (Instant::now(), Mono::now());
        let answer = question(&mut peer, &address).await;
        let instance = answer.as_ref().map(|answer| answer.instance.clone());
        let state = board.note(&name, instance.map_err(state_of), hubs.instance());
        for hub in hubs.now().iter() {
            let mut cluster = hub.cluster();
            match &answer {
                Ok(answer) => {
                    let told = answer.told(&cluster.layout().name, asked, hubs.instance());
                    cluster.hear(&name, told);
                }
                Err(_) => cluster.lose(&name),
            }
        }
        words::observer(&mut voice, &name, &address.url, state, answer.err().as_ref());
        let intervals = hubs.now().iter().map(|hub| hub.cluster().layout().timing.sample_interval).min();
        sleep_until(started + intervals.unwrap_or(LONGEST_PAUSE).min(LONGEST_PAUSE)).await;
    }
}

async fn question(peer: &mut Peer, address: &Address) -> Result<Answer, PeerError> {
    let answer = peer.get::<Answer>("/api/v1/clusters").await?;
    match answer.instance.len() {
        1..=LONGEST_INSTANCE => Ok(answer),
        _ => {
            Err(PeerError::Strange { url: address.url.clone(), why: "it does not say which process it is".to_owned() })
        }
    }
}

const fn state_of(error: &PeerError) -> ObserverState {
    match error {
        PeerError::File { .. } => ObserverState::Config,
        PeerError::Unreachable { .. } => ObserverState::Unreachable,
        PeerError::Refused { .. } => ObserverState::Refused,
        PeerError::Strange { .. } => ObserverState::Strange,
    }
}

/// What we need of `/api/v1/clusters`.
#[derive(Deserialize)]
struct Answer {
    instance: String,
    clusters: Vec<Cluster>,
}

#[derive(Deserialize)]
struct Cluster {
    name: String,
    system_identifier: Option<String>,
    timeline: Option<u32>,
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    name: String,
    state: String,
    role: String,
    age_seconds: Option<f64>,
    since_seconds: Option<f64>,
}

impl Answer {
    /// What it says of `cluster`. Ages count from when it was `asked`, before which no answer was made: nothing seems younger than it
    /// is.
    fn told(&self, cluster: &str, asked: Mono, own: &str) -> Told {
        let told = self.clusters.iter().find(|told| told.name == cluster);
        let nodes = told.map_or(&[][..], |told| &told.nodes);
        // What is no age is not known.
        let before = |age: Option<f64>| Some(asked.minus(Duration::try_from_secs_f64(age?).ok()?));
        let sight = |node: &Node| Sight {
            state: NodeState::named(&node.state).unwrap_or(NodeState::Unknown),
            role: Role::named(&node.role),
            seen: before(node.age_seconds),
            since: before(node.since_seconds),
        };
        Told {
            instance: self.instance.clone(),
            ours: self.instance == own,
            system_identifier: told.and_then(|told| told.system_identifier.clone()),
            timeline: told.and_then(|told| told.timeline).map(Timeline),
            sights: nodes.iter().map(|node| (node.name.clone(), sight(node))).collect(),
            lost: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(node: &str) -> Told {
        let text = format!(r#"{{"instance": "x", "clusters": [{{"name": "c", "nodes": [{node}]}}], "more": 1}}"#);
        let answer: Answer = serde_json::from_str(&text).unwrap();
        answer.told("c", Mono::from_nanos(10_000_000_000), "y")
    }

    #[test]
    fn ages_count_from_the_question() {
        let told = told(r#"{"name": "a", "state": "up", "role": "primary", "age_seconds": 1.5}"#);
        let seen = Some(Mono::from_nanos(8_500_000_000));
        assert_eq!(told.sights["a"], Sight { state: NodeState::Up, role: Role::Primary, seen, since: None });
    }

    #[test]
    fn what_is_no_age_and_no_state_is_not_known() {
        for age in ["-1", "1e300", "null"] {
            let told = told(&format!(r#"{{"name": "a", "state": "fine", "role": "boss", "age_seconds": {age}}}"#));
            let sight = Sight { state: NodeState::Unknown, role: Role::Unknown, seen: None, since: None };
            assert_eq!(told.sights["a"], sight, "{age}");
        }
    }

    #[test]
    fn of_a_cluster_that_it_does_not_watch_nothing_is_told_but_who_it_is() {
        let answer: Answer = serde_json::from_str(r#"{"instance": "x", "clusters": []}"#).unwrap();
        let told = answer.told("c", Mono::default(), "x");
        assert!(told.ours && told.sights.is_empty() && told.instance == "x");
    }
}
