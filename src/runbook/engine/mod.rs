//! The engine: for each cluster one loop that wakes by alerts, by what pgvigil sees and by people, looks, decides, writes down what it is
//! about to do, and does it. All that it knows of a run is in the journal.

mod delegating;
mod driver;
mod hands;
mod hooking;
mod judging;
mod person;
mod waking;

use std::sync::Arc;

use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::intake::Intake;
use super::run::Plan;
use super::shelf::Shelf;
use crate::observe::fleet::Hubs;
pub use hands::Means;
pub use person::{Person, Refused};

/// The runbooks in force.
pub type Books = Arc<dyn Fn() -> Arc<Shelf> + Send + Sync>;

/// Everything that the engine works with.
#[derive(Clone)]
pub struct Parts {
    /// The clusters.
    pub hubs: Hubs,
    /// Who writes the journal.
    pub intake: Arc<Intake>,
    /// The runbooks.
    pub books: Books,
    /// What the engine has for each cluster.
    pub means: watch::Receiver<Arc<[Arc<Means>]>>,
}

/// What would be done, with what each guard saw.
#[derive(Clone, Debug, Serialize)]
pub struct Preview {
    /// The plan, with what every guard saw.
    pub plan: Plan,
    /// What would run, a line a step.
    pub commands: Vec<String>,
    /// What it amounts to: whether it would go on.
    pub amounts_to: &'static str,
}

impl Parts {
    /// What a run of this runbook would do in this cluster now, by fresh probes. Nothing is written and nothing is done.
    pub async fn preview(&self, cluster: &str, runbook: &str) -> Result<Preview, Refused> {
        let means = self.means.borrow().iter().find(|means| means.cluster == cluster).cloned();
        let Some(means) = means else { return Err(Refused::Unknown(format!("there is no cluster {cluster}"))) };
        let shelf = (self.books)();
        let Some(entry) = shelf.find(runbook) else {
            return Err(Refused::Unknown(format!("there is no runbook {runbook}")));
        };
        if entry.book.steps.is_empty() {
            return Err(Refused::Conflict(format!("runbook {runbook} has no steps: read it at /runbooks/{runbook}")));
        }
        judging::preview(self, means, &entry.book).await
    }
}

/// The loops of all clusters. Dropping it ends them; what they had begun is in the journal.
pub struct Engine {
    running: tokio::sync::Mutex<Vec<(Arc<Means>, JoinSet<()>)>>,
    means: watch::Sender<Arc<[Arc<Means>]>>,
}

impl Default for Engine {
    fn default() -> Self {
        Self { running: tokio::sync::Mutex::default(), means: watch::Sender::new([].into()) }
    }
}

impl Engine {
    /// What the engine has for each cluster, for [`Parts`].
    pub fn means(&self) -> watch::Receiver<Arc<[Arc<Means>]>> {
        self.means.subscribe()
    }

    /// Runs one loop for each cluster of `means`, and no other. A loop whose means did not change goes on; any other ends where it is
    /// and the new one goes on from the journal.
    pub async fn apply(&self, parts: &Parts, means: Vec<Means>) {
        let mut running = self.running.lock().await;
        let mut before = std::mem::take(&mut *running);
        for means in means {
            let kept = before.iter().position(|(known, _)| known.is_same(&means));
            running.push(match kept {
                Some(at) => before.swap_remove(at),
                None => {
                    let same = |(known, _): &(Arc<Means>, JoinSet<()>)| known.cluster == means.cluster;
                    if let Some(at) = before.iter().position(same) {
                        // To its end: two loops of one cluster would act twice.
                        before.swap_remove(at).1.shutdown().await;
                    }
                    let means = Arc::new(means);
                    let mut tasks = JoinSet::new();
                    tasks.spawn(driver::run(parts.clone(), means.clone()));
                    (means, tasks)
                }
            });
        }
        self.means.send_replace(running.iter().map(|(means, _)| means.clone()).collect());
        for (_, mut gone) in before {
            gone.shutdown().await;
        }
    }
}
