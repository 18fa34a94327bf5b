//! Collector `sync`: `synchronous_standby_names`, and the backends whose commit waits for standbys.

use serde::Serialize;

use super::snapshot::{Exchange, Fact, NodeView, Snapshot};
use super::{CollectError, Pace};
use crate::clock::Wall;
use crate::metric::family::{Family, Kind, Observers, Unit};
use crate::metric::sample::Samples;
use crate::pg::records::{DecodeError, Records};
use crate::pg::version::VersionedSql;

/// Whom commits wait for, and who waits.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sync {
    /// `synchronous_standby_names`; empty: off.
    pub standby_names: String,
    /// `synchronous_commit` of our own session: what sessions have that set none. With off or local a commit waits for nobody.
    pub synchronous_commit: String,
    /// `statement_timestamp()` of this server: just before it looked.
    pub server_time: Wall,
    /// The backends whose `wait_event` is SyncRep: as many as `max_connections` at most.
    pub waiters: Vec<SyncWaiter>,
}

/// One row of `pg_stat_activity` whose commit waits for standbys.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SyncWaiter {
    /// `pid`: never a label.
    pub pid: i32,
    /// The latest of `xact_start`, `query_start` and `state_change`: the wait began after it.
    pub busy_since: Option<Wall>,
    /// When the wait began at the earliest, on this server's clock.
    pub waiting_since: Wall,
}

impl Sync {
    /// For how many seconds a backend has waited at most; 0 if none waits.
    pub fn longest_wait(&self) -> f64 {
        let waits = self.waiters.iter().map(|waiter| self.server_time.seconds_since(waiter.waiting_since));
        waits.fold(0.0, f64::max)
    }
}

static SQL: VersionedSql = VersionedSql(&[(10, include_str!("sql/sync.10.sql"))]);

static WAITING: Family = Family {
    name: "pgvigil_sync_waiting_backends",
    help: "Backends of a primary whose commit waits for synchronous standbys.",
    kind: Kind::Gauge,
    unit: Unit::None,
    labels: &["cluster", "node"],
    observers: Observers::Max,
};

static LONGEST_WAIT: Family = Family {
    name: "pgvigil_sync_longest_wait_seconds",
    help: "The longest that a commit can have waited for synchronous standbys so far: since its statement began or since a reading \
           that did not see it wait, whichever was later; 0 if none waits.",
    kind: Kind::Gauge,
    unit: Unit::Seconds,
    labels: &["cluster", "node"],
    observers: Observers::Min,
};

static FAMILIES: [&Family; 2] = [&WAITING, &LONGEST_WAIT];

/// The collector.
#[derive(Debug)]
pub struct Collector;

impl super::Collector for Collector {
    fn name(&self) -> &'static str {
        "sync"
    }

    /// Slow: the walsenders are read fast, so a lost standby changes the quorum within a second as it is. What is read here changes
    /// by a reload, and a look at all backends each second would double what the fast reading costs a server with 200 of them.
    fn pace(&self) -> Pace {
        Pace::Slow
    }

    fn sql(&self) -> &'static VersionedSql {
        &SQL
    }

    fn source(&self) -> &'static str {
        "current_setting(), pg_stat_activity"
    }

    fn grant(&self) -> Option<&'static str> {
        Some("pg_monitor")
    }

    fn families(&self) -> &'static [&'static Family] {
        &FAMILIES
    }

    fn store(&self, records: &Records, snapshot: &mut Snapshot, exchange: Exchange) -> Result<(), CollectError> {
        let value = decode(records, snapshot.sync.as_ref().map(|fact| &fact.value))?;
        snapshot.sync = Some(Fact { value, seen: exchange.received });
        Ok(())
    }

    fn samples(&self, view: &NodeView<'_>, samples: &mut Samples) {
        let Some(sync) = view.fresh(&view.snapshot.sync, Pace::Slow) else { return };
        if view.fresh(&view.snapshot.recovery, Pace::Fast).is_none_or(|recovery| recovery.in_recovery) {
            return;
        }
        samples.number(&WAITING, &view.labels(), sync.waiters.len() as f64);
        samples.number(&LONGEST_WAIT, &view.labels(), sync.longest_wait());
    }
}

/// A statement that ran for an hour has not waited for an hour at its commit: who did not wait at the reading `before` has waited
/// since then at most.
fn decode(records: &Records, before: Option<&Sync>) -> Result<Sync, CollectError> {
    let Some(first) = records.iter().next() else { return Err(DecodeError::NotOneRow(0).into()) };
    if !first.need_boolean("sees_all")? {
        return Err(CollectError::MissingGrant("pg_monitor"));
    }
    let server_time = first.epoch("server_time")?;
    let server_time = server_time.ok_or_else(|| DecodeError::Null("server_time".to_owned()))?;
    let mut waiters = Vec::new();
    for row in records.iter() {
        let Some(pid) = row.number("waiting_pid")? else { continue };
        let busy_since = row.epoch("busy_since")?;
        let same = |waiter: &&SyncWaiter| waiter.pid == pid && waiter.busy_since == busy_since;
        let known = before.and_then(|before| before.waiters.iter().find(same));
        let latest = || busy_since.max(before.map(|before| before.server_time)).unwrap_or(server_time);
        let waiting_since = known.map_or_else(latest, |waiter| waiter.waiting_since);
        waiters.push(SyncWaiter { pid, busy_since, waiting_since });
    }
    Ok(Sync {
        standby_names: first.need_text("standby_names")?.to_owned(),
        synchronous_commit: first.need_text("synchronous_commit")?.to_owned(),
        server_time,
        waiters,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(server_time: &str, waiters: &[(i32, &str)], before: Option<&Sync>) -> Sync {
        let columns = ["standby_names", "synchronous_commit", "sees_all", "server_time", "waiting_pid", "busy_since"]
            .map(str::to_owned);
        let row = |waiter: Option<&(i32, &str)>| {
            let fixed = ["b", "on", "true", server_time].map(|cell| Some(cell.to_owned()));
            let own = [waiter.map(|(pid, _)| pid.to_string()), waiter.map(|(_, since)| (*since).to_owned())];
            fixed.into_iter().chain(own).collect()
        };
        let rows: Vec<Vec<_>> = match waiters {
            [] => vec![row(None)],
            waiters => waiters.iter().map(|waiter| row(Some(waiter))).collect(),
        };
        decode(&Records::new(columns.into(), rows), before).unwrap()
    }

    #[test]
    fn nobody_waits() {
        let sync = read("100", &[], None);
        assert_eq!((sync.waiters.len(), sync.longest_wait()), (0, 0.0));
    }

    #[test]
    fn a_wait_grows_from_the_statement_on() {
        let sync = read("100", &[(1, "97.5"), (2, "99")], None);
        assert_eq!((sync.waiters.len(), sync.longest_wait()), (2, 2.5));
        let sync = read("110", &[(1, "97.5"), (2, "99")], Some(&sync));
        assert_eq!(sync.longest_wait(), 12.5);
    }

    #[test]
    fn a_long_statement_has_not_waited_before_it_was_seen_to() {
        let before = read("1000", &[(1, "990")], None);
        let sync = read("1010", &[(2, "100")], Some(&before));
        assert_eq!(sync.longest_wait(), 10.0);
        // The wait goes on, and keeps its beginning.
        let sync = read("1020", &[(2, "100")], Some(&sync));
        assert_eq!(sync.longest_wait(), 20.0);
        // The same backend's next commit is another wait.
        let sync = read("1030", &[(2, "1029")], Some(&sync));
        assert_eq!(sync.longest_wait(), 1.0);
    }

    #[test]
    fn a_clock_that_was_set_back_makes_no_negative_wait() {
        let before = read("1000", &[], None);
        assert_eq!(read("900", &[(1, "899")], Some(&before)).longest_wait(), 0.0);
    }
}
