//! Who belongs to a cluster, and how patient its observer is: the part of the configuration that the pure layer needs.

use std::time::Duration;

use crate::collector::slots::Slot;
use crate::collector::snapshot::Snapshot;
use crate::collector::walsender_kind::{WalsenderKind, is_copier};
use crate::collector::walsenders::Walsender;

/// One cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Label `cluster`.
    pub name: String,
    /// The nodes, in the order of the configuration; everywhere else a node is its index here.
    pub members: Vec<Member>,
    /// The names of the observers that are asked for a second view.
    pub observers: Vec<String>,
    /// `manager:` as the config has it; `None`: it has none.
    pub manager: Option<&'static str>,
    /// Intervals and deadlines.
    pub timing: Timing,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Label `node`, and `standby` where it is one.
    pub name: String,
    /// The slot that its walreceiver uses.
    pub slot: String,
    /// The application name of its walreceiver, for walsenders without a slot.
    pub application_name: String,
    /// How other servers reach it: `host:port`, an IPv6 address in brackets; `None` if that is not known.
    pub address: Option<String>,
    /// Whether it is missed when it is not connected.
    pub expected: bool,
}

/// Intervals and deadlines of the observer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Between two fast readings.
    pub sample_interval: Duration,
    /// Between two slow readings.
    pub collect_interval: Duration,
    /// Between two login probes.
    pub login_interval: Duration,
    /// Deadline of a connect, from the name to the login.
    pub connect_timeout: Duration,
    /// Deadline of a query.
    pub query_timeout: Duration,
    /// From which age of the oldest `.ready` file a silent archiver counts as hung.
    pub archive_hung_after: Duration,
}

impl Timing {
    /// Up to which age a fast reading counts: three intervals, or one and the deadline of a query.
    pub fn fast_window(&self) -> Duration {
        (3 * self.sample_interval).max(self.sample_interval + self.query_timeout)
    }

    /// Up to which age the result of a login counts.
    pub fn login_window(&self) -> Duration {
        2 * self.login_interval + self.connect_timeout
    }

    /// Up to which gap between two sights of the primary a lag is measured across it.
    pub fn gap_tolerance(&self) -> Duration {
        2 * self.sample_interval
    }

    /// Up to which age a slow reading counts.
    pub fn slow_window(&self) -> Duration {
        (3 * self.collect_interval).max(self.collect_interval + self.query_timeout)
    }
}

impl Layout {
    /// The number of the node called `name`.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.members.iter().position(|member| member.name == name)
    }

    /// The walsenders that serve standbys, each with the member that it serves if it is one of ours.
    ///
    /// What a member's name or slot stands for is a standby, though it never says what it replays. But a slot alone makes none of
    /// `pg_basebackup` and `pg_receivewal`, which fill it before there is a standby.
    pub fn standbys<'a>(&'a self, snapshot: &'a Snapshot) -> impl Iterator<Item = (&'a Walsender, Option<usize>)> {
        snapshot.senders().filter_map(|(walsender, kind)| {
            let member = self.member_of(walsender, snapshot.slots());
            let called = |member: &usize| self.members[*member].application_name == walsender.application_name;
            match kind {
                WalsenderKind::Standby => Some((walsender, member)),
                WalsenderKind::WalStream if is_copier(walsender) => {
                    member.filter(called).map(|member| (walsender, Some(member)))
                }
                WalsenderKind::WalStream => member.map(|member| (walsender, Some(member))),
                WalsenderKind::Backup | WalsenderKind::Logical => None,
            }
        })
    }

    /// The label `standby` of a walsender.
    pub fn standby_name<'a>(&'a self, walsender: &'a Walsender, member: Option<usize>) -> &'a str {
        member.map_or(walsender.application_name.as_str(), |member| &self.members[member].name)
    }

    /// Which member a walsender serves: by the slot that it holds, else by application name. `None`: nobody in the configuration.
    pub fn member_of(&self, walsender: &Walsender, slots: &[Slot]) -> Option<usize> {
        let slot = slots.iter().find(|slot| slot.active_pid == Some(walsender.pid));
        let by_slot = slot.and_then(|slot| self.members.iter().position(|member| member.slot == slot.name));
        by_slot.or_else(|| self.members.iter().position(|member| member.application_name == walsender.application_name))
    }
}
