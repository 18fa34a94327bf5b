//! Which node belongs to the cluster and is on its newest timeline, and which may come back to it.

use serde::Serialize;

use super::assess::{Evidence, Verdict};
use super::lag::{StandbyLag, Unknown};
use crate::pg::lsn::Timeline;

/// Where a node stands in the cluster's line of descent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Lineage {
    /// Whether its system identifier is another one than the cluster's: the address leads to a server made anew, or to a stranger.
    pub foreign_system: Verdict,
    /// Whether it is on an older timeline than the cluster's newest.
    pub behind: Verdict,
    /// Whether it has WAL that the primary's timeline does not have; `None` for the primary.
    pub diverged: Option<Verdict>,
    /// Whether it can follow the newest timeline as it is. Unknown too while it has received WAL beyond the fork, and not yet
    /// replayed it. `None` for the primary.
    pub can_follow: Option<Verdict>,
}

impl From<bool> for Verdict {
    fn from(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

impl Evidence<'_> {
    /// The newest timeline that any node of the cluster was seen on.
    pub(super) fn newest_timeline(&self) -> Option<Timeline> {
        self.memory.timeline
    }

    pub(super) fn lineage(&self, index: usize, is_primary: bool, lag: Option<&StandbyLag>) -> Lineage {
        let diverged = lag.map(|lag| match lag.received.seconds {
            Err(Unknown::Diverged) => Verdict::Yes,
            Ok(_) => Verdict::No,
            Err(_) => Verdict::Unknown,
        });
        Lineage {
            foreign_system: self.foreign_system(index),
            behind: self.is_behind(index, diverged),
            diverged,
            can_follow: (!is_primary).then(|| self.can_follow(index)),
        }
    }

    pub(super) fn foreign_system(&self, index: usize) -> Verdict {
        let control = self.facts[index].snapshot.control.as_ref().filter(|_| self.is_fresh(index));
        let own = control.map(|control| &control.value.system_identifier);
        own.zip(self.memory.system_identifier.as_ref())
            .map_or(Verdict::Unknown, |(own, cluster)| Verdict::from(own != cluster))
    }

    /// Whether the node can be placed at all: seen, of this system, and a server of its own.
    fn is_placed(&self, index: usize) -> bool {
        self.is_fresh(index) && self.foreign_system(index) == Verdict::No && self.twin_of(index).is_none()
    }

    /// On an older timeline and receiving no other: a standby whose stream says so, that stands still since it did, or that has nothing
    /// beyond the fork. Control data alone prove that a timeline was reached, and not that none was since.
    fn is_behind(&self, index: usize, diverged: Option<Verdict>) -> Verdict {
        let Some(newest) = self.newest_timeline().filter(|_| self.is_placed(index)) else { return Verdict::Unknown };
        let remembered = self.memory.node(&self.layout.members[index].name);
        let history = &self.memory.history;
        let proven = remembered.own.is_none_or(|own| {
            remembered.is_certain(&own, history) || history.is_beyond_fork(own.timeline, own.received) == Some(false)
        });
        match remembered.timeline {
            None => Verdict::Unknown,
            Some(timeline) if timeline >= newest => Verdict::No,
            Some(_) if proven || diverged == Some(Verdict::Yes) => Verdict::Yes,
            Some(_) => Verdict::Unknown,
        }
    }

    /// What was replayed beyond the fork cannot be taken back. What was only received there is thrown away by a restart that finds the
    /// new timeline first, and replayed by any other: nobody can say.
    fn can_follow(&self, index: usize) -> Verdict {
        if !self.is_placed(index) {
            return Verdict::Unknown;
        }
        let remembered = self.memory.node(&self.layout.members[index].name);
        let descent = self.memory.history.timeline();
        if descent.is_none() || descent < self.newest_timeline() {
            // The node that began the newest timeline was never seen to write it: where it forked is not known.
            let on_newest = remembered.timeline.is_some() && remembered.timeline == self.newest_timeline();
            return if on_newest { Verdict::Yes } else { Verdict::Unknown };
        }
        let beyond = |timeline, lsn| self.memory.history.is_beyond_fork(timeline, lsn);
        let wrote = remembered.written.and_then(|(timeline, lsn)| Some((timeline, beyond(timeline, lsn)?)));
        let Some(own) = remembered.own else {
            // A second primary.
            return match wrote {
                Some((timeline, false)) if Some(timeline) < self.newest_timeline() => Verdict::Yes,
                Some((_, true)) => Verdict::No,
                _ => Verdict::Unknown,
            };
        };
        let certain = remembered.is_certain(&own, &self.memory.history)
            || wrote.is_some_and(|(timeline, beyond)| timeline == own.timeline && beyond);
        match (beyond(own.timeline, own.received), own.replayed.and_then(|lsn| beyond(own.timeline, lsn))) {
            (Some(false), _) => Verdict::Yes,
            (_, Some(true)) if certain => Verdict::No,
            _ => Verdict::Unknown,
        }
    }
}
