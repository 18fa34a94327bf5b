//! What wakes a run of a cluster.

use std::time::Duration;

use super::driver::{Driver, IDLE, SLOW_LOOK, WAKES_FOR};
use crate::clock::{Moment, Wall};
use crate::cluster::assess::Verdict;
use crate::pg::failure::NodeState;
use crate::runbook::book::{Book, Class, Trigger};
use crate::runbook::guard::{self, Cause};
use crate::runbook::intake::IntakeError;
use crate::runbook::run::{Outcome, Run};

impl Driver {
    /// Whether anything wakes a run.
    pub(super) async fn consider(&mut self) -> Result<Duration, IntakeError> {
        (self.fresh, self.looked, self.before) = (None, None, None);
        self.hands.let_go().await;
        let Some((book, cause)) = self.woken() else {
            return Ok(if self.watched_books().is_empty() { IDLE } else { self.pace() });
        };
        let id = format!("{:x}", Wall::now().as_seconds().to_bits() ^ u64::from(std::process::id()));
        self.look_and_plan(&id, &book, &cause, None).await
    }

    /// The runbook that is to be planned, and what woke it.
    pub(super) fn woken(&self) -> Option<(Book, Cause)> {
        let (shelf, now) = ((self.parts.books)(), Moment::now());
        let runs = self.parts.intake.runs();
        if let Some((asked, at)) = runs.asked(&self.means.cluster)
            && guard::age(now, *at) < WAKES_FOR
            && let Some(entry) = shelf.find(&asked.runbook)
        {
            return Some((entry.book.clone(), Cause::Person { by: asked.by.clone() }));
        }
        for (name, alarm) in runs.alarms(&self.means.cluster) {
            if !alarm.firing || guard::age(now, alarm.received) > WAKES_FOR {
                continue;
            }
            let Some(entry) = shelf.find(name) else { continue };
            let book = &entry.book;
            let cause = alarm.cause(name);
            if can_wake(book, Trigger::Alert) && !runs.ended().any(|run| self.holds(run, book, &cause)) {
                return Some((book.clone(), cause));
            }
        }
        let mut watched = self.watched_books();
        if watched.is_empty() || !self.primary_is_gone() {
            return None;
        }
        watched.retain(|book| !runs.ended().any(|run| self.holds(run, book, &Cause::Observation)));
        watched.into_iter().next().map(|book| (book, Cause::Observation))
    }

    /// Whether a run that is over keeps this from waking another.
    pub(super) fn holds(&self, run: &Run, book: &Book, cause: &Cause) -> bool {
        let (Some(outcome), Some(ended)) = (run.outcome(), run.ended) else { return false };
        if run.plan.episode.cluster != self.means.cluster {
            return false;
        }
        if run.is_unacknowledged() {
            return true;
        }
        if run.plan.runbook != book.name {
            return false;
        }
        match (cause, &run.plan.cause) {
            (Cause::Alert { starts_at, received, .. }, Cause::Alert { starts_at: before, .. }) => {
                // The same outage: only what was blocked or expired before anything was done is planned again, when it is told again.
                let again = matches!(outcome, Outcome::Blocked | Outcome::Expired) && !run.acted;
                starts_at == before && !(again && received.wall > ended.wall)
            }
            (Cause::Observation, _) => {
                let same = self.episode_is(run);
                same && !matches!(outcome, Outcome::Blocked | Outcome::Recovered)
                    || Moment::now().wall.seconds_since(ended.wall) < SLOW_LOOK.as_secs_f64()
            }
            _ => false,
        }
    }

    /// Whether the primary that is missed now is the one that `run` was about.
    pub(super) fn episode_is(&self, run: &Run) -> bool {
        let assessment = self.hub.cluster().assess(Moment::now());
        let last = assessment.nodes.iter().find(|node| node.last_primary);
        last.is_some_and(|node| node.name == run.plan.episode.primary)
            && assessment.timeline == Some(run.plan.episode.timeline)
    }

    /// The runbooks that wake by what pgvigil sees.
    pub(super) fn watched_books(&self) -> Vec<Book> {
        let shelf = (self.parts.books)();
        let books = shelf.entries().into_iter().map(|entry| &entry.book);
        books.filter(|book| can_wake(book, Trigger::Observation)).cloned().collect()
    }

    /// Whether the primary that was last seen is not there for us. Not a verdict: it only wakes.
    pub(super) fn primary_is_gone(&self) -> bool {
        let assessment = self.hub.cluster().assess(Moment::now());
        let last = assessment.nodes.iter().find(|node| node.last_primary);
        let gone = [NodeState::Unreachable.as_str(), NodeState::Timeout.as_str()];
        assessment.primaries == 0
            && assessment.split_brain != Verdict::Yes
            && last.is_some_and(|node| gone.contains(&node.state))
    }

    /// As often as observation looks.
    pub(super) fn pace(&self) -> Duration {
        let interval = self.hub.cluster().layout().timing.sample_interval;
        interval.clamp(Duration::from_millis(50), SLOW_LOOK)
    }
}

pub(super) fn can_wake(book: &Book, trigger: Trigger) -> bool {
    book.triggers.contains(&trigger) && !book.planned && !book.steps.is_empty() && book.class != Class::HumanOnly
}
