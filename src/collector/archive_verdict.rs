//! Does WAL archiving work? `pg_stat_archiver` alone cannot say: while a command hangs, none of its numbers moves.

use std::time::Duration;

use serde::Serialize;

use super::archive_status::ArchiveStatus;
use super::archiver::{ArchiveCommand, Archiver};
use crate::clock::Wall;

/// How long the archiver rests after a segment that failed three times (`PGARCH_AUTOWAKE_INTERVAL`).
const RETRY_PAUSE: Duration = Duration::from_secs(60);

/// The verdict on archiving, in order of precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ArchiveState {
    /// No archiver runs: `archive_mode` is off, or it is `on` and this is a standby.
    Off,
    /// Archiving is on with neither a command nor a library: WAL piles up.
    Unset,
    /// The command succeeds and keeps nothing.
    Noop,
    /// A segment has waited for longer than `archive_hung_after` while no counter moved.
    Hung,
    /// The last attempt failed, and something still waits.
    Failing,
    /// On, and since the counters began nothing was archived and nothing failed.
    Never,
    /// It works: the last attempt succeeded, and nothing waits unattended.
    Ok,
    /// What was seen does not tell.
    Unknown,
}

impl ArchiveState {
    /// Every state, in order of precedence, as in the label `state`.
    pub const ALL: &[&str] = &["off", "unset", "noop", "hung", "failing", "never", "ok", "unknown"];

    /// The value of the label `state`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Unset => "unset",
            Self::Noop => "noop",
            Self::Hung => "hung",
            Self::Failing => "failing",
            Self::Never => "never",
            Self::Ok => "ok",
            Self::Unknown => "unknown",
        }
    }
}

/// What the verdict is made of. A part that is not known is `None`, and then the verdict is never `Ok`.
#[derive(Clone, Copy, Debug)]
pub struct ArchiveEvidence<'a> {
    /// The archiver's counters and settings.
    pub archiver: Option<&'a Archiver>,
    /// What waits; not known to a role without `pg_monitor`.
    pub status: Option<&'a ArchiveStatus>,
    /// Whether the node is a standby.
    pub in_recovery: Option<bool>,
    /// When the server started: before that nothing of it can have hung.
    pub started_at: Option<Wall>,
    /// From which age on a waiting segment counts as unattended.
    pub hung_after: Duration,
}

/// What is known to wait at the moment of the archiver's reading.
struct Waiting {
    /// Whether anything does.
    anything: Option<bool>,
    /// For how many seconds the oldest of it has, if something does.
    oldest: Option<f64>,
}

impl ArchiveEvidence<'_> {
    /// Whether this node archives at all. Where it does not, all that its archiver ever counted is of another time: a demoted node
    /// keeps it.
    pub fn archives(&self) -> Option<bool> {
        match (self.archiver?.mode.as_str(), self.in_recovery) {
            ("off", _) | ("on", Some(true)) => Some(false),
            ("always", _) | ("on", Some(false)) => Some(true),
            _ => None,
        }
    }

    /// The first state of [`ArchiveState`]'s order that holds. One reading is enough: nothing is remembered.
    pub fn verdict(&self) -> ArchiveState {
        let (Some(archiver), Some(archives)) = (self.archiver, self.archives()) else { return ArchiveState::Unknown };
        match archiver.command {
            _ if !archives => return ArchiveState::Off,
            ArchiveCommand::Unset => return ArchiveState::Unset,
            ArchiveCommand::Noop => return ArchiveState::Noop,
            ArchiveCommand::Set => {}
        }
        let (still, waiting) = (self.still(archiver), self.waiting(archiver));
        if still && waiting.oldest.is_some_and(|age| age > self.hung_after.as_secs_f64()) {
            ArchiveState::Hung
        } else if still && waiting.anything.is_none() {
            // Hung comes before all that follows, and without a look at what waits it cannot be told from being idle.
            ArchiveState::Unknown
        } else if waiting.anything != Some(false) && last_failed(archiver) {
            // With nothing waiting, a failure is history.
            ArchiveState::Failing
        } else if archiver.archived_count == 0 && archiver.failed_count == 0 {
            ArchiveState::Never
        } else if self.status.is_some() {
            ArchiveState::Ok
        } else {
            ArchiveState::Unknown
        }
    }

    /// The directory may have been read long before the counters: what it showed is carried on to them as far as it can be.
    fn waiting(&self, archiver: &Archiver) -> Waiting {
        let Some(status) = self.status else { return Waiting { anything: None, oldest: None } };
        if archiver.last_failed_time.is_some_and(|failed| failed > status.server_time) && last_failed(archiver) {
            // An archiver that fails keeps what it failed on.
            return Waiting { anything: Some(true), oldest: self.carried_on(status, archiver) };
        }
        match status.is_outdated(archiver) {
            true => Waiting { anything: None, oldest: None },
            false => Waiting { anything: Some(status.ready > 0), oldest: self.carried_on(status, archiver) },
        }
    }

    fn carried_on(&self, status: &ArchiveStatus, archiver: &Archiver) -> Option<f64> {
        let since = archiver.server_time.seconds_since(status.server_time).max(0.0);
        status.oldest_ready_age.filter(|_| !status.is_outdated(archiver)).map(|age| age + since)
    }

    /// Whether no counter has moved for longer than a working archiver would let pass. After a failure it rests first.
    fn still(&self, archiver: &Archiver) -> bool {
        let moves = [archiver.last_archived_time, archiver.last_failed_time, archiver.stats_reset, self.started_at];
        let Some(last) = moves.into_iter().flatten().max() else { return true };
        let rest = if last_failed(archiver) { RETRY_PAUSE } else { Duration::ZERO };
        archiver.server_time.seconds_since(last) > (self.hung_after.saturating_add(rest)).as_secs_f64()
    }
}

fn last_failed(archiver: &Archiver) -> bool {
    archiver.last_failed_time.is_some() && archiver.last_failed_time > archiver.last_archived_time
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: f64 = 100_000.0;

    /// An archiver that last succeeded `archived` seconds ago and last failed `failed` seconds ago.
    fn archiver(archived: Option<f64>, failed: Option<f64>) -> Archiver {
        let ago = |seconds: f64| Wall::from_seconds(NOW - seconds);
        Archiver {
            archived_count: u64::from(archived.is_some()),
            last_archived_wal: None,
            last_archived_time: archived.map(ago),
            failed_count: u64::from(failed.is_some()),
            last_failed_wal: None,
            last_failed_time: failed.map(ago),
            stats_reset: Some(ago(90_000.0)),
            mode: "on".to_owned(),
            command: ArchiveCommand::Set,
            server_time: Wall::from_seconds(NOW),
        }
    }

    /// Three files wait, the oldest for `age` seconds, as was seen `ago` seconds ago.
    fn waited(age: f64, ago: f64) -> Option<ArchiveStatus> {
        Some(ArchiveStatus { ready: 3, oldest_ready_age: Some(age), ..idle(ago) })
    }

    fn idle(ago: f64) -> ArchiveStatus {
        let server_time = Wall::from_seconds(NOW - ago);
        ArchiveStatus { ready: 0, oldest_ready_age: None, oldest_segments: Vec::new(), position: None, server_time }
    }

    fn waiting(age: f64) -> Option<ArchiveStatus> {
        waited(age, 0.0)
    }

    fn none_waits() -> Option<ArchiveStatus> {
        Some(idle(0.0))
    }

    fn verdict(archiver: &Archiver, status: Option<ArchiveStatus>, in_recovery: Option<bool>) -> ArchiveState {
        let evidence = ArchiveEvidence {
            archiver: Some(archiver),
            status: status.as_ref(),
            in_recovery,
            started_at: Some(Wall::from_seconds(NOW - 90_000.0)),
            hung_after: Duration::from_secs(60),
        };
        evidence.verdict()
    }

    fn on_primary(archiver: &Archiver, status: Option<ArchiveStatus>) -> ArchiveState {
        verdict(archiver, status, Some(false))
    }

    #[test]
    fn an_idle_archiver_is_ok_however_long_ago_it_worked() {
        assert_eq!(on_primary(&archiver(Some(5_000.0), None), none_waits()), ArchiveState::Ok);
        assert_eq!(on_primary(&archiver(Some(5_000.0), Some(6_000.0)), none_waits()), ArchiveState::Ok);
    }

    #[test]
    fn a_backlog_that_is_worked_off_is_ok() {
        assert_eq!(on_primary(&archiver(Some(59.0), None), waiting(3_600.0)), ArchiveState::Ok);
        assert_eq!(on_primary(&archiver(Some(3_600.0), None), waiting(59.0)), ArchiveState::Ok);
    }

    #[test]
    fn a_segment_that_nobody_touches_is_hung() {
        assert_eq!(on_primary(&archiver(Some(61.0), None), waiting(61.0)), ArchiveState::Hung);
        assert_eq!(on_primary(&archiver(None, None), waiting(61.0)), ArchiveState::Hung);
        assert_eq!(on_primary(&archiver(None, Some(121.0)), waiting(300.0)), ArchiveState::Hung);
    }

    #[test]
    fn the_rest_between_failures_is_not_a_hang() {
        for failed in [0.0, 61.0, 119.0] {
            assert_eq!(on_primary(&archiver(None, Some(failed)), waiting(300.0)), ArchiveState::Failing, "{failed}");
            assert_eq!(
                on_primary(&archiver(Some(400.0), Some(failed)), waiting(300.0)),
                ArchiveState::Failing,
                "{failed}"
            );
        }
    }

    #[test]
    fn a_server_that_has_just_started_gets_its_time() {
        let mut fresh = archiver(None, None);
        fresh.stats_reset = Some(Wall::from_seconds(NOW - 30.0));
        assert_eq!(on_primary(&fresh, waiting(3_600.0)), ArchiveState::Never);

        let kept = archiver(Some(7_200.0), None);
        let status = waiting(3_600.0);
        let evidence = ArchiveEvidence {
            archiver: Some(&kept),
            status: status.as_ref(),
            in_recovery: Some(false),
            started_at: Some(Wall::from_seconds(NOW - 5.0)),
            hung_after: Duration::from_secs(60),
        };
        assert_eq!(evidence.verdict(), ArchiveState::Ok);
    }

    #[test]
    fn a_failure_with_nothing_left_to_archive_is_history() {
        assert_eq!(on_primary(&archiver(Some(500.0), Some(400.0)), none_waits()), ArchiveState::Ok);
    }

    #[test]
    fn nothing_archived_and_nothing_failed_is_never() {
        assert_eq!(on_primary(&archiver(None, None), none_waits()), ArchiveState::Never);
    }

    #[test]
    fn settings_come_before_counters() {
        let with = |mode: &str, command| Archiver { mode: mode.to_owned(), command, ..archiver(None, Some(1.0)) };
        assert_eq!(on_primary(&with("off", ArchiveCommand::Unset), waiting(300.0)), ArchiveState::Off);
        assert_eq!(on_primary(&with("on", ArchiveCommand::Unset), waiting(300.0)), ArchiveState::Unset);
        assert_eq!(on_primary(&with("on", ArchiveCommand::Noop), waiting(300.0)), ArchiveState::Noop);
    }

    #[test]
    fn a_standby_archives_only_with_mode_always() {
        let on = archiver(Some(1.0), None);
        let always = Archiver { mode: "always".to_owned(), ..on.clone() };
        assert_eq!(verdict(&on, none_waits(), Some(true)), ArchiveState::Off);
        assert_eq!(verdict(&always, none_waits(), Some(true)), ArchiveState::Ok);
        assert_eq!(verdict(&always, none_waits(), None), ArchiveState::Ok);
    }

    #[test]
    fn what_was_seen_long_ago_is_carried_on_while_nothing_was_archived() {
        let still = archiver(Some(200.0), None);
        assert_eq!(on_primary(&still, waited(1.0, 100.0)), ArchiveState::Hung, "it has waited for 101 s");
        assert_eq!(on_primary(&still, waited(1.0, 50.0)), ArchiveState::Ok, "for 51 s");
        assert_eq!(on_primary(&still, Some(idle(100.0))), ArchiveState::Ok);
    }

    #[test]
    fn what_was_seen_before_something_was_archived_tells_no_hang() {
        assert_eq!(on_primary(&archiver(Some(90.0), None), waited(500.0, 100.0)), ArchiveState::Unknown);
        assert_eq!(on_primary(&archiver(Some(90.0), None), waited(500.0, 80.0)), ArchiveState::Hung);
        assert_eq!(on_primary(&archiver(Some(5.0), None), waited(500.0, 100.0)), ArchiveState::Ok, "it moves");
    }

    #[test]
    fn what_failed_since_still_waits() {
        assert_eq!(on_primary(&archiver(Some(200.0), Some(5.0)), Some(idle(50.0))), ArchiveState::Failing);
        assert_eq!(on_primary(&archiver(Some(30.0), Some(5.0)), Some(idle(50.0))), ArchiveState::Failing);
        assert_eq!(on_primary(&archiver(Some(3.0), Some(5.0)), Some(idle(50.0))), ArchiveState::Ok, "and then did not");
    }

    #[test]
    fn unknown_is_never_ok() {
        let worked = archiver(Some(1.0), None);
        assert_eq!(verdict(&worked, none_waits(), None), ArchiveState::Unknown, "role unknown");
        assert_eq!(on_primary(&worked, None), ArchiveState::Unknown, "what waits unknown");
        assert_eq!(on_primary(&archiver(Some(5_000.0), None), None), ArchiveState::Unknown, "hung or idle");
        assert_eq!(on_primary(&archiver(None, Some(5_000.0)), None), ArchiveState::Unknown, "hung or failing");
        assert_eq!(on_primary(&archiver(None, Some(5.0)), None), ArchiveState::Failing, "moves, so it does not hang");
        let odd = Archiver { mode: "sometimes".to_owned(), ..worked };
        assert_eq!(on_primary(&odd, none_waits()), ArchiveState::Unknown, "no such mode");
        let none_waits = none_waits();
        let evidence = ArchiveEvidence {
            archiver: None,
            status: none_waits.as_ref(),
            in_recovery: Some(false),
            started_at: None,
            hung_after: Duration::from_secs(60),
        };
        assert_eq!(evidence.verdict(), ArchiveState::Unknown, "archiver unknown");
    }
}
