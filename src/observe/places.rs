//! Who may connect now: of all nodes together no more than `max_connects` at a time, so that a start, or a network that comes back, is
//! no storm.
//!
//! A server that accepts and never answers holds its place until the deadline, and many such would keep all others waiting. So there
//! are two lines, each with half of the places, first come, first served: who is not through soon goes over to the second line, or has
//! failed if that is full, and begins there the next time. The dead wait for the dead. No place is held for longer than the connect
//! deadline, so that who waits behind `n` others waits for `n / places` deadlines at most.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use crate::pg::failure::{Cause, Failure};

/// The part of the deadline within which a connect is soon through.
const SOON: u32 = 4;

/// The places of all nodes.
#[derive(Debug)]
pub struct Places {
    lines: Mutex<Arc<Lines>>,
    waiting: AtomicUsize,
    open: AtomicUsize,
}

#[derive(Debug)]
struct Lines {
    most: usize,
    prompt: Semaphore,
    tardy: Semaphore,
}

impl Lines {
    fn of(most: usize) -> Self {
        let tardy = most / 2;
        Self { most, prompt: Semaphore::new(most - tardy), tardy: Semaphore::new(tardy) }
    }
}

/// How a node's connects went.
#[derive(Debug, Default)]
pub(super) struct Manner(Mutex<Known>);

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// Whether the last one failed, and not soon.
    tardy: bool,
    /// How long the last good one took.
    took: Duration,
}

impl Manner {
    fn known(&self) -> Known {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in how a connect went. One that fails at once costs nobody anything.
    fn learn(&self, is_good: bool, took: Duration, soon: Duration) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.tardy = !is_good && took >= soon;
        if is_good {
            known.took = took;
        }
    }
}

impl Known {
    /// By when it should be through: a server that is far away was slow when it was well, too.
    fn soon(self, deadline: Duration) -> Duration {
        (deadline / SOON).max(2 * self.took).min(deadline)
    }
}

/// Counts for as long as it lives.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Places {
    /// So many, at least two.
    pub fn new(most: usize) -> Self {
        Self { lines: Mutex::new(Arc::new(Lines::of(most))), waiting: AtomicUsize::new(0), open: AtomicUsize::new(0) }
    }

    /// From now on there are so many, at least two. Those who hold or wait for one of before are not disturbed.
    pub fn allow(&self, most: usize) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.most != most {
            *lines = Arc::new(Lines::of(most));
        }
    }

    /// How many wait for one.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// How many have one.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Makes an `attempt`, which takes `deadline` at most, as soon as there is a place. One that takes the place of others for too long
    /// is given up, and is in the second line the next time.
    pub(super) async fn admit<T>(
        &self,
        manner: &Manner,
        deadline: Duration,
        attempt: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let known = manner.known();
        let soon = known.soon(deadline);
        let place = self.place(if known.tardy { &lines.tardy } else { &lines.prompt }).await;
        let _open = Counted::new(&self.open);
        let (began, mut attempt) = (Instant::now(), pin!(attempt));
        let result = match (known.tardy, timeout(soon, &mut attempt).await) {
            (_, Ok(result)) => result,
            (true, Err(_)) => attempt.await,
            (false, Err(_)) => match lines.tardy.try_acquire() {
                Ok(_tardy) => {
                    drop(place);
                    attempt.await
                }
                Err(_) => Err(Failure::new(Cause::Timeout, &format!("no answer within {soon:?}, and others wait"))),
            },
        };
        manner.learn(result.is_ok(), began.elapsed(), soon);
        result
    }

    async fn place<'a>(&self, line: &'a Semaphore) -> Option<SemaphorePermit<'a>> {
        let _waiting = Counted::new(&self.waiting);
        // It is never closed.
        line.acquire().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::sleep;

    use super::*;

    const DEADLINE: Duration = Duration::from_millis(200);
    const DEAD: usize = 100;

    /// Silent servers that are asked again and again, and how often one was given up.
    struct Dead {
        places: Arc<Places>,
        given_up: Arc<AtomicUsize>,
        known: Arc<AtomicUsize>,
    }

    impl Dead {
        async fn beside(most: usize) -> Self {
            let (places, given_up) = (Arc::new(Places::new(most)), Arc::new(AtomicUsize::new(0)));
            let known = Arc::new(AtomicUsize::new(0));
            for _ in 0..DEAD {
                let (places, given_up, known) = (places.clone(), given_up.clone(), known.clone());
                tokio::spawn(async move {
                    let manner = Manner::default();
                    for number in 0.. {
                        let _ = places.admit(&manner, DEADLINE, silent()).await;
                        given_up.fetch_add(1, Ordering::Relaxed);
                        known.fetch_add(usize::from(number == 0), Ordering::Relaxed);
                    }
                });
            }
            while places.waiting() < DEAD - most {
                sleep(DEADLINE / 20).await;
            }
            Self { places, given_up, known }
        }

        /// Until each of them is known to be slow.
        async fn known(&self) {
            while self.known.load(Ordering::Relaxed) < DEAD {
                sleep(DEADLINE / 20).await;
            }
        }

        /// How many were given up while this one connected.
        async fn during(&self, manner: &Manner, takes: Duration) -> usize {
            let before = self.given_up.load(Ordering::Relaxed);
            self.places.admit(manner, DEADLINE, living(takes)).await.unwrap();
            self.given_up.load(Ordering::Relaxed) - before
        }
    }

    async fn silent() -> Result<(), Failure> {
        let _ = timeout(DEADLINE, pending::<()>()).await;
        Err(Failure::new(Cause::Timeout, "no answer"))
    }

    async fn living(takes: Duration) -> Result<(), Failure> {
        sleep(takes).await;
        Ok(())
    }

    #[tokio::test]
    async fn no_more_connect_at_a_time_than_may() {
        let dead = Dead::beside(8).await;
        for _ in 0..100 {
            assert!(dead.places.open() <= 8, "{}", dead.places.open());
            sleep(DEADLINE / 40).await;
        }
        dead.known().await;
        assert!(dead.places.open() <= 4, "half are for those who are not known to be slow: {}", dead.places.open());
    }

    #[tokio::test]
    async fn the_dead_wait_for_the_dead() {
        let dead = Dead::beside(8).await;
        let manner = Manner::default();
        let first = dead.during(&manner, DEADLINE / 100).await;
        assert!(first <= DEAD * 3 / 2, "at first nobody knows who is dead, and each is asked once: {first}");
        dead.known().await;
        for _ in 0..10 {
            let during = dead.during(&manner, DEADLINE / 100).await;
            assert!(during <= 8, "{during}");
        }
    }

    #[tokio::test]
    async fn a_server_that_is_far_away_and_was_well_is_let_through() {
        let manner = Manner::default();
        let far = DEADLINE / 2;
        Places::new(8).admit(&manner, DEADLINE, living(far)).await.unwrap();
        let dead = Dead::beside(8).await;
        dead.known().await;
        let during = dead.during(&manner, far).await;
        assert!(during <= 16, "{during}");
    }

    #[tokio::test]
    async fn more_places_count_at_once() {
        let dead = Dead::beside(2).await;
        dead.places.allow(4 * DEAD);
        assert_eq!(dead.during(&Manner::default(), Duration::ZERO).await, 0);
    }
}
