//! What a walsender feeds, by its row and its slot. Only a standby replays, and it says how far in each of its reports; what copies
//! WAL into files, `pg_receivewal` or the second walsender of `pg_basebackup --wal-method=stream`, never does.

use serde::Serialize;

use super::slots::Slot;
use super::walsenders::Walsender;
use crate::clock::Wall;

/// What a walsender feeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WalsenderKind {
    /// A standby, or what may yet turn out to be one: it has not reported so far.
    Standby,
    /// A receiver of WAL that replays nothing.
    WalStream,
    /// A base backup.
    Backup,
    /// Logical replication.
    Logical,
}

/// The programs that replay nothing, by the application name that they give unless told otherwise: ours only logs in.
const COPIERS: [&str; 3] = ["pg_basebackup", "pg_receivewal", "pgvigil"];

/// A copier reports as soon as it streams: in seconds, by when it surely has.
const FIRST_WORD: f64 = 1.0;

impl WalsenderKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Standby, Self::WalStream, Self::Backup, Self::Logical];

    /// The value of the label `kind`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standby => "standby",
            Self::WalStream => "wal_stream",
            Self::Backup => "backup",
            Self::Logical => "logical",
        }
    }

    /// Judges one row of `pg_stat_replication`, read when the server's clock said `server_time`.
    ///
    /// A position that was replayed is proof of a standby, and a report without one is proof of a copier. Before the first report,
    /// which an older standby (13) may put off for `wal_receiver_status_interval`, only a copier's usual name or slot speaks against
    /// it, and for a moment its youth: a copier under any other name has reported by then.
    pub fn of(walsender: &Walsender, slots: &[Slot], server_time: Option<Wall>) -> Self {
        if walsender.state == "backup" {
            return Self::Backup;
        }
        // A standby asks for physical replication, which belongs to no database.
        if walsender.in_database {
            return Self::Logical;
        }
        if walsender.replay_lsn.is_some() {
            return Self::Standby;
        }
        let reported = walsender.reply_time.is_some() || walsender.write_lsn.is_some();
        let passing = format!("pg_basebackup_{}", walsender.pid);
        let by_slot = slots.iter().any(|slot| slot.active_pid == Some(walsender.pid) && slot.name == passing);
        let age = server_time.zip(walsender.backend_start).map(|(now, start)| now.seconds_since(start));
        let young = age.is_some_and(|age| age < FIRST_WORD);
        if reported || by_slot || is_copier(walsender) || young { Self::WalStream } else { Self::Standby }
    }
}

/// Whether it bears the usual name of a program that only copies WAL.
pub fn is_copier(walsender: &Walsender) -> bool {
    COPIERS.contains(&walsender.application_name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pg::lsn::Lsn;

    fn walsender(application_name: &str, state: &str, replay_lsn: Option<u64>, reported: bool) -> Walsender {
        let told = reported.then_some(Lsn(7));
        Walsender {
            application_name: application_name.to_owned(),
            state: state.to_owned(),
            write_lsn: told,
            replay_lsn: replay_lsn.map(Lsn),
            reply_time: reported.then(|| Wall::from_seconds(1.0)),
            ..Walsender::named(41, application_name)
        }
    }

    fn slot(name: &str, active_pid: i32) -> Slot {
        Slot { temporary: true, active: true, active_pid: Some(active_pid), ..Slot::named(name) }
    }

    fn kind(walsender: &Walsender) -> WalsenderKind {
        WalsenderKind::of(walsender, &[], None)
    }

    #[test]
    fn only_what_replays_is_a_standby() {
        assert_eq!(kind(&walsender("b", "streaming", Some(5), true)), WalsenderKind::Standby);
        assert_eq!(kind(&walsender("b", "streaming", None, true)), WalsenderKind::WalStream);
        assert_eq!(kind(&walsender("pg_basebackup", "backup", None, false)), WalsenderKind::Backup);
        let subscription = Walsender { in_database: true, ..walsender("b", "streaming", Some(5), true) };
        assert_eq!(kind(&subscription), WalsenderKind::Logical);
    }

    #[test]
    fn one_that_just_connected_is_a_standby_unless_its_name_or_slot_says_otherwise() {
        for state in ["startup", "catchup", "streaming"] {
            assert_eq!(kind(&walsender("walreceiver", state, None, false)), WalsenderKind::Standby);
            assert_eq!(kind(&walsender("pg_receivewal", state, None, false)), WalsenderKind::WalStream);
            assert_eq!(kind(&walsender("pg_basebackup", state, None, false)), WalsenderKind::WalStream);
            assert_eq!(kind(&walsender("pgvigil", state, None, false)), WalsenderKind::WalStream);
        }
        let nameless = walsender("nightly", "streaming", None, false);
        let by_slot = |slot: Slot| WalsenderKind::of(&nameless, &[slot], None);
        assert_eq!(by_slot(slot("pg_basebackup_41", 41)), WalsenderKind::WalStream);
        assert_eq!(by_slot(slot("pg_basebackup_40", 40)), WalsenderKind::Standby, "another's slot");
        assert_eq!(by_slot(slot("pg_walreceiver_41", 41)), WalsenderKind::Standby, "wal_receiver_create_temp_slot");
        let at = |seconds: f64| {
            let started = Walsender { backend_start: Some(Wall::from_seconds(100.0)), ..nameless.clone() };
            WalsenderKind::of(&started, &[], Some(Wall::from_seconds(100.0 + seconds)))
        };
        assert_eq!(
            (at(0.9), at(1.1)),
            (WalsenderKind::WalStream, WalsenderKind::Standby),
            "a copier has its first word"
        );
        // A standby that somebody called so is one all the same.
        assert_eq!(kind(&walsender("pg_basebackup", "streaming", Some(5), true)), WalsenderKind::Standby);
    }
}
