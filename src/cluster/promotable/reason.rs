//! What may stand in the way of a promotion: one row a reason. People read it in `docs/promotable.md`.

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::cluster::assess::Verdict;

/// What stands in the way of a promotion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the row of each says what it means")]
pub enum Reason {
    NotInRecovery,
    NotAcceptingReads,
    ForeignSystem,
    SameServer,
    Diverged,
    TimelineBehind,
    BehindOtherStandby,
    ReplayPaused,
    ApplyDelay,
    ReplayConflict,
    ReplayBacklog,
    SettingsTooLow,
    NeedsRebuild,
    ArchiveOnly,
    Cascading,
    NotSynchronous,
    NotObserved,
    SystemUnknown,
    TimelineUnknown,
    LagUnknown,
    SynchronyUnknown,
    FactsMissing,
}

/// One reason: the value of the label `reason`, whether it forbids (no) or leaves open (unknown), and what it means.
struct Row(Reason, &'static str, Verdict, &'static str);

#[rustfmt::skip]
const ROWS: [Row; 22] = [
    Row(Reason::NotInRecovery, "not_in_recovery", Verdict::No, "it is a primary itself"),
    Row(Reason::NotAcceptingReads, "not_accepting_reads", Verdict::No, "it takes no connections: starting, stopping, not consistent yet, or hot_standby is off"),
    Row(Reason::ForeignSystem, "foreign_system", Verdict::No, "its system identifier is not the cluster's"),
    Row(Reason::SameServer, "same_server", Verdict::No, "it is the same server as another node: correct the dsn of one"),
    Row(Reason::Diverged, "diverged", Verdict::No, "it has WAL that the primary's timeline does not have"),
    Row(Reason::TimelineBehind, "timeline_behind", Verdict::No, "it is on an older timeline than the cluster's newest"),
    Row(Reason::BehindOtherStandby, "behind_other_standby", Verdict::No, "another standby has received more"),
    Row(Reason::ReplayPaused, "replay_paused", Verdict::No, "its replay is paused, or a pause is requested"),
    Row(Reason::ApplyDelay, "apply_delay", Verdict::No, "it has a recovery_min_apply_delay, which a promotion would throw away"),
    Row(Reason::ReplayConflict, "replay_conflict", Verdict::No, "a query of its own is in the way of replay"),
    Row(Reason::ReplayBacklog, "replay_backlog", Verdict::No, "it has 1 GiB or more of WAL to replay before it could take over"),
    Row(Reason::SettingsTooLow, "settings_too_low", Verdict::No, "a setting is lower than replay needs"),
    Row(Reason::NeedsRebuild, "needs_rebuild", Verdict::No, "its slot is lost and nothing else can feed it: it must be made anew"),
    Row(Reason::ArchiveOnly, "archive_only", Verdict::No, "the archive alone feeds it: WAL that is not archived would be lost"),
    Row(Reason::Cascading, "cascading", Verdict::No, "it is fed by another standby"),
    Row(Reason::NotSynchronous, "not_synchronous", Verdict::No, "commits waited for other standbys: it may lack some that were acknowledged"),
    Row(Reason::NotObserved, "not_observed", Verdict::Unknown, "there is no fresh reading of it"),
    Row(Reason::SystemUnknown, "system_unknown", Verdict::Unknown, "it is not known whether it belongs to the cluster"),
    Row(Reason::TimelineUnknown, "timeline_unknown", Verdict::Unknown, "it is not known which timeline it is on"),
    Row(Reason::LagUnknown, "lag_unknown", Verdict::Unknown, "it is not known how far it is behind"),
    Row(Reason::SynchronyUnknown, "synchrony_unknown", Verdict::Unknown, "it is not known whom commits waited for"),
    Row(Reason::FactsMissing, "facts_missing", Verdict::Unknown, "a fact that decides was not read of late; see collector_success"),
];

impl Reason {
    /// Every reason.
    pub fn all() -> impl Iterator<Item = Self> {
        ROWS.iter().map(|row| row.0)
    }

    /// The value of the label `reason`.
    pub const fn as_str(self) -> &'static str {
        ROWS[self as usize].1
    }

    /// Whether it forbids (no) or leaves open (unknown).
    pub const fn verdict(self) -> Verdict {
        ROWS[self as usize].2
    }

    /// What it means.
    pub const fn meaning(self) -> &'static str {
        ROWS[self as usize].3
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Reason", 2)?;
        fields.serialize_field("reason", self.as_str())?;
        fields.serialize_field("meaning", self.meaning())?;
        fields.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_the_order_of_the_enum_and_their_labels_are_unique() {
        for (index, Row(reason, label, verdict, _)) in ROWS.iter().enumerate() {
            assert_eq!(*reason as usize, index, "{label}");
            assert_ne!(*verdict, Verdict::Yes, "{label}");
            assert_eq!(Reason::all().filter(|other| other.as_str() == *label).count(), 1, "{label}");
        }
    }

    #[test]
    fn the_documented_table_is_the_code() {
        let lines = include_str!("../../../docs/promotable.md").lines();
        let documented: Vec<_> = lines.filter(|line| line.starts_with("| `")).collect();
        let rows = ROWS
            .iter()
            .map(|Row(_, label, verdict, meaning)| format!("| `{label}` | {} | {meaning} |", verdict.as_str()));
        let rows: Vec<_> = rows.collect();
        assert_eq!(documented, rows, "\n{}\n", rows.join("\n"));
    }
}
