//! Check `timeline`.

use super::*;

/// Each standby is on the cluster's timeline.
pub static CHECK: Check = Check {
    id: "timeline",
    severity: Severity::Error,
    title: "each standby is on the cluster's timeline",
    seen: "Each standby's timeline and position against the fork of the newest one.",
    why: "It receives nothing that was written since the failover, and holds WAL that the cluster does not have, or may not know where to go on.",
    fix: "pg_rewind against the primary, or a new base backup.",
    versions: "Every version that pgvigil reads.",
    judge,
};

fn judge(patient: &Patient<'_>) -> Vec<Finding> {
    patient.on_standbys(|node| {
        let lineage = &patient.verdicts(node).lineage;
        let fix = || patient.words(node, "stop it, pg_rewind --source-server='…' --target-pgdata=… -R against the primary, and start it; without checksums or wal_log_hints: pg_basebackup -R");
        match (lineage.diverged, lineage.behind) {
            (Some(Verdict::Yes), _) => Some(Judged::Ill("it has WAL that the primary's timeline does not have".to_owned(), fix())),
            (_, Verdict::Yes) if lineage.can_follow == Some(Verdict::Yes) => Some(Judged::Ill(
                "it is on an older timeline; it could follow".to_owned(),
                patient.words(node, "point primary_conninfo at the new primary, with recovery_target_timeline = latest, and reload (12: restart)"),
            )),
            (_, Verdict::Yes) => Some(Judged::Ill("it is on an older timeline than the cluster's".to_owned(), fix())),
            (_, Verdict::No) => Some(Judged::Well),
            (_, Verdict::Unknown) => None,
        }
    })
}
