//! The engine: for each cluster one loop that wakes by alerts, by what pgvigil sees and by people, looks, decides, writes down what it is
//! about to do, and does it. All that it knows of a run is in the journal.

mod driver;
mod hands;
mod person;

use std::sync::Arc;

use tokio::task::JoinSet;

use super::intake::Intake;
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
}

/// The loops of all clusters. Dropping it ends them; what they had begun is in the journal.
#[derive(Default)]
pub struct Engine {
    running: tokio::sync::Mutex<Vec<(Arc<Means>, JoinSet<()>)>>,
}

impl Engine {
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
        for (_, mut gone) in before {
            gone.shutdown().await;
        }
    }
}
