//! Whether the WAL that a standby needs next is gone, so that it must be made anew. The server itself only says so in its log.
//!
//! Certain it is where the standby has replayed all that it has and finds no more, where neither the primary nor the node that fed it
//! last has the segment that follows, and where no `restore_command` could bring it.

use super::assess::{Evidence, Verdict};
use super::position::Position;
use crate::collector::{replay_wait, settings, wal_dir};

impl Evidence<'_> {
    /// The verdict on node number `index`; `None` for a node that is a primary.
    pub(super) fn needs_rebuild(&self, index: usize, primary: Option<usize>) -> Option<Verdict> {
        let snapshot = &self.facts[index].snapshot;
        let recovery = snapshot.recovery.as_ref().filter(|_| self.is_fresh(index));
        if primary == Some(index) || recovery.is_some_and(|recovery| !recovery.value.in_recovery) {
            return None;
        }
        let seen = recovery.is_some() && !self.is_foreign(index) && self.twin_of(index).is_none();
        let remembered = self.memory.node(&self.layout.members[index].name);
        let position = remembered.fresh(self.now, self.layout.timing.fast_window(), self.not_before);
        let (Some(position), Some(primary)) = (position.filter(|_| seen), primary) else {
            return Some(Verdict::Unknown);
        };
        let upstream = remembered.upstream.as_ref();
        let upstream = upstream.and_then(|name| self.layout.members.iter().position(|member| member.name == *name));
        let sources = [Some(primary), upstream.filter(|upstream| ![primary, index].contains(upstream))];
        let has: Vec<_> = sources.into_iter().flatten().map(|source| self.has_wal_for(source, &position)).collect();
        let wait = self.slow_fact(index, &replay_wait::Collector, &snapshot.replay_wait);
        let settings = self.slow_fact(index, &settings::Collector, &snapshot.settings);
        // Even then a walreceiver streams for a few milliseconds each time, until it is told that there is nothing.
        let retries = wait.is_some_and(|wait| wait.retries());
        let streams = self.streams(index);
        let dry = retries || !streams && wait.is_some_and(|wait| wait.awaits_stream());
        let archive = settings.is_none_or(|settings| settings.restore_command_set);
        Some(match () {
            () if has.contains(&Some(true)) || streams && !retries => Verdict::No,
            () if dry && !archive && has.iter().all(|has| *has == Some(false)) => Verdict::Yes,
            () => Verdict::Unknown,
        })
    }

    /// Whether `source` still has the WAL that follows `position`. Unknown where they may be of different lines of descent.
    fn has_wal_for(&self, source: usize, position: &Position) -> Option<bool> {
        let history = &self.memory.history;
        let (newest, _) = history.newest()?;
        let descends =
            |timeline| timeline == newest || history.fork_of(timeline).is_some_and(|fork| position.received <= fork);
        let own = self.memory.node(&self.layout.members[source].name).timeline?;
        let dir = self.slow_fact(source, &wal_dir::Collector, &self.facts[source].snapshot.wal_dir)?;
        (descends(position.timeline) && descends(own)).then(|| dir.reaches_back_to(position.received))?
    }
}
